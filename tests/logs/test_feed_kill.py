"""A feed whose process is killed at any instant: nothing is lost, and next to nothing repeated."""

from __future__ import annotations

import os
import pty
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.linux import fifo
from supervisord_lite.logs.feeds.relay import make_relay_parts
from tests.logs.conftest import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

_KILLS = 15
_LINES = 40_000
_PROCESS = str(Path(__file__).with_name("feed_process.py"))


class Bed:
    """Two logs that grow, a relay that outlives every feed, and one feed at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = [directory / "a.log", directory / "b.log"]
        for log in self.logs:
            log.touch()
        self.pipe, self.page = make_relay_parts()
        self.process: subprocess.Popen[bytes] | None = None
        self.seed = random.randrange(1 << 32)
        self.chance = random.Random(self.seed)

    def feed(
        self, kind: str, target: Path, held: int = -1, stdout: int = subprocess.DEVNULL
    ) -> None:
        """Start the next feed and return when it runs."""
        kept = [fd for fd in (self.pipe, self.page, held) if fd >= 0]
        logs = [str(log) for log in self.logs]
        numbers = [str(fd) for fd in (self.pipe, self.page, held)]
        self.process = subprocess.Popen(
            [sys.executable, _PROCESS, kind, str(target), *numbers, *logs],
            pass_fds=kept,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        assert self.process.stderr is not None
        assert self.process.stderr.readline() == b"up\n"

    def write(self, start: int, count: int) -> None:
        """Number lines, alternating between the logs."""
        for index, log in enumerate(self.logs):
            numbers = range(start + index, start + count, 2)
            with log.open("ab") as stream:
                stream.write(b"".join(b"%07d\n" % number for number in numbers))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE)
            assert self.process.stderr is not None
            self.process.stderr.close()
            self.process = None

    def let_live(self) -> None:
        """A moment, of a length that nobody has planned."""
        assert self.process is not None
        with pytest.raises(subprocess.TimeoutExpired):
            self.process.wait(self.chance.uniform(0.0, 0.05))

    def close(self) -> None:
        self.kill()
        os.close(self.pipe)
        os.close(self.page)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    try:
        yield made
    finally:
        made.close()


class Collector:
    """Reads all that comes, in a thread, until it has seen the last line of both logs."""

    def __init__(self, fd: int, size: int) -> None:
        self.found: list[bytes] = []
        self._fd, self._size = fd, size
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.ended.is_set():
            data = os.read(self._fd, self._size)
            self.found.append(data)
            if b"end" in data:
                self.ended.set()


def numbers_in(data: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"\b[0-9]{7}\b", data)]


def test_a_reader_of_a_tap_sees_each_line_once(bed: Bed) -> None:
    """In the order of each log, however often the feed is killed."""
    path = bed.directory / "all.fifo"
    fifo.make(str(path), 0o600)
    held = fifo.open_write_end(str(path))
    reader = os.open(path, os.O_RDONLY)
    collector = Collector(reader, 65536)
    portion = _LINES // _KILLS
    for turn in range(_KILLS):
        bed.feed("fifo", path, held)
        bed.write(turn * portion, portion)
        bed.let_live()
        bed.kill()
    bed.feed("fifo", path, held)
    with bed.logs[0].open("ab") as stream:
        stream.write(b"end\n")
    assert collector.ended.wait(DEADLINE), f"seed {bed.seed}"
    bed.kill()
    numbers = numbers_in(b"".join(collector.found))
    os.close(held)
    os.close(reader)
    wanted = list(range(_KILLS * portion))
    assert sorted(numbers) == wanted, f"seed {bed.seed}"
    for half in (0, 1):
        mine = [number for number in numbers if number % 2 == half]
        assert mine == sorted(mine), f"seed {bed.seed}"


def test_a_pipe_as_stdout_sees_each_line_once(bed: Bed) -> None:
    """A container's engine reads it; it may be slow, and loses nothing."""
    read, write = os.pipe()
    portion = _LINES // _KILLS
    for turn in range(_KILLS):
        bed.feed("stdout", Path("-"), stdout=write)
        bed.write(turn * portion, portion)
        bed.let_live()
        bed.kill()
        if turn == _KILLS // 2:  # until then it has taken what fits into the pipe
            collector = Collector(read, 65536)
    bed.feed("stdout", Path("-"), stdout=write)
    with bed.logs[0].open("ab") as stream:
        stream.write(b"end\n")
    assert collector.ended.wait(DEADLINE), f"seed {bed.seed}"
    bed.kill()
    os.close(read)
    os.close(write)
    numbers = numbers_in(b"".join(collector.found))
    assert sorted(numbers) == list(range(_KILLS * portion)), f"seed {bed.seed}"


@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "terminal"])
def test_the_daemons_own_output_may_be_anything(bed: Bed, kind: str) -> None:
    """A pipe, a socket, a file that cannot be waited for, a terminal: lines come through."""
    far, near = _ends(kind, bed.directory)
    bed.feed("stdout", Path("-"), stdout=near)
    bed.write(0, 20_000)
    found = b""
    deadline = time.monotonic() + DEADLINE
    while len(numbers_in(found)) < 20_000:
        assert time.monotonic() < deadline, f"{len(found)} bytes came"
        if select.select([far], [], [], 0.1)[0]:
            found += os.read(far, 65536)
    assert sorted(numbers_in(found)) == list(range(20_000))
    bed.kill()
    os.close(far)
    os.close(near)


def _ends(kind: str, directory: Path) -> tuple[int, int]:
    """Where to read what is written into the other."""
    if kind == "pipe":
        return os.pipe()
    if kind == "socket":
        ours, theirs = socket.socketpair()
        return ours.detach(), theirs.detach()
    if kind == "terminal":
        far, near = pty.openpty()
        tty.setraw(near)
        return far, near
    path = directory / "output"
    near = os.open(path, os.O_WRONLY | os.O_CREAT)
    return os.open(path, os.O_RDONLY), near


def test_syslog_sees_at_most_one_line_twice_a_kill(bed: Bed) -> None:
    """And none is lost."""
    path = bed.directory / "log"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    collector = Collector(receiver.fileno(), 65536)
    portion = _LINES // 10 // _KILLS
    for turn in range(_KILLS):
        bed.feed("syslog", path)
        bed.write(turn * portion, portion)
        bed.let_live()
        bed.kill()
    bed.feed("syslog", path)
    bed.write(_KILLS * portion, 2)
    with bed.logs[0].open("ab") as stream:
        stream.write(b"end\n")
    assert collector.ended.wait(DEADLINE), f"seed {bed.seed}"
    bed.kill()
    receiver.close()
    numbers = [int(message[-7:]) for message in collector.found if message[-7:].isdigit()]
    assert set(numbers) >= set(range(_KILLS * portion)), f"seed {bed.seed}"
    assert len(numbers) - len(set(numbers)) <= _KILLS, f"seed {bed.seed}"
