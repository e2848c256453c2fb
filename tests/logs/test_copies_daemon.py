"""A whole daemon whose workers write into a log and a channel at once."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import until
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


TALK = """
import sys, time
number = 0
while True:
    sys.stdout.write(f"{number:015}\\n")
    sys.stdout.flush()
    number += 1
    time.sleep(0.001)
"""


def talk(**stdout: Any) -> dict[str, Any]:
    """A worker that never stops talking."""
    outlet = {"log": "produced.log", **stdout}
    return {"produce": {"command": [sys.executable, "-c", TALK], "stdout": outlet}}


def numbers_from(path: Path) -> list[int]:
    """What comes out of a fifo: some hundred numbers, the first and the last of which are whole."""
    until(path.exists)
    fd, data = os.open(path, os.O_RDONLY | os.O_NONBLOCK), b""

    def is_enough() -> bool:
        nonlocal data
        with suppress(BlockingIOError):
            data += os.read(fd, 65536)
        return data.count(b"\n") > 300

    try:
        until(is_enough)
    finally:
        os.close(fd)
    return [int(line) for line in data.split(b"\n")[1:-1]]


def logged(daemon: Daemon) -> list[int]:
    """The numbers that are in the log as whole lines."""
    return [int(line) for line in content(daemon, "produced.log").split(b"\n")[:-1]]


def is_unbroken(numbers: list[int]) -> bool:
    """Whether they are in order and none is missing; a new run begins with 0."""
    return all(after in (before + 1, 0) for before, after in pairwise(numbers))


def test_a_copy_goes_into_the_channel_that_replaces_another(daemon: Daemon) -> None:
    """A reload that makes another channel of it, or names another one, takes the copies there; the
    log has everything once.
    """
    first, second, third = (daemon.directory / name for name in ("one", "two", "three"))
    daemon.run(
        talk(channel="lines"),
        channels={
            "lines": {"type": "fifo", "path": str(first)},
            "other": {"type": "fifo", "path": str(third)},
        },
    )
    for path, name in ((first, "lines"), (second, "lines"), (third, "other"), (second, "lines")):
        if path is not first:
            channels = {
                "lines": {"type": "fifo", "path": str(second)},
                "other": {"type": "fifo", "path": str(third)},
            }
            daemon.configure(talk(channel=name), channels=channels)
            daemon.client.reload()
        assert is_unbroken(numbers_from(path)), f"into {path}"
    assert is_unbroken(logged(daemon))


def test_copying_begins_and_ends_by_a_reload(daemon: Daemon) -> None:
    """A channel is added to the output of a worker, and taken away again: the log has all."""
    channels = {"lines": {"type": "fifo", "path": str(daemon.directory / "one")}}
    daemon.run(talk(), channels=channels)
    daemon.configure(talk(channel="lines"), channels=channels)
    daemon.client.reload()
    assert is_unbroken(numbers_from(daemon.directory / "one"))
    daemon.configure(talk(), channels=channels)
    daemon.client.reload()
    before = len(content(daemon, "produced.log"))
    daemon.until(lambda: len(content(daemon, "produced.log")) > before + 4096)
    assert is_unbroken(logged(daemon))
