"""Reading a log line by line: each with the time at which its first byte came, and its run.

Times and runs are from the index, of which no more is read than concerns the bytes that are. What
was read and not given out yet is one block and the beginning of a line, whatever the log holds.
All of this touches the disk: not for an event loop's thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from supervisord_lite.core.log import Format
from supervisord_lite.logs.files.index import Identity
from supervisord_lite.logs.line import Line
from supervisord_lite.logs.reading.matching import Matcher
from supervisord_lite.logs.reading.reader import Follower, written
from supervisord_lite.logs.reading.segments import Reach, Segment, line_start, open_segments
from supervisord_lite.logs.reading.times import Span
from supervisord_lite.logs.reading.unwrap import unwrapped

_WRAPPING, _ESCAPING = 512, 8  # bytes that formats add to a line, and to each of its bytes
_BLOCK = 32 * 1024
_WORK = 1024 * 1024  # bytes that one call looks through at most for a line that matches


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that follow each other in one log, with the time and the run of the first of them. Of
    several, each takes one byte more of the log than its text has; a `partial` one is alone.
    """

    time: int
    run: int
    texts: list[bytes]
    partial: bool = False


class LineReader:
    """The lines of the log at `path`: from `position` on, else those since `since` (all with 0),
    else the one that is being written; with `tail`, the last so many of these before now or
    before `until`. Times are nanoseconds since the epoch.

    A line longer than `max_line` bytes comes in parts. Lines that were written into the file in
    some `form` come as they were said.
    """

    def __init__(
        self,
        path: str,
        *,
        position: str | None = None,
        tail: int = 0,
        since: int | None = None,
        until: int | None = None,
        max_line: int = 64 * 1024,
        form: Format = Format.RAW,
    ) -> None:
        self.exhausted = False  # the last `read` has come to the end of what there is
        self._path = path
        self._skipping = False  # to the end of a line that began earlier than what is wanted
        if position is None:
            position, self._skipping = _beginning(path, tail, since, until)
        self._follower = Follower(path, position)
        self._until = until
        # what was said in `max_line` bytes, in the file
        self._max_line = max_line if form is Format.RAW else _WRAPPING + _ESCAPING * max_line
        self._form = form
        self._matching: Matcher | None = None
        self._last: Identity | None = None
        self._data = b""
        self._from = 0  # where in the data the next line begins
        self._end = self._follower.place  # where the data ends
        self._next_data: tuple[bytes, Identity] | None = None  # which does not continue the data
        self._next_spans: Iterator[Span] = iter(())
        self._spans: Iterator[Span] = iter(())
        self._span: Span = (0, 0, 0)
        self._next_span: Span | None = None
        self._fresh = False  # nobody has looked yet whether anything in the data matches

    @property
    def position(self) -> str:
        """Where the next line begins; another reader can go on from there."""
        return written(self.place)

    @property
    def place(self) -> Identity:
        """The same as chain and offset."""
        left = len(self._data) - self._from
        return Identity(self._end.chain, self._end.base - left) if left else self._end

    def pass_over_others(self, matching: Matcher) -> None:
        """Find only lines that match, from now on."""
        self._matching = matching

    def stop_at_present_end(self) -> None:
        """Read no further than what is in the log now, however fast it grows."""
        segments = open_segments(self._path, lambda _: True)
        for segment in segments:
            self._last = Identity(segment.who.chain, segment.end)
            segment.close()

    def go_on(self) -> None:
        """Read what has come since, and what is to come."""
        self._last = None

    def read(self, count: int, *, unfinished: bool = False) -> list[Line]:
        """Up to `count` lines; fewer, or none, if there are no more now or it is a long way to the
        next that matches (see `exhausted`). A last line that has no end yet waits for it, unless
        `unfinished` ones are wanted: then it is `partial`.
        """
        found: list[Line] = []
        self.exhausted = False
        work = _WORK
        while len(found) < count and work > 0:
            work -= self._skim()
            line = self._line(unfinished=unfinished)
            if line is None:
                self.exhausted = True
                break
            work -= len(line.text) + 1
            if self._skipping:
                self._skipping = line.partial
            elif self._matching is None or self._matching.line(line.text):
                found.append(line)
        return found

    def batch(self, most: int, *, unfinished: bool = False) -> Batch | None:
        """The next lines that came together, of no more than `most` bytes, or a single one that is
        longer; None where `read` would find none.
        """
        plain = self._form is Format.RAW and self._matching is None
        if plain and self._until is None and self._last is None and not self._skipping:
            found = self._together(most)
            if found is not None:
                return found
        lines = self.read(1, unfinished=unfinished)
        return _alone(lines[0]) if lines else None

    def close(self) -> None:
        """Let go of the file."""
        self._follower.close()

    def _together(self, most: int) -> Batch | None:
        """What is in the data of whole lines of one time and run, if they are not too long."""
        start, limit = self._from, len(self._data)
        if start == limit:
            return None
        at = self.place.base
        when, run = self._told(at)
        if self._next_span is not None:
            limit = min(limit, start + self._next_span[0] - at)
        # a line has the time of its first byte, so the one that is being said then has this, too
        end = self._data.find(b"\n", limit - 1) + 1
        end = end or self._data.rfind(b"\n", start, limit) + 1
        if end - start > most:
            end = self._data.rfind(b"\n", start, start + most) + 1
        if end <= start:
            return None
        texts = self._data[start : end - 1].split(b"\n")
        if end - start > self._max_line and max(map(len, texts)) > self._max_line:
            return None
        self._from = end
        return Batch(when, run, texts)

    def _line(self, *, unfinished: bool) -> Line | None:
        """The next line, whether it matches or not."""
        place = self.place
        if self._last and place.chain == self._last.chain and place.base >= self._last.base:
            return None
        bounds = self._bounds(unfinished=unfinished)
        if bounds is None:
            return None
        end, following, partial = bounds
        when, run = self._told(self.place.base)
        if self._until is not None and when > self._until:
            return None
        text, self._from = self._data[self._from : end], following
        line = Line(when, run, text, partial)
        return line if self._form is Format.RAW or partial else unwrapped(line, self._form)

    def _bounds(self, *, unfinished: bool) -> tuple[int, int, bool] | None:
        """Where in the data the next line ends and the one after it begins; whether it is cut."""
        searched = self._from
        while True:
            end = self._data.find(b"\n", searched, self._from + self._max_line + 1)
            if end >= 0:
                return end, end + 1, False
            if len(self._data) - self._from > self._max_line:
                cut = _character(self._data, self._from + self._max_line)
                return cut, cut, True
            searched = len(self._data) - self._from  # as `_fill` moves what is left to the front
            if not self._fill():
                left = len(self._data)
                cut_short = left > self._from and (unfinished or self._next_data is not None)
                return (left, left, True) if cut_short else None

    def _fill(self) -> bool:
        """Read another block behind what is left of the data; whether one continues it."""
        if self._next_data is None:
            if self._from < len(self._data):
                self._told(self.place.base)  # the last that is asked of what tells of it
            missed, before = self._follower.missed, self._follower.place
            data = self._follower.read(_BLOCK)
            if not data:
                return False
            end = self._follower.place
            start = end.base if self._follower.missed > missed else end.base - len(data)
            told = self._follower.spans(start, max(end.base, start + 1))
            if (end.chain, start) == (before.chain, before.base):
                self._take(self._data[self._from :] + data, end, told)
                return True
            self._next_data = data, end
            self._next_spans = told
        if self._from < len(self._data):
            return False
        (data, end), self._next_data = self._next_data, None
        self._span = (0, 0, 0)
        self._take(data, end, self._next_spans)
        return True

    def _take(self, data: bytes, end: Identity, told: Iterator[Span]) -> None:
        self._data, self._from, self._end, self._fresh = data, 0, end, True
        self._spans, self._next_span = told, next(told, None)

    def _told(self, at: int) -> tuple[int, int]:
        """Time and run of the byte at this position, which is not before the last one asked for."""
        while self._next_span is not None and (self._next_span[0] <= at or self._span == (0, 0, 0)):
            self._span, self._next_span = self._next_span, next(self._spans, None)
        return self._span[1], self._span[2]

    def _skim(self) -> int:
        """Pass over the data's whole lines if none of them matches; answers how many bytes."""
        if self._matching is None or self._skipping or not self._fresh:
            return 0
        self._fresh = False
        if self._form is not Format.RAW:
            return 0
        end = self._data.rfind(b"\n", self._from) + 1
        if end <= self._from or self._matching.may_match_in(self._data[self._from : end]):
            return 0
        if self._until is not None and self._told(self.place.base)[0] > self._until:
            return 0
        passed, self._from = end - self._from, end
        return passed


def _alone(line: Line) -> Batch:
    return Batch(line.time, line.run, [line.text], line.partial)


def _beginning(path: str, tail: int, since: int | None, until: int | None) -> tuple[str, bool]:
    """The position to begin at, and whether that is in the middle of a line that is not wanted."""
    segments = open_segments(path, Reach(since, until))
    if not segments:
        return ":0", False
    try:
        return _place_in(segments, tail, since, until)
    finally:
        for segment in segments:
            segment.close()


def _place_in(
    segments: list[Segment], tail: int, since: int | None, until: int | None
) -> tuple[str, bool]:
    end = segments[-1].end if until is None else _first_since(segments, until + 1)
    who = segments[-1].who
    if since is not None:
        at = _first_since(segments, since)
        begun = line_start(segments, 0, at)
        last = line_start(segments, tail, end) if tail else at
        return written(Identity(who.chain, max(at, last))), begun < at >= last
    return written(Identity(who.chain, line_start(segments, tail, end))), False


def _first_since(segments: list[Segment], when: int) -> int:
    """The position of the first byte that came at this time or later, oldest file first."""
    for segment in reversed(segments):
        began = segment.began()
        if segment.size and (began is None or began < when):
            return segment.first_since(when)
    return segments[0].who.base


def _character(data: bytes, end: int) -> int:
    """The place to cut at `end` or so far before it that no UTF-8 character is cut in two."""
    for place in range(end, end - 4, -1):
        if data[place] & 0xC0 != 0x80:
            return place
    return end
