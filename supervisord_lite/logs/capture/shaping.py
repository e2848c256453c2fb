"""How a stream and its shaper work together: what is called when, and what an error means.

A part of the stream, and used by its lane's thread alone.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from supervisord_lite.core.log import Log
from supervisord_lite.logs.capture.bench import Bench
from supervisord_lite.logs.capture.buffer import holds_bytes
from supervisord_lite.logs.capture.hop import Passage
from supervisord_lite.logs.capture.shaper import Shaper, shaping
from supervisord_lite.logs.capture.sink import Sink
from supervisord_lite.logs.files.file import LogFile


class Host(Protocol):
    """The stream, as seen from here."""

    name: str
    log: Log
    bench: Bench
    target: LogFile | Sink | None
    run: int | None
    size: int

    def attempt(self, act: Callable[[], None]) -> None: ...

    def fail(self, error: Exception) -> None: ...

    def await_room(self) -> None: ...

    def grew(self) -> None: ...


class Shaping:
    """The shaped way of one stream. `limited` are the bytes and lines that limits left out."""

    def __init__(self, host: Host, buffer: int, limited: tuple[int, int]) -> None:
        self._host = host
        self._before = limited
        self._shaper = Shaper(host.name, host.log, buffer)
        self.own_line = self._shaper.own_line
        self.fill = self._shaper.fill

    @property
    def waiting(self) -> int:
        """Bytes that are here."""
        return self._shaper.waiting

    @property
    def limited(self) -> tuple[int, int]:
        """Bytes and lines, ever."""
        (total, lines), (more, further) = self._before, self._shaper.limited
        return total + more, lines + further

    def write(self, target: LogFile | Sink, *, hurry: bool = False) -> None:
        """Write what can be written, and see to the rest when its time comes."""
        host, shaper = self._host, self._shaper
        try:
            shaper.settle(target, host.run or 0, hurry=hurry)
        finally:
            if isinstance(target, LogFile):
                host.size = target.size
        self._set(self._hurry, shaper.due)
        self._set(self.end_second, shaper.limited_until)

    def settle(self, *, hurry: bool = False) -> None:
        """The same for what is here, if it can be written at all."""
        host = self._host
        if host.target is None or not self._shaper.waiting:
            return
        try:
            self.write(host.target, hurry=hurry)
        except BlockingIOError:
            host.await_room()
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is this stream's trouble
            host.fail(error)
        host.grew()

    def resume(self, target: LogFile | Sink, pending: Passage | None) -> None:
        """Finish what was begun before the target was opened, and go on with what was taken in: it
        is of the run before.
        """
        host = self._host
        run = host.run
        if isinstance(target, LogFile):
            host.run = target.index.run
        try:
            self._shaper.resume(target)
            while pending and (count := pending.waiting()):
                self.fill(pending.read, count)
                self.write(target)
            self.write(target)
        except BlockingIOError:
            host.await_room()
        finally:
            host.run = run

    def end_run(self) -> None:
        """What is here is the last of a run."""
        self.settle(hurry=True)
        if self._host.target:
            self._host.attempt(partial(self._shaper.end_line, self._host.target))

    def end_second(self) -> None:
        """A limited second is over, or must be."""
        if self._shaper.limited_until is not None:
            self._host.attempt(partial(self._shaper.end_limited_second, self._host.target))
            self._host.grew()

    def drop(self) -> tuple[int, int]:
        """Throw away what is here: bytes and lines."""
        return self._shaper.drop()

    def close(self) -> None:
        """Let go of the buffer, and leave in it what is there."""
        self._shaper.close()

    def forget_timeouts(self) -> None:
        """Nothing of this can be written now."""
        for what in (self._hurry, self.end_second):
            self._host.bench.timeouts.clear(what)

    def _hurry(self) -> None:
        self.settle(hurry=True)

    def _set(self, what: Callable[[], None], at: float | None) -> None:
        if at is None:
            self._host.bench.timeouts.clear(what)
        else:
            self._host.bench.timeouts.set(what, max(at, time.monotonic()), what)


def shaping_for(
    host: Host, buffer: int | None, limited: tuple[int, int] = (0, 0)
) -> Shaping | None:
    """What a stream with such a log and such a buffer needs: nothing, if no byte is to be looked
    at and none waits there.
    """
    if buffer is None or not (shaping(host.log) or holds_bytes(buffer)):
        return None
    return Shaping(host, buffer, limited)
