"""The lines of several logs as one sequence: what a feed sends.

Each log is read at a position of its own, a few lines ahead; of those lines the ones that came
first go first. What is noted of it all is the position of each log after the last line that was
*accepted*, so lines are sent and then accepted, and a successor begins with the first that was not.
"""

import heapq
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from supervisord_lite.core.log import Format
from supervisord_lite.logs.files.index import Identity
from supervisord_lite.logs.line import Source
from supervisord_lite.logs.reading.lines import Batch, LineReader
from supervisord_lite.logs.reading.reader import written

_KEPT_OPEN = 64  # logs that are open while nothing is to be read from them
_NOTED = ""  # the name under which it stands when positions were noted; no log has it
_AT_ONCE = 16 * 1024  # bytes of lines that are read ahead of each log


@dataclass(frozen=True, slots=True)
class Origin:
    """A log that lines come from. What came after `since` (nanoseconds since the epoch) is for a
    feed that has not known the log before. A longer line than `max_line` bytes comes in parts.
    Lines that were written in some `form` come as they were said.
    """

    source: Source
    path: str
    max_line: int
    since: int
    form: Format = Format.RAW


@dataclass(slots=True, eq=False)
class Piece:
    """Lines of one source that came together. The first `taken` of them were accepted; a `partial`
    one is alone. `left`: bytes of the log that those have which were not.
    """

    source: Source
    time: int
    run: int
    texts: list[bytes]
    partial: bool = False
    taken: int = 0
    left: int = 0

    @property
    def text(self) -> bytes:
        """The first line that was not accepted."""
        return self.texts[self.taken]


class _Spring:
    """One log, and the lines of it that are next."""

    def __init__(self, key: str, origin: Origin) -> None:
        self.key = key
        self.origin = origin
        self.place: Identity | str | None = None  # after what was accepted
        self.since: int | None = None  # where to begin until then; None: at the present end
        self.reader: LineReader | None = None
        self.head: Piece | None = None
        self.rest: Batch | None = None  # of the line whose beginning is the head
        self.leaving = False  # it gives what it has and is forgotten

    @property
    def at(self) -> str | None:
        return written(self.place) if isinstance(self.place, Identity) else self.place

    def next_batch(self, *, unfinished: bool) -> Batch | None:
        assert self.reader is not None, "it is open"
        batch, self.rest = self.rest, None
        return batch or self.reader.batch(_AT_ONCE, unfinished=unfinished)


class Mixture:
    """Belongs to the feed's thread; only `wake` may be called in any.

    `live`: who begins sees what comes from now on, and not what came since it was declared. Lines
    come in parts of at most `longest` bytes. `ring` is called when there may be something to read.
    A log is known by a key, which its feed's next life has to know it by: see `key_of`.
    """

    def __init__(self, ring: Callable[[], None], *, longest: int, live: bool) -> None:
        self._ring = ring
        self._note: Callable[[str], None] = lambda _: None
        self._longest = longest
        self._live = live
        self._active = False
        self._origins: dict[str, Origin] = {}
        self._springs: dict[str, _Spring] = {}
        self._heads: list[tuple[int, int, _Spring]] = []
        self._current: _Spring | None = None  # of which something was answered, and is no head
        self._open: set[_Spring] = set()
        self._serial = 0
        self._grew: set[str] = set()
        self._changed = False
        self._unfinished = False

    def add(self, key: str, origin: Origin) -> None:
        """Have the lines of this log too, or in another way than before."""
        known = self._origins.get(key)
        self._origins[key] = replace(origin, since=known.since) if known else origin
        self._changed = True
        self.wake(key)

    def drop(self, key: str) -> None:
        """Have no more of this log than is in it now."""
        self._origins.pop(key, None)
        self._changed = True
        self.wake(key)

    def wake(self, key: str) -> None:
        """The log grew. Cheap, and cheaper still until the feed has looked."""
        if key not in self._grew:
            self._grew.add(key)
            self._ring()

    @property
    def position(self) -> str:
        """Where each log is to be read on."""
        places = {key: at for key, spring in self._springs.items() if (at := spring.at)}
        return json.dumps({_NOTED: time.time_ns(), **places})

    def places(self) -> dict[str, str]:
        """The position of each log, by its path."""
        return {one.origin.path: at for one in self._springs.values() if (at := one.at)}

    def begin(self, position: str | None, note: Callable[[str], None]) -> None:
        """Read on, or, without a position, from what is wanted at the beginning. `note` is called
        with the position whenever other logs are read than before; nothing is accepted then that
        was not sent.
        """
        known = _read_places(position) if position else {}
        noted = known.pop(_NOTED, None)
        self._note = note
        self._active, self._changed = True, False
        for key, origin in self._origins.items():
            spring = self._springs[key] = _Spring(key, origin)
            place = known.pop(key, None)
            if isinstance(place, str):
                spring.place = place
            elif position is not None and isinstance(noted, int):
                spring.since = noted  # it came when the last position had been noted already
            elif not self._live:
                spring.since = origin.since
            self._try_open(spring)
        for key, place in known.items():  # logs that were taken out, perhaps not read to their end
            spring = self._springs[key] = _Spring(key, _origin_of(key))
            spring.place, spring.leaving = str(place), True
        self._note(self.position)
        self.wake_all()

    def end(self) -> None:
        """Read no more, and forget all positions."""
        for spring in self._springs.values():
            self._close(spring)
        self._active = False
        self._springs.clear()
        self._heads.clear()
        self._current = None

    def wake_all(self) -> None:
        """Look into every log again."""
        self._grew.update(self._springs)
        self._ring()

    def finish(self, *, unfinished: bool) -> None:
        """Look into every log once more; with `unfinished`, no line will be continued."""
        self._unfinished = unfinished
        self.wake_all()

    def oldest(self) -> int | None:
        """When the line came that is next, if one is known."""
        if self._current is not None and self._current.head is not None:
            return self._current.head.time
        return self._heads[0][0] if self._heads else None

    def next(self) -> Piece | None:
        """The lines that came first of those that were not accepted yet; the same until all of
        them were.
        """
        if not self._active:
            return None
        if self._changed:
            self._changed = False
            self._follow_origins()
        while self._grew:
            spring = self._springs.get(self._grew.pop())
            if spring is not None and spring.head is None:
                self._draw(spring)
        if self._current is None and self._heads:
            self._current = heapq.heappop(self._heads)[2]
        return self._current.head if self._current is not None else None

    def accept(self, count: int) -> tuple[str, Identity | None]:
        """So many more lines of what `next` answered are sent: the key of their log, and where
        that is now, if it is elsewhere than before.
        """
        spring = self._current
        assert spring is not None, "something was answered"
        piece, reader = spring.head, spring.reader
        assert piece is not None, "it is its head"
        assert reader is not None, "it gave lines"
        begin, piece.taken = piece.taken, piece.taken + count
        place: Identity | None = None
        if piece.taken < len(piece.texts):
            piece.left -= sum(map(len, piece.texts[begin : piece.taken])) + count
            place = Identity(reader.place.chain, reader.place.base - piece.left)
        elif spring.rest is None:
            place = reader.place
        spring.place = place or spring.place
        if piece.taken == len(piece.texts):
            spring.head = self._current = None
            self._draw(spring)
        return spring.key, place

    def _follow_origins(self) -> None:
        for key, spring in self._springs.items():
            wanted = self._origins.get(key)
            spring.leaving = wanted is None
            if wanted is None:
                self._grew.add(key)
            elif (wanted.form, wanted.max_line) != (spring.origin.form, spring.origin.max_line):
                self._reopen(spring, wanted)
        for key, origin in list(self._origins.items()):
            if key not in self._springs:
                spring = self._springs[key] = _Spring(key, origin)
                spring.since = origin.since
                self._try_open(spring)
                self._grew.add(key)
        self._note(self.position)

    def _reopen(self, spring: _Spring, origin: Origin) -> None:
        """Read the same log in another way, from after what is the head."""
        spring.origin = origin
        if spring.reader is not None:
            place = spring.reader.position
            self._close(spring)
            with suppress(OSError):
                self._reader(spring, place)

    def _try_open(self, spring: _Spring) -> None:
        with suppress(OSError):  # it is tried again when the log has grown
            spring.place = self._reader(spring, spring.at).place
        self._rest(spring)

    def _reader(self, spring: _Spring, at: str | None) -> LineReader:
        if spring.reader is None:
            origin = spring.origin
            # what was written into the file is longer than what was said: see `_draw`
            cut = origin.max_line
            if origin.form is Format.RAW:
                cut = min(cut, self._longest)
            since = spring.since if at is None else None
            spring.reader = LineReader(
                origin.path, position=at, since=since, max_line=cut, form=origin.form
            )
            self._open.add(spring)
        return spring.reader

    def _close(self, spring: _Spring) -> None:
        if spring.reader is not None:
            spring.reader.close()
            spring.reader = None
            self._open.discard(spring)

    def _draw(self, spring: _Spring) -> None:
        """Have the next lines of a log ready, if there are any."""
        with suppress(OSError):
            reader = self._reader(spring, spring.at)
            batch = spring.next_batch(unfinished=self._unfinished)
            if batch is not None:
                self._offer(spring, batch)
                return
            spring.place = reader.place
        if spring.leaving:
            self._close(spring)
            del self._springs[spring.key]
        else:
            self._rest(spring)

    def _offer(self, spring: _Spring, batch: Batch) -> None:
        texts, partial = batch.texts, batch.partial
        if len(texts) == 1 and len(texts[0]) > self._longest:
            text = texts[0]
            spring.rest = Batch(batch.time, batch.run, [text[self._longest :]], partial)
            texts, partial = [text[: self._longest]], True
        left = sum(map(len, texts)) + len(texts)
        head = Piece(spring.origin.source, batch.time, batch.run, texts, partial, left=left)
        spring.head = head
        self._serial += 1
        heapq.heappush(self._heads, (batch.time, self._serial, spring))

    def _rest(self, spring: _Spring) -> None:
        """There is nothing to read now: be sparing with descriptors."""
        if len(self._open) > _KEPT_OPEN:
            self._close(spring)


def key_of(stream: str, path: str) -> str:
    """By what a feed knows the log of a stream: the log may change, or have another's name."""
    return f"{stream} {path}"


def _origin_of(key: str) -> Origin:
    """What is still to be known of a log when nothing else tells of it any more."""
    stream, _, path = key.partition(" ")
    return Origin(Source.of(stream), path, 64 * 1024, 0)


def _read_places(position: str) -> dict[str, object]:
    """What was noted, and added to it; the later counts. A last line "+N" moves the last place by
    so many bytes.
    """
    places: dict[str, object] = {}
    last = ""
    for text in position.splitlines():
        if text.startswith("+"):
            chain, _, offset = str(places[last]).partition(":")
            places[last] = f"{chain}:{int(offset) + int(text)}"
            continue
        with suppress(ValueError):
            found = json.loads(text)
            if isinstance(found, dict):
                places |= found
                last = next(reversed(found), "")
    return places
