"""A function for a signal raises at any moment, and who catches that goes on: nothing of a queue or
a value stays locked, for this process or for others.
"""

import os
import random
import signal
from collections.abc import Callable, Iterator
from queue import Empty, Full
from typing import Any

import pytest

from tests.worker.made import Made

TIMES = 20_000 if os.environ.get("SOAK") == "1" else 1500
DEADLINE = 30.0


class Rung(Exception):
    """What the alarm raises."""


@pytest.fixture
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Rung

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.signal(signal.SIGALRM, before)


def interrupt(work: Callable[[], object]) -> None:
    """Do it over and over, each time until the alarm, which comes after some microseconds."""
    dice = random.Random()
    for _ in range(TIMES):
        try:
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(5e-6, 80e-6))
            while True:
                work()
        except Rung:
            continue


def is_free(made: Made, name: str, byte: int = 0) -> bool:
    """Whether anybody else could lock that byte, by a look through a file opened anew."""
    from supervisord_lite.linux import locks

    fd = os.open(f"/proc/self/fd/{made.told[name][name]}", os.O_RDWR)
    try:
        return not locks.is_locked(fd, byte, 1)
    finally:
        os.close(fd)


@pytest.mark.usefixtures("_alarm")
def test_a_queue(made: Made) -> None:
    """Its capacity is right afterwards, too."""
    made.queue("page", 5)
    queue = made.channels()["page"]

    def use() -> None:
        try:
            queue.put_nowait(1)
            queue.get_nowait()
        except (Full, Empty):  # something was left by who was interrupted, or is gone with it
            pass
        while not queue.empty():
            queue.get_nowait()

    interrupt(use)
    assert [is_free(made, "page", byte) for byte in range(3)] == [True, True, True]
    queue.put("a first one", timeout=DEADLINE)
    drain(queue)
    for number in range(5):
        queue.put_nowait(number)
    with pytest.raises(Full):
        queue.put_nowait(5)


def drain(queue: Any) -> None:
    while not queue.empty():
        queue.get_nowait()


@pytest.mark.usefixtures("_alarm")
def test_a_value(made: Made) -> None:
    """Read and written without a `with` around."""
    made.value("fd", "q")
    value = made.channels()["fd"]

    def use() -> None:
        value.value += 1

    interrupt(use)
    assert is_free(made, "fd")
    assert value.acquire(timeout=DEADLINE)
    value.release()
