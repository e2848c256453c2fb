"""The wall clock: how far it is ahead, and whether it was set."""

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from supervisord_lite.linux.clock import ClockWatch, offset


@pytest.fixture
def watch() -> Iterator[ClockWatch]:
    clock = ClockWatch()
    yield clock
    clock.close()


def is_readable(watch: ClockWatch, within: float = 0.0) -> bool:
    return bool(select.select([watch.fd], [], [], within)[0])


def set_clock() -> None:
    """Set the wall clock to what it shows, which is a setting like any other."""
    try:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns())
    except PermissionError:
        pytest.skip("only root may set the clock")


def test_offset_leads_from_one_clock_to_the_other() -> None:
    """CLOCK_MONOTONIC plus the offset is the wall clock."""
    assert time.monotonic() + offset() == pytest.approx(time.time(), abs=1.0)


def test_it_is_silent_while_nobody_sets_the_clock(watch: ClockWatch) -> None:
    """Time that passes is no event."""
    assert not is_readable(watch)
    assert not watch.was_set()


def test_it_tells_each_time_that_the_clock_is_set(watch: ClockWatch) -> None:
    """Every setting is told, once, the second like the first."""
    for _ in range(2):
        set_clock()
        assert is_readable(watch, within=60)
        assert watch.was_set()
        assert not is_readable(watch)
        assert not watch.was_set()


def test_a_clock_that_is_set_all_the_time_does_no_harm(watch: ClockWatch) -> None:
    """Also between the moment that it is told and the moment that the next time is waited for."""
    set_clock()
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set():
            set_clock()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        heard = sum(watch.was_set() for _ in range(5000))
    finally:
        over.set()
        disturber.join()
    assert heard


def test_it_passes_to_no_child(watch: ClockWatch) -> None:
    """The descriptor is close-on-exec and does not block."""
    assert not os.get_inheritable(watch.fd)
    assert not os.get_blocking(watch.fd)


def test_its_end_gives_the_descriptor_back() -> None:
    """A thousand watches one after the other need one descriptor."""
    numbers = set()
    for _ in range(1000):
        watch = ClockWatch()
        numbers.add(watch.fd)
        watch.close()
    assert len(numbers) == 1
