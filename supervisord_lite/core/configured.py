"""What a configuration means for one instance: it is new, has another spec, or is there no more."""

from typing import assert_never

from supervisord_lite.core import hooks, jobs, reason
from supervisord_lite.core.command import Command
from supervisord_lite.core.found import became_ready
from supervisord_lite.core.ladder import go_down
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.plan import restarts
from supervisord_lite.core.sequel import afresh, leave
from supervisord_lite.core.spec import HookPoint, InstanceSpec, Kind
from supervisord_lite.core.start import Step, begin
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
)
from supervisord_lite.core.values import replace


def add(instance: Instance, start: bool, at: Moment) -> Step:
    """A new instance starts by itself or rests. Either is remembered: what is once known is not
    taken for new when its `autostart` changes.
    """
    assert isinstance(instance.state, Stopped)
    if start:
        return jobs.resume(instance, at, reason.ADDED)
    return replace(instance), (), ""


def replace_spec(instance: Instance, spec: InstanceSpec, at: Moment) -> Step:
    """Take over a new spec. What runs an old program goes down by its old rungs while wanted."""
    before = instance.spec
    after = replace(instance, spec=spec)
    if instance.retiring:
        return _come_back(after, spec, at)
    after = _rescheduled(after, before, at)
    if not before.program.argv or not restarts(before, spec):
        return _adjust(after, at)
    state = instance.state
    match state:
        case Starting() | Readying() | Running():
            # By its old rungs, but with the new hooks: the old ones are nowhere any more.
            leaving = replace(instance, spec=replace(spec, stop=before.stop))
            down, orders, why = go_down(leaving, state, at, reason.PROGRAM_CHANGED)
            known = replace(down, spec=spec, timetable=after.timetable)
            return known, orders, why
        case Parting() | Stopping():
            return replace(after, state=replace(state, asked=True, fault=None)), (), ""
        case Backoff() | Fatal() | Waiting() | Blocked() | Scheduled():
            return jobs.resume(afresh(after), at, reason.PROGRAM_CHANGED)
        case Exited() if spec.autostart:  # what has ended by itself is another one now
            return jobs.resume(afresh(after), at, reason.PROGRAM_CHANGED)
        case Stopped() | Exited() | Preparing():  # what is prepared will be the new program
            return after, (), ""
        case _:
            assert_never(state)


def _rescheduled(instance: Instance, before: InstanceSpec, at: Moment) -> Instance:
    """With a timetable that goes by the new schedule, if it is one."""
    spec = instance.spec
    if spec.schedule == before.schedule:
        return instance
    if spec.kind is not Kind.JOB:
        return replace(instance, timetable=None)
    if before.kind is Kind.JOB:
        return jobs.rescheduled(instance, at)
    return jobs.switched_on(instance, at) if instance.wanted else instance


def _adjust(instance: Instance, at: Moment) -> Step:
    """The process does not notice; what need not be waited for any more is not waited for."""
    state = instance.state
    if isinstance(state, Scheduled) and instance.timetable is None:
        return jobs.resume(instance, at, reason.PROGRAM_CHANGED)  # nothing is left to wait for
    if isinstance(state, Readying) and instance.spec.ready is None:
        return became_ready(instance, at, reason.READY)
    if isinstance(state, Waiting | Blocked):
        return begin(instance, at, reason.DEPENDENCIES_MET)
    return instance, (), ""


def _come_back(instance: Instance, spec: InstanceSpec, at: Moment) -> Step:
    """It was leaving and is declared again: as a new one, once it is down."""
    back = replace(instance, retiring=False, wanted=spec.autostart, timetable=None)
    if not spec.autostart:
        return back, (), ""
    if isinstance(back.state, Stopped):
        return jobs.resume(back, at, reason.ADDED)
    if spec.kind is Kind.JOB:
        return jobs.switched_on(back, at), (), ""
    return back, (), ""


def withdraw(instance: Instance, at: Moment) -> Step:
    state = instance.state
    retiring = replace(instance, retiring=True, wanted=False, timetable=None)
    match state:
        case Starting() | Readying() | Running():
            return go_down(retiring, state, at, reason.REMOVED)
        case Parting() | Stopping():
            if instance.retiring:
                return instance, (), ""
            return replace(retiring, state=replace(state, asked=True, fault=None)), (), ""
        case (
            Stopped()
            | Waiting()
            | Scheduled()
            | Preparing()
            | Backoff()
            | Exited()
            | Fatal()
            | Blocked()
        ):
            return _go(instance, retiring, at)
        case _:
            assert_never(state)


def _go(instance: Instance, retiring: Instance, at: Moment) -> Step:
    """Nothing runs, but perhaps a hook; one that prepares a run is of no use any more."""
    if instance.retiring:
        return instance, (), ""
    ended, orders = hooks.kill(replace(retiring, state=Stopped()), at.now, HookPoint.PRE_START)
    gone: tuple[Command, ...] = leave(ended)
    return ended, (*orders, *gone), reason.REMOVED


def lift_hold(instance: Instance, at: Moment) -> Step:
    if not instance.held:
        return instance, (), ""
    free = replace(instance, held=False)
    if isinstance(instance.state, Waiting):
        return begin(free, at, reason.HOLD_LIFTED)
    return free, (), ""
