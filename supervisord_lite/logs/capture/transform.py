"""What a worker's bytes become in a log whose format is not raw, and which of them may go out.

Bytes in, bytes out: a pure function of what came, when, of which run, and whether the file's last
line is at its end, so that a batch which is written a second time is the same. All lines of one
batch have one time, that of the batch; the common case, in which nothing needs a closer look, is a
single `replace` over all of it.

A line that cannot wait for its end, since it is too long or the end does not come, goes out in
pieces. In a timestamped file they stand one after the other, so that the line is whole there; in
JSON each is an object of its own, and all but the last are marked `partial`.
"""

from typing import NamedTuple, assert_never

from supervisord_lite.core.log import Format
from supervisord_lite.logs.line import Line, Source, as_json, json_head, timestamp

# What JSON text needs an escape for, other than line ends, which separate the lines here.
_SPECIAL = bytes({*range(0x20), ord('"'), ord("\\")} - {ord("\n")})
_LONGEST_CHARACTER = 4  # bytes of UTF-8
# Bytes of short lines at a time. What JSON makes of more does not fit into the memory that a
# process keeps for its next allocation: getting it from the kernel each time is what takes longest.
_TOGETHER = {Format.RAW: 128 * 1024, Format.TIMESTAMPED: 128 * 1024, Format.JSON: 32 * 1024}


class Portion(NamedTuple):
    """The first `size` bytes of what waits: `whole` lines, or a piece of one."""

    size: int
    whole: bool


class Circumstances(NamedTuple):
    """All that decides what lines become, other than their bytes."""

    format: Format
    time: int
    run: int
    at_line_start: bool  # of the file
    whole: bool  # they are whole lines, not a piece of one


def portion(data: bytes, format_: Format, max_line: int, *, hurry: bool) -> Portion:
    """What goes out next of the bytes that wait; `hurry`: also what has no end. Nothing: size 0.

    Together go lines that are no longer than `max_line`, or a piece, of at most that length, of
    one that is longer.
    """
    end = _short_lines(data, max_line)
    if end:
        most = _TOGETHER[format_]
        return Portion(end if end <= most else data.rfind(b"\n", 0, most) + 1 or end, whole=True)
    if len(data) > max_line:
        return Portion(_character_start(data, max_line), whole=False)
    return Portion(len(data) if hurry else 0, whole=False)


def _short_lines(data: bytes, max_line: int) -> int:
    """Where the last line ends before the first one that is too long, or has no end here."""
    end = 0
    while len(data) - end > max_line:
        last = data.rfind(b"\n", end, end + max_line + 1) + 1
        if not last:
            return end
        end = last
    return max(end, data.rfind(b"\n", end) + 1)


def _character_start(data: bytes, place: int) -> int:
    """The place itself, or a little before it, where UTF-8 may be cut."""
    for back in range(min(_LONGEST_CHARACTER, place)):
        if data[place - back] & 0xC0 != 0x80:
            return place - back
    return place


def transformed(data: bytes, how: Circumstances, source: Source) -> bytes:
    """What stands in the file for whole lines, or for a piece of one."""
    match how.format:
        case Format.TIMESTAMPED:
            return _timestamped(data, how)
        case Format.JSON:
            return _json(data, how, source)
        case Format.RAW:
            return data
        case _:
            assert_never(how.format)


def _timestamped(data: bytes, how: Circumstances) -> bytes:
    stamp = timestamp(how.time).encode() + b" "
    text = data.replace(b"\n", b"\n" + stamp)
    end = len(text) - len(stamp) if how.whole else len(text)
    return b"".join((stamp if how.at_line_start else b"", memoryview(text)[:end]))


def _json(data: bytes, how: Circumstances, source: Source) -> bytes:
    if not how.whole:
        return as_json(Line(how.time, how.run, data, partial=True), source)
    if _is_plain(data):
        head = json_head(how.time, how.run, source).encode() + b'"'
        text = data.replace(b"\n", b'"}\n' + head)
        return b"".join((head, memoryview(text)[: len(text) - len(head)]))
    lines = data.removesuffix(b"\n").split(b"\n")
    return b"".join(as_json(Line(how.time, how.run, line), source) for line in lines)


def _is_plain(data: bytes) -> bool:
    """Whether every line of this is JSON text as it is."""
    if len(data.translate(None, _SPECIAL)) != len(data):
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def fitting(data: bytes, text: bytes, room: int) -> int:
    """How many of the whole lines in `data` become no more than `room` bytes of `text`, in bytes
    of `data`.
    """
    count = text.count(b"\n", 0, max(0, room))
    return len(data) - len(data.split(b"\n", count)[-1]) if count else 0
