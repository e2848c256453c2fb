"""A lane: the thread that moves the bytes of all logs on one file system.

It is alone with its hop, so that a disk that does not answer holds up nobody else's logs, and
never the thread that decides. Orders are posted to it and carried out between two steps, when
the hop is empty. With nothing to move it sleeps without a timeout.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable

from supervisord_lite.core.log import Log
from supervisord_lite.logs import poller
from supervisord_lite.logs.capture.alarms import Alarms
from supervisord_lite.logs.capture.bench import Bench
from supervisord_lite.logs.capture.growth import Growths
from supervisord_lite.logs.capture.hop import Hop, Passage
from supervisord_lite.logs.capture.stream import Held, Stream
from supervisord_lite.logs.capture.timeouts import Timeouts
from supervisord_lite.logs.capture.watchdog import Watchdog
from supervisord_lite.logs.event import LogEvent
from supervisord_lite.logs.feeds.tap import Openings
from supervisord_lite.logs.poller import Poller

_RETRY = 1.0  # seconds between two attempts of a stream in trouble

Order = Callable[[], None]


class Lane:
    """`post`, `enter`, `move`, `start` and `stop` are for the caller's thread."""

    def __init__(
        self, place: str, hop: Hop, report: Callable[[LogEvent], None], watchdog: Watchdog
    ) -> None:
        self.place = place
        self.busy_since = 0.0  # CLOCK_MONOTONIC; 0: it sleeps
        self._watchdog = watchdog
        self._orders: deque[Order] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._streams: dict[str, Stream] = {}
        self._deferred: dict[Stream, list[Order]] = {}  # which came before their streams
        self._stopped = False  # in the caller's thread
        self._over = False  # in the lane's
        self._retry_at = 0.0
        wait = Poller()
        timeouts = Timeouts()
        told = Openings(wait, timeouts), Alarms(wait), Growths(wait, timeouts), timeouts
        self._bench = Bench(Passage(hop), report, wait, *told)
        wait.add(self._bell, poller.IN, self._rung)
        self._thread = threading.Thread(target=self._run, name=f"logs {place}", daemon=True)

    def post(self, order: Order) -> None:
        """Have an order carried out; after `stop`, none is."""
        if not self._stopped:
            self._orders.append(order)
            os.eventfd_write(self._bell, 1)

    def tell(self, stream: Stream, order: Order) -> None:
        """Have an order about a stream carried out, once the stream is here."""
        self.post(lambda: self._carry_out(stream, order))

    def enter(self, stream: Stream) -> None:
        """Take over a stream that no lane has."""
        self.post(lambda: self._take_in(stream))

    def leave(self, stream: Stream, done: Callable[[], object]) -> None:
        """Log what is in the stream's pipe now, let go of it, and call `done`."""

        def order() -> None:
            stream.finish()
            stream.discard_pending()
            stream.grew()  # who follows it finds that it is over
            self._let_go(stream)
            stream.close()
            done()

        self.tell(stream, order)

    def move(self, stream: Stream, log: Log, held: Held, target: "Lane") -> None:
        """Hand a stream over to another lane. That one touches its pipe only when this one is
        through with it: two at one pipe would mix up its bytes.
        """

        def order() -> None:
            stream.drain()
            self._let_go(stream)
            stream.switch(log, held)
            stream.relay = held.relay
            target.enter(stream)

        self.tell(stream, order)

    def passed(self) -> threading.Event:
        """An event that comes once everything that was posted until now is done."""
        done = threading.Event()
        self.post(done.set)
        return done

    def drained(self, stream: Stream) -> threading.Event:
        """An event that comes once all that is in the stream's pipe now is in its file."""
        done = threading.Event()

        def order() -> None:
            stream.finish()
            if not stream.waits:
                done.set()

        self.tell(stream, order)
        return done

    def watch_growth(self, path: str, tell: Order) -> None:
        """Call `tell` in this thread whenever the file at this path grew; others write it."""
        self.post(lambda: self._bench.growths.watch(path, tell))

    def unwatch_growth(self, path: str) -> None:
        """Tell no more."""
        self.post(lambda: self._bench.growths.unwatch(path))

    def aim_again(self, path: str) -> None:
        """What is watched there may have come only now."""
        self.post(lambda: self._bench.growths.aim_again(path))

    def reopen(self) -> threading.Event:
        """Open all logs again by their names; the event comes once that is done."""

        def order() -> None:
            for stream in self._streams.values():
                stream.reopen()

        self.post(order)
        return self.passed()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present step."""

        def order() -> None:
            self._over = True

        self.post(order)
        self._stopped = True

    def join(self, timeout: float) -> bool:
        """Wait for the end; False if it has not come."""
        if self._thread.ident is None:
            self._bench.close()
        else:
            self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        os.close(self._bell)
        return True

    # In the lane's thread.

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._over:
            ready = self._bench.poller.wait(self._timeout())
            self.busy_since = time.monotonic()
            if not self._watchdog.awake:
                self._watchdog.rouse()
            # First what was ordered: a run's beginning is told before anything of it can be here.
            self._obey()
            for fd, events in ready:
                self._bench.poller.handle(fd, events)
            self._bench.timeouts.ring()
            if self._bench.retries and self.busy_since >= self._retry_at:
                self._retry()
            self.busy_since = 0.0
        for stream in list(self._streams.values()):
            self._let_go(stream)
            stream.close()
        self._bench.close()

    def _timeout(self) -> float | None:
        at = self._bench.timeouts.next
        if self._bench.retries:
            at = self._retry_at if at is None else min(at, self._retry_at)
        return None if at is None else max(0.0, at - time.monotonic())

    def _retry(self) -> None:
        for stream in list(self._bench.retries):
            stream.retry()
        self._retry_at = time.monotonic() + _RETRY

    def _rung(self, _events: int) -> None:
        os.eventfd_read(self._bell)
        self._obey()

    def _obey(self) -> None:
        while self._orders and not self._over:
            self._orders.popleft()()

    def _take_in(self, stream: Stream) -> None:
        self._streams[stream.name] = stream
        stream.begin(self._bench)
        for order in self._deferred.pop(stream, ()):
            self._carry_out(stream, order)  # one of them may have it leave again

    def _carry_out(self, stream: Stream, order: Order) -> None:
        if self._streams.get(stream.name) is stream:
            order()
        else:
            self._deferred.setdefault(stream, []).append(order)

    def _let_go(self, stream: Stream) -> None:
        del self._streams[stream.name]
        stream.part()
