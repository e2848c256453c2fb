"""What must be so once the faults have stopped for a while: everybody agrees, every wish is
fulfilled, and whatever waits does so for a reason that is true.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from supervisord_lite.core.channel import Use
from supervisord_lite.core.command import hook_name, hook_of
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.generations import as_now, succeeding
from supervisord_lite.core.rollout import Progress, Rollout
from supervisord_lite.core.spec import Configuration, InstanceSpec, Kind, OnExit
from supervisord_lite.core.state import (
    Blocked,
    Exited,
    Fatal,
    Instance,
    Preparing,
    Readying,
    Running,
    Scheduled,
    Starting,
    Stopped,
    Waiting,
    has_left,
    live_run,
)

from .channels import given
from .invariant import require
from .keeper import Keeper
from .questions import ask_why
from .view import View

if TYPE_CHECKING:
    from .world import World

RECENTLY = 60.0  # seconds
_WENT_BACK = (Progress.GOING_BACK, Progress.WENT_BACK, Progress.STOPPED)


def at_rest(world: "World") -> None:
    keeper, fleet, view = world.keeper, world.fleet, View.of(world.keeper)
    for name, instance in fleet.instances.items():
        remembered = keeper.remembered.get(name)
        require(remembered is not None, "the keeper does not remember", instance)
        assert remembered is not None
        same = replace(remembered, held=instance.held) == instance  # a hold is each manager's own
        require(same, "the keeper remembers another", instance)
        require(not instance.retiring, "removed but still there", instance)
        _is_settled(instance, view, world)
    left = keeper.remembered.keys() - keeper.leaving.keys()
    require(left <= fleet.instances.keys(), "remembered for nobody")
    ask_why(fleet, fleet.instances, keeper.now)
    _agree_on_runs(fleet, keeper)
    _agree_on_channels(fleet, keeper)
    have_the_newest(fleet, keeper)
    _is_what_the_file_says(world, view)
    _is_as_good_as_new(world)


def _is_settled(instance: Instance, view: View, world: "World") -> None:
    state, spec = instance.state, instance.spec
    if not instance.wanted:
        require(isinstance(state, Stopped | Exited), "not wanted, but not down", instance)
        return
    match state:
        case Running() | Fatal():
            pass
        case Scheduled():
            table = instance.timetable
            assert table is not None
            now, wall = world.keeper.now, world.keeper.now + world.offset
            require(table.until > now, "its time is over", instance)
            told = abs((table.next - wall) - (table.until - now)) < 1.0
            require(told or (spec.schedule and spec.schedule.every), "another clock", instance)
        case Waiting():
            require(not view.may_start(spec), "waits for nothing", instance)
            require(not view.is_blocked(spec), "waits in vain", instance)
        case Blocked():
            require(view.is_blocked(spec), "blocked by nobody", instance)
        case Starting() | Preparing() | Readying():
            require(spec.kind is not Kind.SERVICE, "still on its way up", instance)
        case _:
            require(spec.kind is not Kind.SERVICE, "wanted, but not up", instance)


def _agree_on_runs(fleet: Fleet, keeper: Keeper) -> None:
    live, unburied = {}, {}
    for name, instance in fleet.instances.items():
        if (run := live_run(instance.state)) is not None:
            live[name] = run
        live |= {hook_name(hook.point, name): hook.run for hook in instance.hooks}
    for name, known in keeper.runs.items():
        if hook_of(name) is None or known.killed is None:
            unburied[name] = known.number
    require(live == unburied, "fleet and keeper disagree", live, unburied)


def _agree_on_channels(fleet: Fleet, keeper: Keeper) -> None:
    written: set[str | None] = set()
    for instance in fleet.instances.values():
        if not isinstance(instance.state, Stopped | Exited):
            program, log = instance.spec.program, instance.spec.stdout_log
            written |= {program.stdout.channel, program.stderr.channel}
            written |= {log.channel} if log is not None else set()
            written |= {one.channel for one in program.channels if one.use is Use.WRITE}
    writable = {channel for channel, is_open in keeper.writable.items() if is_open}
    require(written - {None} == writable, "the wrong write ends are open", written, writable)


def have_the_newest(fleet: Fleet, keeper: Keeper) -> None:
    """Once all is heard and obeyed, whoever runs, and is not on its way down, has the channels that
    there are now: but for those that have had no turn in a roll-out, and for jobs, whose next run
    will have them.
    """
    for name, run in keeper.runs.items():
        instance = fleet.instances.get(name)
        if instance is None or run.given is None or instance.last_run != run.number:
            continue
        if not isinstance(instance.state, Readying | Running):
            continue
        rollout = fleet.rollouts.get(instance.spec.worker)
        unfinished = rollout is not None and (rollout.active or _has_stopped(rollout))
        if unfinished or instance.spec.kind is Kind.JOB:
            continue
        newest = {one: keeper.room.made.get(one) for one in given(instance.spec)}
        require(run.given == newest, "has another channel", instance, run.given, newest)


def _is_what_the_file_says(world: "World", view: View) -> None:
    """The fleet is what a boot with the same file would have made, but for roll-outs that went
    back; these are as they were before.
    """
    fleet = world.fleet
    known = fleet.configuration
    assert known is not None
    spares = {one.spare for one in view.rollouts.values() if one.active}
    applied = {one.name: one for one in known.instances}
    ours = [name for name in fleet.instances if name not in spares or name in applied]
    require(list(applied) == ours, "another fleet", list(applied), ours)
    file = succeeding(known, world.file.configuration(known.scales))
    require(_rest_of(file) == _rest_of(known), "another configuration", file, known)
    declared = {one.name: one for one in file.instances}
    for name in {**declared, **applied}:
        rollout = view.rollouts.get(_worker(name))
        before = {one.name: one for one in as_now(rollout.before, known)} if rollout else {}
        _is_either(declared.get(name), applied.get(name), rollout, before)
    for name, spec in applied.items():
        rollout = view.rollouts.get(spec.worker)
        unfinished = rollout is not None and (rollout.active or _has_stopped(rollout))
        # What it has not replaced may be what one before it has made of it, which it overtook.
        left = name in dict(rollout.runs) if rollout is not None and unfinished else False
        old = rollout.before if rollout is not None and unfinished else ()
        instance = fleet.instances[name]
        require(left or instance.spec in (spec, *old), "not what was applied", instance, spec)
    for rollout in view.rollouts.values():
        require(not rollout.active or _is_held_up(rollout, view), "a roll-out is stuck", rollout)


def _worker(name: str) -> str:
    return name.rpartition(":")[0]


def _is_either(
    declared: InstanceSpec | None,
    applied: InstanceSpec | None,
    rollout: Rollout | None,
    known: Mapping[str, InstanceSpec],
) -> None:
    """What is applied is what the file declares, or what was before a roll-out that went back."""
    if applied == declared:
        return
    went_back = rollout is not None and rollout.progress in _WENT_BACK
    require(went_back, "not what the file says", applied, declared)
    name = (applied or declared or next(iter(known.values()))).name
    require(applied == known.get(name), "neither before nor after", applied, declared, known)


def _rest_of(configuration: Configuration) -> Configuration:
    return replace(configuration, instances=(), spares=())


def _is_held_up(rollout: Rollout, view: View) -> bool:
    """Whether it waits for an instance that may be RUNNING some time: one that was given up may
    not.
    """
    return any(
        one.wanted and not isinstance(one.state, Running | Fatal)
        for one in view.members(rollout.worker)
    )


def _is_as_good_as_new(world: "World") -> None:
    """A fleet that is restored from what the keeper remembers is the same and has nothing to do."""
    keeper, fleet = world.keeper, world.fleet
    if any(_restarts_all(one, keeper.now) for one in fleet.instances.values()):
        return  # a recovery takes up what its end was to lead to
    fresh = Fleet.restore(
        keeper.configuration,
        [value for value in keeper.remembered.values() if not has_left(value)],
        held=False,
        shutdown=None,
        rollouts=keeper.rollouts.values(),
        clock=fleet.clock,
    )
    require(fresh.deadline() == fleet.deadline(), "deadlines differ", fresh.deadline())
    fresh.miss(keeper.room.missing)
    fresh.recover(keeper.now)
    require(dict(fresh.instances) == dict(fleet.instances), "a recovery would change something")
    require(fresh.deadline() == fleet.deadline(), "deadlines differ after a recovery")


def _restarts_all(instance: Instance, now: float) -> bool:
    """Whether it has ended so lately that everything may have to be restarted yet."""
    state = instance.state
    ended = isinstance(state, Exited | Fatal) and now - state.at <= RECENTLY
    return ended and instance.spec.on_exit is OnExit.RESTART_ALL


def _has_stopped(rollout: Rollout) -> bool:
    """Whether it has ended before all were replaced, and nothing was changed back."""
    return rollout.progress is Progress.STOPPED
