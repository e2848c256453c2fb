"""The end of all: in parallel, bounded, remembered, and hastened if need be."""

import pytest

from supervisord_lite.core.command import (
    Bury,
    Finish,
    RememberFleet,
    Signal,
    Sweep,
)
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Emptied,
    Hastened,
    MainExited,
    RestartRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
)
from supervisord_lite.core.fleet import LAST_GRACE, Fleet
from supervisord_lite.core.spec import Rung, Target
from supervisord_lite.core.state import (
    Shutdown,
    Stopping,
)

from .make import WELL, booted, configuration, orders, spec


def test_a_shutdown_stops_all_at_once_and_starts_nothing() -> None:
    """Stops run in parallel; starts, restarts and reloads are too late."""
    fleet = booted(spec("a:0"), spec("b:0"))
    commands = fleet.step(ShutdownRequested(), 110.0)
    assert commands[0] == RememberFleet(Shutdown(170.0))
    assert [one.instance for one in commands if isinstance(one, Sweep)] == ["a:0", "b:0"]
    names = ("a:0", "b:0")
    assert fleet.step(StartRequested(names), 110.1) == []
    assert fleet.step(RestartRequested(names), 110.1) == []
    assert fleet.step(Configured(configuration(spec("c:0"))), 110.1) == []
    assert fleet.step(ShutdownRequested(), 110.2) == []
    assert fleet.shutting_down


def test_a_shutdown_ends_when_nothing_lives() -> None:
    """The last one down finishes it, once."""
    fleet = booted(spec("a:0"), spec("b:0"))
    fleet.step(ShutdownRequested(), 110.0)
    first = fleet.step(MainExited("a:0", 1, WELL, emptied=True), 110.1)
    last = fleet.step(MainExited("b:0", 1, WELL, emptied=True), 110.2)
    assert orders(first) == [Bury("a:0", 1)]
    assert orders(last) == [Bury("b:0", 1), Finish(())]
    assert fleet.deadline() is None
    assert orders(fleet.step(MainExited("b:0", 1, WELL, emptied=True), 110.3)) == [Bury("b:0", 1)]


def test_an_empty_fleet_shuts_down_at_once() -> None:
    """There is nothing to wait for."""
    assert Fleet().step(ShutdownRequested(), 110.0)[-1] == Finish(())


def test_a_shutdown_waits_for_spawns_under_way() -> None:
    """What has no process yet may have one in a moment."""
    fleet = Fleet()
    fleet.step(Configured(configuration(spec("a:0"), spec("b:0"))), 99.0)
    assert orders(fleet.step(ShutdownRequested(), 99.1)[1:]) == []
    assert Sweep("a:0", 1) in fleet.step(Spawned("a:0", 1, 7), 99.2)
    fleet.step(Emptied("a:0", 1), 99.3)
    failed = SpawnFailed("b:0", 1, "exec", 2, "")
    assert fleet.step(failed, 99.4)[-1] == Finish(())


def test_the_deadline_of_a_shutdown_kills_and_then_gives_up() -> None:
    """What does not die of SIGKILL is named, and the shutdown ends all the same."""
    long = spec("a:0", stop=(Rung(15, Target.GROUP, 500.0), Rung(9, Target.TREE, 5.0)))
    fleet = booted(long, stop_deadline=30.0)
    fleet.step(ShutdownRequested(), 110.0)
    assert fleet.deadline() == 140.0
    assert Signal("a:0", 1, 9, Target.TREE) in fleet.step(AlarmRang(), 140.0)
    fleet.step(AlarmRang(), 141.0)
    stuck = fleet.instances["a:0"].state
    assert isinstance(stuck, Stopping)
    assert stuck.stuck
    assert fleet.deadline() == 140.0 + LAST_GRACE
    assert fleet.step(AlarmRang(), 140.0 + LAST_GRACE) == [Finish(("a:0",))]
    assert fleet.deadline() is None


def test_a_shutdown_can_be_hastened_twice() -> None:
    """First every wait is a second at most, then all is killed; lower levels come too late."""
    fleet = booted(spec("a:0"))
    assert fleet.step(Hastened(1), 109.0) == []
    fleet.step(ShutdownRequested(), 110.0)
    assert fleet.step(Hastened(1), 110.5)[0] == RememberFleet(Shutdown(170.0, 1))
    assert fleet.deadline() == 111.5
    commands = fleet.step(Hastened(2), 111.0)
    assert commands[0] == RememberFleet(Shutdown(111.0 + LAST_GRACE, 2))
    assert Signal("a:0", 1, 9, Target.TREE) in commands
    assert fleet.step(Hastened(1), 111.1) == []


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_shutdown_outlives_the_manager(level: int) -> None:
    """It was remembered, none of what follows from it was; the next manager goes on with it."""
    fleet = booted(spec("a:0"))
    ending = Shutdown(170.0, level)
    again = Fleet.restore(
        fleet.configuration, fleet.instances.values(), held=False, shutdown=ending
    )
    commands = again.recover(111.0)
    assert Sweep("a:0", 1) in commands
    assert (Signal("a:0", 1, 9, Target.TREE) in commands) == (level == 2)
    assert again.step(MainExited("a:0", 1, WELL, emptied=True), 112.0)[-1] == Finish(())


def test_a_shutdown_that_was_complete_is_finished_again() -> None:
    """A manager that died before it could act on the end leaves it to the next one."""
    again = Fleet.restore(None, (), held=False, shutdown=Shutdown(170.0))
    assert again.recover(111.0) == [Finish(())]
