"""When a job is to run: schedules as values, and the arithmetic of their times.

Pure functions that are handed the time: `wall` is seconds since the epoch, `now` is seconds of
CLOCK_MONOTONIC, `zone` is the schedule's time zone, looked up by the shell. The rules about clocks
that jump and days that have 23 or 25 hours are here and nowhere else.

A cron schedule goes by the wall clock, and by Debian's cron(8) where that is torn. Its lines are of
two sorts. One is *fixed* if neither its minute nor its hour begins with a star: its times that
fall into an hour that is left out are run once, at the end of the gap, and those in an hour that
comes twice are run the first time only. All others run *frequently*: they go by what the clock
shows, so nothing runs in the gap and the hour that comes twice counts twice.

An `every` schedule goes by CLOCK_MONOTONIC alone. No jump of the wall clock concerns it, the time
for which the machine slept does not count, and it is anchored: lateness never adds up.

An occurrence that is noticed within GRACE seconds is on time. One that is noticed later is missed:
the machine slept, the clock was set ahead, or nobody was there. What is due now stands for all that
were missed before it, and those that were missed are one, whatever their number.

A clock that is set back repeats nothing that a fixed line has had its run for, while the frequent
ones go by the new time at once. Set back by more than CORRECTION seconds it was wrong before, and
the new time counts for both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

GRACE = 60.0
CORRECTION = 3 * 3600.0
COUNTED = 100  # occurrences that are counted one by one; a clock can jump by fifty years

_TICK = 0.001  # seconds: below what a clock that was read twice can differ from itself
_DAY = 86400


class Overlap(StrEnum):
    """What becomes of a time that comes while the run before is still under way."""

    SKIP = "skip"
    QUEUE = "queue"  # it is run afterwards
    REPLACE = "replace"  # the run under way is stopped


class Missed(StrEnum):
    """What becomes of times at which nobody could start anything, however many they were."""

    SKIP = "skip"
    RUN_ONCE = "run-once"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of a job: by the lines of cron(5) in a time zone, or every so many seconds."""

    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"  # a name of the IANA database
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.SKIP


@dataclass(frozen=True, slots=True)
class Timetable:
    """Where a job stands in its schedule. `next` is the coming occurrence (seconds since the
    epoch), `until` the same on CLOCK_MONOTONIC by the clocks' distance when that was last told.
    `queued` runs are to follow the present one.
    """

    next: float
    until: float
    queued: int = 0


class Reckoning(NamedTuple):
    """What the clocks say: whether an occurrence is due now, how many were missed (at most COUNTED
    and a few), and where the job stands from here; None: its schedule has no further time.
    """

    due: bool
    missed: int
    timetable: Timetable | None


def plan_next(
    schedule: Schedule, previous: Timetable | None, wall: float, now: float, zone: tzinfo
) -> Timetable | None:
    """Where a job stands from now on, whatever lies behind: for a schedule that is switched on, or
    with `previous` one that goes on from there. None: it has no further time.
    """
    if schedule.every is not None:
        until = now + schedule.every
        if previous is not None:
            passed = _passed(previous.until, schedule.every, now)
            until = previous.until + passed * schedule.every
        return _moved(previous, wall + (until - now), until)
    return _by_wall(previous, following(schedule, wall, zone), wall, now)


def reckon(
    schedule: Schedule, timetable: Timetable, wall: float, now: float, zone: tzinfo
) -> Reckoning:
    """What is due, when an alarm has rung or the clock was set. Harmless at any time."""
    if schedule.every is not None:
        return _reckon_every(schedule, schedule.every, timetable, wall, now, zone)
    jump = (wall - now) - (timetable.next - timetable.until)
    if jump < -CORRECTION:
        return Reckoning(False, 0, plan_next(schedule, timetable, wall, now, zone))
    if wall + _TICK < timetable.next:
        goes_by_new_time = jump < -_TICK and not is_fixed(schedule)
        at = following(schedule, wall, zone) if goes_by_new_time else timetable.next
        return Reckoning(False, 0, _by_wall(timetable, at, wall, now))
    return _reckon_passed(schedule, timetable, wall, now, zone)


def following(schedule: Schedule, after: float, zone: tzinfo) -> float | None:
    """The first occurrence of a cron schedule strictly after `after`, in seconds since the epoch;
    None if there is none (the 30th of February).
    """
    assert schedule.cron is not None, schedule
    from cronsim import CronSimError  # 3 ms, for which only those wait who have a cron schedule

    second = int(after // 1)  # all occurrences and all changes of offset are at whole seconds
    try:
        if is_fixed(schedule):
            return _following_fixed(schedule.cron, second, zone)
        return _following_frequent(schedule.cron, second, zone)
    except CronSimError:
        return None


def is_fixed(schedule: Schedule) -> bool:
    """Whether the schedule has cron lines of the sort that runs at fixed times."""
    if schedule.cron is None:
        return False
    parts = schedule.cron.split()
    return len(parts) == 5 and not any(part.startswith("*") for part in parts[:2])


# --------------------------------------------------------------------------- what has passed


def _reckon_every(
    schedule: Schedule, every: float, timetable: Timetable, wall: float, now: float, zone: tzinfo
) -> Reckoning:
    passed = _passed(timetable.until, every, now)
    late = now - (timetable.until + (passed - 1) * every)
    due = passed > 0 and late <= GRACE
    return Reckoning(due, passed - due, plan_next(schedule, timetable, wall, now, zone))


def _passed(until: float, every: float, now: float) -> int:
    """How many occurrences lie between `until` and now, both included."""
    if now < until:
        return 0
    passed = int((now - until) / every) + 1
    return passed + (until + passed * every <= now)  # where the division was rounded down


def _reckon_passed(
    schedule: Schedule, timetable: Timetable, wall: float, now: float, zone: tzinfo
) -> Reckoning:
    """The coming occurrence has come, and perhaps others after it."""
    wall = max(wall, timetable.next)
    passed = list(islice(_between(schedule, timetable.next, wall, zone), COUNTED))
    if len(passed) == COUNTED:
        recent = max(passed[-1], wall - GRACE)
        passed += islice(_between(schedule, following(schedule, recent, zone), wall, zone), COUNTED)
    due = wall - passed[-1] <= GRACE
    after = following(schedule, wall, zone)
    return Reckoning(due, len(passed) - due, _by_wall(timetable, after, wall, now))


def _between(schedule: Schedule, first: float | None, last: float, zone: tzinfo) -> Iterator[float]:
    while first is not None and first <= last:
        yield first
        first = following(schedule, first, zone)


def _by_wall(
    timetable: Timetable | None, at: float | None, wall: float, now: float
) -> Timetable | None:
    return None if at is None else _moved(timetable, at, now + (at - wall))


def _moved(timetable: Timetable | None, at: float, until: float) -> Timetable:
    """The timetable with another occurrence to come; the same value where nothing has changed."""
    if timetable is None:
        return Timetable(at, until)
    if abs(at - timetable.next) < _TICK and abs(until - timetable.until) < _TICK:
        return timetable
    return replace(timetable, next=at, until=until)


# --------------------------------------------------------------------------- the calendar


def _following_fixed(cron: str, after: int, zone: tzinfo) -> int | None:
    """By cron's lines in local time; what comes twice counts the first time."""
    from cronsim import CronSim

    local = datetime.fromtimestamp(after, zone).replace(tzinfo=None, fold=0)
    for candidate in CronSim(cron, local):
        at = _first_instant(candidate, zone)
        if at > after:
            return at
    return None


def _first_instant(local: datetime, zone: tzinfo) -> int:
    """When the clock first shows this time; for one that is left out, the end of the gap. There
    PEP 495 has the two folds lie on either side of it.
    """
    one, other = (int(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    earlier, later = min(one, other), max(one, other)
    shown = datetime.fromtimestamp(earlier, zone).replace(tzinfo=None, fold=0)
    return earlier if shown == local else _change(zone, earlier, later)


def _following_frequent(cron: str, after: int, zone: tzinfo) -> int | None:
    """By what the clock shows. CronSim steps through one stretch of constant offset as if there
    were no other; what it finds beyond the stretch is looked for again from where the next begins.
    """
    from cronsim import CronSim

    begin = after + 1
    while True:
        offset = _offset(zone, begin)
        shown = datetime.fromtimestamp(begin - 1 + offset, UTC).replace(tzinfo=None)
        found = next(CronSim(cron, shown), None)
        if found is None:
            return None
        at = int(found.replace(tzinfo=UTC).timestamp()) - offset
        # An hour that comes twice is at hand, or it does not matter.
        for last in (min(at, begin + _DAY), at):
            if _offset(zone, last) != offset:
                begin = _change(zone, begin, last)
                break
        else:
            return at


def _offset(zone: tzinfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _change(zone: tzinfo, before: int, after: int) -> int:
    """The first second of another offset, between two instants that differ in theirs."""
    offset = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after
