"""Which paths a watch means: globs that are walked component by component, like a state machine.

A walk begins at `/` with `Globs.start` and makes a `step` for each component. Each state says which
names can lead on from there, so that only directories are looked at in which something may match;
and two paths to one directory that are in one state there have the same matches below it. Knows
nothing of files: the names come from whoever has seen them.

- A component of a glob matches one component of a path, dots at its beginning included; `**`
  matches any number of them.
- A path without wildcards means that file, or that directory and all below it.
- What is ignored hides only what a wildcard or a directory has brought in, never a name that is
  written out; an ignored directory hides all below it.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DEFAULT_IGNORES = (
    *(".git", ".hg", ".svn", "__pycache__", "*.py[co]"),
    *("*.sw[px]", ".*.sw?", "*~", ".#*", "#*#", "4913"),  # 4913: how vim tries a directory
    *("*.log", "*.log.*", ".*.log.*"),  # our own, with what is beside them
)

Position = tuple[int, int]  # of a glob, and how many of its components are matched
_ANY = "**"
_WILD = re.compile(r"[*?[]")

Component = str | re.Pattern[str]


@dataclass(frozen=True, slots=True)
class State:
    """How far each of the globs has come: those that are watched, those that are ignored."""

    wanted: frozenset[Position]
    ignored: frozenset[Position]


class Globs:
    """The absolute `paths` of a watch, less what `ignore` hides (names, or absolute globs)."""

    def __init__(self, paths: Iterable[str], ignore: Iterable[str]) -> None:
        patterns = (*DEFAULT_IGNORES, *ignore)
        self._paths = _Machine(paths)
        self._hidden = _Machine(pattern for pattern in patterns if "/" in pattern)
        names = [fnmatch.translate(pattern) for pattern in patterns if "/" not in pattern]
        self._hidden_names = re.compile("|".join(names))
        self.start = State(self._paths.start, self._hidden.start)

    def step(self, state: State, name: str) -> State | None:
        """Where one more component leads; None if nothing matches there or below."""
        ignored = self._hidden.step(state.ignored, name)
        wanted = self._paths.step(state.wanted, name)
        if self._hidden_names.fullmatch(name) or self._hidden.accepts(ignored):
            wanted &= self._paths.step(state.wanted, name, written_out=True)
        return State(wanted, ignored) if wanted else None

    def accepts(self, state: State) -> bool:
        """Whether the path that led here is one of those that are meant."""
        return self._paths.accepts(state.wanted)

    def names(self, state: State) -> frozenset[str] | None:
        """The only names that lead on from here; None if others may, too."""
        return self._paths.names(state.wanted)


class _Machine:
    """Several globs at once. A `**` is a position that any component leaves where it is."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._globs = [tuple(_components(path)) for path in paths]
        self.start = self._closed((number, 0) for number in range(len(self._globs)))

    def step(
        self, positions: frozenset[Position], name: str, *, written_out: bool = False
    ) -> frozenset[Position]:
        """Follow a component; with `written_out` only where the glob has it word for word."""
        return self._closed(self._followed(positions, name, written_out))

    def accepts(self, positions: frozenset[Position]) -> bool:
        return any(at == len(self._globs[number]) for number, at in positions)

    def names(self, positions: frozenset[Position]) -> frozenset[str] | None:
        found = [component for _, component in self._next(positions)]
        literal = frozenset(one for one in found if isinstance(one, str) and one != _ANY)
        return literal if len(literal) == len(set(found)) else None

    def _next(self, positions: frozenset[Position]) -> Iterator[tuple[Position, Component]]:
        for number, at in positions:
            if at < len(self._globs[number]):
                yield (number, at), self._globs[number][at]

    def _followed(
        self, positions: frozenset[Position], name: str, written_out: bool
    ) -> Iterator[Position]:
        for (number, at), component in self._next(positions):
            if component == _ANY:
                if not written_out:
                    yield number, at
            elif isinstance(component, str):
                if component == name:
                    yield number, at + 1
            elif not written_out and component.fullmatch(name):
                yield number, at + 1

    def _closed(self, positions: Iterable[Position]) -> frozenset[Position]:
        """With the positions behind each `**` that has matched nothing so far."""
        closed = set()
        for number, start in positions:
            at = start
            closed.add((number, at))
            while at < len(self._globs[number]) and self._globs[number][at] == _ANY:
                at += 1
                closed.add((number, at))
        return frozenset(closed)


def _components(path: str) -> Iterator[Component]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for part in parts:
        if part == _ANY or not _WILD.search(part):
            yield part
        else:
            yield re.compile(fnmatch.translate(part))
    if not _WILD.search(path):
        yield _ANY
