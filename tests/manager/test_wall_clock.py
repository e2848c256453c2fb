"""Telling the core of the wall clock.

The clock of the machine is everybody's, so it is set here to what it shows and to nothing else;
that another offset is found then is made up by having told another one before.
"""

import asyncio
import time

import pytest

from supervisord_lite.core.event import ClockSet, Event
from supervisord_lite.linux.clock import offset
from supervisord_lite.manager.wall_clock import _NOISE, WallClock
from tests.cli.conftest import DEADLINE


def set_clock() -> None:
    """Set the wall clock to what it shows, which is a setting like any other."""
    try:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns())
    except PermissionError:
        pytest.skip("only root may set the clock")


def test_the_offset_is_told_at_the_start() -> None:
    """It is what lies between the two clocks."""

    async def story() -> None:
        told: list[Event] = []
        clock = WallClock(told.append)
        clock.start()
        clock.close()
        (event,) = told
        assert isinstance(event, ClockSet)
        assert time.monotonic() + event.offset == pytest.approx(time.time(), abs=1)

    asyncio.run(story())


def test_a_clock_that_was_set_is_told_with_its_new_offset() -> None:
    """Each time that it is found to be another one than was told before."""

    async def story() -> None:
        told: asyncio.Queue[Event] = asyncio.Queue()
        clock = WallClock(told.put_nowait)
        clock.start()
        for _ in range(3):
            event = await asyncio.wait_for(told.get(), DEADLINE)
            assert isinstance(event, ClockSet)
            assert event.offset == pytest.approx(offset(), abs=1)
            clock._told -= 60
            set_clock()
        clock.close()

    asyncio.run(story())


def test_a_setting_that_changes_nothing_is_no_news() -> None:
    """It is noticed, and nothing is told."""

    async def story() -> None:
        told: list[Event] = []
        clock = WallClock(told.append)
        clock.start()
        set_clock()
        moved = abs(offset() - clock._told)  # by what it takes to set it
        clock._look()
        clock.close()
        assert len(told) == (1 if moved < _NOISE else 2)

    asyncio.run(story())
