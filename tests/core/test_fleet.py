"""What spans several instances: configuration, recovery, shutdown, channels, strangers, time."""

import time
from dataclasses import replace

import pytest

from supervisord_lite.core.command import (
    Bury,
    CloseWriters,
    Command,
    Finish,
    Forget,
    OpenWriters,
    Remember,
    RememberFleet,
    Signal,
    Spawn,
    Sweep,
    packets,
)
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Emptied,
    Event,
    Hastened,
    MainExited,
    RestartRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import LAST_GRACE, Fleet
from supervisord_lite.core.spec import Configuration, InstanceSpec, Program, Rung, Target
from supervisord_lite.core.state import (
    Exit,
    Instance,
    Running,
    Shutdown,
    Starting,
    Stopped,
    Stopping,
    Waiting,
)

from .make import WELL, configuration, orders, spec, writer

OTHER = Program(("serve", "--fast"), "/srv")


def booted(*specs: InstanceSpec, stop_deadline: float = 60.0) -> Fleet:
    """A fleet whose instances run, each with its number as pid, since the time 100."""
    fleet = Fleet()
    fleet.step(Configured(configuration(*specs, stop_deadline=stop_deadline)), 99.0)
    for number, one in enumerate(specs):
        if one.autostart:
            fleet.step(Spawned(one.name, 1, number), 100.0)
    return fleet


def restored(fleet: Fleet, *, held: bool = False, of: Configuration | None = None) -> Fleet:
    return Fleet.restore(
        of or fleet.configuration, fleet.instances.values(), held=held, shutdown=fleet.shutdown
    )


# --------------------------------------------------------------------------- configuration


def test_boot_is_a_difference_to_nothing() -> None:
    """The configuration is remembered first, then each instance, and started if it is to."""
    fleet, given = Fleet(), configuration(spec("a:0"), spec("b:0", autostart=False))
    commands = fleet.step(Configured(given), 99.0)
    assert commands[0] == RememberFleet(given)
    assert orders(commands[1:]) == [Spawn("a:0", 1)]
    assert [one.instance for one in commands if isinstance(one, Remember)] == ["a:0", "b:0"]
    assert list(fleet.instances) == ["a:0", "b:0"]


def test_the_same_configuration_again_is_no_command() -> None:
    """An equal value changes nothing, even if it is another object."""
    fleet = booted(spec("a:0"), spec("b:0"))
    assert fleet.step(Configured(configuration(spec("a:0"), spec("b:0"))), 110.0) == []


def test_a_reload_touches_only_what_changed() -> None:
    """Removed, changed and added instances get orders; the others are not even remembered."""
    fleet = booted(spec("same:0"), spec("gone:0"), spec("new:0"))
    given = configuration(spec("same:0"), spec("new:0", program=OTHER), spec("more:0"))
    commands = fleet.step(Configured(given), 110.0)
    touched = [one.instance for one in commands if isinstance(one, Remember)]
    assert touched == ["gone:0", "new:0", "more:0"]
    assert orders(commands[1:]) == [
        Sweep("gone:0", 1),
        Signal("gone:0", 1, 2, Target.MAIN),
        Sweep("new:0", 1),
        Signal("new:0", 1, 2, Target.MAIN),
        Spawn("more:0", 1),
    ]


def test_a_removed_instance_is_forgotten_when_it_is_down() -> None:
    """Until then it is there, and afterwards nothing of it is."""
    fleet = booted(spec("a:0"))
    fleet.step(Configured(configuration()), 110.0)
    assert fleet.instances["a:0"].retiring
    commands = fleet.step(MainExited("a:0", 1, WELL, emptied=True), 111.0)
    assert orders(commands) == [Bury("a:0", 1), Forget("a:0")]
    assert dict(fleet.instances) == {}
    assert fleet.deadline() is None


def test_a_stop_survives_a_reload() -> None:
    """An operator's stop is not undone by a configuration, changed program or not."""
    fleet = booted(spec("a:0"))
    fleet.step(StopRequested(("a:0",)), 110.0)
    fleet.step(MainExited("a:0", 1, WELL, emptied=True), 111.0)
    commands = fleet.step(Configured(configuration(spec("a:0", program=OTHER))), 112.0)
    assert orders(commands[1:]) == []
    assert not fleet.instances["a:0"].wanted


def test_unknown_names_are_passed_over() -> None:
    """Whoever asks has resolved the names; an instance may have gone since."""
    fleet = booted(spec("a:0"))
    assert fleet.step(StartRequested(("b:0",)), 110.0) == []


def test_the_spec_of_the_next_run_is_the_new_one() -> None:
    """A changed program is what the spawn after the stop starts."""
    fleet = booted(spec("a:0"))
    fleet.step(Configured(configuration(spec("a:0", program=OTHER))), 110.0)
    commands = fleet.step(MainExited("a:0", 1, WELL, emptied=True), 111.0)
    assert Spawn("a:0", 2) in commands
    assert fleet.instances["a:0"].spec.program == OTHER


# --------------------------------------------------------------------------- recovery


def test_a_recovery_says_again_what_was_ordered() -> None:
    """Spawns and sweeps are repeated; what runs is left alone."""
    fleet = Fleet()
    fleet.step(Configured(configuration(spec("a:0"), spec("b:0"), spec("c:0"))), 99.0)
    fleet.step(Spawned("b:0", 1, 7), 100.0)
    fleet.step(Spawned("c:0", 1, 8), 100.0)
    fleet.step(StopRequested(("c:0",)), 101.0)
    again = restored(fleet)
    assert again.recover(200.0) == [Spawn("a:0", 1), Sweep("c:0", 1)]
    assert dict(again.instances) == dict(fleet.instances)
    assert again.deadline() == fleet.deadline() == 104.0


def test_a_reload_that_was_cut_short_is_finished() -> None:
    """The configuration was remembered, none of what follows from it was."""
    fleet = booted(spec("a:0"), spec("gone:0"))
    given = configuration(spec("a:0", program=OTHER), spec("b:0"))
    again = restored(fleet, of=given)
    said = orders(again.recover(110.0))
    assert said == [
        Sweep("gone:0", 1),
        Signal("gone:0", 1, 2, Target.MAIN),
        Sweep("a:0", 1),
        Signal("a:0", 1, 2, Target.MAIN),
        Spawn("b:0", 1),
    ]


def test_any_prefix_of_a_reload_leads_to_the_same_fleet() -> None:
    """Whichever packets got through, the next manager ends where the first was going."""
    old = (spec("a:0"), spec("b:0"), spec("gone:0"))
    given = configuration(spec("a:0", program=OTHER), spec("b:0", autostart=False), spec("c:0"))
    whole = booted(*old)
    sent = packets(whole.step(Configured(given), 110.0))
    for number in range(len(sent) + 1):
        records = dict(booted(*old).instances)
        known = booted(*old).configuration
        for command in (one for packet in sent[:number] for one in packet):
            if isinstance(command, Remember):
                records[command.instance] = command.value
            elif isinstance(command, RememberFleet):
                assert isinstance(command.value, Configuration)
                known = command.value
        again = Fleet.restore(known, records.values(), held=False, shutdown=None)
        again.recover(110.0)
        again.step(Configured(given), 110.0)
        assert dict(again.instances) == dict(whole.instances)


def test_a_stop_survives_a_recovery() -> None:
    """The wish is part of the record."""
    fleet = booted(spec("a:0"))
    fleet.step(StopRequested(("a:0",)), 110.0)
    again = restored(fleet)
    again.recover(111.0)
    commands = again.step(MainExited("a:0", 1, WELL, emptied=True), 112.0)
    assert orders(commands) == [Bury("a:0", 1)]


def test_a_deadline_that_passed_meanwhile_rings_at_once() -> None:
    """Deadlines are part of the state and of one clock."""
    again = restored(fleet := booted(spec("a:0")))
    fleet.step(StopRequested(("a:0",)), 110.0)
    again = restored(fleet)
    again.recover(500.0)
    assert again.deadline() == 113.0
    assert orders(again.step(AlarmRang(), 500.0)) == [Signal("a:0", 1, 15, Target.GROUP)]


# --------------------------------------------------------------------------- hold


def test_a_held_fleet_starts_nothing_by_itself() -> None:
    """An exit is noted, a start that was under way goes on, the next run waits."""
    fleet = booted(spec("a:0"), spec("b:0"))
    again = restored(fleet, held=True)
    assert again.recover(110.0) == []
    again.step(MainExited("a:0", 1, WELL, emptied=True), 160.0)
    assert again.instances["a:0"].state == Waiting("held: nothing is started by itself")
    assert again.deadline() is None


def test_an_operator_starts_and_stops_under_a_hold() -> None:
    """Asked is not by itself."""
    again = restored(booted(spec("a:0"), spec("b:0")), held=True)
    again.step(MainExited("a:0", 1, WELL, emptied=True), 160.0)
    assert Spawn("a:0", 2) in again.step(StartRequested(("a:0",)), 161.0)
    assert Sweep("b:0", 1) in again.step(StopRequested(("b:0",)), 161.0)


def test_a_configuration_lifts_the_hold() -> None:
    """Also an equal one: that is how an operator says that all is well again."""
    fleet = booted(spec("a:0"))
    again = restored(fleet, held=True)
    again.step(MainExited("a:0", 1, WELL, emptied=True), 160.0)
    assert fleet.configuration is not None
    commands = again.step(Configured(fleet.configuration), 170.0)
    assert orders(commands) == [Spawn("a:0", 2)]
    assert not again.held


def test_a_reload_found_half_done_under_a_hold_starts_nothing() -> None:
    """What the new configuration adds waits with the others."""
    again = restored(booted(spec("a:0")), held=True, of=configuration(spec("a:0"), spec("b:0")))
    assert orders(again.recover(110.0)) == []
    assert isinstance(again.instances["b:0"].state, Waiting)


# --------------------------------------------------------------------------- shutdown


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


# --------------------------------------------------------------------------- channels


def down(fleet: Fleet, name: str, now: float) -> list[Command]:
    fleet.step(StopRequested((name,)), now)
    return fleet.step(MainExited(name, fleet.instances[name].last_run, WELL, emptied=True), now)


def test_a_write_end_is_there_before_its_first_writer() -> None:
    """The first writer opens it, within its own packet; the second finds it open."""
    fleet = Fleet()
    commands = fleet.step(Configured(configuration(writer("a", "x"), writer("b", "x"))), 99.0)
    assert orders(commands[1:]) == [OpenWriters("x"), Spawn("a", 1), Spawn("b", 1)]


def test_a_write_end_closes_behind_its_last_writer() -> None:
    """Readers see the end when nobody is to write any more, and it opens for the next one."""
    fleet = booted(writer("a", "x"), writer("b", "x"))
    assert orders(down(fleet, "a", 110.0)) == [Bury("a", 1)]
    assert orders(down(fleet, "b", 111.0)) == [Bury("b", 1), CloseWriters("x")]
    assert orders(fleet.step(StartRequested(("a",)), 112.0)) == [OpenWriters("x"), Spawn("a", 2)]


def test_a_failing_writer_keeps_its_write_end() -> None:
    """Backoff and FATAL are no end of the stream: the writer may come back."""
    fleet = booted(writer("a", "x"))
    for run in range(1, 11):
        commands = fleet.step(MainExited("a", run, Exit(code=1), emptied=True), 100.5)
        assert CloseWriters("x") not in commands
        deadline = fleet.deadline()
        if deadline is not None:
            fleet.step(AlarmRang(), deadline)
    assert type(fleet.instances["a"].state).__name__ == "Fatal"
    assert CloseWriters("x") in fleet.step(StopRequested(("a",)), 200.0)


def test_a_reload_moves_the_write_end() -> None:
    """A writer that is bound to another channel lets the old one go."""
    fleet = booted(writer("a", "x"))
    commands = fleet.step(Configured(configuration(writer("a", "y"))), 110.0)
    assert OpenWriters("y") in commands
    assert CloseWriters("x") in commands


def test_both_streams_may_hold_a_channel() -> None:
    """Stdout and stderr count; one channel for both counts once."""
    both = writer("a", "x")
    split = replace(both, program=replace(both.program, stderr=writer("a", "y").program.stdout))
    same = replace(both, program=replace(both.program, stderr=both.program.stdout))
    only = replace(both, program=replace(split.program, stdout=spec().program.stdout))
    for given, channels in ((split, ["x", "y"]), (same, ["x"]), (only, ["y"])):
        fleet = Fleet()
        commands = fleet.step(Configured(configuration(given)), 99.0)
        assert [one.channel for one in commands if isinstance(one, OpenWriters)] == channels


def test_open_write_ends_are_known_after_a_recovery() -> None:
    """They are opened again, which is harmless, and closed behind the last writer as before."""
    again = restored(booted(writer("a", "x"), writer("b", "y", autostart=False)))
    assert again.recover(110.0) == [OpenWriters("x")]
    assert CloseWriters("x") in down(again, "a", 111.0)


# --------------------------------------------------------------------------- strangers


def test_a_stranger_is_adopted_by_the_configuration_that_declares_it() -> None:
    """Found alive before there is a configuration: it runs on, and its run number counts."""
    fleet = Fleet()
    assert orders(fleet.step(Spawned("a:0", 5, 77), 98.0)) == []
    commands = fleet.step(Configured(configuration(spec("a:0"))), 99.0)
    assert orders(commands[1:]) == []
    assert fleet.instances["a:0"].state == Running(5, 77, 98.0)
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


# --------------------------------------------------------------------------- time


def test_the_deadline_is_the_earliest_of_all() -> None:
    """Stops and backoffs of many instances make one alarm; none is left when all are at rest."""
    fleet = booted(*(spec(f"w:{number}") for number in range(50)))
    for number in range(50):
        fleet.step(StopRequested((f"w:{number}",)), 200.0 - number)
    assert fleet.deadline() == 154.0
    for number in range(50):
        fleet.step(MainExited(f"w:{number}", 1, WELL, emptied=True), 201.0)
    assert fleet.deadline() is None


def test_one_alarm_serves_all_that_is_due() -> None:
    """A late alarm acts on every deadline that has passed, and climbs rungs of no wait at once."""
    quick = (Rung(2, Target.MAIN, 0.0), Rung(15, Target.GROUP, 0.0), Rung(9, Target.TREE, 9.0))
    fleet = booted(spec("a:0", stop=quick), spec("b:0", stop=quick))
    fleet.step(StopRequested(("a:0", "b:0")), 110.0)
    commands = orders(fleet.step(AlarmRang(), 110.0))
    assert [one.signal for one in commands if isinstance(one, Signal)] == [15, 9, 15, 9]
    assert fleet.deadline() == 119.0


def test_old_alarms_do_not_pile_up() -> None:
    """A thousand stops and starts leave no more entries than there are instances, nearly."""
    fleet = booted(spec("a:0"))
    for number in range(1000):
        now = 110.0 + number
        down(fleet, "a:0", now)
        fleet.step(StartRequested(("a:0",)), now)
        fleet.step(Spawned("a:0", number + 2, 7), now)
    assert len(fleet._alarms) <= 2 * len(fleet.instances) + 65


def _cost(size: int) -> float:
    """Processor time of a kill and its replacement, with the alarm looked up, in this fleet."""
    fleet = booted(*(spec(f"w:{number}") for number in range(size)))
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for number in range(20):
            name = f"w:{number}"
            run = fleet.instances[name].last_run
            fleet.step(MainExited(name, run, Exit(signal=9), emptied=True), 1000.0)
            fleet.step(Spawned(name, run + 1, 7), 1000.0)
            fleet.deadline()
        best = min(best, time.process_time() - began)
    return best


def test_an_event_costs_the_same_in_a_large_fleet() -> None:
    """Two hundred and fifty times the instances, and a step takes as long as before."""
    assert _cost(5000) < 3 * _cost(20) + 0.001


def test_what_a_fleet_remembers_is_what_it_is() -> None:
    """Every step's records add up to the fleet."""
    fleet, records = Fleet(), dict[str, Instance]()
    events: list[Event] = [
        Configured(configuration(spec("a:0"), spec("b:0"))),
        Spawned("a:0", 1, 7),
        SpawnFailed("b:0", 1, "exec", 2, ""),
        AlarmRang(),
        RestartRequested(("a:0",)),
        MainExited("a:0", 1, WELL, emptied=False),
        Configured(configuration(spec("a:0"))),
        Emptied("a:0", 1),
    ]
    for number, event in enumerate(events):
        for command in fleet.step(event, 100.0 + number):
            if isinstance(command, Remember):
                records[command.instance] = command.value
            elif isinstance(command, Forget):
                del records[command.instance]
    assert records == dict(fleet.instances)
    assert isinstance(fleet.instances["a:0"].state, Starting | Stopped)
