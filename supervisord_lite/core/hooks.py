"""Hooks: the commands that accompany a run, from their start to the last of their processes.

A hook's run is the keeper's like any other, under a name of its own (`command.hook_name`) and with
the number of the instance's run. It ends when its whole tree is empty: what its main process
leaves behind is killed, and so is everything at its deadline. One that cannot be killed is given
up after a while, so that nobody waits for it for ever. What a hook's end means for the instance
is not decided here (`worker`).
"""

from dataclasses import dataclass

from supervisord_lite.core import reason
from supervisord_lite.core.command import Bury, Command, RunHook, Signal, Sweep, hook_name
from supervisord_lite.core.event import (
    Emptied,
    HookTold,
    MainExited,
    Spawned,
    SpawnFailed,
    is_over,
)
from supervisord_lite.core.signals import KILL
from supervisord_lite.core.spec import Hook, HookPoint, Target
from supervisord_lite.core.state import Exit, HookRun, Instance
from supervisord_lite.core.values import replace

# Seconds that a killed hook has until it is given up: as long as the keeper may take to answer a
# spawn, for before that there is nobody to be killed, and then some.
LAST_GRACE = 15.0

WAITED_FOR = frozenset((HookPoint.PRE_START, HookPoint.PRE_STOP, HookPoint.POST_STOP))


@dataclass(frozen=True, slots=True)
class Ended:
    """A hook is over. `problem` says in words why it did not succeed, if it did not."""

    point: HookPoint
    run: int
    problem: str | None


def declared(instance: Instance, point: HookPoint) -> Hook | None:
    if not instance.spec.hooks:
        return None
    return next((hook for hook in instance.spec.hooks if hook.point is point), None)


def under_way(instance: Instance, point: HookPoint) -> HookRun | None:
    if not instance.hooks:
        return None
    return next((hook for hook in instance.hooks if hook.point is point), None)


def waited_for(instance: Instance) -> bool:
    """Whether a hook is under way that must be over before the next run."""
    return bool(instance.hooks) and any(
        hook.point in WAITED_FOR or (hook.point is HookPoint.POST_START and hook.killed)
        for hook in instance.hooks
    )


def launch(
    instance: Instance, point: HookPoint, run: int, now: float, why: str, status: Exit | None = None
) -> tuple[Instance, tuple[Command, ...]]:
    """Start the hook, where one is declared and its last run is over."""
    hook = declared(instance, point)
    if hook is None or under_way(instance, point):
        return instance, ()
    begun = HookRun(point, run, now + hook.timeout)
    order = RunHook(instance.spec.name, run, point, why, status)
    return replace(instance, hooks=(*instance.hooks, begun)), (order,)


def again(instance: Instance) -> tuple[Command, ...]:
    """What a new manager says about hooks that are under way, since it may not have been heard."""
    name = instance.spec.name
    orders: list[Command] = []
    for hook in instance.hooks:
        if hook.killed:  # what was in its way may be gone: it is not to begin now
            orders += _kill(name, hook)
        else:
            orders.append(RunHook(name, hook.run, hook.point, reason.RECOVERED, None))
    return tuple(orders)


def kill(
    instance: Instance, now: float, *points: HookPoint
) -> tuple[Instance, tuple[Command, ...]]:
    """End these hooks now, or all."""
    doomed = [hook for hook in instance.hooks if not points or hook.point in points]
    if not doomed:
        return instance, ()
    orders = tuple(order for hook in doomed for order in _kill(instance.spec.name, hook))
    hooks = tuple(_doomed(hook, now) if hook in doomed else hook for hook in instance.hooks)
    return replace(instance, hooks=hooks), orders


def hurry(instance: Instance, wait: float, now: float) -> Instance:
    """Leave each hook no more than `wait` seconds until it is killed."""
    hooks = tuple(
        hook if hook.killed else replace(hook, deadline=min(hook.deadline, now + wait))
        for hook in instance.hooks
    )
    return replace(instance, hooks=hooks) if hooks != instance.hooks else instance


def expire(
    instance: Instance, now: float
) -> tuple[Instance, tuple[Command, ...], tuple[Ended, ...]]:
    """Kill the hooks whose time is over, and give up those that outlived that."""
    if not instance.hooks or all(now < hook.deadline for hook in instance.hooks):
        return instance, (), ()
    kept: list[HookRun] = []
    orders: list[Command] = []
    ended: list[Ended] = []
    for hook in instance.hooks:
        if now < hook.deadline:
            kept.append(hook)
        elif hook.killed:
            ended.append(Ended(hook.point, hook.run, reason.hook_left_behind(hook.point)))
        else:
            kept.append(_doomed(hook, now))
            orders += _kill(instance.spec.name, hook)
    return replace(instance, hooks=tuple(kept)), tuple(orders), tuple(ended)


def told(
    instance: Instance, event: HookTold, now: float
) -> tuple[Instance, tuple[Command, ...], Ended | None]:
    """What the keeper says about a hook. News of one that is over is answered by burying it."""
    name, fact = hook_name(event.point, instance.spec.name), event.fact
    hook = under_way(instance, event.point)
    bury = Bury(name, fact.run)
    if hook is None or hook.run != fact.run:
        # It was given up; what of it should live is not to live on.
        return instance, (bury,) if is_over(fact) else end(name, fact.run), None
    match fact:
        case Spawned():  # if its time is over already, it was not there to be killed
            return instance, end(name, fact.run) if hook.killed else (), None
        case MainExited(emptied=False):
            # Those that are left are no longer waited for.
            left = replace(_doomed(hook, now), exit=fact.exit, killed=True)
            return _changed(instance, hook, left), _kill(instance.spec.name, hook), None
        case SpawnFailed():
            problem: str | None = reason.hook_cannot_start(hook.point, fact)
        case MainExited():
            problem = _problem(replace(hook, exit=fact.exit))
        case Emptied():
            problem = _problem(hook)
    return _changed(instance, hook, None), (bury,), Ended(hook.point, hook.run, problem)


def _problem(hook: HookRun) -> str | None:
    status = hook.exit or Exit()
    if status.code == 0:
        return None
    if hook.killed and status.signal in (KILL, None):
        return reason.hook_killed(hook.point)
    return reason.hook_failed(hook.point, status)


def _doomed(hook: HookRun, now: float) -> HookRun:
    return replace(hook, killed=True, deadline=now + LAST_GRACE)


def _kill(name: str, hook: HookRun) -> tuple[Command, ...]:
    return end(hook_name(hook.point, name), hook.run)


def end(known_as: str, run: int) -> tuple[Command, ...]:
    """Kill all of a hook's run, and hear of its end."""
    return Sweep(known_as, run), Signal(known_as, run, KILL, Target.TREE)


def _changed(instance: Instance, hook: HookRun, after: HookRun | None) -> Instance:
    others = [other for other in instance.hooks if other is not hook]
    return replace(instance, hooks=tuple(others if after is None else [*others, after]))
