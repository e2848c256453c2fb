"""What operators ask of an instance. Commands never queue: the last one sets `wanted`, and whatever
is under way ends in a state that satisfies it. So a restart is STOPPING while wanted, any number
of restarts are one, and a stop during a restart ends STOPPED.
"""

from typing import assert_never

from supervisord_lite.core import history, hooks, jobs, reason
from supervisord_lite.core.command import Signal
from supervisord_lite.core.ladder import go_down
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.sequel import afresh, leave
from supervisord_lite.core.spec import HookPoint, Kind, Target
from supervisord_lite.core.start import Step
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


def start(instance: Instance, at: Moment, why: str) -> Step:
    state = instance.state
    if instance.retiring:  # it is about to leave; what is declared by its name will be another
        return instance, (), ""
    match state:
        case Stopped() | Waiting() | Backoff() | Exited() | Fatal() | Blocked():
            return jobs.resume(replace(afresh(instance), held=False), at, why)
        case Scheduled():
            return (replace(instance, held=False) if instance.held else instance), (), ""
        case Parting() | Stopping():
            return _want_again(instance, state, at)
        case Preparing() | Starting() | Readying() | Running():
            return _switch_on(instance, at), (), ""
        case _:
            assert_never(state)


def restart(instance: Instance, at: Moment, why: str) -> Step:
    state = instance.state
    if isinstance(state, Readying | Running):
        return go_down(_again_at_once(replace(instance, held=False), at), state, at, why)
    return start(instance, at, why)


def run(instance: Instance, at: Moment, why: str) -> Step:
    """One run at once; a job's rule for overlaps holds."""
    if instance.spec.kind is not Kind.JOB or instance.retiring:
        return start(instance, at, why)
    return replacing(jobs.run_now(instance, at), at)


def replacing(step: Step, at: Moment) -> Step:
    """What a job's next run replaces goes down; the run is queued behind it already."""
    after, orders, why = step
    state = after.state
    if why != reason.REPLACED or not isinstance(state, Readying | Running):
        return step
    gone, more, _ = go_down(after, state, at, why)
    return gone, (*orders, *more), why


def _again_at_once(instance: Instance, at: Moment) -> Instance:
    """With a run to follow the one under way, for a job, which else would wait for its time."""
    on = _switch_on(instance, at)
    if on.timetable is None:
        return on
    return replace(on, timetable=replace(on.timetable, queued=max(1, on.timetable.queued)))


def _switch_on(instance: Instance, at: Moment) -> Instance:
    return jobs.switched_on(instance, at) if instance.spec.kind is Kind.JOB else instance


def _want_again(instance: Instance, state: Parting | Stopping, at: Moment) -> Step:
    """A new run is to follow the one that is going down, as soon as it is down."""
    if instance.retiring or (instance.wanted and state.asked and not instance.held):
        return instance, (), ""
    asked = replace(state, asked=True, fault=None)
    return replace(_switch_on(instance, at), state=asked, wanted=True, held=False), (), ""


def stop(instance: Instance, at: Moment, why: str) -> Step:
    state = instance.state
    match state:
        case Starting() | Readying() | Running():
            off = replace(instance, wanted=False, timetable=None)
            return go_down(off, state, at, why)
        case Parting() | Stopping():
            if not instance.wanted and state.asked:
                return instance, (), ""
            asked = replace(state, asked=True, fault=None)
            return replace(instance, state=asked, wanted=False, timetable=None), (), ""
        case Preparing() | Waiting() | Scheduled() | Backoff() | Exited() | Fatal() | Blocked():
            return _rest(instance, at, why)
        case Stopped():
            return instance, (), ""
        case _:
            assert_never(state)


def _rest(instance: Instance, at: Moment, why: str) -> Step:
    """There is no run that would have to end, at most the hook that prepares one."""
    known = instance
    if isinstance(instance.state, Preparing):  # the run that it prepares never comes to be
        known = history.over(instance, instance.state.run, 0.0, None)
    ended, orders = hooks.kill(known, at.now, HookPoint.PRE_START)
    down = replace(ended, state=Stopped(), wanted=False, attempts=0, timetable=None)
    return down, (*orders, *leave(down)), why


def signal(instance: Instance, number: int) -> Step:
    match instance.state:
        case Readying(run=run) | Running(run=run) | Parting(run=run):
            sends = True
        case Stopping(run=run, pid=int(), exit=None):
            sends = True
        case _:
            sends, run = False, 0
    orders = (Signal(instance.spec.name, run, number, Target.MAIN),) if sends else ()
    return instance, orders, ""


def reload(instance: Instance) -> Step:
    """Have the worker read its own configuration again, where it can and is up."""
    number = instance.spec.reload_signal
    if number is None or not isinstance(instance.state, Running):
        return instance, (), ""
    return signal(instance, number)
