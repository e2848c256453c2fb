"""The lines of several logs as clients are shown them: chosen, in order, written out.

It is made at once and opens nothing: all that touches a disk is in `step` and `arrived`, which are
bounded and for a thread, one at a time. A line's cursor says where the next one of its log begins.
"""

import threading
from collections.abc import Sequence

from supervisord_lite.logs.line import as_json, as_prefixed
from supervisord_lite.logs.reading.lines import LineReader
from supervisord_lite.logs.reading.merging import Found, LastFound, Merging
from supervisord_lite.manager.output.wanted import Form, Opened, Reading, Shown

_LIVE = 512  # lines of one log that are shown before others have their turn


class LineView:
    """See the module. `close` may come at any moment, also while a thread is in a step."""

    def __init__(self, logs: Sequence[Opened], reading: Reading) -> None:
        self._logs = logs
        self._reading = reading
        self._lock = threading.Lock()  # nobody closes a descriptor that a thread reads from
        self._closed = False
        self._readers: list[LineReader] = []
        self._sought: LastFound | None = None
        self._merging: Merging | None = None
        self._seeks = bool(reading.matching and reading.lines)
        self._width = max((len(log.source.title) for log in logs), default=0)

    def cursors(self) -> list[str]:
        """Where each log is, once `step` has answered None."""
        return [self._cursor(n, reader.position) for n, reader in enumerate(self._readers)]

    def step(self) -> list[Shown] | None:
        """Some of what is there now, oldest line first; perhaps nothing yet; None at its end.
        OSError if a log cannot be read, ValueError if a position never was one.
        """
        with self._lock:
            if self._closed:
                return None
            if self._sought is not None:
                self._seek(self._sought)
                return []
            if self._merging is None:
                self._open()
                if self._sought is not None:
                    return []
                if self._reading.lines == 0 and not any(log.position for log in self._logs):
                    return None
                self._merging = Merging(self._readers)
            found = self._merging.step()
            if found is None:
                for reader in self._readers:
                    reader.go_on()
                return None
            return [self._shown(one) for one in found]

    def arrived(self, number: int, *, unfinished: bool) -> tuple[list[Shown], bool]:
        """What is new in this log, and whether all of it is here. What has no end yet waits for
        it, unless `unfinished` lines are wanted.
        """
        with self._lock:
            if self._closed:
                return [], True
            reader = self._readers[number]
            shown = []
            for _ in range(_LIVE):
                lines = reader.read(1, unfinished=unfinished)
                if not lines:
                    break
                shown.append(self._shown(Found(number, lines[0], reader.position)))
            return shown, reader.exhausted

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._closed = True
            for reader in self._readers:
                reader.close()

    def _open(self) -> None:
        """Open the logs; where the last matching lines are wanted, one after the other and step by
        step, since it takes a search to find them.
        """
        while len(self._readers) < len(self._logs):
            log = self._logs[len(self._readers)]
            seeking = self._seeks and log.position is None
            self._readers.append(self._first_reader(log, seeking=seeking))
            if seeking:
                self._sought = LastFound(self._readers[-1], self._reading.lines or 0)
                return

    def _seek(self, sought: LastFound) -> None:
        position = sought.step()
        if position is not None:
            self._sought = None
            self._readers.pop().close()
            log = self._logs[len(self._readers)]
            self._readers.append(self._reader(log, position, 0, None))

    def _first_reader(self, log: Opened, *, seeking: bool) -> LineReader:
        reading = self._reading
        since = None if reading.lines == 0 else reading.since
        if since is None and (seeking or reading.lines is None):
            since = 0
        return self._reader(log, log.position, 0 if seeking else reading.lines or 0, since)

    def _reader(
        self, log: Opened, position: str | None, tail: int, since: int | None
    ) -> LineReader:
        reader = LineReader(
            log.path,
            position=position,
            tail=tail,
            since=since,
            until=self._reading.until,
            max_line=log.max_line,
            form=log.format,
        )
        if self._reading.matching:
            reader.pass_over_others(self._reading.matching)
        return reader

    def _cursor(self, number: int, position: str) -> str:
        # the part before the dot is for those who read text: see the control API's cursors
        return f"{self._logs[number].name}@.{position}"

    def _shown(self, found: Found) -> Shown:
        source = self._logs[found.number].source
        cursor = self._cursor(found.number, found.position)
        if self._reading.form is Form.TEXT:
            return Shown(cursor, as_prefixed(found.line, source.title, self._width))
        whole = as_json(found.line, source)
        return Shown(cursor, b'%b,"cursor":"%b"}\n' % (whole[:-2], cursor.encode()))
