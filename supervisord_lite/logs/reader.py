"""Reading a log: from its end or from a position, and on across every rotation.

A position is `chain:offset`: which log it was since it last began from nothing, and how many
bytes into it (see `index`). It stays good while files are renamed, and one of another log, or of
a file that is gone, is noticed. All of this touches the disk: not for an event loop's thread.
"""

import os
import re
import stat
from contextlib import closing
from dataclasses import dataclass
from itertools import count

from supervisord_lite.logs.index import Identity, identity
from supervisord_lite.logs.rotation import numbered

_BLOCK = 64 * 1024
_FAR = 64 * 1024 * 1024  # bytes that are searched for the beginning of a line


@dataclass(slots=True)
class _Segment:
    """One file of a log, held open: it can be read to its end even when rotation removes it."""

    fd: int
    who: Identity

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    @property
    def end(self) -> int:
        """The position after its last byte."""
        return self.who.base + self.size


class Follower:
    """Reads a log from `position`, or from `tail` lines before its end if there is none.

    With `whole_lines` a tail of 0 begins with the line that is being written, not in its middle.
    """

    def __init__(
        self, path: str, position: str | None = None, *, tail: int = 0, whole_lines: bool = False
    ) -> None:
        self.missed = 0  # bytes that rotation took before they were read
        self._path = path
        self._segment: _Segment | None = None
        self._chain: bytes | None = None
        self._at = 0
        if position is not None:
            self._chain, self._at = _parsed(position)
        else:
            self._begin_at_tail(tail, whole_lines=whole_lines)

    @property
    def position(self) -> str:
        """Where the next byte is read; another follower can go on from there."""
        return f"{(self._chain or b'').hex()}:{self._at}"

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, empty if there is nothing new now. Where rotation took bytes away
        before they were read, one line says how many.
        """
        while True:
            if self._segment is not None:
                data = os.pread(self._segment.fd, count, self._at - self._segment.who.base)
                if data:
                    self._at += len(data)
                    return data
            before = self.missed
            if not self._advance():
                return b""
            if self.missed > before:
                return _marker(self.missed - before)

    def close(self) -> None:
        """Let go of the file."""
        if self._segment is not None:
            os.close(self._segment.fd)
            self._segment = None

    def _begin_at_tail(self, lines: int, *, whole_lines: bool) -> None:
        segments = _open_segments(self._path)
        if not segments:
            return
        newest = segments[-1]
        self._at = newest.end
        if lines or whole_lines:
            self._at = _line_start(segments, lines)
        self._chain = newest.who.chain
        self._take(segments)

    def _advance(self) -> bool:
        """Go on in the file that has the next byte; whether there is another one than now."""
        if self._segment is not None and not self._is_over(self._segment):
            return False
        segments = _open_segments(self._path, Identity(self._chain or b"", self._at))
        if not segments:
            return False
        if self._chain != segments[-1].who.chain:
            self._chain, self._at = segments[-1].who.chain, segments[0].who.base
            self.close()
        elif self._segment is not None:
            self._at = min(self._at, self._segment.end)
        return self._take(segments)

    def _is_over(self, segment: _Segment) -> bool:
        """Whether all of a file was read that nobody appends to any more, or it was truncated."""
        try:
            renamed = not os.path.samestat(os.fstat(segment.fd), os.stat(self._path))
        except FileNotFoundError:
            return False
        # only now: it may have grown between our last read and the rename
        left = segment.end - self._at
        return left < 0 or (renamed and left == 0)

    def _take(self, segments: list[_Segment]) -> bool:
        """Choose among open files of one chain, oldest first, and close the others."""
        chosen = next((segment for segment in segments if segment.end > self._at), segments[-1])
        if self._at < chosen.who.base:
            self.missed += chosen.who.base - self._at
            self._at = chosen.who.base
        self._at = min(self._at, chosen.end)
        before, self._segment = self._segment, chosen
        for segment in segments:
            if segment is not chosen:
                os.close(segment.fd)
        if before is None:
            return True
        os.close(before.fd)
        return before.who != chosen.who


def tail(path: str, lines: int) -> str:
    """The position at which the last `lines` lines of a log begin."""
    with closing(Follower(path, tail=lines)) as follower:
        return follower.position


def _parsed(position: str) -> tuple[bytes, int]:
    chain, _, offset = position.partition(":")
    if not re.fullmatch(r"(?:[0-9a-f]{32})?:[0-9]{1,18}", position):
        raise ValueError(f'cannot read "{position}" as a position in a log')
    return bytes.fromhex(chain), int(offset)


def _open_segments(path: str, wanted: Identity | None = None) -> list[_Segment]:
    """The files of the log's present chain, oldest first, back to the one that has a wanted byte.

    The newest is opened first, since files move away from the front: one may be met twice, none
    is passed by.
    """
    found: dict[Identity, _Segment] = {}
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
            os.close(segment.fd)
        else:
            found[segment.who] = segment
            if wanted and chain == wanted.chain and segment.who.base <= wanted.base:
                break
    return sorted(found.values(), key=lambda segment: segment.who.base)


def _open_segment(log: str, number: int) -> _Segment | None:
    """The log's file of this number now, and who it is."""
    path = numbered(log, number)
    while True:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        # in a rotation the index goes ahead of its file
        who = identity(path, status.st_ino) or identity(numbered(log, number + 1), status.st_ino)
        if who is not None:
            return _Segment(fd, who)
        if _still_there(path, status):
            return _Segment(fd, Identity(status.st_ino.to_bytes(16, "big"), 0))
        os.close(fd)  # it moved on while we looked for its index


def _still_there(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(status, os.stat(path))
    except FileNotFoundError:
        return False


def _line_start(segments: list[_Segment], lines: int) -> int:
    """Where the last `lines` lines begin; for 0, where the line begins that is being written."""
    wanted = lines + 1
    searched = 0
    for segment in reversed(segments):
        place = size = segment.size
        if (
            segment is segments[-1]
            and lines
            and size
            and os.pread(segment.fd, 1, size - 1) != b"\n"
        ):
            wanted -= 1  # the line being written is one of them
        while place and searched < _FAR:
            start = max(0, place - _BLOCK)
            block = os.pread(segment.fd, place - start, start)
            ends = block.count(b"\n")
            if ends >= wanted:
                return segment.who.base + start + _nth_last(block, wanted) + 1
            wanted -= ends
            searched += len(block)
            place = start
    return segments[0].who.base if searched < _FAR else segments[-1].end


def _nth_last(block: bytes, wanted: int) -> int:
    place = len(block)
    for _ in range(wanted):
        place = block.rindex(b"\n", 0, place)
    return place


def _marker(missed: int) -> bytes:
    return f"[supervisord-lite: {missed} bytes lost to rotation]\n".encode()
