"""What the keeper tells of the runs of an instance, and what it tells of its hooks.

The keeper repeats its facts to every new manager until the run is buried, so each must be harmless
when it comes again: `told` is the one place that compares run numbers. A run is buried in the same
packet that remembers what became of it; a fact about a run that is over is answered by burying it
again. Where a fact names the time at which it came true, that time counts.
"""

from typing import assert_never

from supervisord_lite.core import history, hooks, reason
from supervisord_lite.core.command import Bury, Command
from supervisord_lite.core.event import (
    Emptied,
    HookTold,
    KeeperFact,
    MainExited,
    Spawned,
    SpawnFailed,
)
from supervisord_lite.core.hooks import Ended
from supervisord_lite.core.ladder import (
    depart,
    leftover_rungs,
    stand,
    stopping,
    sweep_leftovers,
)
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.sequel import down, ended, leave, not_begun
from supervisord_lite.core.spec import HookPoint
from supervisord_lite.core.start import Step, begin, spawn, up
from supervisord_lite.core.state import (
    Exit,
    Fault,
    Instance,
    Live,
    Parting,
    Preparing,
    Readying,
    Running,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    live_run,
)
from supervisord_lite.core.values import replace


def told(instance: Instance, fact: KeeperFact, at: Moment) -> Step:
    """Only news of the live run counts. An earlier one is over and accounted for: bury it again.
    A later one, where none is live, was found alive by a keeper that nobody had told of it.
    """
    live = live_run(instance.state)
    if live is None and fact.run > instance.last_run:
        began = replace(instance, state=Starting(fact.run, at.now), last_run=fact.run, problem=None)
        if isinstance(fact, Spawned):
            return up(replace(began, wanted=True), fact.run, fact.pid, at.now, at, reason.ADOPTED)
        return told(began, fact, at)
    if fact.run != live:
        over = fact.run <= instance.last_run and not isinstance(fact, Spawned)
        return instance, (Bury(fact.instance, fact.run),) if over else (), ""
    match fact:
        case Spawned():
            return _spawned(instance, fact, at)
        case SpawnFailed():
            return _spawn_failed(instance, fact, at)
        case MainExited():
            return _main_exited(instance, fact, at)
        case Emptied():
            return _emptied(instance, fact.at, at)
        case _:
            assert_never(fact)


def _spawned(instance: Instance, fact: Spawned, at: Moment) -> Step:
    state, ready = instance.state, instance.spec.ready
    since = at.now if fact.since is None else fact.since
    if isinstance(state, Starting):
        if ready is None:
            return up(instance, fact.run, fact.pid, since, at, reason.STARTED)
        readying = Readying(fact.run, fact.pid, since, since + ready.timeout)
        return replace(instance, state=readying), (), reason.STARTED
    if isinstance(state, Stopping) and state.pid is None and state.exit is None:
        if at.around.clear and hooks.declared(instance, HookPoint.PRE_STOP) is None:
            return stand(instance, replace(state, pid=fact.pid), 0, at.now)
        rungs, fault = state.rungs, state.fault
        parting = Parting(state.run, fact.pid, rungs, state.since, since, state.asked, fault)
        return depart(instance, parting, at)
    if isinstance(state, Readying | Running | Parting | Stopping) and state.pid != fact.pid:
        # It has another main process now (MAINPID of sd_notify(3)).
        return replace(instance, state=replace(state, pid=fact.pid)), (), ""
    return instance, (), ""


def _spawn_failed(instance: Instance, fact: SpawnFailed, at: Moment) -> Step:
    state, bury = instance.state, Bury(fact.instance, fact.run)
    if isinstance(state, Starting) and at.around.excused:  # it was no fault of the worker's
        known = history.over(instance, fact.run, 0.0, None)
        return begin(known, at, reason.RESTARTS, bury)
    if isinstance(state, Starting):
        return not_begun(instance, reason.cannot_spawn(fact, instance.spec.program), at, bury)
    if isinstance(state, Stopping) and state.pid is None and state.exit is None:
        return down(instance, fact.run, 0.0, at)
    return instance, (), ""


def _main_exited(instance: Instance, fact: MainExited, at: Moment) -> Step:
    state, when = instance.state, at.now if fact.at is None else fact.at
    if isinstance(state, Starting | Readying | Running):
        known, fault = replace(instance, last_exit=fact.exit), None
        if isinstance(state, Readying) or (isinstance(state, Starting) and instance.spec.ready):
            fault = Fault(reason.never_ready(fact.exit), start=True)
        started = state.started if isinstance(state, Running) else state.since
        if fact.emptied:
            return ended(known, fact.run, fact.exit, when - started, at, fault)
        return _sweep(known, fact, started, fault, at)
    if isinstance(state, Parting):
        gone = replace(instance, last_exit=fact.exit)
        if fact.emptied:
            return _emptied(gone, fact.at, at, fact.exit)
        return _leftovers(gone, state, fact, at)
    if not isinstance(state, Stopping):
        return instance, (), ""
    if fact.emptied:
        return _emptied(replace(instance, state=replace(state, exit=fact.exit)), fact.at, at)
    if state.exit is not None:
        return instance, (), ""
    known = replace(instance, last_exit=fact.exit)
    return sweep_leftovers(known, state, fact.exit, at.now)


def _sweep(
    instance: Instance, fact: MainExited, started: float, fault: Fault | None, at: Moment
) -> Step:
    """The main process has ended by itself and has left something behind."""
    state = instance.state
    pid = None if isinstance(state, Starting) or not isinstance(state, Live) else state.pid
    rungs, since = leftover_rungs(instance.spec.stop), at.now if fact.at is None else fact.at
    asked, status = not instance.wanted, fact.exit
    swept = Stopping(fact.run, pid, rungs, 0, since, None, started, asked, status, fault=fault)
    return stand(instance, swept, 0, at.now, reason.exited(status))


def _leftovers(instance: Instance, state: Parting, fact: MainExited, at: Moment) -> Step:
    """The main process is gone before anybody has signalled it; what it left behind is swept."""
    swept = stopping(state, leftover_rungs(state.rungs), fact.exit)
    return stand(instance, swept, 0, at.now)


def _emptied(
    instance: Instance, when: float | None, at: Moment, status: Exit | None = None
) -> Step:
    """The run is over. Where its exit was never told, it stays unknown; it is not invented."""
    state = instance.state
    end = at.now if when is None else when
    if isinstance(state, Starting | Readying | Running):
        known = replace(instance, last_exit=Exit())
        started = state.started if isinstance(state, Running) else state.since
        never = isinstance(state, Readying)
        fault = Fault(reason.never_ready(Exit()), start=True) if never else None
        return ended(known, state.run, Exit(), end - started, at, fault)
    if isinstance(state, Stopping):
        status = state.exit or Exit()
    if not isinstance(state, Stopping | Parting):
        return instance, (), ""
    status = status or Exit()
    known = replace(instance, last_exit=status)
    if state.asked:
        return down(known, state.run, end - state.started, at)
    return ended(known, state.run, status, state.since - state.started, at, state.fault)


# --------------------------------------------------------------------------- hooks


def hook_told(instance: Instance, event: HookTold, at: Moment) -> Step:
    after, orders, over = hooks.told(instance, event, at.now)
    if over is None:
        return after, orders, ""
    return hook_over(after, orders, over, at)


def hook_over(instance: Instance, orders: tuple[Command, ...], over: Ended, at: Moment) -> Step:
    """A hook has ended: what waited for it goes on. The failure of one that nothing depends on is
    told, and no more.
    """
    state = instance.state
    if isinstance(state, Preparing) and (over.point, over.run) == (HookPoint.PRE_START, state.run):
        if over.problem is not None:
            return not_begun(instance, over.problem, at, *orders)
        if at.around.gate.reason:  # what it was prepared for has gone meanwhile
            known = history.over(instance, state.run, 0.0, None)
            return begin(known, at, reason.HOOKS_OVER, *orders)
        return spawn(instance, state.run, at, reason.HOOKS_OVER, *orders)
    if isinstance(state, Parting) and over.point is HookPoint.PRE_STOP:
        after, more, why = depart(instance, state, at)
        return after, (*orders, *more), over.problem or why
    if isinstance(state, Waiting) and not hooks.waited_for(instance):
        after, more, why = begin(instance, at, reason.HOOKS_OVER, *orders)
        return after, more, over.problem or why
    told = reason.HOOKS_OVER if isinstance(state, Stopped) and not instance.hooks else ""
    return instance, (*orders, *leave(instance)), over.problem or told
