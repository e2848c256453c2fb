"""Channels that are declared no more: who was to be given one waits, nothing goes back to it."""

from dataclasses import replace

from supervisord_lite.core.channel import Binding, Channel, Pipe, Queue, Use
from supervisord_lite.core.command import Note, Spawn
from supervisord_lite.core.event import (
    ChannelFound,
    Configured,
    MainExited,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.generations import succeeding
from supervisord_lite.core.rollout import Progress
from supervisord_lite.core.spec import (
    Configuration,
    Program,
    RestartPolicy,
    Strategy,
    UpdatePolicy,
)
from supervisord_lite.core.state import Running, State, Waiting

from .make import FAILED, WELL, configuration, orders, restored, spec, up

BOUND = Program(("serve", "1"), "/srv", channels=(Binding("jobs"),))
FREE = Program(("serve", "2"), "/srv")
GONE = Waiting("waits for channel jobs: it is declared no more")


def shop(program: Program, capacity: int | None, *, abort: bool = True) -> Configuration:
    """Two instances that take turns, and a queue of this capacity; None: no queue."""
    policy = UpdatePolicy(Strategy.ROLLING, abort_on_failure=abort)
    steady = RestartPolicy(stable_after=0.0)
    both = (spec(f"web:{n}", program=program, update=policy, restart=steady) for n in (0, 1))
    channels = () if capacity is None else (Channel("jobs", Queue(capacity)),)
    return configuration(*both, channels=channels)


def failing(fleet: Fleet) -> list[str]:
    """The first one that is replaced does not come up; what is told of that."""
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    commands = fleet.step(SpawnFailed("web:0", 2, "exec", 2, "No such file or directory"), 201.1)
    return [command.text for command in commands if isinstance(command, Note) and command.problem]


def test_a_roll_out_never_goes_back_to_a_channel_that_is_no_more() -> None:
    """It stops instead, says why, and cannot be undone."""
    old = shop(BOUND, 10)
    fleet = up(old)
    fleet.step(Configured(succeeding(old, shop(FREE, None))), 200.0)
    (told,) = failing(fleet)
    assert told.startswith("the roll-out of web stops: web:0: ")
    assert told.endswith("; channel jobs, which it had before, is no more")
    assert fleet.rollouts["web"].progress is Progress.STOPPED
    assert fleet.instances["web:0"].spec.program == FREE
    assert "channel jobs, which it had before, is no more" in fleet.cannot_undo("web")


def test_a_roll_out_goes_back_to_a_channel_that_was_replaced_since() -> None:
    """While it went on: what it leads to has nothing to do with that channel, so it was let be."""
    old = shop(BOUND, 10)
    fleet = up(old)
    first = succeeding(old, shop(FREE, 10))
    fleet.step(Configured(first), 200.0)
    fleet.step(Configured(succeeding(first, shop(FREE, 5))), 200.5)
    failing(fleet)
    assert fleet.rollouts["web"].progress is Progress.GOING_BACK
    assert fleet.configuration
    newest = (Binding("jobs", generation=1),)
    assert [one.program.channels for one in fleet.configuration.instances] == [newest, newest]
    assert dict(fleet.rollouts["web"].runs).keys() == {"web:0", "web:1"}  # has the old one


def stopped_half_way() -> Fleet:
    old = shop(BOUND, 10)
    fleet = up(old)
    fleet.step(Configured(succeeding(old, shop(FREE, None))), 200.0)
    failing(fleet)
    return fleet


def state(fleet: Fleet) -> State:
    return fleet.instances["web:1"].state


def test_who_had_no_turn_waits_for_a_channel_that_is_no_more() -> None:
    """Another run of the old program would fail for ever, and count for it."""
    fleet = stopped_half_way()
    assert state(fleet) == Running(1, 1, 100.0, 100.0)
    commands = fleet.step(MainExited("web:1", 1, FAILED, emptied=True), 210.0)
    assert not any(isinstance(command, Spawn) for command in commands)
    assert state(fleet) == GONE
    fleet.step(ChannelFound("jobs", None), 211.0)
    assert state(fleet) == GONE
    again = restored(fleet)
    again.recover(212.0)
    assert state(again) == GONE
    assert again.deadline() == fleet.deadline()


def test_who_had_no_turn_waits_for_a_channel_that_is_something_else_now() -> None:
    """Others may have it as what it is now."""
    puts = Program(("serve", "1"), "/srv", channels=(Binding("jobs", Use.PUT),))
    old = shop(puts, 10)
    fleet = up(old)
    free, reader = shop(FREE, None), Program(("cat",), "/", channels=(Binding("jobs", Use.READ),))
    instances = (*free.instances, spec("cat", program=reader))
    new = configuration(*instances, channels=(Channel("jobs", Pipe()),))
    commands = fleet.step(Configured(succeeding(old, new)), 200.0)
    assert Spawn("cat", 1) in commands
    (told,) = failing(fleet)
    assert told.endswith("; channel jobs, which it had before, is no more")
    commands = fleet.step(MainExited("web:1", 1, FAILED, emptied=True), 210.0)
    assert not any(isinstance(command, Spawn) for command in commands)
    assert state(fleet) == Waiting("waits for channel jobs: it is something else now")
    assert fleet.configuration
    back = succeeding(fleet.configuration, old)
    assert Spawn("web:1", 2) in fleet.step(Configured(back), 220.0)


def test_who_waits_for_a_channel_that_is_no_more_starts_once_it_is_back() -> None:
    """As what is declared then."""
    fleet = stopped_half_way()
    fleet.step(MainExited("web:1", 1, FAILED, emptied=True), 210.0)
    assert fleet.configuration
    back = succeeding(fleet.configuration, shop(BOUND, 10))
    assert Spawn("web:1", 2) in fleet.step(Configured(back), 220.0)
    assert fleet.instances["web:1"].spec == back.instances[1]


def test_a_new_manager_starts_no_old_program_without_its_channel() -> None:
    """The one before has died in the midst of a reload that took the channel away from who waited
    for it: what is remembered is the new configuration and the old instances.
    """
    fleet = Fleet()
    fleet.step(ChannelFound("jobs", "cannot make it"), 99.0)
    old = shop(BOUND, 10)
    fleet.step(Configured(old), 100.0)
    again = restored(fleet, of=succeeding(old, shop(FREE, None)))
    commands = again.recover(110.0)
    assert orders(commands) == [Spawn("web:0", 1), Spawn("web:1", 1)]
    assert {one.spec.program for one in again.instances.values()} == {FREE}


def test_others_do_not_wait_for_what_was_removed() -> None:
    """Who was replaced is started, stopped and restarted as ever."""
    recreated = replace(shop(BOUND, 10).instances[0], update=UpdatePolicy())
    old = configuration(recreated, channels=(Channel("jobs", Queue(10)),))
    fleet = up(old)
    fleet.step(Configured(succeeding(old, configuration(replace(recreated, program=FREE)))), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(Spawned("web:0", 2, 7), 201.1)
    fleet.step(StopRequested(("web:0",)), 202.0)
    fleet.step(MainExited("web:0", 2, WELL, emptied=True), 203.0)
    assert Spawn("web:0", 3) in fleet.step(RestartRequested(("web:0",)), 204.0)
