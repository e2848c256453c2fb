"""The view of a daemon in the foreground: what all workers say, line by line, each with its name.

A thread of its own reads the logs at offsets of its own and writes to the terminal. A terminal
that is stopped (Ctrl-S) stops nothing but this thread, which then lags behind the files; its
memory is bounded by one portion a stream.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from supervisord_lite.logs.escape import escape
from supervisord_lite.logs.reading.reader import Follower

_PORTION = 16 * 1024  # bytes of one stream a turn
_LONGEST = 8 * 1024  # bytes of a line that is shown before it ends
_ANNOUNCEMENTS = 10_000  # that wait at most; older ones are left out and counted
_PATIENCE = 250  # milliseconds between two looks at the clock of `stop`
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class _Source:
    """One stream on the console."""

    def __init__(self, name: str, path: str, colour: int) -> None:
        self.name = name
        self.colour = colour
        self.follower = Follower(path)
        self.partial = b""
        self.grew = True


class Console:
    """All methods may be called from any thread, and none of them waits, but `stop`."""

    def __init__(self, fd: int, *, colour: bool) -> None:
        self._fd = fd
        self._colour = colour
        self._sources: dict[str, _Source] = {}
        self._announced: deque[str] = deque()
        self._left_out = 0
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._deadline: float | None = None
        self._cut_short = False
        self._width = 0
        self._writable = select.poll()
        self._writable.register(fd, select.POLLOUT)
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def add(self, stream: str, name: str, path: str) -> Callable[[], None]:
        """Show this log from its present end on (looked up here and now: add a stream before its
        worker starts); call the answer whenever it grew.
        """
        source = _Source(name, path, _COLOURS[len(self._sources) % len(_COLOURS)])
        with self._lock:
            self._sources[stream] = source
            self._width = max(self._width, len(name))
        self._news.set()

        def wake() -> None:
            if not source.grew:
                source.grew = True
                self._news.set()

        return wake

    def remove(self, stream: str) -> None:
        """Show no more of this log."""
        with self._lock:
            self._sources.pop(stream, None)

    def announce(self, text: str) -> None:
        """Show a line of our own."""
        with self._lock:
            self._announced.append(text)
            if len(self._announced) > _ANNOUNCEMENTS:
                self._announced.popleft()
                self._left_out += 1
        self._news.set()

    def stop(self, timeout: float) -> bool:
        """Show what there is to show, for at most `timeout` seconds; whether all was shown."""
        self._deadline = time.monotonic() + timeout
        self._news.set()
        self._thread.join(timeout + 1.0)
        return not (self._cut_short or self._thread.is_alive())

    # In the console's thread.

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            stopping = self._deadline is not None
            while not self._expired() and self._turn():
                pass
            if stopping:
                break
        with self._lock:
            sources = list(self._sources.values())
        for source in sources:
            if source.partial:
                self._show(source, source.partial)
            source.follower.close()

    def _turn(self) -> bool:
        """Show one portion of everything that has news; whether there may be more."""
        self._show_announcements()
        with self._lock:
            sources = list(self._sources.values())
        shown = [self._show_portion(source) for source in sources if source.grew]
        return any(shown)

    def _show_announcements(self) -> None:
        with self._lock:
            texts, self._announced = self._announced, deque()
            left_out, self._left_out = self._left_out, 0
        if left_out:
            self._write(f"supervisord-lite: {left_out} announcements left out\n")
        for text in texts:
            self._write(escape(text.encode()) + "\n")

    def _show_portion(self, source: _Source) -> bool:
        source.grew = False  # before reading: what comes after it wakes us again
        try:
            data = source.follower.read(_PORTION)
        except OSError as error:
            self._write(f"cannot show {source.name}: {error.strerror}\n")
            return False
        if not data:
            return False
        source.grew = True
        lines = (source.partial + data).split(b"\n")
        source.partial = lines.pop()
        for line in lines:
            self._show(source, line)
        if len(source.partial) > _LONGEST:
            self._show(source, source.partial)
            source.partial = b""
        return True

    def _show(self, source: _Source, line: bytes) -> None:
        prefix = f"{source.name:{self._width}} | "
        if self._colour:
            prefix = f"\x1b[{source.colour}m{prefix}\x1b[0m"
        self._write(prefix + escape(line) + "\n")

    def _write(self, text: str) -> None:
        """Write all of it, however long the terminal takes, until the time of `stop` is over."""
        data = text.encode("utf-8", "backslashreplace")
        while data and not self._expired():
            if self._writable.poll(_PATIENCE):
                try:
                    data = data[os.write(self._fd, data[:512]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    return  # nobody looks any more
        self._cut_short |= bool(data)

    def _expired(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline
