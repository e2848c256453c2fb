r"""Files of environment variables: lines of NAME=VALUE.

Blank lines and lines that begin with `#` are passed over, `export ` is allowed in front, and a
value may be quoted: in single quotes it is literal, in double quotes `\n`, `\t`, `\"`, `\\` and
`\$` are escapes. Nothing is substituted and nothing is run: a value is data.
"""

import re
from pathlib import Path as FilePath

from supervisord_lite.config.errors import Mark, quoted
from supervisord_lite.config.place import Place
from supervisord_lite.config.scalars import text, variable_name

MAX_SIZE = 1024 * 1024
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_QUOTED = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?""")

Variables = tuple[tuple[str, str], ...]


class EnvironmentFiles:
    """Reads each file once, however many instances name it."""

    def __init__(self) -> None:
        self._read: dict[str, Variables] = {}

    def read(self, path: str, place: Place) -> Variables:
        """The variables in the file, in order; `place` is where it is named."""
        if path not in self._read:
            self._read[path] = _variables(path, place)
        return self._read[path]


def _variables(path: str, place: Place) -> Variables:
    try:
        with FilePath(path).open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        place.refuse(f"cannot read {quoted(path)}: {error.strerror}")
        return ()
    if len(content) > MAX_SIZE:
        place.refuse(f"cannot read {quoted(path)}: it is larger than 1 MiB")
        return ()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        place.refuse(f"cannot read {quoted(path)}: it is no UTF-8")
        return ()
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            found.append(parse_line(stripped))
        except ValueError as error:
            column = len(line) - len(line.lstrip()) + 1
            place.problems.add(Mark(path, number, column), place.path, str(error))
    return tuple(found)


def parse_line(line: str) -> tuple[str, str]:
    """The name and the value in one line. Raises ValueError."""
    name, equals, value = line.removeprefix("export ").partition("=")
    if not equals:
        raise ValueError(f"cannot read {quoted(line)} as a variable (write NAME=VALUE)")
    return variable_name(name.strip()), text(_unquoted(value.strip()))


def _unquoted(value: str) -> str:
    if value[:1] not in ("'", '"'):
        return value
    match = _QUOTED.fullmatch(value)
    if match is None:
        raise ValueError("cannot find the end of the quotes")
    if match[1] is not None:
        return match[1]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), match[2])
