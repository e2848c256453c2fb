"""The channels of a worker by their names, as its environment tells of them."""

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.worker.made import Made

USE_THEM = """
import sys
from supervisord_lite.worker import channels
assert sorted(channels) == ["jobs", "lines", "lines-w"], list(channels)
channels["jobs"].put(channels["lines"].readline())
channels["lines-w"].write(b"second")
"""


def test_a_worker_finds_its_channels(made: Made) -> None:
    """By name, in its environment."""
    made.queue("jobs")
    made.pipe("lines")
    channels = made.channels()
    channels["lines-w"].write(b"first\n")
    assert made.start(["-c", USE_THEM]).wait() == 0
    assert channels["jobs"].get() == b"first\n"
    assert channels["lines"].read(100) == b"second"


def test_without_channels() -> None:
    """There are none."""
    code = "from supervisord_lite.worker import channels; print(channels, len(channels))"
    environment = {k: v for k, v in os.environ.items() if k != "SUPERVISORD_LITE_CHANNELS"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    assert said.stdout == "<channels: none> 0\n"


def test_an_unknown_name(made: Made) -> None:
    """Is an error that tells the known ones."""
    made.lock("guard")
    channels = made.channels()
    with pytest.raises(KeyError, match="'x'; this worker has: guard"):
        channels["x"]
    assert channels.get("x") is None
    assert "guard" in channels


def test_a_channel_is_made_once(made: Made) -> None:
    """Each use finds the same object."""
    made.queue("jobs")
    channels = made.channels()
    assert channels["jobs"] is channels["jobs"]


def test_a_lock_that_only_guards(made: Made) -> None:
    """Is used, and is not among the channels that the worker asked for."""
    made.lock("guard")
    made.value("total", "q", "guard")
    made.told["guard"]["guards"] = True
    channels = made.channels()
    channels["total"].value = 5
    assert list(channels) == ["total"]


def test_a_socketpair_is_a_connection(made: Made) -> None:
    """Of multiprocessing, between the worker that has one end and the one that has the other."""
    made.pair("duo")
    channels = made.channels()
    code = (
        "from supervisord_lite.worker import channels as c; c['duo-b'].send(c['duo-b'].recv() * 2)"
    )
    worker = made.start(["-c", code])
    channels["duo"].send([1, "a"])
    assert channels["duo"].recv() == [1, "a", 1, "a"]
    assert worker.wait() == 0
    channels["duo"].close()
    channels["duo-b"].close()


def test_a_socket(made: Made) -> None:
    """Is a socket that listens already."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made.told["web"] = {"type": "socket", "fd": server.fileno()}
        with made.channels()["web"] as web, socket.create_connection(server.getsockname()) as one:
            peer, _ = web.accept()
            with peer:
                one.sendall(b"hello")
                assert peer.recv(5) == b"hello"
        assert os.fstat(server.fileno())


def test_a_socket_waits_for_others_as_before(made: Made) -> None:
    """Whatever the program's default timeout is: the flags are those of all that share it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        made.told["web"] = {"type": "socket", "fd": server.fileno()}
        socket.setdefaulttimeout(5)
        try:
            with made.channels()["web"] as web:
                assert web.gettimeout() is None
                assert os.get_blocking(server.fileno())
        finally:
            socket.setdefaulttimeout(None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside a thread
def test_a_child_that_was_forked_while_a_channel_was_made(made: Made) -> None:
    """Makes it for itself: the thread that was at it is not there."""
    made.queue("jobs")
    channels = made.channels()
    making, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with channels._making:
            making.set()
            forked.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    making.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        channels["jobs"].put(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    forked.set()
    thread.join()
    assert status == 0


def test_a_fifo_is_read_and_written(made: Made, tmp_path: Any) -> None:
    """By a worker that has it for both."""
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDWR)
    made.told["fifo"] = {"type": "fifo", "use": "both", "fd": fd, "path": str(tmp_path / "fifo")}
    fifo = made.channels()["fifo"]
    fifo.write(b"one\ntwo\n")
    assert fifo.readline() == b"one\n"
    assert os.read(fd, 100) == b"two\n"  # it is left to others
    os.close(fd)
