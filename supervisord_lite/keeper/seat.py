"""The manager's seat: one process sits in it, and when it dies another is put there.

The seat starts managers, sees that they answer, and counts their deaths. It never gives up, for
the workers are alive; after three deaths in half a minute the next manager is told to hold: to
restore, to log, to answer, and to start nothing by itself.
"""

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from supervisord_lite.keeper import protocol
from supervisord_lite.keeper.job import Answer, Job
from supervisord_lite.keeper.protocol import BrokenLink, Link, Packet
from supervisord_lite.keeper.spawner import DEADLINE, Spawner

WATCHDOG = 10.0  # seconds that a packet may stay unacknowledged
_LINK = 3  # where a manager finds its end of the link
_DEATHS = 3
_WITHIN = 30.0
_PAUSE = 1.0  # seconds between managers that die at once, once they are told to hold


class Seat:
    """Owns the manager's process and the keeper's end of the link to it.

    Packets told while nobody sits there are dropped: a new manager is told all facts anyway.
    """

    def __init__(self, spawner: Spawner, argv: Sequence[str], *, hold: bool) -> None:
        self.pid = 0
        self.link: Link | None = None
        self.last_words: str | None = None
        self.deaths: deque[float] = deque(maxlen=_DEATHS)
        self.held_by_wish = hold
        self._spawner = spawner
        self._argv = argv
        self._sent = 0
        self._unacknowledged: deque[tuple[int, float]] = deque()
        self._start_at: float | None = 0.0

    @property
    def hold(self) -> bool:
        """Whether the manager is to start nothing by itself."""
        now = time.monotonic()
        recent = len(self.deaths) == _DEATHS and now - self.deaths[0] < _WITHIN
        return self.held_by_wish or recent

    def deadline(self) -> float | None:
        """When `attend` is due."""
        if self._start_at is not None:
            return self._start_at
        waits = self._unacknowledged and self.pid
        return self._unacknowledged[0][1] + WATCHDOG if waits else None

    def start_due(self, now: float) -> bool:
        return self._start_at is not None and now >= self._start_at

    def start(
        self,
        environment: dict[str, str],
        streams: Sequence[int],
        on_answer: Callable[[Answer], None],
    ) -> None:
        """Put a manager into the seat; `on_answer` hears whether it came to be."""
        # Should nothing come of the following: try again.
        self._start_at = time.monotonic() + DEADLINE + _PAUSE
        ours, theirs = protocol.pair()
        self.link = Link(ours)
        self._sent = 0
        self._unacknowledged.clear()
        job = Job(self._argv, ".", environment, extra=(_LINK,))  # ours: it may be gone by now

        def answered(answer: Answer) -> None:
            theirs.close()
            self._start_at = None
            on_answer(answer)

        self._spawner.submit(lambda: (job, (*streams, theirs.fileno())), answered, first=True)

    def tell(self, packet: Packet, descriptors: Sequence[int] = ()) -> int:
        """Tell the manager something; the number by which it will be acknowledged."""
        if self.link is None:
            return 0
        self._sent += 1
        self._unacknowledged.append((self._sent, time.monotonic()))
        with contextlib.suppress(BrokenLink):  # its death is told by its exit status
            self.link.send({"n": self._sent} | packet, descriptors)
        return self._sent

    def acknowledge(self, number: int) -> None:
        while self._unacknowledged and self._unacknowledged[0][0] <= number:
            self._unacknowledged.popleft()

    def bite(self, now: float) -> None:
        """The watchdog: kill a manager that has not acknowledged in time."""
        late = self._unacknowledged and now >= self._unacknowledged[0][1] + WATCHDOG
        if not (late and self.pid):
            return
        self.last_words = f"killed: it had not answered for {WATCHDOG:.0f} s"
        self._unacknowledged.clear()
        os.kill(self.pid, signal.SIGKILL)

    def pardon(self, now: float) -> None:
        """Count the time of everything that is unacknowledged from now on."""
        self._unacknowledged = deque((number, now) for number, _ in self._unacknowledged)

    def dismiss(self) -> None:
        """The manager has let go of its link; see that it ends."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def vacate(self, now: float) -> None:
        """The manager is dead and its last packets are obeyed: another one is due."""
        if self.link is not None:
            self.link.close()
        self.link = None
        self.pid = 0
        self._unacknowledged.clear()
        self.deaths.append(now)
        self._start_at = now + _PAUSE if self.hold and not self.held_by_wish else now

    def welcome(self) -> dict[str, Any]:
        """What a manager is told about its predecessors."""
        words, self.last_words = self.last_words, None
        return {"hold": self.hold, "deaths": len(self.deaths), "last_words": words}
