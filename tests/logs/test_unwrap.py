"""What was said is taken out of a written line again, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.log import Format
from supervisord_lite.logs.line import Line, Source, as_json, as_timestamped
from supervisord_lite.logs.reading.unwrap import unwrapped

AT = 1_795_411_987_123_000_000
WHO = Source("web", 1, "stdout")

OURS = b'{"time":"2026-11-23T02:17:05.123Z","worker":"web","instance":0,"run":%b}'

texts = st.binary(max_size=100).map(lambda text: text.replace(b"\n", b""))


@given(texts, st.integers(0, 4_000_000_000_000))
def test_timestamped_and_back(text: bytes, milliseconds: int) -> None:
    """Time and bytes are those that were written."""
    line = Line(milliseconds * 1_000_000, 3, text)
    read = Line(AT, 3, as_timestamped(line).removesuffix(b"\n"))
    assert unwrapped(read, Format.TIMESTAMPED) == line


@given(texts, st.integers(0, 9), st.booleans())
def test_json_and_back(text: bytes, run: int, partial: bool) -> None:
    """All of a line comes back out of its object, also what is no UTF-8."""
    line = Line(AT, run, text, partial)
    read = Line(AT + 5, 0, as_json(line, WHO).removesuffix(b"\n"))
    assert unwrapped(read, Format.JSON) == line


@pytest.mark.parametrize(
    "text",
    [
        b"plain",
        b"",
        b"2026-13-45T99:99:99.123Z no such time",
        b"2026-11-23T02:17:05.123Zstuck",
        b'{"message": 3}',
        b"[1]",
        b'{"message"',
        b'{"message":"hi","level":"info"}',
        OURS % b'3,"stream":"stdout","message":"hi","level":"info"',
        OURS % b'true,"stream":"stdout","message":"hi"',
        OURS % b'3,"stream":"stdout","message":"one\\ntwo"',
        OURS % b'3,"stream":"stdout","message":"","raw":"b25lCnR3bw=="',
        OURS.replace(b"2026", b"soon") % b'3,"stream":"stdout","message":"hi"',
        b"[" * 65536,
    ],
    ids=lambda text: text[:50] + text[100:],
)
@pytest.mark.parametrize("form", list(Format))
def test_what_is_not_of_the_format_stays(text: bytes, form: Format) -> None:
    """A line that was written by somebody else is shown as it is."""
    line = Line(AT, 1, text)
    assert unwrapped(line, form) == line


def test_raw_bytes_that_cannot_be_read() -> None:
    """The message serves where the bytes beside it are broken."""
    line = Line(AT, 1, OURS % b'3,"stream":"stdout","message":"caf\xc3\xa9","raw":"%%%"')
    assert unwrapped(line, Format.JSON).text == "café".encode()
