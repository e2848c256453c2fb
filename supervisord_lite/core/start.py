"""The way up: the next run, or what it has to wait for.

Whatever can hold a start is asked for here and nowhere else, in this order: the hold, the
conditions of its dependencies, the hooks of the run before. So a start that was held is tried
again by calling `begin` again, whenever something has moved.
"""

from supervisord_lite.core import history, hooks, reason
from supervisord_lite.core.command import Command, Spawn
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.spec import HookPoint
from supervisord_lite.core.state import (
    Blocked,
    Instance,
    Live,
    Preparing,
    Running,
    Starting,
    State,
    Waiting,
)
from supervisord_lite.core.values import replace

Step = tuple[Instance, tuple[Command, ...], str]
"""The instance that results, the orders that follow, and why, in words."""


def begin(instance: Instance, at: Moment, why: str, *before: Command) -> Step:
    """The next run, unless something holds it. `before` are the orders that must precede it."""
    if (obstacle := _obstacle(instance, at)) is not None:
        if instance.wanted and _same(instance.state, obstacle):
            return instance, before, ""
        why_not = _why_not(instance.state, obstacle, why)
        return replace(instance, state=obstacle, wanted=True), before, why_not
    run = instance.last_run + 1
    if hooks.declared(instance, HookPoint.PRE_START) is None:
        starting = replace(instance, state=Starting(run, at.now), wanted=True, last_run=run)
        spawn_it = Spawn(instance.spec.name, run)
        return history.began(starting, run, at, why), (*before, spawn_it), why
    prepared = replace(instance, state=Preparing(run, at.now), wanted=True, last_run=run)
    known = history.began(prepared, run, at, why)
    hooked, orders = hooks.launch(known, HookPoint.PRE_START, run, at.now, why)
    return hooked, (*before, *orders), why


def spawn(instance: Instance, run: int, at: Moment, why: str, *before: Command) -> Step:
    state = Starting(run, at.now)
    return replace(instance, state=state), (*before, Spawn(instance.spec.name, run)), why


def up(instance: Instance, run: int, pid: int, started: float, at: Moment, why: str) -> Step:
    """The run is RUNNING."""
    running = replace(instance, state=Running(run, pid, at.now, started))
    hooked, orders = hooks.launch(running, HookPoint.POST_START, run, at.now, why)
    return hooked, orders, why


def _obstacle(instance: Instance, at: Moment) -> Waiting | Blocked | None:
    if instance.held:
        return Waiting(reason.HELD)
    gate = at.around.gate
    if gate.failed:
        return Blocked(gate.reason, at.now)
    if gate.reason:
        return Waiting(gate.reason)
    return Waiting(reason.WAITS_FOR_HOOKS) if hooks.waited_for(instance) else None


def _same(state: object, obstacle: Waiting | Blocked) -> bool:
    """Whether it waits for that already; when it began to does not matter."""
    if not isinstance(state, Waiting | Blocked) or type(state) is not type(obstacle):
        return False
    return state.reason == obstacle.reason


def _why_not(state: State, obstacle: Waiting | Blocked, why: str) -> str:
    """What is announced: what brought this about, such as the end of a run, and the obstacle. What
    waited before has another obstacle now, and that is all.
    """
    if obstacle.reason == reason.HELD:
        return why
    ended = isinstance(state, Live) and why != reason.RESTARTS
    return f"{why}; {obstacle.reason}" if ended else obstacle.reason
