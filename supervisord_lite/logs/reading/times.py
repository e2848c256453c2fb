"""When the bytes of one log file came, and of which run: its index, read by binary search.

However long the index is, a question costs a few small reads and never all of it. The descriptor
stays with the file it was opened for, also when both are renamed.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from supervisord_lite.logs.files.index import ENTRY, HEADER, MAGIC, Identity
from supervisord_lite.logs.files.rotation import index_path

_NEAR = 128  # entries that are looked through before a search over all

Span = tuple[int, int, int]  # from this offset on: nanoseconds since the epoch, run (0: unknown)


class Times:
    """The index behind `fd`, which becomes its own."""

    def __init__(self, fd: int, who: Identity) -> None:
        self._fd = fd
        self._who = who
        self._hint = 0  # the entry that was asked for last

    def close(self) -> None:
        """Let go of the index."""
        os.close(self._fd)

    def is_current(self) -> bool:
        """Whether the file still holds what it held: one truncated from outside begins anew, under
        another identity, before anything is written there.
        """
        found = _header(self._fd)
        return found is None or found[0] == self._who

    def spans(self, start: int, end: int) -> Iterator[Span]:
        """What tells of the bytes from `start` up to `end`: the entry that covers the first of
        them, and all that begin between.
        """
        near = self._near(start, end)
        if near is not None:
            return near
        count = self._count()
        first = max(0, bisect_right(range(count), start, key=self._offset) - 1)
        last = bisect_left(range(count), end, lo=first, key=self._offset)
        self._hint = max(first, last - 1)
        return _unpacked(self._entries(first, last - first))

    def _near(self, start: int, end: int) -> Iterator[Span] | None:
        """The same where the first entry is not far behind the last one that was asked for."""
        raw = self._entries(self._hint, _NEAR)
        count = len(raw) // ENTRY.size

        def offset(number: int) -> int:
            return int(ENTRY.unpack_from(raw, number * ENTRY.size)[0])

        if not count or offset(0) > start or (count == _NEAR and offset(count - 1) < end):
            return None
        first = bisect_right(range(count), start, key=offset) - 1
        last = bisect_left(range(count), end, lo=first, key=offset)
        self._hint += max(first, last - 1)
        return _unpacked(raw[first * ENTRY.size : last * ENTRY.size])

    def began(self) -> int | None:
        """When the first byte came."""
        return self._time(0) if self._count() else None

    def first_since(self, when: int) -> int | None:
        """The offset of the first byte that came at this time or later; None if there is none."""
        count = self._count()
        found = bisect_left(range(count), when, key=self._time)
        return self._offset(found) if found < count else None

    def _count(self) -> int:
        return max(0, os.fstat(self._fd).st_size - HEADER.size) // ENTRY.size

    def _offset(self, number: int) -> int:
        return self._entry(number)[0]

    def _time(self, number: int) -> int:
        return self._entry(number)[1]

    def _entries(self, first: int, count: int) -> bytes:
        return os.pread(self._fd, count * ENTRY.size, HEADER.size + first * ENTRY.size)

    def _entry(self, number: int) -> Span:
        raw = self._entries(number, 1)
        if len(raw) < ENTRY.size:  # it was cut short meanwhile: whoever asks will find out
            return 0, 0, 0
        return ENTRY.unpack(raw)


def _unpacked(raw: bytes) -> Iterator[Span]:
    return ENTRY.iter_unpack(raw[: len(raw) - len(raw) % ENTRY.size])


def open_times(log: str, inode: int) -> tuple[Times, Identity] | None:
    """The index of the log file at `log` with this inode, and who that is; None if none tells."""
    try:
        fd = os.open(index_path(log), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    found = _header(fd)
    if found is None or found[1] != inode:
        os.close(fd)
        return None
    return Times(fd, found[0]), found[0]


def _header(fd: int) -> tuple[Identity, int] | None:
    """Who the file of this index is, and its inode."""
    header = os.pread(fd, HEADER.size, 0)
    if len(header) < HEADER.size:
        return None
    magic, chain, owner, base = HEADER.unpack(header)
    return (Identity(chain, base), owner) if magic == MAGIC else None
