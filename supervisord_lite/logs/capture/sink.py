"""A log target that is no file of ours: a FIFO, a terminal, /dev/stdout, a symbolic link.

It has no offset, no rotation, no index and no lock, and its reader may be slow for ever, so bytes
go into it straight from the worker's pipe and wait there when it is full.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from supervisord_lite.linux import splice
from supervisord_lite.logs.capture.hop import SIZE
from supervisord_lite.logs.capture.mover import Mover, refuses_splice

_Opened = tuple[int, Callable[[bytes], int], Callable[[], None]]  # descriptor, write, close
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


class Sink:
    """Something that is written to and cannot be read back."""

    def __init__(self, path: str, mover: Mover) -> None:
        self.path = path
        self._mover = mover
        self._splices = True
        self.fd, self._write, self._close = _open(path)

    def take(self, pipe: int, most: int = SIZE) -> int:
        """Move what there is and what fits; BlockingIOError: nothing of either."""
        if self._splices:
            try:
                return splice.splice(pipe, self.fd, most)
            except OSError as error:
                if not refuses_splice(error):
                    raise
                self._splices = False
        return self._mover.copy(pipe, most, self._write)

    def give(self, data: bytes) -> int:
        """Write what fits; answers how much. BlockingIOError: nothing does."""
        return self._write(data)

    def mark(self, line: bytes) -> None:
        """Write a line of our own, if there is room."""
        with suppress(BlockingIOError):
            self._write(line)

    def close(self) -> None:
        """Let go of it."""
        self._close()


def _open(path: str) -> _Opened:
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ENXIO or path not in _STANDARD:
            raise
        return _open_socket(_STANDARD[path])
    return fd, partial(os.write, fd), partial(os.close, fd)


def _open_socket(standard: int) -> _Opened:
    """A standard stream that is a socket cannot be opened by name, and its flags are shared with
    others: each write asks for itself not to wait.
    """
    import socket

    copy = socket.socket(fileno=os.dup(standard))
    return copy.fileno(), lambda data: copy.send(data, socket.MSG_DONTWAIT), copy.close
