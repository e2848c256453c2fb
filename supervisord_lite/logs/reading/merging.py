"""The lines of several logs in the order of their times.

One line of each log is held at a time. Steps are bounded, so that a thread that does them is soon
free for somebody else, and a client that has left costs no more than one.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from supervisord_lite.logs.line import Line
from supervisord_lite.logs.reading.lines import LineReader

_PIECE = 64 * 1024  # bytes of lines that one step finds
_AT_ONCE = 1000  # lines of which one step notes the places


class Found(NamedTuple):
    """A line, the number of the log it is from, and the position after it."""

    number: int
    line: Line
    position: str


class Merging:
    """What is in these logs when it is made, oldest line first; of lines that came at the same
    time, those of the earlier log first. The readers stay the caller's.
    """

    def __init__(self, readers: Sequence[LineReader]) -> None:
        self._readers = readers
        for reader in readers:
            reader.stop_at_present_end()
        self._sought = list(range(len(readers)))[::-1]  # whose next line is not known
        self._heads: list[tuple[int, int, Found]] = []

    def step(self) -> list[Found] | None:
        """Some of the next lines; none, if that took long enough already; None at the end."""
        while self._sought:
            head = self._head(self._sought[-1])
            if head is None and not self._readers[self._sought[-1]].exhausted:
                return []
            self._sought.pop()
            if head is not None:
                self._heads.append(head)
        heapify(self._heads)
        return self._in_order() or None

    def _in_order(self) -> list[Found]:
        heads = self._heads
        found: list[Found] = []
        room = _PIECE
        while heads and room > 0 and not self._sought:
            _, number, first = heads[0]
            found.append(first)
            room -= len(first.line.text) + 1
            head = self._head(number)
            if head is not None:
                heapreplace(heads, head)
                continue
            heappop(heads)
            if not self._readers[number].exhausted:
                self._sought.append(number)
        return found

    def _head(self, number: int) -> tuple[int, int, Found] | None:
        reader = self._readers[number]
        lines = reader.read(1, unfinished=True)
        if not lines:
            return None
        (line,) = lines
        return line.time, number, Found(number, line, reader.position)


class LastFound:
    """Where the last `lines` lines begin that the reader finds in what there is now. It looks from
    the reader's place on, since nobody knows where they are, and keeps no line.
    """

    def __init__(self, reader: LineReader, lines: int) -> None:
        reader.stop_at_present_end()
        self._reader = reader
        self._places: deque[str] = deque(maxlen=lines)

    def step(self) -> str | None:
        """The position, once it is known."""
        reader = self._reader
        for _ in range(_AT_ONCE):
            before = reader.position
            if reader.read(1, unfinished=True):
                self._places.append(before)
            elif reader.exhausted:
                return self._places[0] if self._places else before
            else:
                break
        return None
