"""Telling the core how far the wall clock is ahead: at a manager's start, and whenever it jumps.

The core counts in CLOCK_MONOTONIC, which stands still while the machine sleeps and follows the
same corrections of pace as the wall clock. So the two drift apart only by jumps, of which the
kernel tells; there is no need to look at the clock in between.
"""

import asyncio
from collections.abc import Callable

from supervisord_lite.core.event import ClockSet, Event
from supervisord_lite.linux.clock import ClockWatch, offset

_NOISE = 0.001  # seconds by which two readings of one offset may differ


class WallClock:
    """Emits `ClockSet` by `take`: once in `start`, then at each jump, until `close`."""

    def __init__(self, take: Callable[[Event], None]) -> None:
        """Raises OSError where the kernel has no descriptor for us."""
        self._take = take
        self._watch = ClockWatch()
        self._told = offset()

    def start(self) -> None:
        """Tell the present offset and listen for others."""
        asyncio.get_running_loop().add_reader(self._watch.fd, self._look)
        self._tell()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch.fd)
        self._watch.close()

    def _look(self) -> None:
        # A clock that is set to what it shows already (an NTP daemon may do so) is no news.
        if self._watch.was_set() and abs(offset() - self._told) > _NOISE:
            self._tell()

    def _tell(self) -> None:
        self._told = offset()
        self._take(ClockSet(self._told))
