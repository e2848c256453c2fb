"""A tap: a FIFO through which anyone reads a live copy of a log with `cat`.

Its write end is always held, so a reader's open never waits; inotify tells of the open. From then
on the reader is fed from the log file, at an offset of its own, beginning with the line that is
being written. It may be as slow as it likes: it lags, and what rotation takes from it meanwhile
is counted in a marker line. When it is gone, what it left is thrown away. When this process is
killed, the next one goes on feeding it: see `relay`.
"""

import os
from collections.abc import Callable

from supervisord_lite.core.log import Log
from supervisord_lite.linux import fifo
from supervisord_lite.linux.inotify import IN_OPEN, Inotify
from supervisord_lite.logs import poller
from supervisord_lite.logs.directory import make_parents
from supervisord_lite.logs.event import LogEvent, Noticed, TapClosed, TapOpened
from supervisord_lite.logs.poller import Poller
from supervisord_lite.logs.reader import Follower
from supervisord_lite.logs.relay import Relay

_MODE = 0o640


class Openings:
    """Tells who was opened. One inotify instance, made when the first path is watched."""

    def __init__(self, wait: Poller) -> None:
        self._poller = wait
        self._inotify: Inotify | None = None
        self._told: dict[int, Callable[[], None]] = {}

    def watch(self, path: str, tell: Callable[[], None]) -> int:
        """Call `tell` when the file at `path` has been opened; answers the watch's number."""
        if self._inotify is None:
            self._inotify = Inotify()
            self._poller.add(self._inotify.fd, poller.IN, self._dispatch)
        watch = self._inotify.watch(path, IN_OPEN)
        self._told[watch] = tell
        return watch

    def unwatch(self, watch: int) -> None:
        """Stop telling."""
        assert self._inotify is not None, "there is a watch"
        self._inotify.unwatch(watch)
        del self._told[watch]

    def close(self) -> None:
        """Give back the inotify instance."""
        if self._inotify is not None:
            self._poller.remove(self._inotify.fd)
            self._inotify.close()

    def _dispatch(self, _events: int) -> None:
        assert self._inotify is not None, "its descriptor told"
        for watch in self._inotify.events():
            tell = self._told.get(watch)
            if tell is not None:
                tell()


class Tap:
    """The tap of one stream. A path that cannot be a tap is told of, and tried again on `check`."""

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
        self.path = log.tap
        self._stream = stream
        self._log = log.path
        self._relay = relay
        self._poller = wait
        self._openings = openings
        self._report = report
        self._held: tuple[int, int] | None = None  # write end, watch
        self._follower: Follower | None = None
        self._open()

    def feed(self) -> None:
        """Give the reader a portion of what is new, and arrange for the rest."""
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
            self._report(Noticed(self._stream, f"cannot make tap {self.path}: {error.strerror}"))
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
        fifo.make(self.path, _MODE)
        fd = fifo.open_write_end(self.path)
        self._relay.keep(fd)
        return fd

    def _opened(self) -> None:
        if self._held is None or self._follower is not None or not fifo.has_reader(self._held[0]):
            return
        position = self._relay.left_at()
        self._follower = Follower(self._log, position, whole_lines=True)
        self._poller.add(self._held[0], 0, self._happened)
        if position is None:
            self._relay.begin(self._follower.position)
            self._report(TapOpened(self._stream, self.path))
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
        self._report(TapClosed(self._stream, self.path))
        self._opened()  # the next reader may have come before the last one's traces were gone

    def _discard(self, fd: int) -> None:
        self._relay.forget()
        fifo.discard(fd)

    def _stop_feeding(self, fd: int) -> None:
        if self._follower is not None:
            self._poller.remove(fd)
            self._follower.close()
        self._follower = None

    def _write(self, fd: int, follower: Follower) -> bool:
        """Write a portion; whether there may be more."""
        if self._relay.is_empty():
            data = follower.read(self._relay.room)
            if not data:
                return False
            self._relay.fill(data, follower.position)
        self._relay.pass_on(fd)
        return True
