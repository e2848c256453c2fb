"""Judges of single lives: what must hold in each state, how often is tried again, and what
operators have the last word about.
"""

from supervisord_lite.core.event import (
    AlarmRang,
    RestartRequested,
    RunRequested,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.hooks import under_way
from supervisord_lite.core.spec import HookPoint, Kind
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exited,
    Fatal,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Scheduled,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    due,
    live_run,
)

from .invariant import ViolationError, require
from .step import Step
from .view import View


class Lives:
    """What is true of every instance after every step, whatever has happened. What it is given to
    run is what was declared then.
    """

    def changed(self, step: Step, before: Instance | None, after: Instance) -> None:
        if before is not None and before.spec == after.spec:
            return
        is_stranger = not after.spec.program.argv
        require(is_stranger or step.view.declares(after.spec), "a spec of nobody", before, after)

    def ended(self, step: Step, before: Instance | None, instance: Instance) -> None:
        at, deadline = due(instance), step.deadline
        if at is not None:
            require(deadline is not None and deadline <= at, "nobody waits for it", instance)
            if at <= step.now and isinstance(step.event, AlarmRang):
                rang = before is not None and due(before) == at and before.state is instance.state
                require(not rang, "it is due and nothing has happened", instance)
        if live_run(instance.state) not in (None, instance.last_run):
            raise ViolationError("an earlier run lives", instance)
        if instance.retiring and instance.wanted:
            raise ViolationError("removed, but wanted", instance)
        if instance.hooks:
            points = [hook.point for hook in instance.hooks]
            require(len(points) == len(set(points)), "two hooks of one point", instance)
        _agrees(instance, step.view)


def _agrees(instance: Instance, view: View) -> None:
    state, wanted = instance.state, instance.wanted
    match state:
        case Running() | Readying() | Starting() | Backoff():
            require(wanted, "up, but not wanted", instance)
        case Waiting() | Fatal() | Blocked():
            require(wanted and state.reason, "down without a reason", instance)
        case Scheduled():
            has_time = instance.spec.kind is Kind.JOB and instance.timetable is not None
            require(wanted and has_time, "waits for a time that does not come", instance)
        case Preparing():
            hook = under_way(instance, HookPoint.PRE_START)
            require(wanted, "up, but not wanted", instance)
            require(hook and hook.run == state.run, "prepared by nobody", instance)
        case Stopped() | Exited():
            require(not wanted, "wanted, but nothing is done about it", instance)
        case Parting():
            hooked = under_way(instance, HookPoint.PRE_STOP) is not None
            others = any(True for _ in view.going_down_after(instance.spec.worker))
            require((state.hook and hooked) or others, "parts, and waits for nobody", instance)
        case Stopping():
            unanswered = state.pid is None and state.exit is None
            ends = state.deadline is not None or unanswered or state.stuck
            require(ends, "stops for ever", instance)


class Tries:
    """Another try after a failed start is taken only below the limit, in every window."""

    def __init__(self) -> None:
        self._failed: dict[str, list[float]] = {}

    def forget(self, names: list[str]) -> None:
        for name in names:
            self._failed.pop(name, None)

    def changed(self, step: Step, before: Instance | None, after: Instance) -> None:
        name, limit = after.spec.name, after.spec.restart.limit
        if before is None or limit is None:
            self._failed.pop(name, None)
            return
        if before.spec is not after.spec and before.spec.restart.limit != limit:
            self._failed.pop(name, None)
            return
        if before.failures and not after.failures:
            self._failed.pop(name, None)  # a clean slate: whether it is due, others judge
        if after.attempts <= before.attempts:
            return
        recent = [time for time in self._failed.get(name, ()) if step.now - time <= limit.within]
        recent.append(step.now)
        self._failed[name] = recent
        require(len(recent) < limit.count, "too many tries in a window", after, recent)


class Wishes:
    """What an operator has stopped stays stopped until an operator starts it, or something that
    needs it.
    """

    def __init__(self) -> None:
        self._stopped: dict[str, bool] = {}  # the stop was answered and nothing came since

    def forget(self, names: list[str]) -> None:
        for name in names:
            self._stopped.pop(name, None)

    def told(self, step: Step, event: StartRequested | RunRequested | RestartRequested) -> None:
        """What takes an earlier stop back, whether or not it is carried out."""
        for name in (*step.view.below(event.instances), *event.instances):
            self._stopped.pop(name, None)

    def answered(self, step: Step) -> None:
        """All orders of the step have left: from here on it binds."""
        assert isinstance(step.event, StopRequested)
        for name in step.event.instances:
            instance = step.view.instances.get(name)
            self._stopped[name] = instance is not None and not instance.retiring

    def changed(self, after: Instance) -> None:
        """It is about to leave: what comes back by its name will be another."""
        self._stopped.pop(after.spec.name, None)

    def ended(self, step: Step, instance: Instance) -> None:
        name = instance.spec.name
        if self._stopped.get(name):
            event = type(step.event).__name__
            require(not instance.wanted, "a stopped instance came back", instance, event)
