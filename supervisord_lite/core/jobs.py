"""The life of a job between its runs: its schedule, and what its times mean.

A job is wanted while its schedule is on, and then has a timetable. A time that comes while the run
before is under way is dealt with by the rule for overlaps, one that nobody was there for by the
rule for missed times; the arithmetic of both is `schedule`'s. A failed run is tried again by the
restart policy where that says so; in the end, good or bad, the job waits for its next time. A run
that was asked for while the schedule was off leaves it off.
"""

from supervisord_lite.core import reason
from supervisord_lite.core.command import Command
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.schedule import Missed, Overlap, Schedule, plan_next, reckon
from supervisord_lite.core.spec import Kind
from supervisord_lite.core.start import Step, begin
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exited,
    Fatal,
    Instance,
    Preparing,
    Scheduled,
    Starting,
    Stopped,
    Waiting,
)
from supervisord_lite.core.values import replace

MOST_QUEUED = 100  # runs; further ones are skipped


def resume(instance: Instance, at: Moment, why: str) -> Step:
    """What is wanted and has no run goes on: a job by its schedule, all else by its next run."""
    if instance.spec.kind is Kind.JOB:
        return follow_on(switched_on(instance, at), (), why, at)
    return begin(instance, at, why)


def switched_on(instance: Instance, at: Moment) -> Instance:
    """With a timetable, from now on. A schedule without a further time has none."""
    schedule = instance.spec.schedule
    if schedule is None or instance.timetable is not None:
        return instance
    zone = at.around.clock.zone(schedule.timezone)
    return replace(instance, timetable=plan_next(schedule, None, at.wall, at.now, zone))


def rescheduled(instance: Instance, at: Moment) -> Instance:
    """With a new schedule; what was queued stays."""
    if instance.timetable is None:
        return instance
    fresh = switched_on(replace(instance, timetable=None), at)
    if fresh.timetable is None:
        return fresh
    return replace(fresh, timetable=replace(fresh.timetable, queued=instance.timetable.queued))


def follow_on(instance: Instance, orders: tuple[Command, ...], why: str, at: Moment) -> Step:
    """No run is under way: the next one that is queued, or the schedule, or rest."""
    table = instance.timetable
    if table is None:
        return replace(instance, state=Stopped(), wanted=False), orders, why
    if table.queued:
        left = replace(instance, timetable=replace(table, queued=table.queued - 1))
        replaces = instance.spec.schedule is not None and (
            instance.spec.schedule.overlap is Overlap.REPLACE
        )
        why = reason.REPLACES if replaces else reason.QUEUED
        return begin(left, at, why, *orders)
    return replace(instance, state=Scheduled(), wanted=True), orders, why


def run_now(instance: Instance, at: Moment) -> Step:
    """An operator wants a run at once."""
    state = instance.state
    if isinstance(state, Stopped | Scheduled | Waiting | Blocked | Exited | Fatal | Backoff):
        return begin(replace(instance, held=False), at, reason.RUN_REQUESTED)
    return _overlap(instance, at)


def tick(instance: Instance, at: Moment) -> Step:
    """An alarm has rung, or the clock was set: what is due is run, or dealt with by rule."""
    table, schedule = instance.timetable, instance.spec.schedule
    if table is None or schedule is None:
        return instance, (), ""
    zone = at.around.clock.zone(schedule.timezone)
    found = reckon(schedule, table, at.wall, at.now, zone)
    known = instance
    if found.timetable is not table:
        known = replace(instance, timetable=found.timetable)
    late = bool(found.missed) and schedule.missed is Missed.RUN_ONCE
    if found.due or late:
        return _occur(known, schedule, at, reason.ON_SCHEDULE if found.due else reason.MISSED)
    why = reason.missed(found.missed) if found.missed else ""
    if known.timetable is None and isinstance(known.state, Scheduled):
        return follow_on(known, (), why or reason.SCHEDULE_OFF, at)
    return known, (), why


def _occur(instance: Instance, schedule: Schedule, at: Moment, why: str) -> Step:
    state = instance.state
    if instance.held and schedule.missed is Missed.SKIP:
        return instance, (), reason.SKIPPED_HELD
    if isinstance(state, Scheduled | Blocked):
        return begin(instance, at, why)
    if isinstance(state, Waiting):
        return instance, (), ""  # it runs as soon as it can, once for all
    return _overlap(instance, at)


def _overlap(instance: Instance, at: Moment) -> Step:
    """Another run is due while one is under way, or is to be tried again. Where the rule is to
    replace it, the caller has the one under way go down (`worker`).
    """
    table, schedule = instance.timetable, instance.spec.schedule
    rule = schedule.overlap if schedule is not None else Overlap.SKIP
    if table is None or rule is Overlap.SKIP or table.queued >= MOST_QUEUED:
        return instance, (), reason.SKIPPED
    if rule is Overlap.QUEUE:
        return replace(instance, timetable=replace(table, queued=table.queued + 1)), (), ""
    if isinstance(instance.state, Preparing | Starting):
        return instance, (), ""  # a run that has hardly begun is as good as the next
    queued = replace(instance, timetable=replace(table, queued=1))
    if isinstance(instance.state, Backoff):
        return follow_on(queued, (), reason.REPLACED, at)
    return queued, (), reason.REPLACED
