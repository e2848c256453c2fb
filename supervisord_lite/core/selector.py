"""Selectors: conditions on labels that must all hold, as operators and configurations write them.

`tier=web`; `env!=prod`, which is also true where there is no such label; `team`: there is one.
"""

from collections.abc import Callable, Mapping

Labels = Mapping[str, str]


class BadSelector(Exception):
    """The selector cannot be understood; the text says why."""


def selector(text: str) -> Callable[[Labels], bool]:
    """Read a selector: whether it holds for some labels. Raises `BadSelector`."""
    conditions = [_condition(part.strip(), text) for part in text.split(",")]
    return lambda labels: all(holds(labels) for holds in conditions)


def _condition(part: str, text: str) -> Callable[[Labels], bool]:
    key, sign, value = part.partition("=")
    negated = bool(sign) and key.endswith("!")
    key, value = (key[:-1] if negated else key).strip(), value.strip()
    if not key or "=" in value or "!" in key:
        problem = f'cannot read "{part}"' if part else "cannot read an empty condition"
        raise BadSelector(f'{problem} in selector "{text}": write key=value, key!=value or key')
    if not sign:
        return lambda labels: key in labels
    return lambda labels: (labels.get(key) == value) is not negated
