"""Runs that the keeper finds alive and nobody has declared."""

from supervisord_lite.core.command import (
    Bury,
    Forget,
    Signal,
    Spawn,
    Sweep,
)
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Emptied,
    Hastened,
    MainExited,
    ShutdownRequested,
    Spawned,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import Target
from supervisord_lite.core.state import (
    Exit,
    Running,
    Waiting,
)

from .make import WELL, booted, configuration, down, orders, restored, spec


def test_a_stranger_is_adopted_by_the_configuration_that_declares_it() -> None:
    """Found alive before there is a configuration: it runs on, and its run number counts."""
    fleet = Fleet()
    assert orders(fleet.step(Spawned("a:0", 5, 77), 98.0)) == []
    commands = fleet.step(Configured(configuration(spec("a:0"))), 99.0)
    assert orders(commands[1:]) == []
    assert fleet.instances["a:0"].state == Running(5, 77, 98.0, 98.0)
    assert Spawn("a:0", 6) in fleet.step(MainExited("a:0", 5, WELL, emptied=True), 200.0)


def test_a_stranger_that_nobody_declares_is_retired() -> None:
    """It is stopped by the default rungs, swept, and forgotten."""
    fleet = Fleet()
    fleet.step(Spawned("a:0", 5, 77), 98.0)
    commands = fleet.step(Configured(configuration()), 99.0)
    assert orders(commands[1:]) == [Sweep("a:0", 5), Signal("a:0", 5, 15, Target.GROUP)]
    commands = fleet.step(MainExited("a:0", 5, WELL, emptied=True), 100.0)
    assert orders(commands) == [Bury("a:0", 5), Forget("a:0")]


def test_a_stranger_that_comes_late_is_retired_at_once() -> None:
    """With a configuration there is no doubt."""
    fleet = booted(spec("a:0"))
    assert Sweep("b:0", 5) in fleet.step(Spawned("b:0", 5, 77), 110.0)
    assert fleet.instances["b:0"].retiring


def test_a_stranger_does_not_start_by_itself() -> None:
    """Nobody knows its program yet; when it ends, the configuration decides."""
    fleet = Fleet()
    fleet.step(Spawned("a:0", 5, 77), 98.0)
    fleet.step(MainExited("a:0", 5, WELL, emptied=True), 98.5)
    deadline = fleet.deadline()
    assert deadline is not None
    assert orders(fleet.step(AlarmRang(), deadline)) == []
    commands = fleet.step(Configured(configuration(spec("a:0"))), 99.0)
    assert orders(commands[1:]) == [Spawn("a:0", 6)]


def test_a_stranger_is_unheld_by_no_recovery() -> None:
    """A manager that dies before it has a configuration leaves the question open."""
    fleet = Fleet()
    fleet.step(Spawned("a:0", 5, 77), 98.0)
    again = restored(fleet)
    again.recover(98.1)
    again.step(MainExited("a:0", 5, WELL, emptied=True), 198.5)
    assert isinstance(again.instances["a:0"].state, Waiting)


def test_leftovers_of_a_stranger_are_swept_up() -> None:
    """Its main process is gone, its descendants are not."""
    fleet = booted(spec("a:0"))
    commands = fleet.step(MainExited("b:0", 5, Exit(), emptied=False), 110.0)
    assert Signal("b:0", 5, 15, Target.TREE) in commands
    assert Forget("b:0") in fleet.step(Emptied("b:0", 5), 111.0)


def test_what_is_over_and_unknown_is_only_buried() -> None:
    """There is nothing to decide about it."""
    fleet = booted(spec("a:0"))
    assert fleet.step(Emptied("b:0", 5), 110.0) == [Bury("b:0", 5)]
    assert fleet.step(MainExited("b:0", 5, WELL, emptied=True), 110.0) == [Bury("b:0", 5)]


def test_what_is_found_during_a_shutdown_is_ended_with_the_others() -> None:
    """Declared or not, hastened or not."""
    fleet = booted(spec("a:0"))
    down(fleet, "a:0", 105.0)
    fleet = booted(spec("a:0"), spec("b:0"))
    down(fleet, "a:0", 105.0)
    fleet.step(ShutdownRequested(), 110.0)
    fleet.step(Hastened(2), 110.1)
    assert Signal("a:0", 7, 9, Target.TREE) in fleet.step(Spawned("a:0", 7, 77), 110.2)
    assert Signal("c:0", 5, 9, Target.TREE) in fleet.step(Spawned("c:0", 5, 78), 110.3)


def test_the_name_of_a_stranger_tells_its_worker() -> None:
    """As far as a name can."""
    fleet = Fleet()
    fleet.step(Spawned("web:3", 5, 77), 98.0)
    fleet.step(Spawned("odd", 5, 78), 98.0)
    named = {name: (one.spec.worker, one.spec.number) for name, one in fleet.instances.items()}
    assert named == {"web:3": ("web", 3), "odd": ("odd", 0)}
