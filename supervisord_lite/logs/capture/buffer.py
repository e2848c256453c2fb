"""The buffer: where the bytes of one stream wait while they are looked at, so that a SIGKILL loses
and doubles none of them.

A memfd that another process holds too. Its first page is the note, everything behind it are bytes
that splice(2) brought out of the worker's pipe. The file position of the memfd, which all who hold
it share, says where they end: nothing else moves with them in one system call. The note says where
they begin, and what of them is on its way into the log: a *batch*, which is noted before it is
written and crossed out, in one write with the new beginning, afterwards. Whoever finds a noted
batch writes it again, at the same place and with the same time, so the same bytes.

A pipe would do for whole lines, but the beginning of one that comes byte by byte would take up a
slot of it for every byte.
"""

import os
import struct
from contextlib import closing
from typing import NamedTuple

from supervisord_lite.linux import splice

SIZE = 1024 * 1024  # bytes that are taken in before some must have gone out
_START = 4096  # of the bytes
_FLOOD = 32 * 1024  # bytes that come at once where more are about to
# beginning, end that the position is to be set to (0: it is right); the batch
_NOTE = struct.Struct("<QQ QQQqQBB")


class Batch(NamedTuple):
    """The first `size` bytes of the buffer on their way to `offset` in the file `inode`, with all
    that decides how they are written: which `form`, and `flags`, are for the writer to say. With
    a size of 0 none are on their way.
    """

    size: int = 0
    inode: int = 0
    offset: int = 0
    time: int = 0
    run: int = 0
    form: int = 0
    flags: int = 0


NONE = Batch()


class Buffer:
    """One stream's bytes, used by one thread; `fd` stays the caller's. `longest` is the length of
    the longest piece that anybody will wait for.
    """

    def __init__(self, fd: int, longest: int) -> None:
        self._fd = os.dup(fd)
        self._most = _START + SIZE + 2 * longest
        self._last = 0  # bytes that came at once
        self._head, end, *batch = self._read_note()
        self.batch = Batch(*batch)
        if end:  # killed in the middle of `_move_end`
            self._move_end(end)
        self._end = os.lseek(self._fd, 0, os.SEEK_CUR)

    def __len__(self) -> int:
        return self._end - self._head

    def fill(self, pipe: int, most: int) -> int:
        """Take up to `most` bytes out of a pipe, those that there is room for. BlockingIOError:
        there are none.
        """
        if self._end >= self._most:  # more, if one that waited for longer pieces has filled it
            self._tidy()
        count = max(0, min(most, self._most - self._end))
        if count:
            count = splice.splice(pipe, self._fd, count)
        self._end += count
        self._last = count
        return count

    def look(self) -> bytes:
        """All that is here."""
        return os.pread(self._fd, len(self), self._head)

    def note(self, batch: Batch) -> None:
        """Remember what is about to be written."""
        self.batch = batch
        self._write_note()

    def consume(self, count: int) -> None:
        """The first `count` bytes are where they belong, and no batch is on its way any more."""
        assert count <= len(self), "what goes was here"
        self.batch = NONE
        if count == len(self):
            self._head = _START
            self._move_end(_START)
        else:
            self._head += count
            self._write_note()

    def close(self) -> None:
        """Let go of it, and leave in it what is there."""
        os.close(self._fd)

    def _move_end(self, end: int) -> None:
        """What is here, from a new beginning on, ends there. In this order, so that whoever comes
        after a kill does the rest. The memory is given back unless it is needed again at once.
        """
        self._write_note(end)
        os.lseek(self._fd, end, os.SEEK_SET)
        self._end = end
        self._write_note()
        if self._last < _FLOOD and end == _START:
            os.ftruncate(self._fd, _START)

    def _tidy(self) -> None:
        """Move what is left to the front, where that leaves the original whole."""
        left = len(self)
        if self._head - _START < left:
            return
        os.pwrite(self._fd, self.look(), _START)
        self._head = _START
        self._move_end(_START + left)

    def _read_note(self) -> tuple[int, ...]:
        page = os.pread(self._fd, _NOTE.size, 0)
        return _NOTE.unpack(page) if len(page) == _NOTE.size else (_START, _START, *[0] * 7)

    def _write_note(self, end: int = 0) -> None:
        batch = self.batch
        fields = (batch.size, batch.inode, batch.offset, batch.time, batch.run)
        note = _NOTE.pack(self._head, end, *fields, batch.form, batch.flags)
        os.pwrite(self._fd, note, 0)  # one page: never half of it


def make_buffer() -> int:
    """The memfd of a fresh, empty buffer."""
    return os.memfd_create("buffer", os.MFD_CLOEXEC)


def holds_bytes(fd: int) -> bool:
    """Whether a buffer that was left has something in it."""
    with closing(Buffer(fd, 0)) as buffer:
        return len(buffer) > 0
