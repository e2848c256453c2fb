"""The rate limit: what passes, what is left out, and what is said of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.log import Format, RateLimit
from supervisord_lite.logs.capture.rate import RateLimiter

if TYPE_CHECKING:
    from tests.logs.conftest import Rig

MARKER = re.compile(
    rb"\[supervisord-lite: (\d+) lines \((\d+) bytes\) over the rate limit left out\]"
)


def test_a_burst_of_one_second_passes() -> None:
    """A full bucket is a second's worth, of lines and of bytes."""
    assert RateLimiter(RateLimit(lines=3)).admit(b"a\nb\nc\nd\n", 100.0) == 6
    assert RateLimiter(RateLimit(bytes=4)).admit(b"aa\nbb\ncc\n", 100.0) == 6
    assert RateLimiter(RateLimit(lines=3, bytes=100)).admit(b"a\nb\n", 100.0) == 4


def test_nothing_passes_in_a_limited_second() -> None:
    """And everything is as in the beginning when it is over."""
    limiter = RateLimiter(RateLimit(lines=1))
    assert limiter.admit(b"a\nb\n", 100.0) == 2
    limiter.leave_out(b"b\n")
    assert limiter.until == 101.0
    assert limiter.admit(b"c\n", 100.5) == 0
    limiter.leave_out(b"c\n")
    assert "2 lines (4 bytes)" in limiter.end_second(101.0)
    assert limiter.admit(b"d\n", 101.0) == 2


def test_a_steady_stream_within_its_rate_is_never_limited() -> None:
    """Tokens come back as time goes by."""
    limiter = RateLimiter(RateLimit(lines=10, bytes=1000))
    for tick in range(100):
        assert limiter.admit(b"line\n", 100 + tick / 9) == 5


def test_a_line_longer_than_the_limit_passes_once_a_while() -> None:
    """Else nobody would ever see it; what follows pays for it."""
    limiter = RateLimiter(RateLimit(bytes=10))
    assert limiter.admit(b"x" * 100 + b"\n", 100.0) == 101
    assert limiter.admit(b"y\n", 100.1) == 0


@given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 9), st.integers(1, 90))
def test_what_passes_is_whole_lines_and_what_does_not_is_counted(
    lengths: list[int], lines: int, count: int
) -> None:
    """No part of a line is ever admitted."""
    limiter = RateLimiter(RateLimit(lines, count))
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    passed = limiter.admit(data, 100.0)
    assert passed == len(data) or data[:passed].endswith(b"\n") or passed == 0
    assert data.count(b"\n", 0, passed) <= lines
    assert passed > 0


def test_a_flood_is_cut_and_said_once_a_second(rig: Rig) -> None:
    """The worker never waits, what is left out is counted, and the log says how much it was."""
    log = rig.log(rate_limit=RateLimit(lines=100))
    rig.flush()
    data = rig.lines(10_000)
    rig.write(data)
    rig.eventually(lambda: MARKER.search(rig.contents(log)), "it is said what was left out")
    rig.write(b"after\n")
    rig.flush()
    contents = rig.contents(log)
    kept = [line for line in contents.splitlines(keepends=True) if not MARKER.match(line)]
    status = rig.plane.status("web")
    assert kept[:100] == data.splitlines(keepends=True)[:100]
    assert kept[-1] == b"after\n"
    marked = [(int(lines), int(total)) for lines, total in MARKER.findall(contents)]
    assert sum(lines for lines, _ in marked) == status.limited_lines
    assert sum(total for _, total in marked) == status.limited_bytes
    assert len(kept) - 1 + status.limited_lines == 10_000
    assert status.dropped_bytes == 0


def test_what_is_said_of_a_flood_is_json_in_a_json_log(rig: Rig) -> None:
    """Every line of such a file is an object."""
    log = rig.log(rate_limit=RateLimit(bytes=64), format=Format.JSON)
    rig.flush()
    rig.write(rig.lines(10))
    rig.eventually(lambda: MARKER.search(rig.contents(log)), "it is said what was left out")
    lines = [json.loads(line) for line in rig.contents(log).splitlines()]
    assert MARKER.match(lines[-1]["message"].encode())


def test_the_limit_may_change_while_the_worker_writes(rig: Rig) -> None:
    """What was left out before is said, and still counted."""
    log = rig.log(rate_limit=RateLimit(lines=1))
    rig.write(b"a\nb\n")
    rig.flush()
    rig.plane.adjust("web", type(log)(log.path, rate_limit=RateLimit(lines=1000)))
    rig.flush()
    rig.write(b"c\n" * 10)
    rig.flush()
    assert rig.contents(log).count(b"c\n") == 10
    assert len(MARKER.findall(rig.contents(log))) == 1
    assert rig.plane.status("web").limited_lines == 1
