"""The judge of jobs: every time of a schedule has a run, is queued, or is passed over for a reason
that is told; none has two runs; overlaps are dealt with by their rule.
"""

from supervisord_lite.core import reason
from supervisord_lite.core.event import AlarmRang, ClockSet
from supervisord_lite.core.schedule import CORRECTION, Overlap, is_fixed
from supervisord_lite.core.state import Blocked, Instance, Waiting

from .invariant import require
from .step import Step

_TICK = 0.01  # seconds
_BY_TIME = {reason.ON_SCHEDULE, reason.MISSED}


class Times:
    def __init__(self) -> None:
        self._passed: dict[str, float] = {}  # job → the last time of a fixed line that has passed
        self._offset: float | None = None

    def told(self, _: Step, event: ClockSet) -> None:
        back = event.offset - (self._offset or event.offset)
        if back < -CORRECTION + _TICK:
            self._passed.clear()
        self._offset = event.offset

    def forget(self, names: list[str]) -> None:
        for name in names:
            self._passed.pop(name, None)

    def changed(self, step: Step, before: Instance | None, after: Instance) -> None:
        name, table = after.spec.name, after.timetable
        old = before.timetable if before is not None else None
        begun = step.has_begun(before, after)
        same = before is not None and before.spec.schedule == after.spec.schedule
        came = False
        if before is None or old is None or table is None or not same:
            self._passed.pop(name, None)
        elif table.next != old.next and isinstance(step.event, AlarmRang | ClockSet):
            came = self._has_come(step, after, old.next, old.until)
            if came:
                self._judge(step, before, after, begun=begun)
        if begun and after.history and after.history[-1].why in _BY_TIME:
            require(came, "a job was run by time, and no time has come", before, after)

    def _has_come(self, step: Step, job: Instance, at: float, until: float) -> bool:
        schedule = job.spec.schedule
        assert schedule is not None
        if schedule.every is not None:
            return step.now >= until
        jump = (step.wall - step.now) - (at - until)
        if step.wall + _TICK < at or jump < -CORRECTION:
            return False
        if is_fixed(schedule):
            last = self._passed.get(job.spec.name)
            require(last is None or at > last, "a time came twice", job, at, last)
            self._passed[job.spec.name] = at
        return True

    def _judge(self, step: Step, before: Instance, after: Instance, *, begun: bool) -> None:
        old, new, schedule = before.timetable, after.timetable, after.spec.schedule
        assert old is not None
        assert new is not None
        assert schedule is not None
        more = new.queued > old.queued
        told = bool(step.whys(after.spec.name)) or isinstance(after.state, Waiting | Blocked)
        replaces = schedule.overlap is Overlap.REPLACE
        require(begun or more or told or replaces, "a time came to nothing", before, after)
        skips = schedule.overlap is Overlap.SKIP
        require(not (skips and more), "queued what was to be skipped", before, after)
        require(new.queued <= old.queued + 1, "queued twice", before, after)
