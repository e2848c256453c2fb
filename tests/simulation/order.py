"""Judges of the order in which things happen: what comes before a start, and before a stop."""

from supervisord_lite.core.command import hook_of
from supervisord_lite.core.event import (
    AlarmRang,
    BecameReady,
    ClockSet,
    Configured,
    MainExited,
    RunRequested,
    Spawned,
)
from supervisord_lite.core.hooks import declared, under_way
from supervisord_lite.core.signals import KILL
from supervisord_lite.core.spec import HookPoint, Target
from supervisord_lite.core.state import (
    Exited,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Starting,
    Stopping,
)

from .invariant import require
from .step import Step

_BEFORE = (HookPoint.PRE_STOP, HookPoint.POST_STOP)


class Starts:
    """No run begins before its conditions hold, in spite of a hold, or beside hooks that must be
    over; none is spawned before its `pre_start` hook has succeeded, nor RUNNING before it is ready.
    """

    def __init__(self) -> None:
        self._prepared: dict[str, tuple[int, int | None]] = {}  # instance → (run, exit code)

    def told(self, _: Step, event: MainExited) -> None:
        hook = hook_of(event.instance)
        if hook is not None and hook[0] is HookPoint.PRE_START:
            self._prepared[hook[1]] = event.run, event.exit.code

    def changed(self, step: Step, before: Instance | None, after: Instance) -> None:
        is_same = before is not None and after.last_run == before.last_run
        if not is_same and step.has_begun(before, after):
            self._begun(step, before, after)
        state = after.state
        was = before.state if before is not None else None
        if state is was:
            return
        if isinstance(state, Starting):
            if isinstance(was, Preparing) and was.run == state.run:
                done = self._prepared.get(after.spec.name)
                require(done == (state.run, 0), "spawned before its hook has succeeded", after)
        elif isinstance(state, Running) and not isinstance(was, Running):
            self._is_up(step, before, after, state)

    def _is_up(self, step: Step, before: Instance | None, after: Instance, state: Running) -> None:
        if after.spec.ready:
            found_so = isinstance(step.event, BecameReady) and step.event.run == state.run
            known = found_so or isinstance(step.event, Configured)  # its probe was taken away
            require(known or step.is_adopted(before, after), "RUNNING before it is ready", after)
        if before is None or not isinstance(before.state, Readying):
            require(isinstance(step.event, Spawned), "RUNNING, but not spawned", after)

    def _begun(self, step: Step, before: Instance | None, after: Instance) -> None:
        require(not after.held, "started in spite of the hold", after)
        require(step.view.may_start(after.spec), "started before its conditions hold", after)
        beside = [hook for hook in after.hooks if hook.point in _BEFORE]
        require(not beside, "started beside its hooks", after)
        once = before.last_run + 1 if before is not None else 1
        require(after.last_run == once, "a run number was left out", before, after)
        if isinstance(after.state, Starting):
            unprepared = declared(after, HookPoint.PRE_START) is None
            require(unprepared, "spawned before its hook has run", after)
        else:
            require(isinstance(after.state, Preparing), "begun, and not starting", after)


class Stops:
    """What depends on an instance and goes down with it goes first; then its `pre_stop` hook."""

    def __init__(self) -> None:
        self._signalled: list[str] = []

    def changed(self, step: Step, before: Instance | None, after: Instance) -> None:
        state, was = after.state, before.state if before is not None else None
        assert isinstance(state, Stopping)
        if state.exit is not None or state.pid is None:
            return
        if isinstance(was, Stopping) and was.pid is not None:
            return
        ends = step.view.shutdown
        # A hurried ladder that begins with SIGKILL is as good as the second level.
        killed = ends is not None and (ends.level > 1 or (ends.level and _kills(state)))
        if killed or before is None:
            return
        if state.asked:
            self._signalled.append(after.spec.name)
        late = isinstance(was, Stopping)  # its spawn was answered when it was stopped already
        hooked = not late and all(declared(one, HookPoint.PRE_STOP) for one in (before, after))
        if isinstance(was, Parting) and was.hook:
            hooked = False
            over = under_way(after, HookPoint.PRE_STOP) is None
            require(over, "signalled while its pre_stop hook runs", after)
        stale = under_way(before, HookPoint.PRE_STOP) is not None
        require(not hooked or stale, "signalled before its pre_stop hook", before, after)

    def ended(self, step: Step) -> None:
        names, self._signalled = self._signalled, []
        if isinstance(step.event, AlarmRang | ClockSet | RunRequested):
            return  # a job that its next run replaces goes down alone
        for name in names:
            instance = step.view.instances.get(name)
            if instance is None or not isinstance(instance.state, Stopping):
                continue
            if instance.retiring and not isinstance(step.event, Configured):
                continue  # a spare that is needed no more: nobody depends on it
            if instance.state.exit is None:
                first = [
                    other
                    for other in step.view.going_down_after(instance.spec.worker)
                    if step.goes_down_with(other, instance.spec.worker)
                ]
                require(not first, "signalled before what depends on it is down", name, first)


def has_ended(before: Instance | None, after: Instance, *ends: type) -> bool:
    """Whether the instance has just come to such an end."""
    kinds = ends or (Exited,)
    return isinstance(after.state, kinds) and (
        before is None or not isinstance(before.state, kinds)
    )


def _kills(state: Stopping) -> bool:
    return state.rungs[0].signal == KILL and state.rungs[0].to is Target.TREE
