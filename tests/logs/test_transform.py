"""What lines become in a file that is not raw: by value, and through a data plane."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.log import Format, Rotation
from supervisord_lite.logs.capture.transform import Circumstances, fitting, portion, transformed
from supervisord_lite.logs.line import Line, Source, as_json, timestamp
from tests.logs.conftest import DEADLINE

if TYPE_CHECKING:
    from tests.logs.conftest import Rig

SOURCE = Source("web", 0, "stdout")
AT = 1_795_400_225_123_456_789
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
KIBIBYTE = 1024


def how(format_: Format, **other: bool) -> Circumstances:
    values = {"at_line_start": True, "whole": True} | other
    return Circumstances(format_, AT, 3, **values)


def raw_of(data: bytes, format_: Format) -> bytes:
    """What the worker wrote, by what is in its log."""
    if format_ is Format.TIMESTAMPED:
        assert all(STAMP.match(line) for line in data.splitlines(keepends=True))
        return STAMP.sub(b"", data)
    if format_ is Format.RAW:
        return data
    lines = [json.loads(line) for line in data.split(b"\n")[:-1]]
    return b"".join(
        (base64.b64decode(line["raw"]) if "raw" in line else line["message"].encode())
        + (b"" if line.get("partial") else b"\n")
        for line in lines
    )


# ---------------------------------------------------------------- by value


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=1))
def test_json_of_a_batch_is_that_of_its_lines(lines: list[bytes]) -> None:
    """The quick way for plain batches and the way line by line say the same."""
    data = b"".join(line + b"\n" for line in lines)
    expected = b"".join(as_json(Line(AT, 3, line), SOURCE) for line in lines)
    assert transformed(data, how(Format.JSON), SOURCE) == expected


def test_every_line_of_a_batch_has_its_time() -> None:
    """The time, a space, the bytes themselves, be they text or not."""
    stamp = timestamp(AT).encode()
    text = transformed(b"one\n\n\xff\x00\n", how(Format.TIMESTAMPED), SOURCE)
    assert text == stamp + b" one\n" + stamp + b" \n" + stamp + b" \xff\x00\n"


def test_the_rest_of_a_line_has_no_time_of_its_own() -> None:
    """Pieces of a timestamped line stand one after the other."""
    rest = how(Format.TIMESTAMPED, at_line_start=False)
    assert transformed(b"rest\nnext\n", rest, SOURCE) == (
        b"rest\n" + timestamp(AT).encode() + b" next\n"
    )


def test_a_piece_is_partial_in_json() -> None:
    """Its end is in a later object."""
    found = json.loads(transformed(b"begin", how(Format.JSON, whole=False), SOURCE))
    assert found["message"] == "begin"
    assert found["partial"] is True


def test_lines_without_an_end_wait_unless_in_a_hurry() -> None:
    """Whole lines go first; the rest only when asked for."""
    assert portion(b"one\ntwo", Format.RAW, 100, hurry=False).size == 4
    assert portion(b"two", Format.RAW, 100, hurry=False).size == 0
    assert portion(b"two", Format.RAW, 100, hurry=True).size == 3


def test_a_long_line_is_cut_between_characters() -> None:
    """A piece has at most the bytes allowed, and no half character."""
    data = "ä".encode() * 100
    found = portion(data, Format.JSON, 51, hurry=False)
    assert (found.size, found.whole) == (50, False)


def test_lines_before_a_long_one_go_together() -> None:
    """The long one is on its own."""
    assert portion(b"a\n" * 50 + b"b" * 99, Format.RAW, 20, hurry=False).size == 100
    assert portion(b"a\n" * 50 + b"b" * 99 + b"\n", Format.RAW, 20, hurry=False).size == 100


@given(st.binary(max_size=400), st.integers(4, 50), st.sampled_from(Format))
def test_portions_add_up(data: bytes, max_line: int, format_: Format) -> None:
    """Nothing is left over or said twice, and no piece is too long."""
    left = data
    while left:
        found = portion(left, format_, max_line, hurry=True)
        assert found.size > 0
        piece, left = left[: found.size], left[found.size :]
        assert all(len(line) <= max_line for line in piece.split(b"\n"))
        assert piece.endswith(b"\n") or not found.whole


def test_what_fits_is_whole_lines() -> None:
    """Counted in bytes before, for a room in bytes after."""
    data = b"one\ntwo\nthree\n"
    text = transformed(data, how(Format.TIMESTAMPED), SOURCE)
    assert fitting(data, text, len(text)) == len(data)
    assert fitting(data, text, len(text) - 1) == 8
    assert fitting(data, text, 3) == 0


# ---------------------------------------------------------------- through a data plane


@pytest.mark.parametrize("format_", [Format.TIMESTAMPED, Format.JSON])
def test_every_byte_is_there_across_rotation(rig: Rig, format_: Format) -> None:
    """Lines of all sizes, some longer than a piece, and rotated files that end with a line."""
    log = rig.log(format=format_, rotation=Rotation(64 * KIBIBYTE, keep=1000), max_line=KIBIBYTE)
    data = b"".join(b"%d " % n * (n * n % 400) + b"\n" for n in range(3000))
    rig.write(data)
    rig.flush()
    older = list(Path(log.path).parent.glob("web.log.*"))
    assert len(older) > 10
    assert all(file.read_bytes().endswith(b"\n") for file in older)
    assert max(file.stat().st_size for file in older) <= 128 * KIBIBYTE
    assert raw_of(rig.contents(log), format_) == data


def test_a_line_that_comes_byte_by_byte_is_one_line(rig: Rig) -> None:
    """However small the pieces in which it comes are, if they come soon."""
    log = rig.log(format=Format.JSON)
    for _ in range(1000):
        os.write(rig.pipes["web"], b".")
    rig.write(b"\n")
    rig.flush()
    assert b"".join(rig.contents(log).split(b"\n")).count(b'"message":"....') >= 1
    assert raw_of(rig.contents(log), Format.JSON) == b"." * 1000 + b"\n"


@pytest.mark.parametrize("format_", [Format.TIMESTAMPED, Format.JSON])
def test_a_line_without_an_end_is_shown_soon(rig: Rig, format_: Format) -> None:
    """A question that waits for an answer is in the log before it has one."""
    log = rig.log(format=format_)
    rig.flush()
    rig.write(b"Password: ")
    rig.eventually(lambda: b"Password: " in rig.contents(log), "the question is in the log")
    rig.write(b"secret\nin\n")
    rig.flush()
    assert raw_of(rig.contents(log), format_) == b"Password: secret\nin\n"


def test_a_run_begins_on_a_line_of_its_own(rig: Rig) -> None:
    """What the one before left unfinished ends there."""
    log = rig.log(format=Format.TIMESTAMPED)
    rig.plane.began("web", 1)
    rig.write(b"I die in the mid")
    rig.plane.ended("web", 1)
    rig.plane.began("web", 2)
    rig.write(b"I live\n")
    rig.flush()
    assert STAMP.sub(b"", rig.contents(log)) == b"I die in the mid\nI live\n"
    assert len(STAMP.findall(rig.contents(log))) == 2


class Hang:
    """Something that takes long in the lane's thread."""

    def __init__(self) -> None:
        self.reached, self.over = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        self.over.wait(DEADLINE)


@pytest.mark.parametrize("copied", [False, True])
def test_runs_are_told_apart_however_late_the_lane_comes_to_them(rig: Rig, *, copied: bool) -> None:
    """It has seen that there is something in the pipe, and is held up by another stream's log: when
    it comes to it, the next run has spoken, too.
    """
    log = rig.log(format=Format.JSON, channel="lines" if copied else None)
    rig.log("db")
    rig.flush()
    busy, later = Hang(), Hang()
    rig.plane.began("web", 1)
    rig.plane.between_steps("web", busy)
    assert busy.reached.wait(DEADLINE)
    rig.write(b"db\n", "db")  # both are found to be readable at once, this one first
    rig.write(b"I die in the mid")
    rig.plane.watch("db", later)
    busy.over.set()
    assert later.reached.wait(DEADLINE)
    rig.plane.ended("web", 1)
    rig.plane.began("web", 2)
    rig.write(b"I live\n")
    later.over.set()
    rig.flush()
    lines = [json.loads(line) for line in rig.contents(log).splitlines()]
    assert [(line["run"], line["message"]) for line in lines] == [
        (1, "I die in the mid"),
        (2, "I live"),
    ]


def test_json_lines_bear_their_run(rig: Rig) -> None:
    """Also where two runs wrote into the pipe before anybody looked."""
    log = rig.log("web:1/stderr", format=Format.JSON, path=str(rig.directory / "web.log"))
    for run in (1, 2):
        rig.plane.began("web:1/stderr", run)
        rig.write(b"hello\n", "web:1/stderr")
    rig.flush()
    lines = [json.loads(line) for line in rig.contents(log).splitlines()]
    assert [line["run"] for line in lines] == [1, 2]
    assert {(x["worker"], x["instance"], x["stream"]) for x in lines} == {("web", 1, "stderr")}


def test_the_format_changes_while_the_worker_writes(rig: Rig) -> None:
    """Each byte is in the format that was asked for when it came, and none is lost."""
    rig.log()
    path = str(rig.directory / "web.log")
    for format_ in (Format.JSON, Format.TIMESTAMPED, Format.RAW):
        rig.write(b"line\n")
        rig.logs["web"] = type(rig.logs["web"])(path, format=format_)
        rig.plane.adjust("web", rig.logs["web"])
        rig.flush()
    rig.write(b"line\n")
    rig.flush()
    first, second, third, fourth = Path(path).read_bytes().splitlines()
    assert first == fourth == b"line"
    assert json.loads(second)["message"] == "line"
    assert STAMP.sub(b"", third) == b"line"


@pytest.mark.parametrize("format_", [Format.TIMESTAMPED, Format.JSON])
def test_the_next_data_plane_goes_on_in_the_middle_of_a_line(rig: Rig, format_: Format) -> None:
    """What waited for its end waits there, too."""
    log = rig.log(format=format_)
    rig.flush()
    rig.write(b"one\nbegin")
    rig.eventually(lambda: b"one" in rig.contents(log), "the first line is there")
    rig.renew()
    rig.write(b" and end\n")
    rig.flush()
    assert raw_of(rig.contents(log), format_) == b"one\nbegin and end\n"


@pytest.mark.soak
@pytest.mark.parametrize("format_", Format)
def test_gigabytes_without_a_line_end_need_no_memory(rig: Rig, format_: Format) -> None:
    """What passes does not add up, whatever the format; nothing is dropped."""
    mebibytes = 4096 if os.environ.get("SOAK") == "1" else 200
    rig.log(format=format_, rotation=Rotation(16 * KIBIBYTE**2, keep=1))
    rig.write(b"x" * KIBIBYTE**2)
    rig.flush()
    before = _resident()
    piece = b"x" * KIBIBYTE**2
    for _ in range(mebibytes):
        rig.write(piece)
    rig.flush()
    assert _resident() - before < 16 * KIBIBYTE**2
    assert rig.plane.status("web").dropped_bytes == 0


@pytest.mark.parametrize("format_", Format)
def test_a_giant_line_needs_no_memory_in_any_format(rig: Rig, format_: Format) -> None:
    """Buffers are bounded, so the log is written while the line still comes."""
    log = rig.log(format=format_, rotation=Rotation(None))
    before = _resident()
    for _ in range(64):
        rig.write(b"x" * KIBIBYTE * KIBIBYTE)
    rig.flush()
    assert _resident() - before < 16 * KIBIBYTE**2
    rig.write(b"\n")
    rig.flush()
    assert raw_of(Path(log.path).read_bytes(), format_) == b"x" * 64 * KIBIBYTE**2 + b"\n"


def test_a_fifo_as_a_log_has_a_format_too(rig: Rig, tmp_path: Path) -> None:
    """A reader that is slow makes the worker wait, and gets every line once."""
    path = tmp_path / "out.fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    got = bytearray()
    try:
        rig.log(path=str(path), format=Format.JSON)
        data = rig.lines(20_000)
        worker = threading.Thread(target=rig.write, args=(data,))
        worker.start()

        def read_on() -> bool:
            with suppress(BlockingIOError):
                got.extend(os.read(reader, 65536))
            return got.count(b"\n") == 20_000

        rig.eventually(read_on, "all lines are read")
        worker.join()
        assert raw_of(bytes(got), Format.JSON) == data
    finally:
        os.close(reader)


def test_idle_buffers_take_no_memory(rig: Rig) -> None:
    """What is empty is given back to the kernel."""
    rig.log(format=Format.JSON)
    rig.write(rig.lines(50_000))
    rig.write(b"short\n")
    rig.flush()
    assert os.fstat(rig.hops.buffer("web")).st_blocks * 512 <= 256 * KIBIBYTE


def _resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("before", [Format.RAW, Format.TIMESTAMPED])
def test_json_begins_on_a_line_of_its_own(rig: Rig, before: Format) -> None:
    """Though what was written in another format before has no end."""
    log = rig.log(format=before)
    rig.write(b"abc")
    rig.flush()
    rig.plane.adjust("web", replace(log, format=Format.JSON))
    rig.flush()
    rig.write(b"def\n")
    rig.flush()
    first, second = Path(log.path).read_bytes().splitlines()
    assert first.endswith(b"abc")
    assert json.loads(second)["message"] == "def"
