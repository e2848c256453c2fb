"""The way down: the rungs of stopping, climbed by deadlines until the tree of a run is empty.

A rung sends a signal to somebody and waits. The rungs are copied from the spec into the state, so
a new configuration matters to the next stop only. When the main process goes first, what it left
behind gets a short ladder of its own: TERM to the tree once, then the last rung's signal.

It never decides what comes after (`sequel`), only how to get down. Each function returns a `Step`.
"""

from dataclasses import replace
from typing import assert_never

from supervisord_lite.core import reason
from supervisord_lite.core.command import Signal, Sweep
from supervisord_lite.core.sequel import Step
from supervisord_lite.core.signals import KILL, TERM
from supervisord_lite.core.spec import Rung, Target
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Instance,
    Running,
    Starting,
    Stopped,
    Stopping,
    Waiting,
)

HURRIED_WAIT = 1.0  # seconds that each rung has left once a shutdown is hastened


def go_down(instance: Instance, state: Starting | Running, now: float, why: str) -> Step:
    """Begin to end the run; before the keeper has answered its spawn there is nobody to signal."""
    rungs = instance.spec.stop
    if isinstance(state, Starting):
        waiting = Stopping(state.run, None, rungs, 0, now, None, now, asked=True)
        return replace(instance, state=waiting), (), why
    going = Stopping(state.run, state.pid, rungs, 0, now, None, state.since, asked=True)
    return stand(instance, going, 0, now, why)


def stand(instance: Instance, state: Stopping, index: int, now: float, why: str = "") -> Step:
    """Stand on a rung: send its signal and wait. The first one also asks to hear of the end."""
    name, rung = instance.spec.name, state.rungs[index]
    sweep = (Sweep(name, state.run),) if index == 0 else ()
    stands = replace(state, rung=index, deadline=now + rung.wait, stuck=False)
    signal = Signal(name, state.run, rung.signal, rung.to)
    return replace(instance, state=stands), (*sweep, signal), why


def climb(instance: Instance, state: Stopping, now: float) -> Step:
    if state.rung + 1 < len(state.rungs):
        return stand(instance, state, state.rung + 1, now)
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
    """A shutdown hurries: what is left of each rung is short (1), or the tree is killed (2)."""
    state = instance.state
    match state:
        case Stopping():
            if level > 1:
                kill = replace(state, rungs=(Rung(KILL, Target.TREE, HURRIED_WAIT),), rung=0)
                if state.pid is None and state.exit is None:
                    return replace(instance, state=kill), (), ""
                return stand(instance, kill, 0, now)
            rungs = tuple(replace(rung, wait=min(rung.wait, HURRIED_WAIT)) for rung in state.rungs)
            due = None if state.deadline is None else min(state.deadline, now + HURRIED_WAIT)
            return replace(instance, state=replace(state, rungs=rungs, deadline=due)), (), ""
        case Starting() | Running() | Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(state)
