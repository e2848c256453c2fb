"""The way down: the rungs of stopping, climbed by deadlines until the tree of a run is empty.

A rung sends a signal to somebody and waits. The rungs are copied from the spec into the state, so
a new configuration matters to the next stop only. When the main process goes first, what it left
behind gets a short ladder of its own: TERM to the tree once, then the last rung's signal.

Two things may come before the first rung (`Parting`): what depends on the instance goes down
first, and its `pre_stop` hook runs.

It never decides what comes after (`sequel`), only how to get down. Each function returns a `Step`.
"""

from supervisord_lite.core import hooks, reason
from supervisord_lite.core.command import Signal, Sweep
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.signals import KILL, TERM
from supervisord_lite.core.spec import HookPoint, Rung, Target
from supervisord_lite.core.start import Step
from supervisord_lite.core.state import (
    Exit,
    Fault,
    Instance,
    Parting,
    Readying,
    Running,
    Starting,
    Stopping,
)
from supervisord_lite.core.values import replace

HURRIED_WAIT = 1.0  # seconds that each rung has left once a shutdown is hastened
KILLING = (Rung(KILL, Target.TREE, HURRIED_WAIT),)  # all that is left of a ladder in the end


def go_down(
    instance: Instance,
    state: Starting | Readying | Running,
    at: Moment,
    why: str,
    fault: Fault | None = None,
) -> Step:
    """Begin to end the run, as asked or for a fault. Before the keeper has answered its spawn there
    is nobody to signal.
    """
    asked = fault is None
    if isinstance(state, Starting):
        rungs = instance.spec.stop
        waiting = Stopping(state.run, None, rungs, 0, at.now, None, at.now, asked, fault=fault)
        return replace(instance, state=waiting), (), why
    started = state.started if isinstance(state, Running) else state.since
    rungs = instance.spec.stop
    parting = Parting(state.run, state.pid, rungs, at.now, started, asked, fault)
    return depart(instance, parting, at, why)


def depart(instance: Instance, state: Parting, at: Moment, why: str = "") -> Step:
    """Climb onto the first rung, unless something has to come before it: those that depend on the
    instance, then its `pre_stop` hook.
    """
    if state.rungs == KILLING:
        return descend(instance, state, at.now, why)
    if not at.around.clear:
        return replace(instance, state=state), (), why
    if state.hook:
        if hooks.under_way(instance, HookPoint.PRE_STOP):
            return replace(instance, state=state), (), why
    else:
        hooked, orders = hooks.launch(instance, HookPoint.PRE_STOP, state.run, at.now, why)
        if orders:
            return replace(hooked, state=replace(state, hook=True)), orders, why
    return descend(instance, state, at.now, why)


def descend(instance: Instance, state: Parting, now: float, why: str = "") -> Step:
    """Nothing has to come before the first rung any more."""
    return stand(instance, stopping(state), 0, now, why)


def stopping(state: Parting, rungs: tuple[Rung, ...] = (), status: Exit | None = None) -> Stopping:
    """The way down from here, before the first of its rungs, or of these."""
    return Stopping(
        state.run,
        state.pid,
        rungs or state.rungs,
        0,
        state.since,
        None,
        state.started,
        state.asked,
        status,
        fault=state.fault,
    )


def stand(instance: Instance, state: Stopping, index: int, now: float, why: str = "") -> Step:
    """Stand on a rung: send its signal and wait. The first one also asks to hear of the end."""
    name, rung = instance.spec.name, state.rungs[index]
    sweep = (Sweep(name, state.run),) if index == 0 else ()
    stands = replace(state, rung=index, deadline=now + rung.wait, stuck=False)
    signal = Signal(name, state.run, rung.signal, rung.to)
    return replace(instance, state=stands), (*sweep, signal), why


def climb(instance: Instance, state: Stopping, now: float) -> Step:
    if state.rung + 1 < len(state.rungs):
        before, rung = state.rungs[state.rung : state.rung + 2]
        # Where nobody was to wait for anything, nobody was disappointed.
        why = reason.climbed(before, rung) if before.wait else ""
        return stand(instance, state, state.rung + 1, now, why)
    why = reason.cannot_end(state)
    stuck = replace(state, deadline=None, stuck=True)
    return replace(instance, state=stuck, problem=why), (), why


def sweep_leftovers(instance: Instance, state: Stopping, status: Exit, now: float) -> Step:
    """The main process is gone as asked; its descendants get the short ladder, and no more time
    on its first rung than the present rung had left. Where the last rung has already been sent
    to all of the tree, there is nothing to add.
    """
    last = len(state.rungs) - 1
    known = replace(state, exit=status)
    if state.rung == last and state.rungs[last].to is Target.TREE and state.pid is not None:
        return replace(instance, state=known), (), ""
    rungs = leftover_rungs(state.rungs)
    after, orders, why = stand(instance, replace(known, rungs=rungs), 0, now)
    if state.deadline is not None and isinstance(after.state, Stopping):
        left = min(state.deadline, now + rungs[0].wait)
        after = replace(after, state=replace(after.state, deadline=left))
    return after, orders, why


def leftover_rungs(rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    last = rungs[-1]
    return Rung(TERM, Target.TREE, rungs[0].wait), Rung(last.signal, Target.TREE, last.wait)


def hasten(instance: Instance, level: int, now: float) -> Step:
    """A shutdown hurries: what is left of each rung is short (1), or the tree is killed (2), and
    hooks with it.
    """
    if level > 1:
        killed, orders = hooks.kill(instance, now)
        after, more, why = _kill_tree(killed, now)
        return after, (*orders, *more), why
    return _shorten(hooks.hurry(instance, HURRIED_WAIT, now), now)


def _shorten(instance: Instance, now: float) -> Step:
    state = instance.state
    if isinstance(state, Parting):
        return replace(instance, state=replace(state, rungs=hurried(state.rungs))), (), ""
    if not isinstance(state, Stopping):
        return instance, (), ""
    due = None if state.deadline is None else min(state.deadline, now + HURRIED_WAIT)
    short = replace(state, rungs=hurried(state.rungs), deadline=due)
    return replace(instance, state=short), (), ""


def hurried(rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    if all(rung.wait <= HURRIED_WAIT for rung in rungs):
        return rungs
    return tuple(replace(rung, wait=min(rung.wait, HURRIED_WAIT)) for rung in rungs)


def _kill_tree(instance: Instance, now: float) -> Step:
    state = instance.state
    if isinstance(state, Parting):
        return descend(instance, replace(state, rungs=KILLING), now)
    if not isinstance(state, Stopping):
        return instance, (), ""
    kill = replace(state, rungs=KILLING, rung=0)
    if state.pid is None and state.exit is None:
        return replace(instance, state=kill), (), ""
    return stand(instance, kill, 0, now)
