"""Write ends: open before the first writer, closed behind the last."""

from dataclasses import replace

from supervisord_lite.core.channel import Binding, Use
from supervisord_lite.core.command import (
    Bury,
    CloseWriters,
    OpenWriters,
    Spawn,
)
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    MainExited,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Log
from supervisord_lite.core.state import (
    Exit,
)

from .make import PROGRAM, booted, configuration, down, orders, restored, spec, writer


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
    """Nobody knows whether it was done: a copy may have been waiting for room."""
    fleet = booted(writer("a", "x"), writer("b", "y"))
    down(fleet, "a", 110.0)
    assert restored(fleet).recover(111.0) == [OpenWriters("y"), CloseWriters("x")]
