"""Configuration, recovery and hold: what a fleet does with all of its instances."""

from supervisord_lite.core.command import (
    Bury,
    Forget,
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
    MainExited,
    Spawned,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import Configuration, Program, Target
from supervisord_lite.core.state import (
    Waiting,
)

from .make import WELL, booted, configuration, orders, restored, spec

OTHER = Program(("serve", "--fast"), "/srv")


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
