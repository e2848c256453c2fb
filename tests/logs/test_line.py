"""The ways in which a line is written down."""

import base64
import json

import pytest

from supervisord_lite.logs.line import (
    Line,
    Source,
    as_json,
    as_prefixed,
    as_timestamped,
    timestamp,
)

AT = 1_795_400_225_123_987_654
SOURCE = Source("web", 2, "stderr")


def test_times_are_utc_and_cut_to_milliseconds() -> None:
    """Cut, not rounded, so that they never run ahead."""
    assert timestamp(AT) == "2026-11-23T02:17:05.123Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


def test_a_timestamped_line_keeps_its_bytes() -> None:
    """Whatever they are."""
    assert as_timestamped(Line(AT, 1, b"\xff\x1b[0m")) == b"2026-11-23T02:17:05.123Z \xff\x1b[0m\n"


def test_a_prefixed_line_commands_no_terminal() -> None:
    """What is shown to people is escaped, and a carriage return at the end left out."""
    assert as_prefixed(Line(AT, 1, b"\x1b[2Jhi\r"), "web:0", 8) == b"web:0    | \\x1b[2Jhi\n"


def test_a_json_line_says_all_there_is_to_say() -> None:
    """In this order, on one line."""
    assert as_json(Line(AT, 7, 'ä"\t'.encode()), SOURCE).decode() == (
        '{"time":"2026-11-23T02:17:05.123Z","worker":"web","instance":2,"run":7,'
        '"stream":"stderr","message":"ä\\"\\t"}\n'
    )


def test_bytes_that_are_no_text_are_there_beside_it() -> None:
    """A replacement character that the worker wrote itself is text."""
    found = json.loads(as_json(Line(AT, 7, b"a\xff", partial=True), SOURCE))
    assert (found["message"], base64.b64decode(found["raw"])) == ("a\ufffd", b"a\xff")
    assert found["partial"] is True
    assert "raw" not in json.loads(as_json(Line(AT, 7, "\ufffd".encode()), SOURCE))


@pytest.mark.parametrize(
    ("stream", "source"),
    [
        ("web:0/stdout", Source("web", 0, "stdout")),
        ("a.b-c:12/stderr", Source("a.b-c", 12, "stderr")),
        ("daemon/log", Source("daemon", 0, "log")),
    ],
)
def test_a_source_is_known_by_its_streams_name(stream: str, source: Source) -> None:
    """Also that of a stream that is of no instance."""
    assert Source.of(stream) == source
