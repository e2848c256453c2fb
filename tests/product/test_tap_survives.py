"""`cat` of a tap, the manager killed again and again: no end, nothing twice, nothing lost."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import until
from tests.daemon.conftest import Daemon

KILLS = 6
WORKER = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.02)
pause = float(sys.argv[1])
for number in range(int(sys.argv[2])):
    os.write(1, b"%d\\n" % number)
    if pause:
        time.sleep(pause)
time.sleep(100000)
"""
SLOW = """
import os, sys, time
while data := os.read(0, 3000):
    os.write(1, data)
    time.sleep(0.0005)
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    place = Daemon(tmp_path)
    yield place
    place.end()


def numbers(path: Path) -> list[int]:
    """The numbers of all whole lines of a file."""
    return [int(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize("reader", [["cat"], [sys.executable, "-c", SLOW]], ids=["cat", "slow"])
@pytest.mark.parametrize("pause", ["0.0003", "0"], ids=["steady", "flood"])
def test_a_reader_sees_every_line_once(daemon: Daemon, reader: list[str], pause: str) -> None:
    """Whatever the pace of the worker and of the reader."""
    last = 20_000 if float(pause) else 400_000
    tap, seen = daemon.directory / "web.fifo", daemon.directory / "seen"
    command = [sys.executable, "-c", WORKER, pause, str(last)]
    daemon.run({"web": {"command": command, "stdout": {"tap": str(tap)}}})
    until(tap.exists)
    with tap.open("rb") as fifo, seen.open("wb") as output:
        process = subprocess.Popen(reader, stdin=fifo, stdout=output)
    try:
        (daemon.directory / "go").touch()
        until(lambda: seen.stat().st_size)
        for _ in range(KILLS):
            os.kill(daemon.manager, signal.SIGKILL)
            time.sleep(random.uniform(0.0, 0.3))  # not for luck: the kills come at any moment
            daemon.until(lambda: daemon.manager)
        until(lambda: seen.read_bytes().endswith(b"\n%d\n" % (last - 1)))
        found = numbers(seen)
        assert found == list(range(last))
        assert process.poll() is None, "the reader saw an end"
    finally:
        process.kill()
        process.wait()


def test_a_tap_that_is_configured_away_ends(daemon: Daemon) -> None:
    """The keeper, too, lets go of it."""
    tap = daemon.directory / "web.fifo"
    worker = {"command": "sleep 100000"}
    daemon.run({"web": {**worker, "stdout": {"tap": str(tap)}}})
    until(tap.exists)
    with tap.open("rb") as fifo:
        process = subprocess.Popen(["cat"], stdin=fifo, stdout=subprocess.DEVNULL)
    daemon.kill_manager()
    assert process.poll() is None
    daemon.configure({"web": worker})
    daemon.client.reload()
    assert process.wait(20.0) == 0
