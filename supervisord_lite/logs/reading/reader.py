"""Reading a log: from its end or from a position, and on across every rotation.

A position is `chain:offset`: which log it was since it last began from nothing, and how many
bytes into it (see `index`). It stays good while files are renamed, and one of another log, or of
a file that is gone, is noticed. All of this touches the disk: not for an event loop's thread.
"""

import re
from collections.abc import Iterator
from contextlib import closing

from supervisord_lite.logs.files.index import Identity
from supervisord_lite.logs.reading.segments import Reach, Segment, line_start, open_segments
from supervisord_lite.logs.reading.times import Span


class Follower:
    """Reads a log from `position`, or from `tail` lines before its end if there is none.

    With `whole_lines` a tail of 0 begins with the line that is being written, not in its middle.
    """

    def __init__(
        self, path: str, position: str | None = None, *, tail: int = 0, whole_lines: bool = False
    ) -> None:
        self.missed = 0  # bytes that rotation took before they were read
        self._path = path
        self._segment: Segment | None = None
        self._chain = b""  # none yet
        self._at = 0
        if position is not None:
            self._chain, self._at = _parsed(position)
        else:
            self._begin_at_tail(tail, whole_lines=whole_lines)

    @property
    def position(self) -> str:
        """Where the next byte is read; another follower can go on from there."""
        return written(self.place)

    @property
    def place(self) -> Identity:
        """The same as chain and offset."""
        return Identity(self._chain, self._at)

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, empty if there is nothing new now. Where rotation took bytes away
        before they were read, one line says how many.
        """
        while True:
            segment = self._segment
            if segment is not None:
                data = segment.pread(count, self._at - segment.who.base)
                if data and segment.is_current():  # asked now: it may have been truncated before
                    self._at += len(data)
                    return data
            before = self.missed
            if not self._advance():
                return b""
            if self.missed > before:
                return _marker(self.missed - before)

    def spans(self, start: int, end: int) -> Iterator[Span]:
        """Of the bytes that were read last, or are next: see `Segment.spans`."""
        return self._segment.spans(start, end) if self._segment else iter(())

    def close(self) -> None:
        """Let go of the file."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _begin_at_tail(self, lines: int, *, whole_lines: bool) -> None:
        segments = open_segments(self._path, Reach())
        if not segments:
            return
        newest = segments[-1]
        self._at = newest.end
        if lines or whole_lines:
            self._at = line_start(segments, lines, self._at)
        self._chain = newest.who.chain
        self._take(segments)

    def _advance(self) -> bool:
        """Go on in the file that has the next byte; whether there is another one than now."""
        held, chain, at = self._segment, self._chain, self._at
        if held is not None and not self._is_over(held):
            return False
        segments = open_segments(
            self._path, lambda one: one.who.chain == chain and one.who.base <= at
        )
        if not segments:
            return False
        if chain != segments[-1].who.chain:
            self._chain, self._at = segments[-1].who.chain, self._elsewhere(segments)
            self.close()
        elif held is not None and held.end < at:  # it was truncated
            self._at = held.who.base
        return self._take(segments) or self._at < at

    def _elsewhere(self, segments: list[Segment]) -> int:
        """Where to go on in another chain: at its beginning, or in the middle of the same file, of
        which only the index was lost and begun anew.
        """
        held = self._segment
        if held is None or held.is_current():
            file, base = (held.anonym, held.who.base) if held else (self._chain, 0)
            for segment in segments:
                if segment.anonym == file and self._at - base <= segment.size:
                    return segment.who.base + self._at - base
        return segments[0].who.base

    def _is_over(self, segment: Segment) -> bool:
        """Whether all of a file was read that nobody appends to any more, or it was truncated."""
        try:
            renamed = not segment.is_at(self._path)
        except FileNotFoundError:
            return False
        # only now: it may have grown between our last read and the rename
        left = segment.end - self._at
        return left < 0 or (renamed and left == 0) or not segment.is_current()

    def _take(self, segments: list[Segment]) -> bool:
        """Choose among open files of one chain, oldest first, and close the others."""
        chosen = next((segment for segment in segments if segment.end > self._at), segments[-1])
        if self._at < chosen.who.base:
            self.missed += chosen.who.base - self._at
            self._at = chosen.who.base
        self._at = min(self._at, chosen.end)
        before, self._segment = self._segment, chosen
        for segment in segments:
            if segment is not chosen:
                segment.close()
        if before is None:
            return True
        before.close()
        return before.who != chosen.who


def tail(path: str, lines: int) -> str:
    """The position at which the last `lines` lines of a log begin."""
    with closing(Follower(path, tail=lines)) as follower:
        return follower.position


def written(place: Identity) -> str:
    """A position as text."""
    return f"{place.chain.hex()}:{place.base}"


def _parsed(position: str) -> tuple[bytes, int]:
    chain, _, offset = position.partition(":")
    if not re.fullmatch(r"(?:[0-9a-f]{32})?:[0-9]{1,18}", position):
        raise ValueError(f'cannot read "{position}" as a position in a log')
    return bytes.fromhex(chain), int(offset)


def _marker(missed: int) -> bytes:
    return f"[supervisord-lite: {missed} bytes lost to rotation]\n".encode()
