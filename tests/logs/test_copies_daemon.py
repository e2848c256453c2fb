"""A whole daemon whose workers write into a log and a channel at once."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import Daemon

COUNT = 20_000
# The numbers go out in pieces, so that a manager dies in the middle of them.
PRODUCE = """
import sys, time
for number in range(int(sys.argv[1])):
    sys.stdout.write(f"{number:015}\\n")
    if not number % 200:
        sys.stdout.flush()
        time.sleep(0.01)
sys.stdout.flush()
time.sleep(100000)
"""
CONSUME = """
import os
out = os.open("consumed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while data := os.read(0, 65536):
    os.write(out, data)
os.write(out, b"end\\n")
"""
EXPECTED = b"".join(b"%015d\n" % number for number in range(COUNT))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    place = Daemon(tmp_path)
    try:
        yield place
    finally:
        place.end()


def run(daemon: Daemon, consume: str = CONSUME, **outlet: Any) -> None:
    stdout = {"log": "produced.log", "channel": "lines", **outlet}
    workers = {
        "consume": {
            "command": [sys.executable, "-c", consume],
            "type": "task",
            "stdin": {"channel": "lines"},
            "working_dir": str(daemon.directory),
        },
        "produce": {
            "command": [sys.executable, "-c", PRODUCE, str(COUNT)],
            "stdout": stdout,
            "working_dir": str(daemon.directory),
        },
    }
    daemon.run(workers, channels={"lines": {"type": "pipe"}})


def depth(daemon: Daemon) -> int:
    return int(daemon.client.channels("lines")[0]["depth"])


def content(daemon: Daemon, name: str) -> bytes:
    path = daemon.directory / name
    return path.read_bytes() if path.exists() else b""


def test_the_log_and_the_consumer_have_everything(daemon: Daemon) -> None:
    """Both get what the producer writes, and its end closes the channel behind the last byte."""
    run(daemon)
    daemon.until(lambda: content(daemon, "produced.log") == EXPECTED)
    daemon.client.stop(["produce"])
    daemon.until(lambda: content(daemon, "consumed") == EXPECTED + b"end\n")


def test_a_consumer_that_comes_late_misses_nothing(daemon: Daemon) -> None:
    """A producer that was stopped while the channel was full leaves its last words in order."""
    run(
        daemon,
        consume="import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)" + CONSUME,
    )
    daemon.until(lambda: depth(daemon) > 40_000)  # small pieces fill a pipe before its bytes do
    daemon.client.stop(["produce"])
    said = content(daemon, "produced.log")
    (daemon.directory / "go").touch()
    daemon.until(lambda: content(daemon, "consumed").endswith(b"end\n"))
    consumed = content(daemon, "consumed").removesuffix(b"end\n")
    assert consumed == content(daemon, "produced.log")
    assert EXPECTED.startswith(consumed)
    assert len(consumed) >= len(said)


def test_managers_die_in_the_middle(daemon: Daemon) -> None:
    """The log is exact, and the consumer misses nothing, however often the manager is killed."""
    run(daemon)
    for _ in range(3):
        daemon.kill_manager()
    daemon.until(lambda: content(daemon, "produced.log") == EXPECTED)
    daemon.client.stop(["produce"])
    daemon.until(lambda: content(daemon, "consumed").endswith(b"end\n"))
    lines = content(daemon, "consumed").split(b"\n")
    assert set(EXPECTED.split(b"\n")) <= set(lines)
    assert len(lines) <= COUNT + 2 + 3 * 4096


def test_what_a_lossy_copy_missed_is_in_the_status(daemon: Daemon) -> None:
    """The producer does not wait, and its row says how many bytes the channel was not given."""
    run(daemon, consume="import time; time.sleep(100000)", deliver="lossy")
    daemon.until(lambda: content(daemon, "produced.log") == EXPECTED)
    lost = daemon.row("produce")["logs"]["stdout"]["channel_lost_bytes"]
    assert lost == len(EXPECTED) - depth(daemon) > 0
