"""Times as clients write them, at one certain moment in one certain time zone."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from supervisord_lite.control.when import moment

NOW = 1795396625.5  # 02:17:05.5 on 2026-11-23 in Berlin, an hour earlier in UTC
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("250ms", NOW - 0.25),
        ("2d", NOW - 172800),
        ("02:00", NOW - 1025.5),
        ("02:17:05", NOW - 0.5),
        ("03:00", NOW - 1025.5 - 23 * 3600),
        ("2026-11-23", NOW - 1025.5 - 7200),
        ("2026-11-23 02:00", NOW - 1025.5),
        ("2026-11-23T02:00:00.5", NOW - 1025.0),
        ("2026-11-23T01:00:00Z", NOW - 1025.5),
        ("2026-11-23T03:00:00+02:00", NOW - 1025.5),
        ("@1795400000.25", 1795400000.25),
    ],
)
def test_times_are_read(text: str, expected: float) -> None:
    """Spans before now, times of day, dates, RFC 3339, and seconds since the epoch."""
    assert moment(text, NOW) == round(expected * 1000) * (SECOND // 1000)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-25T02:40:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:20:00+01:00", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:40:00+01:00", "2026-10-25T02:30:00+01:00"),
        ("2026-03-29T04:00:00+02:00", "2026-03-29T03:30:00+02:00"),
        ("2026-03-30T02:20:00+02:00", "2026-03-29T03:30:00+02:00"),
    ],
)
def test_the_last_time_it_was_so_late_may_come_twice_a_day(now: str, expected: str) -> None:
    """When clocks are set back; when they are set on it is what they show instead."""
    at = datetime.fromisoformat(now).timestamp()
    assert moment("02:30", at) == datetime.fromisoformat(expected).timestamp() * SECOND


def test_what_is_read_is_exact_to_the_microsecond() -> None:
    """So that a time that was shown means the line that it was shown for."""
    assert moment("2026-11-23T01:00:00.123456Z", NOW) % SECOND == 123_456_000


@pytest.mark.parametrize(
    "text", ["", "10", "10 m", "25:00", "2026-13-01", "yesterday", "@", "-5m", "1e3s"]
)
def test_what_is_no_time_is_refused_in_words(text: str) -> None:
    """With examples of what is one."""
    with pytest.raises(ValueError, match=r"cannot read .* as a time \(try 10m"):
        moment(text, NOW)
