"""What the daemon says of itself: its form, its level, and the file it is written into."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_lite.core.log import Level, Log, OwnLog, Rotation, View
from supervisord_lite.linux import pipes
from supervisord_lite.logs.event import LogEvent
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.output.chronicle import (
    STREAM,
    Chronicle,
    LibraryLog,
    OwnFile,
    Record,
    as_json,
    as_text,
)
from supervisord_lite.manager.output.streams import HeldHops, HeldRelays
from tests.cli.conftest import until

AT = 1_795_400_225_123_456_789  # 2026-11-23T02:17:05.123Z


class _Keeper:
    """Holds what it is given, as the keeper does."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def hold(self, name: str, descriptor: int) -> None:
        if name in self.held:
            os.close(self.held[name])
        self.held[name] = os.dup(descriptor)

    def drop(self, name: str) -> None:
        os.close(self.held.pop(name))


class _House:
    """A chronicle with a data plane of its own; `shown` is what was shown."""

    def __init__(self, keeper: _Keeper, *, terminal: bool = False) -> None:
        self.keeper = keeper
        self.events: list[LogEvent] = []
        hops = HeldHops({}, keeper.hold, keeper.drop)
        relays = HeldRelays({}, keeper.hold, keeper.drop, lambda *_: None)
        self.plane = DataPlane(hops, relays, self.events.append)
        held = keeper.held.get(STREAM)
        left = None if held is None else os.dup(held)
        self.file = OwnFile(self.plane, keeper.hold, keeper.drop, left)
        self.shown: list[str] = []
        self.chronicle = Chronicle(self.shown.append, terminal=terminal)

    def configure(self, own: OwnLog) -> None:
        self.chronicle.configure(own, self.file)


@pytest.fixture
def keeper() -> Iterator[_Keeper]:
    keeper = _Keeper()
    yield keeper
    for descriptor in keeper.held.values():
        os.close(descriptor)


@pytest.fixture
def house(keeper: _Keeper) -> Iterator[_House]:
    house = _House(keeper)
    house.plane.start()
    yield house
    assert house.plane.stop()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_record_for_people_is_one_line() -> None:
    """Time in UTC, level and text; what would command a terminal or end the line is harmless."""
    record = Record(AT, Level.WARNING, "a\nb \x1b[31m")
    assert as_text(record) == r"2026-11-23T02:17:05.123Z WARNING a b \x1b[31m"


def test_a_record_for_programs_is_an_object() -> None:
    """Its fields stand beside time, level and message, and it is plain ASCII."""
    text = as_json(Record(AT, Level.INFO, "ä\x9b", {"event": "state", "run": 3}))
    assert text.isascii()
    assert json.loads(text) == {
        "time": "2026-11-23T02:17:05.123Z",
        "level": "info",
        "message": "ä\x9b",
        "event": "state",
        "run": 3,
    }


def test_what_is_said_is_shown_and_written(house: _House, tmp_path: Path) -> None:
    """Stderr and the file have the same line, in the form that was asked for."""
    path = tmp_path / "logs/daemon.log"
    house.configure(OwnLog(view=View.JSON, path=str(path)))
    house.chronicle.say(Level.ERROR, "on fire", event="fire")
    until(lambda: len(lines(path)) == 1)
    assert lines(path) == house.shown
    assert json.loads(house.shown[0])["event"] == "fire"


def test_a_level_hides_what_is_less_grave(house: _House) -> None:
    """From the level on; it is another as soon as the configuration says so."""
    house.configure(OwnLog(level=Level.WARNING))
    house.chronicle.say(Level.INFO, "first")
    house.chronicle.say(Level.WARNING, "second")
    house.configure(OwnLog(level=Level.DEBUG))
    house.chronicle.say(Level.DEBUG, "third")
    assert [text.split()[-1] for text in house.shown] == ["second", "third"]


def test_stderr_can_be_left_alone(house: _House, tmp_path: Path) -> None:
    """With a file, nothing has to be shown."""
    path = tmp_path / "daemon.log"
    house.configure(OwnLog(stderr=False, path=str(path)))
    house.chronicle.say(Level.INFO, "quietly")
    until(lambda: len(lines(path)) == 1)
    assert house.shown == []


def test_a_terminal_is_spoken_to_as_ever(keeper: _Keeper) -> None:
    """A person needs neither the time nor JSON, and is not left without a word."""
    house = _House(keeper, terminal=True)
    house.configure(OwnLog(view=View.JSON, stderr=False))
    house.chronicle.say(Level.INFO, "hello")
    house.plane.stop()
    assert house.shown == ["supervisord-lite: hello"]


def test_the_first_words_wait_for_the_configuration(house: _House, tmp_path: Path) -> None:
    """What was said before anybody knew of a file is the beginning of it."""
    path = tmp_path / "daemon.log"
    house.chronicle.say(Level.INFO, "early")
    house.configure(OwnLog(path=str(path)))
    house.chronicle.say(Level.INFO, "late")
    until(lambda: len(lines(path)) == 2)
    assert [line.split()[-1] for line in lines(path)] == ["early", "late"]


def test_a_long_text_is_cut_and_its_line_is_whole(house: _House, tmp_path: Path) -> None:
    """A record is one write into the pipe, so that it stays one line whoever else writes."""
    path = tmp_path / "daemon.log"
    house.configure(OwnLog(view=View.JSON, path=str(path)))
    house.chronicle.say(Level.INFO, "\x00" * 10_000)
    until(lambda: len(lines(path)) == 1)
    message = json.loads(lines(path)[0])["message"]
    assert message.startswith("\x00")
    assert message.endswith("…")
    assert len(lines(path)[0]) < 4096


def test_what_the_pipe_has_no_room_for_is_counted(keeper: _Keeper, tmp_path: Path) -> None:
    """Nobody waits for a log that does not move; once it does, it says how much is missing."""
    path = tmp_path / "daemon.log"
    house = _House(keeper)  # its plane has not begun to move bytes
    house.configure(OwnLog(stderr=False, path=str(path)))
    for number in range(100):
        house.chronicle.say(Level.INFO, f"{number} " + "x" * 4000)
    house.plane.start()
    until(lambda: pipes.waiting(keeper.held[STREAM]) == 0)
    house.chronicle.say(Level.INFO, "after")
    until(lambda: bool(lines(path)) and lines(path)[-1].endswith("after"))
    house.plane.stop()
    kept, missing = len(lines(path)) - 2, lines(path)[-2].split()
    assert (
        missing[1:] == f"WARNING {100 - kept} records left out: the log did not take them".split()
    )
    assert 0 < kept < 100


def test_the_next_manager_goes_on_with_the_pipe(keeper: _Keeper, tmp_path: Path) -> None:
    """What one manager said and nobody had written yet is written by the next one."""
    path = tmp_path / "daemon.log"
    first = _House(keeper)
    first.configure(OwnLog(path=str(path)))
    first.chronicle.say(Level.INFO, "last words")
    second = _House(keeper)
    second.configure(OwnLog(path=str(path)))
    second.plane.start()
    second.chronicle.say(Level.INFO, "first words")
    until(lambda: len(lines(path)) == 2)
    assert [line.split()[-2] for line in lines(path)] == ["last", "first"]
    assert second.plane.stop()
    first.plane.stop()


def test_another_path_is_taken_while_it_runs(house: _House, tmp_path: Path) -> None:
    """A reload moves the log, changes how it is rotated, and takes it away."""
    one, other = tmp_path / "one.log", tmp_path / "other.log"
    house.configure(OwnLog(path=str(one)))
    house.chronicle.say(Level.INFO, "here")
    until(lambda: len(lines(one)) == 1)
    house.configure(OwnLog(path=str(other), rotation=Rotation(size=4096)))
    assert house.file.log == Log(str(other), Rotation(size=4096))

    def said_there() -> bool:  # what the data plane finds before it has heard of that goes before
        house.chronicle.say(Level.INFO, "there")
        return other.exists()

    until(said_there)
    house.configure(OwnLog())
    house.chronicle.say(Level.INFO, "nowhere")
    assert STREAM not in house.keeper.held
    assert house.file.log is None
    assert house.plane.stop()
    written = lines(one) + lines(other)
    assert {line.split()[-1] for line in written} == {"here", "there"}


def test_a_pipe_that_is_not_wanted_any_more_is_let_go(keeper: _Keeper, tmp_path: Path) -> None:
    """What an earlier manager left is not kept for ever by one that has no log."""
    first = _House(keeper)
    first.configure(OwnLog(path=str(tmp_path / "daemon.log")))
    first.plane.stop()
    second = _House(keeper)
    second.configure(OwnLog())
    second.plane.stop()
    assert STREAM not in keeper.held


def test_its_own_trouble_ends_in_no_circle(house: _House, tmp_path: Path) -> None:
    """A log that cannot be written is said once, however often that is tried."""
    path = tmp_path / "daemon.log"
    path.mkdir()
    house.configure(OwnLog(path=str(path)))
    until(lambda: bool(house.events))
    house.chronicle.say(Level.ERROR, "the log cannot be written")
    until(lambda: house.plane.status(STREAM).dropped_lines > 0)
    assert len(house.events) == 1


def test_threads_do_not_mix_their_lines(house: _House, tmp_path: Path) -> None:
    """Whoever speaks at the same time gets lines of his own."""
    path = tmp_path / "daemon.log"
    house.configure(OwnLog(view=View.JSON, path=str(path), rotation=Rotation(size=None)))

    def speak() -> None:
        for number in range(50):
            house.chronicle.say(Level.INFO, str(number))

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(lines(path)) == 200)
    assert sorted(int(json.loads(line)["message"]) for line in lines(path)) == sorted(
        number for number in range(50) for _ in range(4)
    )


def test_what_libraries_log_is_said_too(house: _House) -> None:
    """Their levels are ours, and who it was is a field."""
    house.configure(OwnLog(view=View.JSON))
    logger = logging.getLogger("test_chronicle")
    handler = LibraryLog(house.chronicle)
    logger.addHandler(handler)
    try:
        logger.critical("%s is burning", "it")
        logger.debug("nothing")
    finally:
        logger.removeHandler(handler)
    (record,) = map(json.loads, house.shown)
    assert (record["level"], record["message"]) == ("error", "it is burning")
    assert (record["event"], record["logger"]) == ("library", "test_chronicle")


@pytest.mark.parametrize("view", [View.RAW, View.JSON])
def test_long_fields_are_cut_too(house: _House, tmp_path: Path, view: View) -> None:
    """Whatever it is about, it becomes one line of at most 4096 bytes."""
    path = tmp_path / "daemon.log"
    house.configure(OwnLog(view=view, path=str(path)))
    house.chronicle.say(Level.ERROR, "cannot", why="ä" * 2000, stream="\\" * 5000)
    until(lambda: len(lines(path)) == 1)
    assert "cannot" in lines(path)[0]
    if view is View.JSON:
        assert json.loads(lines(path)[0])["why"].endswith("…")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("view", [View.RAW, View.JSON])
def test_what_is_no_unicode_can_be_said(
    keeper: _Keeper, tmp_path: Path, view: View, *, terminal: bool
) -> None:
    """A path may have any bytes in it: they are shown as escapes."""
    house = _House(keeper, terminal=terminal)
    house.plane.start()
    path = tmp_path / "daemon.log"
    house.configure(OwnLog(view=view, path=str(path)))
    house.chronicle.say(Level.INFO, os.fsdecode(b"cannot write /x\xff\x1b"))
    until(lambda: len(lines(path)) == 1)
    assert house.plane.stop()
    for line in (*lines(path), *house.shown):
        assert "cannot write /x\\udcff" in line
        assert "\x1b" not in line


def test_the_first_words_are_weighed_too(house: _House, tmp_path: Path) -> None:
    """What was said before the level was known is hidden like all else below it."""
    path = tmp_path / "daemon.log"
    house.chronicle.say(Level.INFO, "early")
    house.chronicle.say(Level.ERROR, "grave")
    house.configure(OwnLog(level=Level.ERROR, path=str(path)))
    until(lambda: bool(lines(path)))
    assert [line.split()[-1] for line in lines(path)] == ["grave"]


def test_threads_speak_while_the_file_is_taken_away(house: _House, tmp_path: Path) -> None:
    """A reload that ends the log, or begins it, is in nobody's way."""
    own = OwnLog(stderr=False, path=str(tmp_path / "daemon.log"))
    failed: list[Exception] = []
    over = threading.Event()

    def speak() -> None:
        try:
            while not over.is_set():
                house.chronicle.say(Level.INFO, "a word")
        except (OSError, TypeError) as error:  # what comes of a descriptor that is gone
            failed.append(error)

    threads = [threading.Thread(target=speak) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        house.configure(own)
        house.configure(OwnLog(stderr=False))
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_who_shows_it_may_have_something_to_say(keeper: _Keeper) -> None:
    """A finalizer may run anywhere, and asyncio's complain of tasks: that is no deadlock."""
    house = _House(keeper)
    said: list[str] = []

    def show(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            chronicle.say(Level.WARNING, "inner")

    chronicle = Chronicle(show, terminal=True)
    speaker = threading.Thread(target=chronicle.say, args=(Level.INFO, "outer"), daemon=True)
    speaker.start()
    speaker.join(30)
    house.plane.stop()
    assert [text.split()[-1] for text in said] == ["outer", "inner"]
