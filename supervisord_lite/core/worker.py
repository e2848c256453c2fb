"""The life of one instance: what each event means in each state.

`advance` is a pure function from an instance, an event and the circumstances (the time, and what
the rest of the fleet means for this instance) to the instance that results and the orders that
follow. It never looks at a clock, a process or another instance. This module says which rule an
event falls under; the rules stand in its neighbours, one for each part of a life:

- the way up (`start`). A start takes a new run number, remembers it, and orders the spawn:
  STARTING. Something may hold it: a hold, a dependency whose condition does not hold yet, a hook
  of the run before; then it is WAITING, and tried again when that has moved. A `pre_start` hook
  comes before the spawn. The keeper always answers (`told`): the run has passed exec, or the spawn
  failed. Without a readiness probe that is RUNNING; with one, RUNNING is when it has succeeded
  (`found`), and a run that is not ready in time is a failed start.
- the way down (`ladder`). Stopping climbs a ladder of rungs: send a signal to somebody, wait, climb
  on. The ladder is copied into the state, so a configuration that changes it matters to the next
  stop only. Before the first rung those go down that depend on the instance and are to go down
  with it, and then its `pre_stop` hook runs. A run is over when its *tree* is empty, not when its
  main process is gone: ports and locks belong to descendants too. Hence, when the main process goes
  first, asked or not, the ladder is replaced by a short one for what it left behind: TERM to the
  tree once, then the last rung's signal. When the last rung is behind us there is nothing left but
  to wait: `stuck`.
- what follows a run (`sequel`). If its end was asked for, the wish decides: wanted means a new run
  at once, with a clean slate, and unwanted means STOPPED. If it ended by itself, or was ended for a
  fault that was found in it, the restart policy decides (`restart`): at once, after a delay
  (BACKOFF), never again (EXITED), or not until an operator looks at it (FATAL). A job waits for its
  next time instead (`jobs`).
- what operators ask (`asked`), what a configuration means (`configured`), and the commands that
  accompany a run (`hooks`).

A deadline is a field of what it belongs to, so an alarm may ring at any time: it acts on what is
due and on nothing else. Each transition returns `(instance, orders, why)`. `advance` puts the
`Remember` before the orders and the `Announce` after them; a transition that changes nothing
returns the instance itself.
"""

from typing import assert_never

from supervisord_lite.core import asked, configured, history, hooks, jobs, reason
from supervisord_lite.core.command import Announce, Command, Remember, Spawn, Sweep
from supervisord_lite.core.event import (
    Added,
    AlarmRang,
    BecameReady,
    ClockSet,
    DependencyLost,
    Emptied,
    GateMoved,
    Hastened,
    HealthFound,
    HoldLifted,
    HookTold,
    InstanceEvent,
    MainExited,
    Recovered,
    ReloadRequested,
    RestartRequested,
    RunCondemned,
    RunRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    SpawnFailed,
    SpecReplaced,
    StartRequested,
    StopRequested,
    TimeExtended,
    Withdrawn,
)
from supervisord_lite.core.found import found
from supervisord_lite.core.ladder import climb, depart, go_down, hasten
from supervisord_lite.core.moment import ALONE, Around, Moment
from supervisord_lite.core.sequel import afresh
from supervisord_lite.core.spec import HookPoint
from supervisord_lite.core.start import Step, begin
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exited,
    Fatal,
    Fault,
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
    word,
)
from supervisord_lite.core.told import hook_over, hook_told, told
from supervisord_lite.core.values import replace


def advance(
    instance: Instance, event: InstanceEvent, now: float, around: Around = ALONE
) -> tuple[Instance, tuple[Command, ...]]:
    """What the instance becomes by the event, and what is to be ordered, in this order."""
    after, orders, why = _step(instance, event, Moment(now, around))
    if after is instance:
        return instance, orders
    name, before, then = after.spec.name, instance.state, after.state
    if why or word(before) != word(then):
        orders = (*orders, Announce(name, word(before), word(then), why))
    return after, (Remember(name, after), *orders)


def _step(instance: Instance, event: InstanceEvent, at: Moment) -> Step:
    match event:
        case Spawned() | SpawnFailed() | MainExited() | Emptied():
            return told(instance, event, at)
        case HookTold():
            return hook_told(instance, event, at)
        case BecameReady() | TimeExtended() | HealthFound() | RunCondemned():
            return found(instance, event, at)
        case GateMoved() | DependencyLost() | Recovered() | AlarmRang() | ClockSet():
            return _moved(instance, event, at)
        case Added() | SpecReplaced() | Withdrawn() | HoldLifted():
            return _configured(instance, event, at)
        case _:
            return _asked(instance, event, at)


def _asked(
    instance: Instance,
    event: StartRequested
    | StopRequested
    | RestartRequested
    | RunRequested
    | ReloadRequested
    | SignalRequested
    | ShutdownRequested
    | Hastened,
    at: Moment,
) -> Step:
    match event:
        case StartRequested():
            return asked.start(instance, at, reason.START_REQUESTED)
        case StopRequested():
            return asked.stop(instance, at, reason.STOP_REQUESTED)
        case RestartRequested():
            return asked.restart(instance, at, event.why or reason.RESTART_REQUESTED)
        case RunRequested():
            return asked.run(instance, at, reason.RUN_REQUESTED)
        case ReloadRequested():
            return asked.reload(instance)
        case SignalRequested():
            return asked.signal(instance, event.signal)
        case ShutdownRequested():
            return asked.stop(instance, at, reason.SHUTDOWN)
        case Hastened():
            return hasten(instance, event.level, at.now)
        case _:
            assert_never(event)


def _configured(
    instance: Instance, event: Added | SpecReplaced | Withdrawn | HoldLifted, at: Moment
) -> Step:
    match event:
        case Added():
            return configured.add(instance, event.start, at)
        case SpecReplaced():
            return configured.replace_spec(instance, event.spec, at)
        case Withdrawn():
            return configured.withdraw(instance, at)
        case HoldLifted():
            return configured.lift_hold(instance, at)
        case _:
            assert_never(event)


def _moved(
    instance: Instance,
    event: GateMoved | DependencyLost | Recovered | AlarmRang | ClockSet,
    at: Moment,
) -> Step:
    match event:
        case GateMoved():
            return _gate_moved(instance, at)
        case DependencyLost():
            return _lose_dependency(instance, event.worker, at)
        case Recovered():
            return _recover(instance, at)
        case AlarmRang():
            return _ring(instance, at)
        case ClockSet():
            return asked.replacing(jobs.tick(instance, at), at)
        case _:
            assert_never(event)


# --------------------------------------------------------------------------- the others


def _gate_moved(instance: Instance, at: Moment) -> Step:
    """Look again at what others mean for the start or for the end."""
    state = instance.state
    if isinstance(state, Waiting | Blocked):
        return begin(instance, at, reason.DEPENDENCIES_MET)
    hooked = hooks.under_way(instance, HookPoint.PRE_STOP)
    if isinstance(state, Parting) and at.around.clear and hooked is None:
        return depart(instance, state, at)
    return instance, (), ""


def _lose_dependency(instance: Instance, worker: str, at: Moment) -> Step:
    state = instance.state
    if isinstance(state, Starting | Readying | Running) and instance.wanted:
        return go_down(afresh(instance), state, at, reason.dependency_lost(worker))
    if isinstance(state, Preparing) and instance.wanted:  # not yet begun: it waits again
        known = history.over(instance, state.run, 0.0, None)
        killed, orders = hooks.kill(known, at.now, HookPoint.PRE_START)
        return begin(killed, at, reason.dependency_lost(worker), *orders)
    return instance, (), ""


# --------------------------------------------------------------------------- time, recovery


def _ring(instance: Instance, at: Moment) -> Step:
    """What is due happens; an alarm that rings early or late does no harm. Hooks, the state and
    the schedule have a deadline each, and each may be due.
    """
    after, orders, over = hooks.expire(instance, at.now)
    why = ""
    for hook in over:
        after, orders, why = hook_over(after, orders, hook, at)
    for due in (_ring_state, _ring_schedule):
        after, more, then = due(after, at)
        orders, why = (*orders, *more), then or why
    return after, orders, why


def _ring_state(instance: Instance, at: Moment) -> Step:
    state = instance.state
    match state:
        case Backoff():
            if at.now < state.until:
                return instance, (), ""
            return begin(instance, at, reason.BACKOFF_OVER)
        case Readying():
            ready = instance.spec.ready
            if at.now < state.deadline or ready is None:
                return instance, (), ""
            why = reason.not_ready(ready)
            return go_down(replace(instance, problem=why), state, at, why, Fault(why, start=True))
        case Stopping():
            if state.deadline is None or at.now < state.deadline:
                return instance, (), ""
            return climb(instance, state, at.now)
        case (
            Preparing()
            | Starting()
            | Running()
            | Parting()
            | Stopped()
            | Waiting()
            | Scheduled()
            | Exited()
            | Fatal()
            | Blocked()
        ):
            return instance, (), ""
        case _:
            assert_never(state)


def _ring_schedule(instance: Instance, at: Moment) -> Step:
    table = instance.timetable
    if table is None or at.now < table.until:
        return instance, (), ""
    return asked.replacing(jobs.tick(instance, at), at)


def _recover(instance: Instance, at: Moment) -> Step:
    """Say again what may not have been heard; every order here is harmless when it was."""
    name, state, accompanied = instance.spec.name, instance.state, hooks.again(instance)
    match state:
        case Starting():
            return instance, (Spawn(name, state.run), *accompanied), ""
        case Stopping():
            waits = state.pid is None and state.exit is None
            return instance, (*accompanied, *(() if waits else (Sweep(name, state.run),))), ""
        case Waiting() | Blocked():
            if instance.held:
                return instance, accompanied, ""
            after, orders, why = begin(instance, at, reason.RECOVERED)
            return after, (*accompanied, *orders), why
        case Parting():
            after, orders, why = _gate_moved(instance, at)
            return after, (*accompanied, *orders), why
        case (
            Preparing()
            | Readying()
            | Running()
            | Stopped()
            | Scheduled()
            | Backoff()
            | Exited()
            | Fatal()
        ):
            return instance, accompanied, ""
        case _:
            assert_never(state)
