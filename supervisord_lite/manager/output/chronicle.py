"""What the daemon says of itself: one structured record each time, shown on stderr as text or
JSON, and written into a log of its own.

That log is a stream like those of the workers: a pipe that the keeper holds, and the data plane
that empties it into a file. So rotation, trouble, followers and what a SIGKILL leaves are its
affair, not ours. The pipe is never waited for: what it has no room for is counted, and told as soon
as there is room. What is said before a configuration is known waits for it.
"""

import errno
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from supervisord_lite.core.log import Level, Log, OwnLog, View
from supervisord_lite.linux import pipes
from supervisord_lite.logs.escape import escape
from supervisord_lite.logs.line import timestamp
from supervisord_lite.logs.plane import make_stream_pipe

STREAM = "daemon/log"  # what the data plane and the keeper know it by
_GRAVITY = {level: number for number, level in enumerate(Level)}
_WHOLE = 4096  # PIPE_BUF: so much is written into a pipe as one, or not at all
_LEVELS = (
    (logging.ERROR, Level.ERROR),
    (logging.WARNING, Level.WARNING),
    (logging.INFO, Level.INFO),
)
_EARLY = 1000  # records that wait for the first configuration at most
_MARK = "…"  # ends a text that was cut


@dataclass(frozen=True, slots=True)
class Record:
    """Something that was said. `time` is in nanoseconds since the epoch; `fields` is what it is
    about, as keys of a JSON object.
    """

    time: int
    level: Level
    text: str
    fields: Mapping[str, str | int] = field(default_factory=dict)


def as_text(record: Record) -> str:
    """The record for people: one line, whatever is in it."""
    text = " ".join(_visible(line) for line in record.text.splitlines())
    return f"{timestamp(record.time)} {record.level.upper()} {text}"


def as_json(record: Record) -> str:
    """The record as an object, in ASCII: wherever it is shown, nothing of it is escaped again."""
    head = {"time": timestamp(record.time), "level": record.level, "message": record.text}
    return json.dumps({**head, **record.fields}, separators=(",", ":"))


def _visible(text: str) -> str:
    """The text with nothing that commands a terminal, and with what is no Unicode as escapes: a
    path may have any bytes in it.
    """
    return escape(text.encode(errors="backslashreplace"))


def _as_line(record: Record, view: View) -> bytes:
    """A line that goes into a pipe as a whole, with the ends of its texts cut where it must be."""
    write = as_json if view is View.JSON else as_text
    while len(line := f"{write(record)}\n".encode()) > _WHOLE:
        record = _shorter(record)
    return line


def _shorter(record: Record) -> Record:
    """The record with half of its longest text."""
    texts = {key: value for key, value in record.fields.items() if isinstance(value, str)}
    key, longest = max(texts.items(), key=lambda one: len(one[1]), default=("", ""))
    if len(longest) > len(record.text):
        return replace(record, fields={**record.fields, key: _half(longest)})
    return replace(record, text=_half(record.text))


def _half(text: str) -> str:
    return text[: len(text) // 2] + _MARK


class Plane(Protocol):
    """What is needed of a data plane."""

    def attach(self, stream: str, pipe: int, log: Log) -> None: ...

    def adjust(self, stream: str, log: Log) -> None: ...

    def detach(self, stream: str) -> None: ...


class OwnFile:
    """The daemon's own log as a stream of the data plane, where the configuration wants one.

    `held` is the pipe that an earlier manager left with the keeper. One call at a time; the thread
    does not matter.
    """

    def __init__(
        self,
        plane: Plane,
        hold: Callable[[str, int], None],
        drop: Callable[[str], None],
        held: int | None = None,
    ) -> None:
        self._plane = plane
        self._hold, self._drop = hold, drop
        self._held = held
        self._end: int | None = None  # of the pipe: ours
        self.log: Log | None = None

    def configure(self, own: OwnLog) -> None:
        """Write where and as this says, from now on."""
        log = None if own.path is None else Log(own.path, own.rotation)
        if log is not None and self.log is None:
            self._open(log)
        elif log is None:
            self._close()
        elif log != self.log:
            self._plane.adjust(STREAM, log)
        self.log = log

    def write(self, line: bytes) -> bool:
        """Write a line of at most 4096 bytes; whether there was room for it."""
        try:
            return self._end is not None and os.write(self._end, line) == len(line)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return False

    def _open(self, log: Log) -> None:
        pipe, self._held = self._held, None
        if pipe is None:
            pipe = make_stream_pipe()
            self._hold(STREAM, pipe)
        self._end = pipes.reopen(pipe, os.O_WRONLY | os.O_NONBLOCK)
        self._plane.attach(STREAM, pipe, log)
        os.close(pipe)

    def _close(self) -> None:
        if self._held is not None:  # left by a manager that died before it had let go of it
            self._drop(STREAM)
            os.close(self._held)
            self._held = None
        if self._end is not None:
            self._plane.detach(STREAM)
            self._drop(STREAM)
            os.close(self._end)
            self._end = None


class Chronicle:
    """Takes records from any thread, waits for nothing. `show` has a line shown to whoever looks
    at the daemon itself; in a `terminal` that is a person, who needs neither time nor JSON.
    """

    def __init__(self, show: Callable[[str], None], *, terminal: bool) -> None:
        self._show = show
        self._terminal = terminal
        self._own = OwnLog()
        self._file: OwnFile | None = None
        self._early: deque[Record] | None = deque(maxlen=_EARLY)
        self._lost = 0
        # A garbage collection may have asyncio complain of a task in the middle of what is locked.
        self._lock = threading.RLock()

    def configure(self, own: OwnLog, file: OwnFile) -> None:
        """Go on as this says; what waited for it is written now."""
        with self._lock:
            file.configure(own)
            self._own, self._file = own, file
            early, self._early = self._early or (), None
            for record in early:
                if self._is_wanted(record):
                    self._write(record)

    def say(self, level: Level, text: str, **fields: str | int) -> None:
        """Say this, unless it is below the level that is wanted."""
        self.tell(Record(time.time_ns(), level, text, fields))

    def tell(self, record: Record, *, shown: bool = False) -> None:
        """The same for a record that is made already; `shown`: whoever looks has seen it."""
        with self._lock:
            if not self._is_wanted(record):
                return
            if not shown:
                self._show_record(record)
            if self._early is None:
                self._write(record)
            else:
                self._early.append(record)

    def _is_wanted(self, record: Record) -> bool:
        return _GRAVITY[record.level] >= _GRAVITY[self._own.level]

    def _show_record(self, record: Record) -> None:
        if self._terminal:
            self._show(f"supervisord-lite: {_visible(record.text)}")
        elif self._own.stderr:
            self._show(as_json(record) if self._own.view is View.JSON else as_text(record))

    def _write(self, record: Record) -> None:
        """Write the record, and first how many had to be left out."""
        if self._file is None or self._file.log is None:
            return
        if self._lost:
            text = f"{self._lost} records left out: the log did not take them"
            lost = Record(record.time, Level.WARNING, text, {"event": "left-out"})
            if not self._file.write(_as_line(lost, self._own.view)):
                self._lost += 1
                return
            self._lost = 0
        if not self._file.write(_as_line(record, self._own.view)):
            self._lost += 1


class LibraryLog(logging.Handler):
    """What libraries say by `logging`, as records of ours."""

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__(logging.INFO)
        self._chronicle = chronicle

    def emit(self, record: logging.LogRecord) -> None:
        level = next((one for number, one in _LEVELS if record.levelno >= number), Level.DEBUG)
        self._chronicle.say(level, self.format(record), event="library", logger=record.name)
