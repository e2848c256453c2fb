"""The loop around the core: one event in, its orders carried out, one alarm set. Nothing else.

It runs to completion: between taking an event and having sent its orders nothing is awaited, so
no other event can come between.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from supervisord_lite.core.command import Command
from supervisord_lite.core.event import AlarmRang, Event
from supervisord_lite.core.fleet import Fleet


class CoreLoop:
    """Feeds a fleet in an event loop. Events that come up while one is carried out wait."""

    def __init__(self, fleet: Fleet, carry_out: Callable[[list[Command]], None]) -> None:
        self.fleet = fleet
        self._carry_out = carry_out
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None

    def take(self, event: Event) -> None:
        """Step the fleet and have its orders carried out."""
        self._carry_out(self.fleet.step(event, time.monotonic()))
        self._set_alarm()

    def recover(self, wishes: Mapping[str, bool]) -> None:
        """Say again what an earlier manager may not have got through."""
        self._carry_out(self.fleet.recover(time.monotonic(), wishes))
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake up at the fleet's deadline. An alarm that is too early does no harm: it rings, and
        is set anew; so it is replaced only by an earlier one.
        """
        deadline = self.fleet.deadline()
        if deadline is None or (self._alarm is not None and self._alarm.when() <= deadline):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        # The event loop's clock is CLOCK_MONOTONIC, as is the core's.
        self._alarm = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.take(AlarmRang())
