"""Where a configuration is wrong, in words for the person who wrote it.

A problem knows the place (file, line, column), the key's path and a sentence that begins with
"cannot". Problems are collected, never raised one by one: whoever corrects a file wants to see
all of them. Only `Invalid`, at the very end, is an exception.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a file as it was named by the user; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(NamedTuple):
    """One thing that is wrong; in this order problems sort by file and line."""

    mark: Mark
    path: Path
    text: str

    def __str__(self) -> str:
        parts = (str(self.mark), dotted(self.path), self.text)
        return ": ".join(part for part in parts if part)


class Problems:
    """All that is wrong so far. A value that many workers share (by an anchor or through
    `defaults`) is wrong once, not once a worker.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[Mark, str], Problem] = {}
        self._warnings: list[Problem] = []

    def warn(self, mark: Mark, path: Path, text: str) -> None:
        """Note what may be wrong, and does not count as a problem."""
        self._warnings.append(Problem(mark, path, text))

    def add(self, mark: Mark, path: Path, text: str) -> None:
        self._found.setdefault((mark, text), Problem(mark, path, text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def lines(self) -> tuple[str, ...]:
        """Each problem as `file:line:column: key.path: cannot …`, sorted by file and line."""
        return _sorted(self._found.values())

    def warnings(self) -> tuple[str, ...]:
        """What may be wrong, in the same form."""
        return _sorted(self._warnings)


def _sorted(problems: Iterable[Problem]) -> tuple[str, ...]:
    found = sorted(problems, key=lambda problem: (problem.mark, problem.text))
    return tuple(str(problem) for problem in found)


class Invalid(Exception):
    """The configuration does not compile. `problems` are lines, `files` are those looked at."""

    def __init__(self, problems: Sequence[str], files: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.files = tuple(files)


def dotted(path: Path) -> str:
    """`("workers", "web", "stop", 0)` as people write it: `workers.web.stop[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{quotable(part)}" if text else quotable(part)
    return text


def quotable(text: str) -> str:
    """The text in one line without control characters, cut where it becomes tiresome."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= 80 else shown[:77] + "..."


def quoted(text: str) -> str:
    return f'"{quotable(text)}"'


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean "delay"?)`, or nothing when no known word is close."""
    from difflib import get_close_matches  # only a file with a mistake pays for it

    close = get_close_matches(word[:80], list(known), n=1)
    return f" (did you mean {quoted(close[0])}?)" if close else ""
