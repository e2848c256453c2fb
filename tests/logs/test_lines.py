"""Reading a log by lines: with times and runs, from a time on, cut, filtered, and resumed."""

from __future__ import annotations

import os
import time
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Format, Rotation
from supervisord_lite.logs.line import Line, Source, as_json, as_timestamped
from supervisord_lite.logs.reading.lines import LineReader
from supervisord_lite.logs.reading.matching import Matcher
from tests.logs.written_log import SECOND, Log

if TYPE_CHECKING:
    from tests.logs.conftest import Rig


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def everything(reader: LineReader, *, unfinished: bool = False) -> list[Line]:
    """All that there is to read now."""
    found: list[Line] = []
    while True:
        found += reader.read(7, unfinished=unfinished)
        if reader.exhausted:
            return found


def texts(path: str, *, matching: Matcher | None = None, **wanted: object) -> list[bytes]:
    with closing(LineReader(path, **wanted)) as reader:  # type: ignore[arg-type]
        if matching:
            reader.pass_over_others(matching)
        return [line.text for line in everything(reader)]


def test_a_line_has_the_time_and_the_run_of_its_first_byte(log: Log) -> None:
    """Also where its end came later, or of another run."""
    log.write(b"one\ntwo\nthr", at=10, run=1)
    log.write(b"ee\nfour\n", at=20, run=2)
    with closing(LineReader(log.path, since=0)) as reader:
        found = [(line.time // SECOND, line.run, line.text) for line in everything(reader)]
    assert found == [(10, 1, b"one"), (10, 1, b"two"), (10, 1, b"three"), (20, 2, b"four")]


def test_without_a_place_it_begins_with_the_line_being_written(log: Log) -> None:
    """As a live view does: at a line's start."""
    log.write(b"one\ntw", at=10)
    with closing(LineReader(log.path)) as reader:
        assert everything(reader) == []
        log.write(b"o\nthree\n", at=11)
        assert [line.text for line in everything(reader)] == [b"two", b"three"]


@pytest.mark.parametrize("packed", [False, True])
def test_lines_since_a_time_are_those_that_began_then_or_later(log: Log, packed: bool) -> None:
    """Whatever file they are in, packed or not."""
    for number in range(40):
        log.write(b"%d\n" % number, at=number)
        if number % 10 == 9:
            log.rotate(packed=packed)
    for since in (0, 5, 9, 10, 11, 29, 35, 39, 40):
        found = texts(log.path, since=since * SECOND)
        assert found == [b"%d" % number for number in range(since, 40)], since


@pytest.mark.parametrize("packed", [False, True])
def test_lines_until_a_time_end_there(log: Log, packed: bool) -> None:
    """And a tail counts back from there."""
    for number in range(40):
        log.write(b"%d\n" % number, at=number)
        if number % 10 == 9:
            log.rotate(packed=packed)
    assert texts(log.path, since=0, until=12 * SECOND) == [b"%d" % n for n in range(13)]
    assert texts(log.path, tail=3, until=21 * SECOND) == [b"19", b"20", b"21"]
    assert texts(log.path, tail=3, since=20 * SECOND, until=21 * SECOND) == [b"20", b"21"]
    assert texts(log.path, tail=99, until=1 * SECOND) == [b"0", b"1"]


def test_a_line_that_began_before_the_time_is_not_shown_from_its_middle(log: Log) -> None:
    """What is wanted begins with the next line."""
    log.write(b"a long li", at=10)
    log.write(b"ne\nnext\n", at=20)
    assert texts(log.path, since=15 * SECOND) == [b"next"]


def test_the_last_lines_since_a_time_begin_with_a_whole_one(log: Log) -> None:
    """The line that began before it is none of them, however few there are."""
    log.write(b"one\ntw", at=10)
    log.write(b"o\nthree\nfour\n", at=20)
    assert texts(log.path, since=20 * SECOND, tail=9) == [b"three", b"four"]
    assert texts(log.path, since=20 * SECOND, tail=1) == [b"four"]
    assert texts(log.path, since=10 * SECOND, tail=3) == [b"two", b"three", b"four"]


def test_reading_goes_on_exactly_where_a_position_says(log: Log) -> None:
    """After every single line, across files of both kinds."""
    for number in range(30):
        log.write(b"line %d\n" % number, at=number)
        if number % 7 == 6:
            log.rotate(packed=number < 15)
    position = None
    found = []
    for _ in range(30):
        with closing(LineReader(log.path, position=position, since=0)) as reader:
            found += [line.text for line in reader.read(1)]
            position = reader.position
    assert found == [b"line %d" % number for number in range(30)]


def test_a_long_line_comes_in_parts(log: Log) -> None:
    """All but the last are cut, none in the middle of a character; one that just fits is whole."""
    log.write("ab€€\nabcdefg\nabcdefgh\n".encode(), at=1)
    with closing(LineReader(log.path, since=0, max_line=7)) as reader:
        found = [(line.text, line.partial) for line in everything(reader)]
    assert found == [
        ("ab€".encode(), True),
        ("€".encode(), False),
        (b"abcdefg", False),
        (b"abcdefg", True),
        (b"h", False),
    ]


def test_an_endless_line_is_read_in_flat_memory(log: Log) -> None:
    """What is kept of it is one block and one part."""
    log.write(b"x" * 3_000_000, at=1)
    with closing(LineReader(log.path, since=0)) as reader:
        found = everything(reader)
        assert {len(line.text) for line in found} == {65536}
        assert len(reader._data) <= 65536 + 32768


def test_an_unfinished_line_is_shown_to_who_wants_it(log: Log) -> None:
    """And its rest comes after it."""
    log.write(b"Password: ", at=1)
    with closing(LineReader(log.path, since=0)) as reader:
        assert everything(reader) == []
        (line,) = everything(reader, unfinished=True)
        assert (line.text, line.partial) == (b"Password: ", True)
        log.write(b"\nwelcome\n", at=2)
        assert [line.text for line in everything(reader)] == [b"", b"welcome"]


def test_only_matching_lines_are_found(log: Log) -> None:
    """By the expression's own anchors, in every block."""
    log.write(b"".join(b"%06d\n" % number for number in range(50_000)), at=1)
    assert texts(log.path, since=0, matching=Matcher("^0(00|33)777$")) == [b"000777", b"033777"]
    assert texts(log.path, since=0, matching=Matcher(r"\A049999\z")) == [b"049999"]
    assert texts(log.path, since=0, matching=Matcher("nothing")) == []


def test_a_pattern_that_is_none_is_refused_in_words() -> None:
    """With what is wrong with it."""
    with pytest.raises(ValueError, match=r"missing \).*RE2"):
        Matcher("(")


def test_looking_for_what_is_not_there_is_done_in_bounded_steps(log: Log) -> None:
    """So that who asks can be told to wait, or leave."""
    log.write(b"".join(b"%06d\n" % number for number in range(400_000)), at=1)
    with closing(LineReader(log.path, since=0)) as reader:
        reader.pass_over_others(Matcher("nothing"))
        assert reader.read(1) == []
        assert not reader.exhausted
        assert everything(reader) == []


def test_what_rotation_took_is_a_line_of_its_own(log: Log) -> None:
    """The line that was begun is given as it is, then how much is missing."""
    log.write(b"one\ntw", at=1)
    with closing(LineReader(log.path, since=0)) as reader:
        assert [line.text for line in everything(reader)] == [b"one"]
        log.write(b"o\nthree\n", at=2)
        position = reader.position
    log.rotate()
    os.unlink(f"{log.path}.1")
    log.write(b"four\n", at=3)
    marker = b"[supervisord-lite: 10 bytes lost to rotation]"
    assert texts(log.path, position=position) == [marker, b"four"]


def test_a_log_that_is_not_there_yet_is_read_from_its_first_line(tmp_path: Path) -> None:
    """A reader may be earlier than the log."""
    path = tmp_path / "web.log"
    with closing(LineReader(str(path))) as reader:
        assert everything(reader) == []
        path.write_bytes(b"first\nsecond\n")
        assert [line.text for line in everything(reader)] == [b"first", b"second"]


def test_a_log_without_an_index_has_the_time_of_its_file(tmp_path: Path) -> None:
    """And is shown whole or not at all, where a time is asked for."""
    path = tmp_path / "web.log"
    path.write_bytes(b"first\n")
    os.utime(path, ns=(0, 7 * SECOND))
    with closing(LineReader(str(path), since=5 * SECOND)) as reader:
        (line,) = everything(reader)
    assert (line.time, line.run) == (7 * SECOND, 0)
    assert texts(str(path), since=8 * SECOND) == []


def test_a_truncated_log_is_read_from_its_start(rig: Rig) -> None:
    """Also when it has grown beyond the old place before anybody looked; what was begun is given
    as it is.
    """
    log = rig.log()
    rig.write(rig.lines(10))
    rig.write(b"begun")
    rig.flush()
    with closing(LineReader(log.path, since=0)) as reader:
        assert len(everything(reader)) == 10
        os.truncate(log.path, 0)
        rig.write(rig.lines(100, start=500))
        rig.flush()
        found = everything(reader)
    assert (found[0].text, found[0].partial) == (b"begun", True)
    assert [int(line.text) for line in found[1:]] == [*range(500, 600)]


def test_lines_are_read_while_files_are_rotated(rig: Rig) -> None:
    """Every line once and in order, with times that fit when it was written."""
    log = rig.log(rotation=Rotation(50_000, keep=1000))
    began = time.time_ns()
    found: list[Line] = []
    with closing(LineReader(log.path)) as reader:
        for start in range(0, 20_000, 500):
            rig.write(rig.lines(500, start=start))
            found += everything(reader)

        def caught_up() -> bool:
            found.extend(everything(reader))
            return len(found) >= 20_000

        rig.eventually(caught_up, "the reader has caught up")
    assert [int(line.text) for line in found] == [*range(20_000)]
    assert all(began - SECOND <= line.time <= time.time_ns() for line in found)


def test_the_present_end_is_an_end(log: Log) -> None:
    """However fast the log grows behind it."""
    log.write(b"one\ntwo\n", at=1)
    with closing(LineReader(log.path, since=0)) as reader:
        reader.stop_at_present_end()
        log.write(b"three\n", at=2)
        assert [line.text for line in everything(reader)] == [b"one", b"two"]
        reader.go_on()
        assert [line.text for line in everything(reader)] == [b"three"]


@pytest.mark.parametrize("form", [Format.TIMESTAMPED, Format.JSON])
def test_lines_that_were_written_in_a_format_are_as_they_were_said(log: Log, form: Format) -> None:
    """With the times that were written, and patterns mean what was said."""
    said = [Line(5 * SECOND, 3, b"a"), Line(6 * SECOND, 3, b"\xff" * 60_000)]
    source = Source("web", 0, "stdout")
    for line in said:
        whole = as_json(line, source) if form is Format.JSON else as_timestamped(line)
        log.write(whole, at=7, run=3)
    with closing(LineReader(log.path, since=0, form=form)) as reader:
        assert everything(reader) == said
    assert texts(log.path, since=0, form=form, matching=Matcher("^a$")) == [b"a"]


def test_a_search_over_many_blocks_is_flat_in_memory(log: Log) -> None:
    """Whatever it passes over, with an index as long as the log."""
    for second in range(20_000):
        log.write(b"%0500d\n" % second, at=second)
    with closing(LineReader(log.path, since=0)) as reader:
        reader.pass_over_others(Matcher("nothing"))
        tracemalloc.start()
        try:
            assert everything(reader) == []
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_times_are_found_wherever_one_goes_on(log: Log) -> None:
    """Near the last place or far from it, behind it or before."""
    for second in range(3000):
        log.write(b"%d\n" % second, at=second)
    positions = []
    with closing(LineReader(log.path, since=0)) as reader:
        for second in range(3000):
            (line,) = reader.read(1)
            assert line.time == second * SECOND
            positions.append(reader.position)
    for second in (2998, 5, 1500, 0):
        with closing(LineReader(log.path, position=positions[second])) as reader:
            assert reader.read(1)[0].time == (second + 1) * SECOND
