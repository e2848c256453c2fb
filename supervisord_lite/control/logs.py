"""Showing logs to clients: what is there now, or live as server-sent events that can resume.

All bytes come out of the log files, each client at a place of its own, so a slow client lags and
disturbs nobody. Files are read in threads: a stalled disk holds up its readers and nothing else.
The cursor of an event says where its text ends, to the byte, also after a manager's death.
"""

import asyncio
import codecs
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from supervisord_lite.control.requests import BadRequest, LogQuery
from supervisord_lite.manager.output.wanted import Reading

if TYPE_CHECKING:
    from supervisord_lite.manager.output.lines import LineView

# One piece of output; fair between streams, and what a client that does not read costs us.
_PIECE = 64 * 1024
# What one answer without `follow` carries of a stream; its cursor fetches the rest.
_MOST_AT_ONCE = 1024 * 1024
# Each followed stream costs a descriptor, and a cursor in the request that resumes it.
_MOST_STREAMS = 128
_ON_ITS_WAY = 0.5  # seconds that the last bytes of a log may take, when it becomes another one


class Tail(Protocol):
    """A reader of one stream's log from a place of its own, across rotations. It blocks."""

    @property
    def position(self) -> str:
        """Where the next read begins: printable, valid in later processes."""

    def read(self, count: int, /) -> bytes:
        """The next bytes, or none when there is nothing new now."""

    def close(self) -> None:
        """Give up the descriptors."""


class LogAccess(Protocol):
    """What the manager lends: which streams are logged, and how to read and watch them."""

    def streams(self, instance: str) -> Sequence[str]:
        """Those of "stdout" and "stderr" that have a log."""

    def log(self, instance: str, stream: str) -> tuple[str, str] | None:
        """The path of the log and the format of its lines; None if there is none any more."""

    def open(self, instance: str, stream: str, *, lines: int, position: str | None) -> Tail:
        """A reader from `position`, or else from the last `lines` lines. It blocks; it raises
        ValueError for a position that never was one, OSError when the log cannot be read.
        """

    def lines(self, wanted: Sequence[tuple[str, str, str | None]], reading: Reading) -> "LineView":
        """The lines of these streams: of which instance and which of its streams, and from which
        position, if from a certain one.
        """

    def feeds(self) -> list[dict[str, Any]]:
        """How far each feed has come. It blocks."""

    def watch(self, instance: str, stream: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake`, from any thread, whenever the log grew or rotated. Returns the cancel."""


class Unreadable(Exception):
    """A log cannot be read; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream to show, and the cursor to begin at, if the client has one."""

    instance: str
    stream: str
    cursor: str | None

    @property
    def position(self) -> str | None:
        """Where lines go on: a character that was cut in two is none of them."""
        return self.cursor.partition(".")[2] if self.cursor else None


def sources(logs: LogAccess, instances: Sequence[str], query: LogQuery) -> list[Source]:
    """The streams that the query means. Raises `BadRequest`."""
    cursors = dict(query.cursors)
    found = [
        Source(instance, stream, cursors.get(f"{instance}/{stream}"))
        for instance in instances
        for stream in logs.streams(instance)
        if query.stream in {None, stream}
    ]
    if len(found) > _MOST_STREAMS:
        raise BadRequest(f"cannot show {len(found)} logs at once: name at most {_MOST_STREAMS}")
    return found


class Reader:
    """One stream, decoded: broken UTF-8 is replaced, a split character waits for its rest.

    A cursor is the bytes of a split character in hexadecimal, a dot, and the tail's position.
    """

    def __init__(self, logs: LogAccess, source: Source, lines: int) -> None:
        self.source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lock = threading.Lock()  # nobody closes a descriptor that a thread reads from
        try:
            position = self._resume(source.cursor) if source.cursor else None
            self._tail = logs.open(source.instance, source.stream, lines=lines, position=position)
        except ValueError:
            raise BadRequest(f"cannot resume at {source.cursor}: it is no cursor") from None
        except OSError as error:
            raise self._unreadable(error) from None

    def read(self) -> dict[str, Any] | None:
        """The next piece as a JSON-ready value, or None when there is nothing new. It blocks."""
        data = self.read_raw()
        return self.piece(self._decoder.decode(data)) if data else None

    def piece(self, text: str) -> dict[str, Any]:
        """Some text that ends where this reader is now."""
        pending, _ = self._decoder.getstate()
        return {
            "name": self.source.instance,
            "stream": self.source.stream,
            "text": text,
            "cursor": f"{pending.hex()}.{self._tail.position}",
        }

    def read_raw(self) -> bytes:
        try:
            with self._lock:
                return self._tail.read(_PIECE)
        except OSError as error:
            raise self._unreadable(error) from None

    def close(self) -> None:
        with self._lock:
            self._tail.close()

    def _unreadable(self, error: OSError) -> Unreadable:
        source = self.source
        return Unreadable(f"cannot read {source.stream} of {source.instance}: {error.strerror}")

    def _resume(self, cursor: str) -> str:
        pending, _, position = cursor.partition(".")
        self._decoder.setstate((bytes.fromhex(pending), 0))
        return position


async def snapshot(logs: LogAccess, wanted: Sequence[Source], lines: int) -> bytes:
    """What is in these logs now, as the JSON body of an answer."""
    entries = [await asyncio.to_thread(_snapshot, logs, source, lines) for source in wanted]
    return json.dumps({"logs": entries}).encode()


def _snapshot(logs: LogAccess, source: Source, lines: int) -> Mapping[str, Any]:
    reader = Reader(logs, source, lines)
    try:
        texts: list[str] = []
        size = 0
        while size < _MOST_AT_ONCE and (piece := reader.read()):
            texts.append(piece["text"])
            size += _PIECE
        _, form = logs.log(source.instance, source.stream) or ("", "raw")
        return {**reader.piece("".join(texts)), "more": size >= _MOST_AT_ONCE, "format": form}
    finally:
        reader.close()


class Readers:
    """The readers of one answer, which may end at any moment: also while a thread opens them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: list[Reader] = []
        self._closed = False

    def open(self, logs: LogAccess, source: Source, lines: int) -> Reader:
        """One more. It blocks."""
        reader = Reader(logs, source, lines)
        with self._lock:
            if not self._closed:
                self._readers.append(reader)
                return reader
        reader.close()
        raise Unreadable("nobody waits for it any more")

    def open_all(self, logs: LogAccess, wanted: Sequence[Source], lines: int) -> list[Reader]:
        return [self.open(logs, source, lines) for source in wanted]

    def close_soon(self) -> None:
        """Have a thread close them. Nobody waits for that: what is awaited can be cancelled, and
        then would not happen.
        """
        asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """Close those that are open, and those that will be."""
        with self._lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close()


async def raw(logs: LogAccess, wanted: Sequence[Source], lines: int) -> AsyncIterator[bytes]:
    """What is in these logs now, byte by byte as it was written, one log after the other."""
    for source in wanted:
        readers = Readers()
        try:
            reader = await asyncio.to_thread(readers.open, logs, source, lines)
            while piece := await asyncio.to_thread(reader.read_raw):
                yield piece
        finally:
            readers.close_soon()


async def follow(logs: LogAccess, wanted: Sequence[Source], lines: int) -> AsyncIterator[bytes]:
    """Server-sent events until a stream gets another log: each an `output` with the text and, as
    its id, the cursor.

    A `position` of each stream comes first, so that a client can resume what has been silent.
    """
    opened = Readers()
    wakeups = Wakeups(len(wanted))
    changes = Changes(logs, wanted, wakeups)
    cancels = [
        logs.watch(source.instance, source.stream, wakeups.waker(number))
        for number, source in enumerate(wanted)
    ]
    try:
        readers = await asyncio.to_thread(opened.open_all, logs, wanted, lines)
        yield b"".join(_event("position", reader.piece("")) for reader in readers)
        while True:
            number = await wakeups.next()
            piece = await asyncio.to_thread(readers[number].read)
            if piece is None:
                if changes.moved(number):
                    return
                continue
            wakeups.wake(number)  # there may be more, but the others come first
            if piece["text"]:  # a split character alone is nothing yet
                yield _event("output", piece)
    finally:
        for cancel in cancels:
            cancel()
        opened.close_soon()


class Changes:
    """Whether streams still have the logs that they have now: a reload may give them others. An
    answer that follows them ends then, and its client comes again with its cursors.
    """

    def __init__(self, logs: LogAccess, wanted: Sequence[Source], wakeups: "Wakeups") -> None:
        self._logs = logs
        self._wanted = wanted
        self._wakeups = wakeups
        self._before = [self._now(number) for number in range(len(wanted))]
        self._moved: set[int] = set()

    def moved(self, number: int) -> bool:
        """Whether what it says now is elsewhere; asked when there is no more here. No at the first
        time: what was on its way then may still come here. It is looked at once more in a while.
        """
        if not self._is_elsewhere(number):
            return False
        known = number in self._moved
        self._moved.add(number)
        if not known:
            self._wakeups.wake_later(number)
        return known

    def rewritten(self, number: int) -> bool:
        """Whether it is at the same place in another format."""
        return not self._is_elsewhere(number) and self._before[number] != self._now(number)

    def _is_elsewhere(self, number: int) -> bool:
        before, now = self._before[number], self._now(number)
        return before is None or now is None or before[0] != now[0]

    def _now(self, number: int) -> tuple[str, str] | None:
        source = self._wanted[number]
        return self._logs.log(source.instance, source.stream)


class Wakeups:
    """Which of `count` streams to look at next: each at most once in the queue, in turn.

    All start awake. The wakers may be called from any thread.
    """

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = deque(range(count))
        self._awake = [True] * count
        self._any = asyncio.Event()
        self._any.set()

    def waker(self, number: int) -> Callable[[], None]:
        def wake() -> None:
            if not self._awake[number]:
                self._loop.call_soon_threadsafe(self.wake, number)

        return wake

    def wake(self, number: int) -> None:
        if not self._awake[number]:
            self._awake[number] = True
            self._queue.append(number)
            self._any.set()

    def wake_later(self, number: int) -> None:
        """Look at it once more, also if nothing comes."""
        self._loop.call_later(_ON_ITS_WAY, self.wake, number)

    async def next(self) -> int:
        while not self._queue:
            self._any.clear()
            await self._any.wait()
        number = self._queue.popleft()
        # Cleared before the log is read: what is written from now on wakes the stream again.
        self._awake[number] = False
        return number


def _event(kind: str, piece: Mapping[str, Any]) -> bytes:
    data = json.dumps({key: piece[key] for key in ("name", "stream", "text")})
    name = f"{piece['name']}/{piece['stream']}@{piece['cursor']}"
    return f"id: {name}\nevent: {kind}\ndata: {data}\n\n".encode()
