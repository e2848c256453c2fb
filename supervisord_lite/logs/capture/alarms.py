"""Times of the wall clock at which something is to be done about a log file: rotated, or removed.

One timer a lane, set to the earliest of them and made when the first is asked for: where no log is
rotated by the clock there is none, and nobody ever wakes up.
"""

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

from supervisord_lite.linux.clock import WallAlarm
from supervisord_lite.logs import poller
from supervisord_lite.logs.poller import Poller

_SPARE = 16  # times not in force that may wait to be skipped


class Alarms:
    """For one lane's thread."""

    def __init__(self, wait: Poller) -> None:
        self._poller = wait
        self._alarm: WallAlarm | None = None
        self._asked: dict[object, tuple[int, Callable[[], None]]] = {}
        self._times: list[tuple[float, int, object]] = []  # a heap; those not in force are skipped
        self._numbers = count()
        self._armed: float | None = None

    def set(self, who: object, at: float | None, act: Callable[[], None]) -> None:
        """Call `act` at this time, in seconds since the epoch, and not at the one set before; None:
        not at all.
        """
        self._asked.pop(who, None)
        if at is not None:
            number = next(self._numbers)
            self._asked[who] = number, act
            heappush(self._times, (at, number, who))
        if len(self._times) > 2 * len(self._asked) + _SPARE:
            self._times = [entry for entry in self._times if self._in_force(entry)]
            heapify(self._times)
        if at is not None or self._alarm is not None:
            self._arm()

    def close(self) -> None:
        """Give back the timer."""
        if self._alarm is not None:
            self._poller.remove(self._alarm.fd)
            self._alarm.close()

    def _arm(self) -> None:
        while self._times and not self._in_force(self._times[0]):
            heappop(self._times)
        first = self._times[0][0] if self._times else None
        if first == self._armed:
            return
        if self._alarm is None:
            self._alarm = WallAlarm()
            self._poller.add(self._alarm.fd, poller.IN, self._ring)
        self._alarm.set(first)
        self._armed = first

    def _in_force(self, entry: tuple[float, int, object]) -> bool:
        _, number, who = entry
        return who in self._asked and self._asked[who][0] == number

    def _ring(self, _events: int) -> None:
        self._armed = None  # it has gone off, and does so until it is set again
        now = time.time()
        due = []
        while self._times and self._times[0][0] <= now:
            entry = heappop(self._times)
            if self._in_force(entry):
                due.append(self._asked.pop(entry[2])[1])
        for act in due:
            act()
        self._arm_again()

    def _arm_again(self) -> None:
        assert self._alarm is not None, "it has gone off"
        if self._armed is None:
            self._alarm.set(None)
        self._arm()
