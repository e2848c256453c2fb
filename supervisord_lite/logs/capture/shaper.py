"""A stream whose bytes are looked at on their way into its log: since the log has a format of its
own, or a limit on what may be written a second.

They wait in the stream's buffer until whole lines are there, are transformed in batches, written,
and only then let go of; the buffer knows which batch was on its way when the process was killed.
An error of writing leaves in the buffer what was not written.
"""

import os
import time
from dataclasses import dataclass

from supervisord_lite.core.log import Format, Log, RateLimit
from supervisord_lite.logs.capture.buffer import NONE, Batch, Buffer
from supervisord_lite.logs.capture.rate import RateLimiter
from supervisord_lite.logs.capture.sink import Sink
from supervisord_lite.logs.capture.transform import (
    Circumstances,
    Portion,
    fitting,
    portion,
    transformed,
)
from supervisord_lite.logs.files.file import LogFile
from supervisord_lite.logs.files.rotation import SLACK
from supervisord_lite.logs.line import Source

_FORMATS = tuple(Format)
_AT_LINE_START, _WHOLE = 1, 2
_PATIENCE = 1.0  # seconds after its last byte that a line may wait for its end


def shaping(log: Log) -> tuple[Format, RateLimit | None, int] | None:
    """How the bytes of a stream with this log are shaped; None: not at all."""
    if log.format is Format.RAW and log.rate_limit is None:
        return None
    return log.format, log.rate_limit, log.max_line


@dataclass(slots=True)
class _Unsent:
    """What a sink has not taken yet of a batch of `count` bytes."""

    text: bytes
    count: int


class Shaper:
    """Used by one thread. `limited` are the bytes and lines that the rate limit left out, ever."""

    def __init__(self, stream: str, log: Log, buffer: int) -> None:
        self.limited = (0, 0)
        self._source = Source.of(stream)
        self._format = log.format
        self._max_line = log.max_line
        self._buffer = Buffer(buffer, log.max_line)
        self._limiter = RateLimiter(log.rate_limit) if log.rate_limit else None
        self._time = 0
        self._came = 0.0  # when the last byte did
        self._unsent: _Unsent | None = None
        self._sink_at_start = True
        self._line_start: int | None = None  # the size of the file, if it ends with a line of ours

    @property
    def waiting(self) -> int:
        """Bytes that are here."""
        return len(self._buffer)

    def fill(self, pipe: int, most: int) -> int:
        """Take in what is in a pipe; answers how much. BlockingIOError: nothing is."""
        count = self._buffer.fill(pipe, most)
        self._came = time.monotonic()
        return count

    @property
    def due(self) -> float | None:
        """When a line must go out though its end has not come (CLOCK_MONOTONIC)."""
        return self._came + _PATIENCE if len(self._buffer) else None

    @property
    def limited_until(self) -> float | None:
        """When there is something to say of what was left out."""
        return self._limiter.until if self._limiter else None

    def settle(self, target: LogFile | Sink, run: int, *, hurry: bool = False) -> None:
        """Write what can go out; `hurry`: also the line that has no end."""
        if self._unsent and isinstance(target, Sink):
            self._send(target, self._unsent)
        self._time = time.time_ns()
        data = self._buffer.look()
        while count := (piece := portion(data, self._format, self._max_line, hurry=hurry)).size:
            passing = count
            if self._limiter:
                passing = self._limiter.admit(data[:count], time.monotonic())
                if not passing:
                    self._leave_out(data[:count])
                    passing = count
                    data = data[passing:]
                    continue
            self._put(target, data[:passing], piece, run)
            data = data[passing:]

    def end_line(self, target: LogFile | Sink) -> None:
        """No more will come of the line that is being written."""
        if self._format is Format.RAW or self._is_at_line_start(target):
            return
        if isinstance(target, LogFile):
            target.write(b"\n", time.time_ns())
        else:
            target.mark(b"\n")
            self._sink_at_start = True

    def resume(self, target: LogFile | Sink) -> None:
        """The target was opened: write again what was on its way before."""
        self._unsent = self._line_start = None
        batch = self._buffer.batch
        if not batch.size or isinstance(target, Sink):
            self._buffer.note(NONE)
            return
        fresh, whole = bool(batch.flags & _AT_LINE_START), bool(batch.flags & _WHOLE)
        format_ = _FORMATS[batch.form]
        how = Circumstances(format_, batch.time, batch.run, at_line_start=fresh, whole=whole)
        text = transformed(self._buffer.look()[: batch.size], how, self._source)
        if os.fstat(target.fd).st_ino == batch.inode and target.size >= batch.offset:
            target.rewrite(text, batch.offset, batch.time)
        else:
            notice = f"[supervisord-lite: {len(text)} bytes may be here twice: the log was moved]"
            target.mark(self.own_line(notice))
            target.write(text, batch.time)
        self._buffer.consume(batch.size)

    def end_limited_second(self, target: LogFile | Sink | None) -> None:
        """Say what was left out, if it can be said."""
        assert self._limiter, "there is a limit"
        text = self._limiter.end_second(time.monotonic())
        if text and target:
            target.mark(self.own_line(text))
            self._sink_at_start = True

    def own_line(self, text: str) -> bytes:
        """A line of ours as it stands in the log."""
        now = time.time_ns()
        how = Circumstances(self._format, now, 0, at_line_start=True, whole=True)
        return transformed(f"{text}\n".encode(), how, self._source)

    def drop(self) -> tuple[int, int]:
        """Throw away what is here: how many bytes and line ends."""
        data = self._buffer.look()
        self._unsent = None
        self._buffer.consume(len(data))
        return len(data), data.count(b"\n")

    def close(self) -> None:
        """Let go of the buffer."""
        self._buffer.close()

    def _leave_out(self, data: bytes) -> None:
        assert self._limiter, "there is a limit"
        total, lines = self.limited
        self._limiter.leave_out(data)
        self.limited = total + len(data), lines + max(1, data.count(b"\n"))
        self._buffer.consume(len(data))

    def _put(self, target: LogFile | Sink, data: bytes, piece: Portion, run: int) -> None:
        """Write all of this portion."""
        if isinstance(target, Sink):
            how = self._circumstances(target, piece, run)
            self._sink_at_start = piece.whole
            self._send(target, _Unsent(transformed(data, how, self._source), len(data)))
            return
        if self._format is Format.JSON:  # what it had before was in another format
            self.end_line(target)
        while data:
            data = data[self._append(target, data, piece, run) :]

    def _append(self, file: LogFile, data: bytes, piece: Portion, run: int) -> int:
        """Write what goes into the present file; answers how much it was."""
        room = file.room()
        how = self._circumstances(file, piece, run)
        text = transformed(data, how, self._source)
        if room is not None and len(text) > room:
            fits = fitting(data, text, room) if piece.whole else 0
            if not fits and _is_over(file, how, room):
                file.rotate()
                return 0
            if fits or piece.whole:
                data = data[: fits or data.index(b"\n") + 1]
                text = transformed(data, how, self._source)
        self._write(file, data, text, how)
        return len(data)

    def _write(self, file: LogFile, data: bytes, text: bytes, how: Circumstances) -> None:
        flags = how.at_line_start * _AT_LINE_START | how.whole * _WHOLE
        inode, form = os.fstat(file.fd).st_ino, _FORMATS.index(how.format)
        self._buffer.note(Batch(len(data), inode, file.size, how.time, how.run, form, flags))
        try:
            file.write(text, how.time)
        except OSError:
            self._buffer.note(NONE)
            raise
        self._line_start = file.size if text.endswith(b"\n") else None
        self._buffer.consume(len(data))

    def _send(self, sink: Sink, unsent: _Unsent) -> None:
        """Have a sink take a batch. BlockingIOError: it has no room for the rest now."""
        self._unsent = unsent
        while unsent.text:
            unsent.text = unsent.text[sink.give(unsent.text) :]
        self._buffer.consume(unsent.count)
        self._unsent = None

    def _circumstances(self, target: LogFile | Sink, piece: Portion, run: int) -> Circumstances:
        fresh = self._is_at_line_start(target)
        return Circumstances(self._format, self._time, run, fresh, piece.whole)

    def _is_at_line_start(self, target: LogFile | Sink) -> bool:
        if isinstance(target, Sink):
            return self._sink_at_start
        return target.size == self._line_start or target.at_line_start()


def _is_over(file: LogFile, how: Circumstances, room: int) -> bool:
    """Whether a file that is full ends here; one in the middle of a line may have a little more."""
    return file.size > 0 and (how.at_line_start or room < -SLACK)
