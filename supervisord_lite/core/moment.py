"""The circumstances of a step: the time, and what the rest of the fleet means for one instance.

The fleet works them out (`bonds`) and hands them in, so that the transitions of one instance stay
functions that look at nothing but their arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from supervisord_lite.core.values import quick


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether the conditions of an instance's start hold: they do if there is no `reason` why
    not. `failed`: one of them cannot come true by itself any more.
    """

    reason: str = ""
    failed: bool = False


OPEN = Gate()


def only_utc(name: str) -> tzinfo:
    """The time zones that are known without a database. Raises LookupError for all others."""
    if name != "UTC":
        raise LookupError(name)
    return UTC


@dataclass(frozen=True, slots=True)
class Clock:
    """How far the wall clock is ahead of CLOCK_MONOTONIC, in seconds, and the time zones."""

    offset: float = 0.0
    zone: Callable[[str], tzinfo] = only_utc


@quick
@dataclass(frozen=True, slots=True)
class Around:
    """What the rest of the fleet means for an instance. `clear`: nothing that depends on it has
    to go down before it. `excused`: one of its channels could not be had when, or since, its start
    was ordered.
    """

    gate: Gate = OPEN
    clear: bool = True
    clock: Clock = Clock()
    excused: bool = False


ALONE = Around()


@quick
@dataclass(frozen=True, slots=True)
class Moment:
    """`now` is CLOCK_MONOTONIC, in seconds."""

    now: float
    around: Around = ALONE

    @property
    def wall(self) -> float:
        """Seconds since the epoch."""
        return self.now + self.around.clock.offset
