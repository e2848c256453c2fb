"""The daemon's own stdout or stderr as a place for lines, whatever it is: a pipe, a terminal, a
socket, a file.

A reader that does not read must hold up nobody, and the descriptor is shared with others, so that
its flags are not ours to change: pipes and terminals are opened once more by name, a socket is
asked not to wait with each write, and a file is written through the descriptor itself, whose
offset others go on from.
"""

import os
import select
import socket
import stat
from contextlib import suppress

from supervisord_lite.linux import pipes, splice
from supervisord_lite.logs.capture.mover import Mover

_AT_ONCE = 4096  # what a writable pipe takes without waiting: PIPE_BUF, pipe(7)
_ALL = 1 << 30  # bytes; with fewer, splice may divide the last page


class Output:
    """`number` is 1 or 2."""

    def __init__(self, number: int) -> None:
        self.name = {1: "stdout", 2: "stderr"}[number]
        self._mover = Mover()
        self._mode = os.fstat(number).st_mode
        self._socket = socket.socket(fileno=os.dup(number)) if stat.S_ISSOCK(self._mode) else None
        self._waits = False  # writing may: it is asked first whether it would
        self.fd = self._socket.fileno() if self._socket else self._open(number)

    @property
    def takes_pages(self) -> bool:
        """Whether all that fits now is taken, in whole pages of the pipe."""
        return stat.S_ISFIFO(self._mode) and not self._waits

    def take(self, pipe: int) -> None:
        """Write of what is in the pipe as much as fits now; BlockingIOError: nothing does."""
        if self.takes_pages:
            splice.splice(pipe, self.fd, _ALL)
            return
        self._mover.copy(pipe, _AT_ONCE, self._write)

    def close(self) -> None:
        """Let go of what is ours."""
        self._mover.close()
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self.fd)

    def _open(self, number: int) -> int:
        if not stat.S_ISREG(self._mode):
            with suppress(OSError):  # another user's, or nothing that can be opened
                return pipes.reopen(number, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            self._waits = True
        return os.dup(number)

    def _write(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        if self._waits:
            ready = select.poll()
            ready.register(self.fd, select.POLLOUT)
            if not ready.poll(0):
                raise BlockingIOError
        return os.write(self.fd, data)
