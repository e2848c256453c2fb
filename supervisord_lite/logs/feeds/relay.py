"""The relay: what a feed has between the logs and the descriptor it writes to (a tap's FIFO, the
daemon's own stdout), so that a SIGKILL changes nothing for the reader.

A pipe, a page and a FIFO's write end, all held by another process too. Bytes that were read from
the log are put into the pipe and spliced on from there, so each of them is in the pipe or in the
FIFO, and never in both. The page has one letter and the position in the logs of the next byte:

    passing   what is in the pipe comes before the position
    filling   what is in the pipe comes after it, and is read again by whoever takes over

It says "filling" before the empty pipe is filled, and "passing" with the new position afterwards.
An empty page: nobody is being fed.
"""

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from supervisord_lite.linux import pipes, splice
from supervisord_lite.logs.capture.mover import discard
from supervisord_lite.logs.feeds.page import Page

PAGE = 4096  # bytes that a pipe takes whole or not at all: PIPE_BUF, pipe(7)
_PORTION = 64 * 1024  # bytes at a time, where the pipe has room for them
_FILLING, _PASSING = b"f", b"p"


class Relay:
    """Owns its descriptors. `keep` has the write end held by the other process too from now on,
    in place of any before; None: no more. It may be called in any thread, and works soon after.
    """

    def __init__(
        self, pipe: int, page: int, fifo: int | None, keep: Callable[[int | None], None]
    ) -> None:
        self.keep = keep
        self.pipe = pipe
        self.page = Page(page)
        self.room = min(_PORTION, self.capacity)
        self._fifo = fifo

    @property
    def capacity(self) -> int:
        """Bytes that fit at most."""
        return pipes.size(self.pipe)

    @property
    def pages(self) -> int:
        """Bytes of lines that fit, whose pages are not full: see `fill`."""
        return min(_PORTION, max(PAGE, self.capacity // 2 - PAGE))

    def take_fifo(self) -> int | None:
        """The write end that an earlier data plane left; the caller's from now on."""
        fifo, self._fifo = self._fifo, None
        return fifo

    def left_at(self) -> str | None:
        """The position to go on from, None if nobody was being fed."""
        if self.page.letter() == _FILLING:
            self._empty()
        return self.page.text() or None

    def begin(self, position: str) -> None:
        """A reader is to be fed from this position on."""
        self.page.note(_PASSING, position)

    def is_empty(self) -> bool:
        """Whether all that was put here has been passed on."""
        return not pipes.waiting(self.pipe)

    def fill(self, data: bytes, position: str, *, paged: bool = False) -> None:
        """Put bytes, those before `position` and no more than fit, into the empty pipe. `paged`:
        lines are passed on whole, as none is divided between two pages unless it is longer.
        """
        self.page.mark(_FILLING)
        for part in _by_pages(data) if paged else (data,):
            os.write(self.pipe, part)  # whole: it fits, and nothing interrupts it
        self.page.note(_PASSING, position)

    def pass_on(self, target: int) -> None:
        """Move bytes on into a FIFO or pipe. BlockingIOError: it is full."""
        splice.splice(self.pipe, target, _PORTION)

    def forget(self) -> None:
        """Nobody is being fed any more."""
        self.page.clear()
        self._empty()

    def close(self) -> None:
        """Let go of the descriptors; the other process keeps its own."""
        os.close(self.pipe)
        self.page.close()
        if self._fifo is not None:
            os.close(self._fifo)

    def _empty(self) -> None:
        discard(self.pipe, pipes.waiting(self.pipe))


def _by_pages(lines: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + PAGE) + 1 or lines.index(b"\n", start) + 1
        yield lines[start:end]
        start = end


class RelayStore(Protocol):
    """Where relays are kept alive, one a feed. Called in the caller's thread only.

    `get` answers the relay that an earlier data plane left under the name, or a fresh one, its
    pipe and page held by another process from now on; `drop` has that process let go of it, and
    `drop_others` of all that were left and never asked for.
    """

    def get(self, stream: str) -> Relay: ...

    def drop(self, stream: str) -> None: ...

    def drop_others(self) -> None: ...


def make_relay_parts() -> tuple[int, int]:
    """The pipe and the page of a fresh relay."""
    return pipes.make_shared(), os.memfd_create("tap-position", os.MFD_CLOEXEC)
