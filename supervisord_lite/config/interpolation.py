"""The two substitutions: `${VAR}` from the environment, and `{name}` for each instance.

The first is done once, when a file is read; the second for every instance of a worker. All other
braces and dollars stay as they are: awk programs, JSON and shell code are common in commands.
"""

import re
from collections.abc import Iterator, Mapping

from supervisord_lite.config.errors import quoted

_VARIABLE = re.compile(
    r"\$\$\{"  # $${ is how a literal ${ is written
    r"|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}"
    r"|\$\{[^}]*\}?"  # anything else that looks like one is a mistake, not text
)
_PLACEHOLDER = re.compile(r"\{(name|instance|channel\.([A-Za-z0-9_.-]+))\}")


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Replace `${VAR}` and `${VAR:-default}`; the default serves when VAR is unset or empty.

    Raises ValueError when a variable is unset and has no default.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match.group() == "$${":
            return "${"
        if name is None:
            raise ValueError(
                f"cannot read {quoted(match.group())} as a variable"
                " (try ${VAR} or ${VAR:-default}; $${ stands for a plain ${)"
            )
        found = environment.get(name)
        if default is not None:
            return found or default
        if found is None:
            raise ValueError(
                f"cannot find {name} in the environment (try ${{{name}:-default}};"
                f" $${{{name}}} leaves it to the command)"
            )
        return found

    return _VARIABLE.sub(value, text) if "${" in text else text


def fill(text: str, name: str, instance: int, channels: Mapping[str, int | str]) -> str:
    """Replace `{name}`, `{instance}` and `{channel.X}`, which is the number of X's descriptor, and
    where X ends in `.path` or `.address` may be that.

    Raises ValueError for what is not among `channels`.
    """

    def value(match: re.Match[str]) -> str:
        word, channel = match.groups()
        if channel is None:
            return name if word == "name" else str(instance)
        if channel not in channels:
            raise ValueError(
                f"cannot replace {{{quoted(word)[1:-1]}}}: the worker is not connected to it"
            )
        return str(channels[channel])

    return _PLACEHOLDER.sub(value, text) if "{" in text else text


def mentioned(text: str) -> Iterator[str]:
    """All that stands for X in a `{channel.X}`."""
    if "{channel." in text:
        yield from (match[2] for match in _PLACEHOLDER.finditer(text) if match[2])


def varies(text: str) -> bool:
    """Whether the text differs between the instances of a worker."""
    return "{instance}" in text
