"""Bytes from a pipe to a file, without this process's memory where the file allows it.

Where splice is refused the bytes are looked at, written, and only then taken out of the pipe: a
SIGKILL between the last two writes them twice, and never loses them.
"""

import errno
import os
from collections.abc import Callable

from supervisord_lite.linux import pipes, splice
from supervisord_lite.logs.capture import hop


class Mover:
    """The tools of one thread; owns a scratch pipe, empty between calls."""

    def __init__(self) -> None:
        self._read, self._write = pipes.make()
        pipes.resize(self._write, hop.SIZE)

    def peek(self, source: int, count: int) -> bytes:
        """Up to `count` of the bytes that wait in a pipe, which keeps them."""
        copied = splice.tee(source, self._write, count)
        return os.read(self._read, copied)

    def copy(self, source: int, count: int, write: Callable[[bytes], int]) -> int:
        """Write up to `count` bytes out of a pipe; answers how many `write` took."""
        written = write(self.peek(source, count))
        discard(source, written)
        return written

    def close(self) -> None:
        """Give back the scratch pipe."""
        os.close(self._read)
        os.close(self._write)


def discard(source: int, count: int) -> tuple[int, int]:
    """Throw away up to `count` bytes that wait in a pipe; how many bytes and line ends it were."""
    total = lines = 0
    while total < count and pipes.waiting(source):
        data = os.read(source, min(count - total, hop.SIZE))
        total += len(data)
        lines += data.count(b"\n")
    return total, lines


def refuses_splice(error: OSError) -> bool:
    """Whether splice(2) failed because this target takes no spliced bytes at all."""
    return error.errno in (errno.EINVAL, errno.EOPNOTSUPP)
