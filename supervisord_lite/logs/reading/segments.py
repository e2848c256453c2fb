"""The files of one log, held open: the present one and the older ones that rotation left of it.

A file that is open can be read to its end even when it is renamed, compressed or removed. Which
bytes of the log it holds (its chain and base, see `index`) is known from its index alone.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

from supervisord_lite.logs.files.index import Identity
from supervisord_lite.logs.files.packed import Packed
from supervisord_lite.logs.files.rotation import candidates, numbered
from supervisord_lite.logs.reading.times import Span, Times, open_times

_BLOCK = 64 * 1024
_FAR = 64 * 1024 * 1024  # bytes that are searched for the beginning of a line


class _Plain:
    """A file as it was written."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def pread(self, count: int, offset: int) -> bytes:
        return os.pread(self.fd, count, offset)

    def close(self) -> None:
        os.close(self.fd)


class Segment:
    """One file of a log."""

    def __init__(self, content: _Plain | Packed, who: Identity, times: Times | None) -> None:
        self.who = who
        self._content = content
        status = os.fstat(content.fd)
        self._file = status.st_dev, status.st_ino
        self._times = times

    @property
    def size(self) -> int:
        """Bytes in it now."""
        return self._content.size

    @property
    def anonym(self) -> bytes:
        """The chain that it stands for by itself where no index tells of another."""
        return _chain_of_itself(self._file[1])

    @property
    def end(self) -> int:
        """The position after its last byte."""
        return self.who.base + self.size

    def pread(self, count: int, offset: int) -> bytes:
        """So many bytes; fewer at the end."""
        data = self._content.pread(count, offset)
        while data and len(data) < count and offset + len(data) < self._content.size:
            more = self._content.pread(count - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def is_at(self, path: str) -> bool:
        """Whether this is what the path names."""
        status = os.stat(path)
        return (status.st_dev, status.st_ino) == self._file

    def is_current(self) -> bool:
        """Whether what was read just now was still of this chain: see `Times.is_current`."""
        return self._times is None or self._times.is_current()

    def spans(self, start: int, end: int) -> Iterator[Span]:
        """When the bytes from position `start` to `end` came, and of which run: from each position
        on. Where no index tells, it was when the file was last written to.
        """
        base = self.who.base
        told = self._times.spans(start - base, end - base) if self._times else iter(())
        first = next(told, None)
        if first is None:
            yield start, self._written(), 0
            return
        yield base + first[0], first[1], first[2]
        for offset, when, run in told:
            yield base + offset, when, run

    def began(self) -> int | None:
        """When its first byte came, in nanoseconds since the epoch; None if no index tells."""
        return self._times.began() if self._times else None

    def first_since(self, when: int) -> int:
        """The position of its first byte that came at this time or later; its end if there is
        none.
        """
        if self._times is None or self._times.began() is None:
            return self.who.base if self._written() >= when else self.end
        found = self._times.first_since(when)
        return self.end if found is None else min(self.who.base + found, self.end)

    def close(self) -> None:
        """Let go of it."""
        self._content.close()
        if self._times:
            self._times.close()

    def _written(self) -> int:
        """When it was last written to."""
        return os.fstat(self._content.fd).st_mtime_ns


def open_segments(path: str, enough: Callable[[Segment], bool]) -> list[Segment]:
    """The files of the log's present chain, oldest first, back to the first that is `enough`.

    The newest is opened first, since files move away from the front: one may be met twice, none
    is passed by.
    """
    found: dict[Identity, Segment] = {}
    chain: bytes | None = None
    missing = 0
    for number in count():
        segment = _open_segment(path, number)
        if segment is None:
            missing += 1
            if missing > 1 or number == 0:  # a crash in the middle of a rotation leaves one gap
                break
            continue
        chain = chain or segment.who.chain
        if segment.who.chain != chain or segment.who in found:
            segment.close()
            continue
        found[segment.who] = segment
        if enough(segment):
            break
    return sorted(found.values(), key=lambda segment: segment.who.base)


def _open_segment(log: str, number: int) -> Segment | None:
    """The log's file of this number now: plain, or packed if there is no plain one."""
    plain = numbered(log, number)
    for path, following in zip(candidates(log, number), candidates(log, number + 1), strict=False):
        segment = _open_file(path, following, packed=path != plain)
        if segment is not None:
            return segment
    return None


def _open_file(path: str, following: str, *, packed: bool) -> Segment | None:
    """The file of this name, whose index may have its `following` name already."""
    while True:
        try:
            # Looked at first: who writes to a FIFO would feel us, and a terminal become ours.
            if not stat.S_ISREG(os.stat(path).st_mode):
                return None
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENXIO}:  # not there, or a socket
                return None
            raise
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        # in a rotation the index goes ahead of its file
        told = open_times(path, status.st_ino) or open_times(following, status.st_ino)
        if told is not None:
            times, who = told
            return _segment(fd, who, times, packed=packed)
        if _still_there(path, status):
            return _segment(fd, Identity(_chain_of_itself(status.st_ino), 0), None, packed=packed)
        os.close(fd)  # it moved on while we looked for its index


def _segment(fd: int, who: Identity, times: Times | None, *, packed: bool) -> Segment | None:
    """None for a packed file that is damaged: what is in it is lost, not what others hold."""
    try:
        return Segment(Packed(fd) if packed else _Plain(fd), who, times)
    except OSError:
        if times:
            times.close()
        return None


def _chain_of_itself(inode: int) -> bytes:
    return inode.to_bytes(16, "big")


def _still_there(path: str, status: os.stat_result) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(status, os.stat(path))
    return False


class Reach:
    """How far back files are needed for lines before the end, or before the time `until`; with
    `since`, not before that time.
    """

    def __init__(self, since: int | None = None, until: int | None = None) -> None:
        self._since = since
        self._until = until
        self._limit: int | None = None

    def __call__(self, segment: Segment) -> bool:
        began = segment.began()
        if self._since is not None:
            return began is not None and began < self._since
        if self._limit is None and (self._until is None or (began or 0) <= self._until):
            self._limit = segment.end - _FAR
        return self._limit is not None and segment.who.base <= self._limit


def line_start(segments: list[Segment], lines: int, end: int) -> int:
    """Where the last `lines` lines before `end` begin; for 0, where the line begins that is there.

    Lines are looked for in the last `_FAR` bytes: where there are fewer, those are it, and where
    there is no line's beginning at all, it is `end`.
    """
    wanted = lines + 1
    best = end
    limit = end - _FAR
    for segment in reversed(segments):
        base = segment.who.base
        place = min(segment.size, end - base)
        if lines and place > 0 and base + place == end and segment.pread(1, place - 1) != b"\n":
            wanted -= 1  # the line that ends here, or is being written, is one of them
        while place > 0:
            if base + place <= limit:
                return best
            start = max(0, place - _BLOCK)
            block = segment.pread(place - start, start)
            ends = block.count(b"\n")
            if ends >= wanted:
                return base + start + _nth_last(block, wanted) + 1
            if ends:
                best = base + start + block.index(b"\n") + 1
            wanted -= ends
            place = start
    return segments[0].who.base


def _nth_last(block: bytes, wanted: int) -> int:
    place = len(block)
    for _ in range(wanted):
        place = block.rindex(b"\n", 0, place)
    return place
