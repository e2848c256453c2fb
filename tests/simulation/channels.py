"""The channels of a world: which there are, and which of them cannot be had for a while.

Whoever is given a channel has that one, whatever is made under its name later. So each that is made
has a number of its own, which is what judges compare in the end; of the generations that the core
counts they know nothing.
"""

from collections.abc import Callable, Iterable, Iterator

from supervisord_lite.core.channel import Channel
from supervisord_lite.core.handing import replaces
from supervisord_lite.core.spec import InstanceSpec

from .dice import Dice

# The stages at which a spawn fails for want of a channel: it cannot be had now, or is no more.
REFUSED, GONE = "streams", "no channel"
_NEW_IN_TROUBLE = 0.15


def given(spec: InstanceSpec) -> Iterator[str]:
    """The channels of which its process has a descriptor."""
    program = spec.program
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream.channel is not None:
            yield stream.channel
    yield from (binding.channel for binding in program.channels)


def used(spec: InstanceSpec) -> list[str]:
    """The channels that must be there for it to start: also those that its log is copied to."""
    logs = (log for log in (spec.stdout_log, spec.stderr_log) if log is not None)
    return [*given(spec), *(log.channel for log in logs if log.channel is not None)]


class Room:
    """`made` is which one there is of each name, `missing` is why some cannot be had. `found` is
    told of a name whenever that changes, a moment later.
    """

    def __init__(self, seed: str, later: Callable[..., None]) -> None:
        self._dice = Dice(seed, "channels")
        self._later = later
        self._wanted: dict[str, Channel] = {}
        self.made: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        self.found: Callable[[str], None] = _nobody
        self._count = 0

    def declare(self, channels: Iterable[Channel]) -> None:
        """Make what is new, make anew what has to be another one, let go of the rest."""
        before, self._wanted = self._wanted, {one.name: one for one in channels}
        for name in before.keys() - self._wanted.keys():
            del self.made[name]
        for name in [name for name in self.missing if name not in self._wanted]:
            self._heal(name, self.missing[name])
        for name, one in self._wanted.items():
            old = before.get(name)
            if old is None or old.generation != one.generation or replaces(old.kind, one.kind):
                self._count += 1
                self.made[name] = self._count
                self._settle(name)

    def _settle(self, name: str) -> None:
        """What is made anew may be in trouble, or be that no more."""
        if self._dice.happens(_NEW_IN_TROUBLE):
            self.harm(name, self._dice)
        elif name in self.missing:
            self._heal(name, self.missing[name])

    def names(self) -> list[str]:
        return list(self._wanted)

    def absent(self, spec: InstanceSpec) -> str | None:
        """A channel that the process is to be given and that is not there."""
        return next(
            (one for one in given(spec) if one not in self.made or one in self.missing), None
        )

    def numbers(self, spec: InstanceSpec) -> dict[str, int]:
        """Which ones its process is given."""
        return {name: self.made[name] for name in given(spec)}

    # ------------------------------------------------------------- trouble

    def harm(self, name: str, dice: Dice) -> None:
        """It cannot be had for a while: mostly a short one, sometimes longer than any calm."""
        self._count += 1
        self.missing[name] = f"cannot make it: no room ({self._count})"
        seconds = dice.choice((0.02, 0.02, 0.5, 5.0, 5.0, 20.0, 60.0, 900.0))
        self._later(dice.uniform(0.0, seconds), self._heal, name, self.missing[name])
        self._later(0.0, self.found, name)

    def heal(self, name: str) -> None:
        self._heal(name, self.missing.get(name))

    def _heal(self, name: str, trouble: str | None) -> None:
        """Only of this trouble: it may have come into another one since."""
        if trouble is not None and self.missing.get(name) == trouble:
            del self.missing[name]
            self._later(0.0, self.found, name)

    def look_again(self) -> None:
        """A new manager tries to make what is missing, and is told only of what is then."""
        for name in list(self.missing):
            if self._dice.happens(0.3):
                del self.missing[name]

    def forget(self) -> None:
        """Nobody knows any more what was declared."""
        self._wanted, self.made, self.missing = {}, {}, {}


def _nobody(_: str) -> None:
    return None
