"""The arithmetic of probing: when to try, and what failures amount to. Pure: values in, values out.

Nobody is called unhealthy for what is not its doing. A failure counts only if the try was made in
time, had its time, and nothing slept or stood still meanwhile (`Round`).
"""

import zlib
from dataclasses import dataclass, replace

from supervisord_lite.core.probe import HealthCheck
from supervisord_lite.core.state import Health

LATE = 1.0  # seconds after its time at which a timer says that we ourselves were held up
NAP = 0.1  # seconds of sleep of the machine; less is how exactly two clocks are read
_SHORTEST = 0.01  # seconds between two tries, whatever is asked for


@dataclass(frozen=True, slots=True)
class Tally:
    """The present verdict, and how many failures in a row speak against it."""

    verdict: Health
    failures: int = 0


def count(tally: Tally, check: HealthCheck, *, good: bool, excused: bool) -> Tally:
    """The tally after one more try; a failure that is excused changes nothing."""
    if good:
        return Tally(Health.HEALTHY)
    if excused:
        return tally
    failures = tally.failures + 1
    if failures >= check.retries:
        return Tally(Health.UNHEALTHY, failures)
    return replace(tally, failures=failures)


@dataclass(frozen=True, slots=True)
class Round:
    """One try as it went: when it was planned and when it began (CLOCK_MONOTONIC), how long the
    machine had slept in all when it was planned and when it was over, and whether the process was
    found stopped by a signal, or the try itself was held up (`late`).
    """

    planned: float
    began: float
    slept_before: float
    slept_after: float
    stopped: bool = False
    late: bool = False

    @property
    def disturbed(self) -> bool:
        """Whether a failure says nothing about the worker."""
        slept = self.slept_after - self.slept_before > NAP
        return self.stopped or self.late or slept or self.began - self.planned > LATE


def lost(passed: float, step: float, *, napped: bool, stopped: bool) -> float:
    """Of the seconds that have `passed` since a look that was to come after `step`, those in which
    nobody could give a sign of life: all of them if the machine has napped or the process is
    stopped now, else those by which the look itself comes late, if they are many.
    """
    if napped or stopped:
        return passed
    return passed - step if passed > step + LATE else 0.0


def first_try(name: str, check: HealthCheck, since: float) -> float:
    """When an instance that is RUNNING `since` then is looked at first. Those that came up together
    are spread by their names.
    """
    return since + check.interval * check.jitter * zlib.crc32(name.encode()) / 2**32


def opening_try(first: float, interval: float, now: float, verdict: Health) -> float:
    """When to begin: in the rhythm, but at once if its first time has passed and nothing is known.
    That time has just passed then, or a manager died before it.
    """
    return now if first <= now and verdict is Health.UNKNOWN else next_try(first, interval, now)


def next_try(first: float, interval: float, now: float) -> float:
    """The next of the times `first + n * interval` that is yet to come: tries keep their rhythm,
    and where one took longer than that the missed ones are left out.
    """
    interval = max(interval, _SHORTEST)
    if now < first:
        return first
    when = first + interval * ((now - first) // interval + 1)
    return when if when > now else when + interval  # fractions are not exact
