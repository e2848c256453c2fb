"""Lines of several logs as one sequence: order, what is accepted, and going on from there."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Format
from supervisord_lite.logs.feeds.encoding import Blend, Encode, as_objects, plain, prefixed
from supervisord_lite.logs.feeds.mixture import Mixture, Origin, Piece, key_of
from supervisord_lite.logs.line import Line, Source, as_json, as_prefixed
from tests.logs.written_log import SECOND, Log

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 1000


def nothing(*_: object) -> None:
    """Nobody wants to know."""


class Streams:
    """Logs that are written by hand, and mixtures of them."""

    def __init__(self, directory: Path, count: int) -> None:
        self.logs: list[Log] = []
        for number in range(count):
            (directory / str(number)).mkdir()
            self.logs.append(Log(directory / str(number)))

    def key(self, number: int) -> str:
        return key_of(f"web:{number}/stdout", self.logs[number].path)

    def mixture(self, *, form: Format = Format.RAW, logs: int | None = None) -> Mixture:
        made = Mixture(nothing, longest=LONGEST, live=False)
        for number, log in enumerate(self.logs[:logs]):
            source = Source("web", number, "stdout")
            made.add(self.key(number), Origin(source, log.path, 65536, 0, form))
        return made


def one_by_one(mixture: Mixture) -> list[bytes]:
    """All that is there."""
    found = []
    while (piece := mixture.next()) is not None:
        found.append(piece.text)
        mixture.accept(1)
    return found


def blended(mixture: Mixture, encode: Encode, room: int) -> list[bytes]:
    blend = Blend(mixture, encode)
    found = []
    while data := blend.read(room):
        found.append(data)
    return found


def test_lines_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    """Those of one log always in its own."""
    streams = Streams(tmp_path, 3)
    for number in range(2000):
        streams.logs[number * 7 % 3].write(b"%d\n" % number, at=number // 5)
    mixture = streams.mixture()
    mixture.begin(None, nothing)
    found = [int(text) for text in one_by_one(mixture)]
    assert [number // 5 for number in found] == sorted(number // 5 for number in range(2000))
    for log in range(3):
        mine = [number for number in found if number * 7 % 3 == log]
        assert mine == sorted(mine)
    mixture.end()


def test_what_was_answered_stays_until_it_is_accepted(tmp_path: Path) -> None:
    """An older line that comes to light meanwhile does not take its place: half of the other may
    be sent already.
    """
    streams = Streams(tmp_path, 2)
    streams.logs[0].write(b"later\n", at=20)
    mixture = streams.mixture()
    mixture.begin(None, nothing)
    first = mixture.next()
    assert first is not None
    streams.logs[1].write(b"earlier\n", at=10)
    mixture.wake(streams.key(1))
    assert mixture.next() is first
    assert one_by_one(mixture) == [b"later", b"earlier"]
    mixture.end()


@pytest.mark.parametrize("room", [1, 300, 5000, 1 << 20])
def test_a_successor_goes_on_behind_what_was_accepted(tmp_path: Path, room: int) -> None:
    """Wherever that is in what was read ahead: each line comes once, whoever reads it."""
    streams = Streams(tmp_path, 2)
    for number in range(600):
        streams.logs[number % 2].write(b"%03d\n" % number * 3, at=number // 50)
    position: str | None = None
    found: list[bytes] = []
    while len(found) < 1800:
        mixture = streams.mixture()
        mixture.begin(position, nothing)
        blend = Blend(mixture, plain)
        some = blend.read(room) + blend.read(room)
        assert some
        found += some.split()
        position = blend.position
        mixture.end()
    assert sorted(found) == [b"%03d" % number for number in range(600) for _ in range(3)]


def test_a_log_that_was_taken_out_is_read_to_its_end_by_the_successor_too(tmp_path: Path) -> None:
    """It knows it by its key alone."""
    streams = Streams(tmp_path, 2)
    for number in range(10):
        streams.logs[number % 2].write(b"%d\n" % number, at=number)
    notes: list[str] = []
    mixture = streams.mixture()
    mixture.begin(None, notes.append)
    mixture.drop(streams.key(1))
    assert mixture.next() is not None
    mixture.end()
    successor = streams.mixture(logs=1)
    successor.begin(notes[-1], notes.append)
    assert one_by_one(successor) == [b"%d" % number for number in range(10)]
    assert list(successor.places()) == [streams.logs[0].path]
    successor.end()


@pytest.mark.parametrize("form", [Format.TIMESTAMPED, Format.JSON])
def test_formats_are_taken_off(tmp_path: Path, form: Format) -> None:
    """A line is shown as it was said, and one that is too long comes in parts."""
    streams = Streams(tmp_path, 1)
    texts = [b"short", b"x" * 2500, b"end"]
    for text in texts:
        line = b"2026-11-23T02:17:05.123Z %b\n" % text
        if form is Format.JSON:
            line = as_json(Line(7 * SECOND, 3, text), Source("web", 0, "stdout"))
        streams.logs[0].write(line, at=1)
    mixture = streams.mixture(form=form)
    mixture.begin(None, nothing)
    found: list[tuple[bytes, bool]] = []
    while (piece := mixture.next()) is not None:
        found.append((piece.text, piece.partial))
        mixture.accept(1)
    mixture.end()
    long = [(b"x" * LONGEST, True), (b"x" * LONGEST, True), (b"x" * 500, False)]
    assert found == [(b"short", False), *long, (b"end", False)]


def test_a_format_that_changes_holds_from_then_on(tmp_path: Path) -> None:
    """What was read ahead was said before."""
    streams = Streams(tmp_path, 1)
    streams.logs[0].write(b"raw\n", at=1)
    mixture = streams.mixture()
    mixture.begin(None, nothing)
    assert mixture.next() is not None
    streams.logs[0].write(b"2026-11-23T02:17:05.123Z new\n", at=2)
    origin = Origin(Source("web", 0, "stdout"), streams.logs[0].path, 65536, 0, Format.TIMESTAMPED)
    mixture.add(streams.key(0), origin)
    assert one_by_one(mixture) == [b"raw", b"new"]
    mixture.end()


def _some_bytes(chance: random.Random) -> bytes:
    alphabet = [
        b"a",
        b"\xff",
        b"\r",
        b"\x1b",
        "ä€".encode(),
        b"\xe2\x82",
        b'"',
        b"\\",
        b"\t",
        b"\x85",
    ]
    return b"".join(chance.choices([*alphabet, "\u2028\x85".encode()], k=chance.randrange(8)))


@pytest.mark.parametrize(
    ("encode", "one"),
    [
        (plain, lambda line, _: line.text + b"\n"),
        (prefixed, lambda line, source: as_prefixed(line, source.title)),
        (as_objects, as_json),
    ],
)
def test_many_lines_look_as_each_alone(
    encode: Encode, one: Callable[[Line, Source], bytes]
) -> None:
    """Whatever bytes they have: the quick way is the same as the plain one."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    source = Source("web", 1, "stderr")
    for _ in range(300):
        texts = [_some_bytes(chance) for _ in range(chance.randrange(1, 5))]
        partial = len(texts) == 1 and chance.random() < 0.5
        said = b"".join(one(Line(5, 2, text, partial), source) for text in texts)
        assert encode(Piece(source, 5, 2, texts, partial)) == said, f"seed {seed}"


def test_what_was_counted_is_added_to_the_last_place(tmp_path: Path) -> None:
    """A successor knows it from what stands behind the positions."""
    streams = Streams(tmp_path, 1)
    streams.logs[0].write(b"one\ntwo\n", at=1)
    chain = bytes(range(16)).hex()
    mixture = streams.mixture()
    mixture.begin(f'{{"": 1}}\n{json.dumps({streams.key(0): f"{chain}:0"})}\n+4', nothing)
    assert one_by_one(mixture) == [b"two"]
    mixture.end()


def test_no_more_logs_are_open_than_need_be(tmp_path: Path) -> None:
    """Of those in which there is nothing to read."""
    streams = Streams(tmp_path, 200)
    before = len(os.listdir("/proc/self/fd"))
    mixture = streams.mixture()
    mixture.begin(None, nothing)
    assert mixture.next() is None
    assert len(os.listdir("/proc/self/fd")) - before <= 130
    for log in streams.logs:
        log.write(b"x\n", at=1)
    mixture.wake_all()
    assert one_by_one(mixture) == [b"x"] * 200
    assert len(os.listdir("/proc/self/fd")) - before <= 130
    mixture.end()
    assert len(os.listdir("/proc/self/fd")) == before
