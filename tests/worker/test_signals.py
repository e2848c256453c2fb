"""Signals that a worker in Python deals with: real ones, sent to real processes."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisord_lite.worker import on_signal, stopping

DEADLINE = 60.0

SAYS = """
from supervisord_lite import worker
import signal
for which in ("HUP", "SIGUSR1", int(signal.SIGUSR2), "winch"):
    worker.on_signal(which, lambda which=which: print("heard", which, flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""

LOOP = """
import asyncio
from supervisord_lite import worker
async def main():
    heard = asyncio.Event()
    worker.on_signal("HUP", heard.set)
    print("ready", flush=True)
    await heard.wait()
    print("heard", flush=True)
asyncio.run(main())
"""

STOPS = """
import threading
from supervisord_lite import worker
stop = worker.stopping()
assert worker.stopping() is stop
assert not stop
assert not stop.wait(0.01)
waiter = threading.Thread(target=lambda: print("thread", stop.wait(), flush=True))
waiter.start()
print("ready", flush=True)
stop.wait()
waiter.join()
print("stopped", bool(stop), stop.wait(0))
"""

CONTEXT = """
import signal
from supervisord_lite import worker
with worker.stopping() as stop:
    print("ready", flush=True)
    while not stop.wait(1):
        pass
print("stopped", flush=True)
signal.pause()
"""

FORKS = """
import multiprocessing, os, signal
from supervisord_lite import worker
stop = worker.stopping()
def child():
    print(os.getpid(), flush=True)
    print("child", stop.wait(), flush=True)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print("parent", bool(stop), stop.wait(0), flush=True)
"""


@contextmanager
def worker(code: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_function_for_a_signal() -> None:
    """By name, with or without SIG, in any case, or by number."""
    with worker(SAYS) as process:
        assert line(process) == "ready"
        for number, said in (
            (signal.SIGHUP, "HUP"),
            (signal.SIGUSR1, "SIGUSR1"),
            (signal.SIGUSR2, str(signal.SIGUSR2.value)),
            (signal.SIGWINCH, "winch"),
        ):
            process.send_signal(number)
            assert line(process) == f"heard {said}"


def test_a_function_for_a_signal_in_a_loop() -> None:
    """Is a callback of the asyncio loop that runs."""
    with worker(LOOP) as process:
        assert line(process) == "ready"
        process.send_signal(signal.SIGHUP)
        assert line(process) == "heard"
        assert process.wait(DEADLINE) == 0


def test_an_unknown_signal() -> None:
    """Is an error."""
    with pytest.raises(ValueError, match="cannot find a signal 'FOO'"):
        on_signal("FOO", int)


def test_stopping() -> None:
    """SIGTERM is a flag, and ends every wait for it."""
    with worker(STOPS) as process:
        assert line(process) == "ready"
        process.terminate()
        assert line(process) == "thread True"
        assert line(process) == "stopped True True"
        assert process.wait(DEADLINE) == 0


def test_stopping_as_a_context() -> None:
    """Afterwards SIGTERM does what it did before."""
    with worker(CONTEXT) as process:
        assert line(process) == "ready"
        process.terminate()
        assert line(process) == "stopped"
        process.terminate()
        assert process.wait(DEADLINE) == -signal.SIGTERM


def test_stopping_in_a_block_in_a_block() -> None:
    """The inner one's end leaves the flag to the outer one."""
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as outer:
        with stopping() as inner:
            assert inner is outer
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.wait(DEADLINE)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("timeout", [1e10, math.inf, -1])
def test_stopping_with_a_strange_timeout(timeout: float) -> None:
    """Is as long as it says."""
    with stopping() as stop:
        stop.set()
        assert stop.wait(timeout)


def test_stopping_a_forked_child() -> None:
    """Does not stop its parent."""
    with worker(FORKS) as process:
        os.kill(int(line(process)), signal.SIGTERM)
        assert line(process) == "child True"
        assert line(process) == "parent False False"
