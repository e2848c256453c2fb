"""The relay: what a tap has between the log and its FIFO, so that a SIGKILL changes nothing for
the reader.

A pipe, a page and the FIFO's write end, all held by another process too. Bytes that were read from
the log are put into the pipe and spliced on from there, so each of them is in the pipe or in the
FIFO, and never in both. The page has one letter and the position in the log of the next byte:

    passing   what is in the pipe comes before the position
    filling   what is in the pipe comes after it, and is read again by whoever takes over

It says "filling" before the empty pipe is filled, and "passing" with the new position afterwards.
An empty page: nobody is being fed.
"""

import fcntl
import os
from collections.abc import Callable
from typing import Protocol

from supervisord_lite.linux import pipes, splice
from supervisord_lite.logs.mover import discard

_PORTION = 64 * 1024  # bytes at a time, where the pipe has room for them
_PAGE = 64
_FILLING, _PASSING = b"f", b"p"


class Relay:
    """Owns its descriptors. `keep` has the write end held by the other process too from now on,
    in place of any before; None: no more. It may be called in any thread, and works soon after.
    """

    def __init__(
        self, pipe: int, page: int, fifo: int | None, keep: Callable[[int | None], None]
    ) -> None:
        self.keep = keep
        self.room = min(_PORTION, fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ))
        self._pipe = pipe
        self._page = page
        self._fifo = fifo

    def take_fifo(self) -> int | None:
        """The write end that an earlier data plane left; the caller's from now on."""
        fifo, self._fifo = self._fifo, None
        return fifo

    def left_at(self) -> str | None:
        """The position to go on from, None if nobody was being fed."""
        page = os.pread(self._page, _PAGE, 0)
        if page.startswith(_FILLING):
            self._empty()
        return page[1:].split(b"\n")[0].decode() or None

    def begin(self, position: str) -> None:
        """A reader is to be fed from this position on."""
        self._note(_PASSING, position)

    def is_empty(self) -> bool:
        """Whether all that was put here is in the FIFO."""
        return not pipes.waiting(self._pipe)

    def fill(self, data: bytes, position: str) -> None:
        """Put at most `room` bytes, those before `position`, into the empty pipe."""
        os.pwrite(self._page, _FILLING, 0)
        os.write(self._pipe, data)  # whole: it fits, and nothing interrupts it
        self._note(_PASSING, position)

    def pass_on(self, fifo: int) -> None:
        """Move bytes on into the FIFO. BlockingIOError: it is full."""
        splice.splice(self._pipe, fifo, _PORTION)

    def forget(self) -> None:
        """Nobody is being fed any more."""
        os.ftruncate(self._page, 0)
        self._empty()

    def close(self) -> None:
        """Let go of the descriptors; the other process keeps its own."""
        os.close(self._pipe)
        os.close(self._page)
        if self._fifo is not None:
            os.close(self._fifo)

    def _note(self, what: bytes, position: str) -> None:
        os.pwrite(self._page, what + position.encode() + b"\n", 0)

    def _empty(self) -> None:
        discard(self._pipe, pipes.waiting(self._pipe))


class RelayStore(Protocol):
    """Where relays are kept alive, one a stream. Called in the caller's thread only.

    `get` answers the relay that an earlier data plane left for the stream, or a fresh one, its
    pipe and page held by another process from now on; `drop` has that process let go of it, and
    `drop_others` of all that were left and never asked for.
    """

    def get(self, stream: str) -> Relay: ...

    def drop(self, stream: str) -> None: ...

    def drop_others(self) -> None: ...


def make_relay_parts() -> tuple[int, int]:
    """The pipe and the page of a fresh relay."""
    return pipes.make_shared(), os.memfd_create("tap-position", os.MFD_CLOEXEC)
