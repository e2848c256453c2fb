"""Which instances an operator means: by names, by labels, or by both.

A name is a worker (`web`), an instance (`web:0`), a glob of either, or `all`; for selectors see
`core.selector`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from supervisord_lite.core.selector import selector
from supervisord_lite.core.state import Instance


class UnknownNames(Exception):
    """No worker or instance matches some of the names asked for, or a selector chooses none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator has said: names, and a selector or None. Names and a selector together
    mean what both mean; a selector alone chooses among all.
    """

    names: tuple[str, ...]
    selector: str | None = None


def chosen(choice: Choice, instances: Mapping[str, Instance]) -> tuple[str, ...]:
    """The instances that are meant, in the fleet's order, each once. Raises `UnknownNames` with
    every name that matches nothing, and `BadSelector`.
    """
    if choice.selector is None:
        return named(choice.names, instances)
    holds = selector(choice.selector)
    named_ones = named(choice.names or ("all",), instances)
    found = tuple(name for name in named_ones if holds(dict(instances[name].spec.labels)))
    if not found:
        raise UnknownNames(f"cannot find a worker with the labels {choice.selector}")
    return found


def named(patterns: Sequence[str], instances: Mapping[str, Instance]) -> tuple[str, ...]:
    """The instances that these names mean. Raises `UnknownNames`."""
    found: dict[str, None] = {}
    unknown = []
    for pattern in patterns:
        matches = _matches(pattern, instances)
        found.update(dict.fromkeys(matches))
        if not matches and pattern != "all":
            unknown.append(pattern)
    if unknown:
        raise UnknownNames(f"cannot find an instance of {', '.join(unknown)}")
    if len(patterns) == 1:
        return tuple(found)
    return tuple(name for name in instances if name in found)


def workers_of(names: Iterable[str], instances: Mapping[str, Instance]) -> tuple[str, ...]:
    """The workers of these instances, each once."""
    return tuple(dict.fromkeys(instances[name].spec.worker for name in names))


def _matches(pattern: str, instances: Mapping[str, Instance]) -> Sequence[str]:
    if pattern in instances:
        return (pattern,)
    if pattern == "all":
        return tuple(instances)
    return [
        name
        for name, instance in instances.items()
        if instance.spec.worker == pattern
        or fnmatchcase(name, pattern)
        or fnmatchcase(instance.spec.worker, pattern)
    ]
