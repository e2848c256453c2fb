"""The foreground view: every line with its name, nothing that commands the terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.logs.escape import escape
from supervisord_lite.logs.reading.console import Console

if TYPE_CHECKING:
    from tests.logs.conftest import Rig


class Screen:
    """A terminal as far as a console is concerned: what it shows, when it is looked at."""

    def __init__(self) -> None:
        self._read, self.fd = os.pipe()
        os.set_blocking(self._read, False)
        self._shown = b""

    def shown(self) -> str:
        try:
            while data := os.read(self._read, 65536):
                self._shown += data
        except BlockingIOError:
            pass
        return self._shown.decode()

    def close(self) -> None:
        os.close(self._read)
        os.close(self.fd)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain \xc3\xa4 text\tand tab", "plain ä text\tand tab"),
        (b"\x1b[2Jgone", "\\x1b[2Jgone"),
        (b"\x9b31m", "\\x9b31m"),
        (b"\xc2\x9b31m", "\\x9b31m"),
        (b"no \xff utf-8", "no \\xff utf-8"),
        (b"over\rwritten\x08\x07", "over\\x0dwritten\\x08\\x07"),
        ("right \u202e to left".encode(), "right \\u202e to left"),
        (b"dos\r\n", "dos\n"),
    ],
)
def test_nothing_commands_a_terminal(raw: bytes, shown: str) -> None:
    """Control characters are shown, not obeyed."""
    assert escape(raw) == shown


def test_lines_bear_the_names_of_their_workers(rig: Rig) -> None:
    """A line is shown when it is whole, and what is left of one at the end."""
    screen = Screen()
    console = Console(screen.fd, colour=False)
    try:
        for name in ("web", "database"):
            log = rig.log(name)
            rig.plane.watch(name, console.add(name, f"{name}:0", log.path))
        rig.write(b"one\ntw", "web")
        rig.write(b"hello\n", "database")
        rig.eventually(lambda: "web:0      | one\n" in screen.shown())
        rig.eventually(lambda: "database:0 | hello\n" in screen.shown())
        rig.write(b"o", "web")
        rig.flush()
        assert console.stop(20)
        assert screen.shown().endswith("web:0      | two\n")
    finally:
        console.stop(20)
        screen.close()


def test_announcements_are_lines_of_their_own(rig: Rig) -> None:
    """What happens to workers stands among what they say."""
    screen = Screen()
    console = Console(screen.fd, colour=False)
    console.announce("web:0 RUNNING pid 123")
    assert console.stop(20)
    assert screen.shown() == "web:0 RUNNING pid 123\n"
    screen.close()


def test_names_are_coloured_on_request(rig: Rig) -> None:
    """Each worker has its colour, and the line itself has none."""
    screen = Screen()
    console = Console(screen.fd, colour=True)
    log = rig.log()
    rig.plane.watch("web", console.add("web", "web:0", log.path))
    rig.write(b"x\n")
    rig.flush()
    assert console.stop(20)
    assert screen.shown() == "\x1b[36mweb:0 | \x1b[0mx\n"
    screen.close()


def test_a_stopped_terminal_stops_nobody_else(rig: Rig) -> None:
    """Announcements return at once, logs go on, and stopping gives up after its time."""
    screen = Screen()
    console = Console(screen.fd, colour=False)
    log = rig.log()
    rig.plane.watch("web", console.add("web", "web:0", log.path))
    data = rig.lines(10_000)
    rig.write(data)
    for number in range(5000):
        console.announce(f"web:0 RUNNING pid {number}")
    rig.flush()
    assert rig.contents(log) == data
    assert not console.stop(0.2)
    screen.close()


def test_a_log_that_is_removed_is_shown_no_more(rig: Rig) -> None:
    """A worker that left the configuration is silent."""
    screen = Screen()
    console = Console(screen.fd, colour=False)
    log = rig.log()
    rig.plane.watch("web", console.add("web", "web:0", log.path))
    console.remove("web")
    rig.write(b"x\n")
    rig.flush()
    assert console.stop(20)
    assert screen.shown() == ""
    screen.close()
