"""Readiness by what the worker writes: a line of the run's output matches a regular expression.

Lines are read from the log, from where the run's output begins, so that none is missed that was
written while no manager was there, or before this one looked. The expressions are RE2's: matching
takes time in proportion to the line, whatever the expression. Files are read in threads.
"""

import asyncio
import threading
from collections.abc import Callable

import re2

from supervisord_lite.core.event import BecameReady, Finding
from supervisord_lite.logs.files.run_start import run_start
from supervisord_lite.logs.reading.reader import Follower, tail
from supervisord_lite.manager.output.streams import logged_streams
from supervisord_lite.manager.probes.active_probes import Subject
from supervisord_lite.manager.probes.bystander import Bystander
from supervisord_lite.manager.probes.run_clock import beginning

_LONGEST = 64 * 1024  # bytes of a line that are looked at
_PIECE = 64 * 1024
_SLACK = 1.0  # seconds by which the mark of a run may be older than its process

Wake = Callable[[], None]
WatchOutput = Callable[[str, Wake], Wake]


class Lines:
    """Whole lines out of pieces; of a long one only the beginning, as soon as that is there."""

    def __init__(self) -> None:
        self._part = b""
        self._skipping = False  # to the end of a line that was given already

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes, without their ends."""
        *whole, rest = (self._part + piece).split(b"\n")
        lines = [line[:_LONGEST].removesuffix(b"\r") for line in whole]
        if self._skipping and whole:
            del lines[0]
            self._skipping = False
        if self._skipping:
            rest = b""
        elif len(rest) >= _LONGEST:
            lines.append(rest[:_LONGEST])
            self._skipping, rest = True, b""
        self._part = rest
        return lines


class _Scan:
    """One log, read from the run's beginning on, in a thread that nobody else waits for."""

    def __init__(self, path: str, run: int, since: float, matches: Callable[[str], object]) -> None:
        self._path = path
        self._run = run
        self._since = since
        self._matches = matches
        self._lines = Lines()
        self._lock = threading.Lock()  # nobody closes a file that a thread reads
        self._follower: Follower | None = None
        self._otherwise: str | None = None  # where to begin if no index tells of the run
        self._closed = False
        self._bystander = Bystander()

    async def finds(self) -> bool:
        """Whether the line is in what is new now."""
        found: bool | None = False
        while found is False:
            try:
                found = await self._bystander.call(self._step)
            except OSError:  # the log may be readable when it grows the next time
                found = None
        return bool(found)

    def close(self) -> None:
        """Let go of the file, at once or as soon as the thread that reads it is done."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            if self._follower is not None:
                self._follower.close()
                self._follower = None
            self._lock.release()

    # In the thread.

    def _step(self) -> bool | None:
        """Read on: whether the line is there, None if there is nothing new. OSError."""
        try:
            with self._lock:
                return self._read_on()
        finally:
            if self._closed:
                self.close()

    def _read_on(self) -> bool | None:
        if self._closed or not self._open():
            return None
        assert self._follower is not None, "it is open"
        piece = self._follower.read(_PIECE)
        lines = self._lines.feed(piece)
        if any(self._matches(line.decode(errors="replace")) for line in lines):
            return True
        return False if piece else None

    def _open(self) -> bool:
        """Begin where the run does. Its mark is made by the data plane in its own time, but before
        any of its output; without an index, the end of what was there before that has to do.
        """
        if self._follower is None:
            position = run_start(self._path, self._run, self._since) or self._otherwise
            if position is None:
                self._otherwise = tail(self._path, 0)
                return False
            self._follower = Follower(self._path, position)
        return True


async def until_line(
    subject: Subject, pattern: str, watch: WatchOutput, take: Callable[[Finding], None]
) -> None:
    """Wait for a matching line in the output of a run, and tell of it."""
    spec, state = subject.instance.spec, subject.state
    logs = list(logged_streams(spec))
    since = beginning(state)() - _SLACK
    matches = re2.compile(pattern).search
    scans = [_Scan(log.path, state.run, since, matches) for _, log in logs]
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def wake() -> None:
        if not news.is_set():
            loop.call_soon_threadsafe(news.set)

    cancels = [watch(stream, wake) for stream, _ in logs]
    try:
        while True:
            news.clear()  # before looking: what is written from now on wakes us again
            for scan in scans:
                if await scan.finds():
                    take(BecameReady(spec.name, state.run))
                    return
            await news.wait()
    finally:
        for cancel in cancels:
            cancel()
        for scan in scans:
            scan.close()
