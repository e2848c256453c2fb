"""A tap: a FIFO through which anyone reads a live copy of a log, or of several, with `cat`.

Its write end is always held, so a reader's open never waits; inotify tells of the open. From then
on the reader is fed from the log files, at an offset of its own, beginning with the line that is
being written. It may be as slow as it likes: it lags, and what rotation takes from it meanwhile
is counted in a marker line. When it is gone, what it left is thrown away. When this process is
killed, the next one goes on feeding it: see `relay`.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from supervisord_lite.core.log import Log
from supervisord_lite.linux import fifo
from supervisord_lite.linux.inotify import EXHAUSTED, IN_OPEN, Inotify
from supervisord_lite.logs import poller
from supervisord_lite.logs.capture.timeouts import Timeouts
from supervisord_lite.logs.directory import make_parents
from supervisord_lite.logs.event import LogEvent, Noticed, TapClosed, TapOpened
from supervisord_lite.logs.feeds.relay import Relay
from supervisord_lite.logs.poller import Poller
from supervisord_lite.logs.reading.reader import Follower

_MODE = 0o640
_LOOK = 1.0  # seconds


class Openings:
    """Tells who was opened. One inotify instance, made when the first path is watched. Where the
    kernel has no instance or no watch left, once a second, whether or not it was.
    """

    def __init__(self, wait: Poller, timeouts: Timeouts) -> None:
        self._poller = wait
        self._timeouts = timeouts
        self._inotify: Inotify | None = None
        self._told: dict[int, Callable[[], None]] = {}
        self._unseen = 0  # the last number of a watch that the kernel does not have; below 0

    def watch(self, path: str, tell: Callable[[], None]) -> int:
        """Call `tell` when the file at `path` has been opened; answers the watch's number."""
        try:
            watch = self._instance().watch(path, IN_OPEN)
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            watch = self._unseen = self._unseen - 1
            self._look_later(watch)
        self._told[watch] = tell
        return watch

    def unwatch(self, watch: int) -> None:
        """Stop telling."""
        del self._told[watch]
        if watch < 0:
            self._timeouts.clear((self, watch))
            return
        assert self._inotify is not None, "there is a watch"
        self._inotify.unwatch(watch)

    def close(self) -> None:
        """Give back the inotify instance."""
        if self._inotify is not None:
            self._poller.remove(self._inotify.fd)
            self._inotify.close()

    def _instance(self) -> Inotify:
        if self._inotify is None:
            self._inotify = Inotify()
            self._poller.add(self._inotify.fd, poller.IN, self._dispatch)
        return self._inotify

    def _look_later(self, watch: int) -> None:
        self._timeouts.set((self, watch), time.monotonic() + _LOOK, partial(self._look, watch))

    def _look(self, watch: int) -> None:
        self._look_later(watch)
        self._told[watch]()

    def _dispatch(self, _events: int) -> None:
        assert self._inotify is not None, "its descriptor told"
        for watch in self._inotify.events():
            tell = self._told.get(watch)
            if tell is not None:
                tell()


class Reading(Protocol):
    """What a reader is fed: bytes from a position on. `read` answers at most `count` of them, and
    nothing while there are none.
    """

    @property
    def position(self) -> str: ...

    def read(self, count: int) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the FIFO is, and who may read it."""

    path: str
    mode: int = _MODE


class Faucet:
    """A FIFO and what flows out of it: `reading` answers that, for a reader that goes on at a
    position or, without one, begins. A path that cannot be a tap is told of, and tried again on
    `check`.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        relay: Relay,
        wait: Poller,
        openings: Openings,
        report: Callable[[LogEvent], None],
        reading: Callable[[str | None], Reading],
    ) -> None:
        self.path = place.path
        self._name = name
        self._mode = place.mode
        self._reading = reading
        self._relay = relay
        self._poller = wait
        self._openings = openings
        self._report = report
        self._held: tuple[int, int] | None = None  # write end, watch
        self._follower: Reading | None = None
        self._waits = False  # there is a reader, and what it wants cannot be opened
        self._open()

    @property
    def is_read(self) -> bool:
        """Whether there is a reader."""
        return self._follower is not None

    def feed(self) -> None:
        """Give the reader a portion of what is new, and arrange for the rest."""
        if self._waits:
            self._opened()
            return
        if self._follower is None or self._held is None:
            return
        fd = self._held[0]
        try:
            behind = self._write(fd, self._follower)
        except BlockingIOError:
            behind = True
        except OSError:
            self._departed()
            return
        self._poller.change(fd, poller.OUT if behind else 0)

    def check(self) -> None:
        """Look whether the FIFO is still the one at this path, and open that one if not."""
        if self._held is None or not self._is_current(self._held[0]):
            self.close()
            self._open()

    def close(self) -> None:
        """Let go of the FIFO; a reader sees the end, unless the relay is kept elsewhere."""
        if self._held is None:
            return
        (fd, watch), self._held = self._held, None
        self._stop_feeding(fd)
        self._openings.unwatch(watch)
        os.close(fd)

    def _open(self) -> None:
        fd = self._relay.take_fifo()
        if fd is not None and not self._is_current(fd):
            os.close(fd)
            fd = None
        try:
            if fd is None:
                fd = self._make()
            self._held = fd, self._openings.watch(self.path, self._opened)
        except OSError as error:
            if fd is not None:
                os.close(fd)
            self._relay.keep(None)
            self._say(f"cannot make tap {self.path}", error)
            return
        if not fifo.has_reader(fd) or self._relay.left_at() is None:
            self._discard(fd)
        self._opened()  # a reader may have been there first

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self.path))
        except OSError:
            return False

    def _make(self) -> int:
        self._relay.forget()
        make_parents(self.path)
        fifo.make(self.path, self._mode)
        fd = fifo.open_write_end(self.path)
        try:
            self._relay.keep(fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _opened(self) -> None:
        told, self._waits = self._waits, False
        if self._held is None or self._follower is not None or not fifo.has_reader(self._held[0]):
            return
        position = self._relay.left_at()
        try:
            self._follower = self._reading(position)
        except OSError as error:  # it is tried again when there is something new
            self._waits = True
            if not told:
                self._say(f"cannot show what tap {self.path} is for", error)
            return
        self._poller.add(self._held[0], 0, self._happened)
        if position is None:
            self._relay.begin(self._follower.position)
            self._report(TapOpened(self._name, self.path))
        self.feed()

    def _happened(self, events: int) -> None:
        if events & poller.ERR:
            self._departed()
        else:
            self.feed()

    def _departed(self) -> None:
        assert self._held is not None, "it was being fed"
        self._stop_feeding(self._held[0])
        self._discard(self._held[0])
        self._report(TapClosed(self._name, self.path))
        self._opened()  # the next reader may have come before the last one's traces were gone

    def _discard(self, fd: int) -> None:
        self._relay.forget()
        try:
            fifo.discard(fd)
        except OSError as error:
            self._say(f"cannot empty tap {self.path}", error)

    def _say(self, text: str, error: OSError) -> None:
        self._report(Noticed(self._name, f"{text}: {error.strerror}"))

    def _stop_feeding(self, fd: int) -> None:
        if self._follower is not None:
            self._poller.remove(fd)
            self._follower.close()
        self._follower = None

    def _write(self, fd: int, follower: Reading) -> bool:
        """Write a portion; whether there may be more."""
        if self._relay.is_empty():
            data = b""
            with suppress(OSError):  # it is tried again when there is something new
                data = follower.read(self._relay.room)
            if not data:
                return False
            self._relay.fill(data, follower.position)
        self._relay.pass_on(fd)
        return True


class Tap(Faucet):
    """The tap of one stream, which shows its bytes as they are."""

    def __init__(
        self,
        stream: str,
        log: Log,
        relay: Relay,
        wait: Poller,
        openings: Openings,
        report: Callable[[LogEvent], None],
    ) -> None:
        assert log.tap is not None, "a log without a tap needs none"
        reading = partial(Follower, log.path, whole_lines=True)
        super().__init__(stream, Place(log.tap), relay, wait, openings, report, reading)
