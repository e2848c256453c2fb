"""The watchdog of one run: when no sign of life has come for its period, that is told, once.

Silence counts only while the worker could have spoken: not while it is stopped by a signal, not
while the machine slept or this daemon was held up. After each of these it has a fresh period, as
it has with a new manager. So it is looked at a few times in each period.
"""

import asyncio
import time
from collections.abc import Callable

from supervisord_lite.manager.probes.stillness import Stillness

_LOOKS = 4  # in a period; a worker gives its sign at least twice (sd_watchdog_enabled(3))


class Heartbeat:
    """Runs from its making until `stop`. `pid` tells the main process of the moment."""

    def __init__(self, period: float, pid: Callable[[], int], missed: Callable[[], None]) -> None:
        self.period = period
        self._pid = pid
        self._missed = missed
        self._loop = asyncio.get_running_loop()
        self._stillness = Stillness(period / _LOOKS)
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle
        self.beat()
        self._set()

    def beat(self) -> None:
        """A sign of life."""
        self._deadline = time.monotonic() + self.period

    def stop(self) -> None:
        self._timer.cancel()

    def _set(self) -> None:
        at = min(self._deadline, time.monotonic() + self._stillness.step)
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        if self._stillness.observe(self._pid()):
            self.beat()
        if time.monotonic() < self._deadline:
            self._set()
        else:
            self._missed()
