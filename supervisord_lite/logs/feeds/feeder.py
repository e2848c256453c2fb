"""The feeder: the thread that shows lines to those who are fed, beside the taps of single logs.

It reads log files and writes to FIFOs, sockets and the daemon's own output, and never waits for
any of them: who does not read delays only what is sent to itself. With nothing to send, or nobody
to send it to, it sleeps without a timeout. A feed that fails in a way that nobody foresaw is ended
and told of, and the others go on.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from supervisord_lite.logs import poller
from supervisord_lite.logs.capture.timeouts import Timeouts
from supervisord_lite.logs.event import LogEvent, Noticed
from supervisord_lite.logs.feeds.tap import Openings
from supervisord_lite.logs.poller import Poller

_ANSWER = 2.0  # seconds that a status may take
_GRACE = 5.0  # seconds that the thread has for its end, beside what it was given

Order = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a feed has come. `read`: somebody takes what it sends. `since`: when the line came
    that is to be sent next, in nanoseconds since the epoch, if there is one. `places`: the position
    in each log, by path; none while nobody reads.
    """

    read: bool
    trouble: str | None
    since: int | None
    places: Mapping[str, str]


class Feed(Protocol):
    """What the feeder drives. `turn` sends a portion and tells whether to go on at once; until
    `retry_at` (CLOCK_MONOTONIC) it is not called. `behind`: there is something to send, and
    somebody to take it.
    """

    @property
    def retry_at(self) -> float | None: ...

    @property
    def behind(self) -> bool: ...

    def turn(self) -> bool: ...

    def finish(self, *, unfinished: bool) -> None: ...

    def check(self) -> None: ...

    def progress(self) -> Progress: ...

    def close(self) -> None: ...


class Feeder:
    """`enter`, `leave`, `post`, `stir` and `stop` may be called in any thread."""

    def __init__(self, report: Callable[[LogEvent], None]) -> None:
        self._report = report
        self._ringing = threading.Lock()  # against the end, after which there is no bell
        self.poller = Poller()
        self._timeouts = Timeouts()
        self.openings = Openings(self.poller, self._timeouts)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._orders: deque[Order] = deque()
        self._stirred: set[str] = set()
        self._feeds: dict[str, Feed] = {}
        self._finish_by: float | None = None
        self._stopped = False
        self.poller.add(self._bell, poller.IN, self._rung)
        self._thread = threading.Thread(target=self._run, name="feeds", daemon=True)

    def start(self) -> None:
        """Begin; what was posted before is done first."""
        self._thread.start()

    def post(self, order: Order) -> None:
        """Have something done in the feeder's thread."""
        self._orders.append(order)
        self._ring()

    def stir(self, name: str) -> None:
        """A feed may have something to do."""
        if name not in self._stirred:
            self._stirred.add(name)
            self._ring()

    def enter(self, name: str, make: Callable[[], Feed]) -> None:
        """Begin to feed; the feed is made in the feeder's thread."""

        def order() -> None:
            try:
                self._feeds[name] = make()
            except Exception as error:  # noqa: BLE001 -- see the module
                self._give_up(name, error)
            else:
                self._stirred.add(name)

        self.post(order)

    def leave(self, name: str) -> None:
        """End a feed."""

        def order() -> None:
            feed = self._feeds.pop(name, None)
            if feed is not None:
                feed.close()

        self.post(order)

    def check(self) -> None:
        """Look whether everything that is fed is still what its path names."""

        def order() -> None:
            for feed in self._feeds.values():
                feed.check()

        self.post(order)

    def progress(self) -> dict[str, Progress]:
        """How far each feed has come; nothing where the thread hangs. Waits: not for a loop."""
        found: dict[str, Progress] = {}
        done = threading.Event()

        def order() -> None:
            found.update({name: feed.progress() for name, feed in self._feeds.items()})
            done.set()

        self.post(order)
        return found if done.wait(_ANSWER) else {}

    def stop(self, timeout: float, *, unfinished: bool) -> bool:
        """Send what there is to send, lines without an end too if they will get none any more, for
        at most so many seconds, and end; whether it has.
        """

        def order() -> None:
            self._finish_by = time.monotonic() + timeout
            for name, feed in self._feeds.items():
                feed.finish(unfinished=unfinished)
                self._stirred.add(name)

        if self._thread.ident is None:
            self._release()
            return True
        self.post(order)
        self._thread.join(timeout + _GRACE)
        return not self._thread.is_alive()

    # In the feeder's thread.

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        busy: set[str] = set()
        while not self._is_over():
            ready = self.poller.wait(0 if busy else self._timeout())
            for fd, events in ready:
                self.poller.handle(fd, events)
            self._timeouts.ring()
            # Once the bell was read, as what comes now rings it again.
            while self._orders:
                self._orders.popleft()()
            while self._stirred:
                busy.add(self._stirred.pop())
            now = time.monotonic()
            busy |= {
                name for name, feed in self._feeds.items() if (feed.retry_at or now + 1) <= now
            }
            busy = {name for name in busy if name in self._feeds and self._turn(name, now)}
        self._release()

    def _turn(self, name: str, now: float) -> bool:
        feed = self._feeds[name]
        try:
            return feed.turn() if (feed.retry_at or now) <= now else False
        except Exception as error:  # noqa: BLE001 -- see the module
            self._give_up(name, error)
            return False

    def _give_up(self, name: str, error: Exception) -> None:
        self._report(Noticed(name, f"cannot go on with {name}: {error!r}"))
        feed = self._feeds.pop(name, None)
        if feed is not None:
            feed.close()

    def _is_over(self) -> bool:
        if self._finish_by is None or self._stirred:
            return False
        behind = any(feed.behind for feed in self._feeds.values())
        return not behind or time.monotonic() >= self._finish_by

    def _timeout(self) -> float | None:
        times = [feed.retry_at for feed in self._feeds.values() if feed.retry_at is not None]
        times += [at for at in (self._finish_by, self._timeouts.next) if at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _release(self) -> None:
        with self._ringing:
            self._stopped = True
        for feed in self._feeds.values():
            feed.close()
        self.openings.close()
        self.poller.close()
        os.close(self._bell)

    def _ring(self) -> None:
        with self._ringing:
            if not self._stopped:
                os.eventfd_write(self._bell, 1)

    def _rung(self, _events: int) -> None:
        os.eventfd_read(self._bell)
