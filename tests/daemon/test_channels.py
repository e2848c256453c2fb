"""Pipes between workers: what is in them belongs to no process."""

import os
import signal
from typing import Any

from tests.cli.conftest import until
from tests.daemon.conftest import Daemon, alive

LINES = {"lines": {"type": "pipe"}}
PRODUCE = "n=0; while [ $n -lt 200 ]; do echo $n; n=$((n+1)); sleep 0.005; done; sleep 100000"
CONSUME = "while read line; do echo $line >> lines; done; echo end >> lines; sleep 100000"
NO_DELAY = {"delay": "0s", "limit": "none"}


def run(daemon: Daemon, produce: str = PRODUCE, consume: str = CONSUME, **more: Any) -> None:
    """Start two workers with a pipe between them."""
    common = {"shell": True, "working_dir": str(daemon.directory), "restart": NO_DELAY, **more}
    workers = {
        "consume": {"command": consume, "stdin": {"channel": "lines"}, **common},
        "produce": {"command": produce, "stdout": {"channel": "lines"}, **common},
    }
    daemon.run(workers, channels=LINES)


def lines(daemon: Daemon) -> list[str]:
    path = daemon.directory / "lines"
    return path.read_text().splitlines() if path.exists() else []


def test_lines_flow(daemon: Daemon) -> None:
    """What one worker writes another reads, all of it and in order."""
    run(daemon)
    expected = [str(number) for number in range(200)]
    until(lambda: lines(daemon) == expected)


def test_pipe_survives_a_crash_of_the_reader(daemon: Daemon) -> None:
    """The writer notices nothing, and what was in the pipe is read by the next run."""
    once = "until test -e go; do sleep 0.01; done; " + CONSUME
    run(daemon, consume=once)
    producer, consumer = daemon.pid("produce"), daemon.pid("consume")
    os.kill(consumer, signal.SIGKILL)
    daemon.until(lambda: daemon.row("consume")["run"] == 2)
    (daemon.directory / "go").touch()
    until(lambda: lines(daemon) == [str(number) for number in range(200)])
    assert daemon.pid("produce") == producer


def test_pipe_survives_a_crash_of_the_writer(daemon: Daemon) -> None:
    """The reader sees no end of file, only more lines."""
    run(daemon, produce="echo from $$; sleep 100000")
    until(lambda: len(lines(daemon)) == 1)
    consumer, producer = daemon.pid("consume"), daemon.pid("produce")
    os.kill(producer, signal.SIGKILL)
    until(lambda: len(lines(daemon)) == 2)
    assert lines(daemon)[1] == f"from {daemon.pid('produce')}"
    assert daemon.pid("consume") == consumer


def test_pipe_survives_the_manager(daemon: Daemon) -> None:
    """Whoever of the daemon dies, the lines go on."""
    run(daemon)
    pids = daemon.pid("produce"), daemon.pid("consume")
    daemon.kill_manager()
    until(lambda: lines(daemon) == [str(number) for number in range(200)])
    assert (daemon.pid("produce"), daemon.pid("consume")) == pids


def test_pipe_survives_the_keeper(daemon: Daemon) -> None:
    """The keeper, too."""
    run(daemon)
    pids = daemon.pid("produce"), daemon.pid("consume")
    daemon.kill_keeper()
    until(lambda: lines(daemon) == [str(number) for number in range(200)])
    assert (daemon.pid("produce"), daemon.pid("consume")) == pids


def test_end_of_file_comes_when_all_writers_are_stopped(daemon: Daemon) -> None:
    """A stop by wish is the end of the stream; and a start begins another one."""
    run(daemon, produce="echo hello; sleep 100000")
    until(lambda: lines(daemon) == ["hello"])
    consumer = daemon.pid("consume")
    daemon.client.stop(["produce"])
    until(lambda: lines(daemon) == ["hello", "end"])
    assert alive(consumer)


def test_writer_is_not_hurt_by_a_stopped_reader(daemon: Daemon) -> None:
    """A writer without a reader waits; it gets no SIGPIPE."""
    run(daemon, produce="while :; do echo line; done")
    daemon.client.stop(["consume"])
    producer = daemon.pid("produce")
    daemon.client.start(["consume"])
    count = len(lines(daemon))
    until(lambda: len(lines(daemon)) > count + 20000)
    assert daemon.pid("produce") == producer
