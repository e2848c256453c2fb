"""Write ends: open before the first writer, closed behind the last."""

from dataclasses import replace

import pytest

from supervisord_lite.core.brief import why as explain_why
from supervisord_lite.core.channel import Binding, Channel, Queue, Use
from supervisord_lite.core.command import (
    Bury,
    CloseWriters,
    OpenWriters,
    Spawn,
)
from supervisord_lite.core.event import (
    AlarmRang,
    ChannelFound,
    Configured,
    MainExited,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Log
from supervisord_lite.core.spec import (
    Dependency,
    InstanceSpec,
    RestartLimit,
    RestartPolicy,
    Route,
    Stream,
)
from supervisord_lite.core.state import Exit, Fatal, Waiting

from .make import PROGRAM, booted, configuration, down, orders, pipe, restored, spec, writer


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


def test_descriptors_and_copies_count_as_writers() -> None:
    """Who has a write end by number, or whose log is copied, writes too; a reader does not."""
    by_number = spec("a", program=replace(PROGRAM, channels=(Binding("x", Use.WRITE),)))
    copied = spec("b", stdout_log=Log("/b.log", channel="x"))
    reader = spec("c", program=replace(PROGRAM, channels=(Binding("x", Use.READ),)))
    fleet = booted(by_number, copied, reader)
    assert CloseWriters("x") not in down(fleet, "c", 110.0)
    assert CloseWriters("x") not in down(fleet, "a", 111.0)
    assert CloseWriters("x") in down(fleet, "b", 112.0)


def test_a_close_is_said_again_after_a_recovery() -> None:
    """Nobody knows whether it was done: a copy may have been waiting for room. Of every pipe that
    nobody writes to, for whoever wrote to it may be gone.
    """
    fleet = booted(writer("a", "x"), writer("b", "y"))
    down(fleet, "a", 110.0)
    assert fleet.configuration
    channels = (pipe("x"), pipe("y"), Channel("q", Queue()))
    known = replace(fleet.configuration, channels=channels)
    assert restored(fleet, of=known).recover(111.0) == [OpenWriters("y"), CloseWriters("x")]


LIMIT = RestartPolicy(limit=RestartLimit(1, 60.0))
USERS = [
    writer("a", "x", restart=LIMIT),
    spec("a", program=replace(PROGRAM, stdin=Stream(Route.CHANNEL, "x")), restart=LIMIT),
    spec("a", program=replace(PROGRAM, channels=(Binding("x"),)), restart=LIMIT),
    spec("a", stdout_log=Log("/a.log", channel="x"), restart=LIMIT),
]
WHY = "waits for channel x: cannot make it: Address already in use"
MISSING = ChannelFound("x", "cannot make it: Address already in use")


@pytest.mark.parametrize("user", USERS)
def test_who_is_to_be_given_a_channel_that_is_missing_waits(user: InstanceSpec) -> None:
    """However it is to have it. Others start; it starts once the channel is there."""
    fleet = Fleet()
    fleet.step(MISSING, 98.0)
    commands = fleet.step(Configured(configuration(user, writer("b", "y"))), 99.0)
    assert Spawn("b", 1) in commands
    assert fleet.instances["a"].state == Waiting(WHY)
    assert explain_why(fleet.instances["a"]) == WHY
    assert Spawn("a", 1) in fleet.step(ChannelFound("x", None), 100.0)


@pytest.mark.parametrize("user", USERS)
def test_a_start_that_a_missing_channel_has_failed_is_none(user: InstanceSpec) -> None:
    """It was ordered before that was known: it counts for nothing, and waits."""
    fleet = Fleet()
    fleet.step(Configured(configuration(user)), 99.0)
    fleet.step(MISSING, 99.1)
    commands = fleet.step(SpawnFailed("a", 1, "stream", 98, "Address already in use"), 99.2)
    assert Bury("a", 1) in commands
    assert fleet.instances["a"].state == Waiting(WHY)
    assert not fleet.instances["a"].failures
    assert fleet.deadline() is None
    assert Spawn("a", 2) in fleet.step(ChannelFound("x", None), 100.0)


def test_who_has_a_channel_that_goes_missing_runs_on() -> None:
    """It is waited for by the next run only."""
    fleet = booted(writer("a", "x"))
    assert fleet.step(MISSING, 110.0) == []
    fleet.step(MainExited("a", 1, Exit(code=1), emptied=True), 111.0)
    assert isinstance(fleet.instances["a"].state, Waiting)
    assert isinstance(fleet.step(StopRequested(("a",)), 112.0)[-1], CloseWriters)


def test_a_recovery_knows_what_is_missing() -> None:
    """No start is tried in vain because a manager has died."""
    fleet = Fleet()
    fleet.step(MISSING, 98.0)
    fleet.step(Configured(configuration(USERS[0])), 99.0)
    again = restored(fleet)
    again.miss({"x": "cannot make it: Address already in use"})
    assert orders(again.recover(110.0)) == [OpenWriters("x")]
    assert again.instances["a"].state == Waiting(WHY)


@pytest.mark.parametrize("user", USERS)
def test_a_refused_start_costs_nothing_though_the_channel_is_back(user: InstanceSpec) -> None:
    """It has come back before the keeper could say that the start has failed: another begins."""
    fleet = Fleet()
    fleet.step(Configured(configuration(user)), 99.0)
    fleet.step(MISSING, 99.1)
    fleet.step(ChannelFound("x", None), 99.2)
    commands = fleet.step(SpawnFailed("a", 1, "streams", 6, "channel x"), 99.3)
    assert orders(commands) == [Bury("a", 1), Spawn("a", 2)]
    assert not fleet.instances["a"].failures
    fleet.step(SpawnFailed("a", 2, "exec", 2, "No such file or directory"), 99.4)
    assert isinstance(fleet.instances["a"].state, Fatal)


def test_a_refused_start_costs_nothing_though_it_has_to_wait_for_others_too() -> None:
    """What it depends on has gone down since, and is named first."""
    user = replace(USERS[0], dependencies=(Dependency("db"),))
    fleet = Fleet()
    fleet.step(Configured(configuration(spec("db"), user)), 99.0)
    fleet.step(Spawned("db", 1, 1), 99.1)
    fleet.step(MISSING, 99.2)
    fleet.step(StopRequested(("db",)), 99.3)
    fleet.step(SpawnFailed("a", 1, "streams", 6, "channel x"), 99.4)
    assert not fleet.instances["a"].failures
    assert fleet.instances["a"].state == Waiting("waits for db to be ready")


def test_a_start_that_was_refused_before_a_recovery_costs_nothing() -> None:
    """The next manager finds the channel missing before it hears of the start."""
    fleet = Fleet()
    fleet.step(Configured(configuration(USERS[0])), 99.0)
    again = restored(fleet)
    again.miss({"x": "cannot make it: Address already in use"})
    again.recover(100.0)
    again.step(SpawnFailed("a", 1, "streams", 6, "channel x"), 100.1)
    assert again.instances["a"].state == Waiting(WHY)
    assert not again.instances["a"].failures
