"""How values become text."""

from typing import Any

import pytest

from supervisord_lite.cli import plans, render
from supervisord_lite.cli.exits import code_of
from supervisord_lite.client import (
    ApiError,
    Broken,
    ClientError,
    Denied,
    NoDaemon,
    SeveralDaemons,
    TimedOut,
)

ROW: dict[str, Any] = {
    "name": "web:0",
    "state": "RUNNING",
    "pid": 7,
    "since": 100.0,
    "last_exit": None,
    "next": None,
    "why": "",
    "logs": {},
}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "pid 7, uptime 0:01:23"),
        ({"state": "STOPPED", "pid": None, "since": None}, ""),
        ({"state": "STOPPING"}, "pid 7"),
        (
            {"state": "BACKOFF", "pid": None, "why": "exit code 1", "next": 185.25},
            "exit code 1, next try in 2.2s",
        ),
        ({"state": "BACKOFF", "pid": None, "next": 10.0, "why": "x"}, "x, next try in 0.0s"),
        ({"state": "FATAL", "pid": None, "why": "gave\x1b[2J up"}, "gave\\x1b[2J up"),
        (
            {"logs": {"stdout": {"trouble": "cannot write"}, "stderr": {"trouble": None}}},
            "pid 7, uptime 0:01:23, cannot write",
        ),
    ],
)
def test_detail(more: dict[str, Any], text: str) -> None:
    """What there is to say beside the state, and nothing else."""
    assert render.detail({**ROW, **more}, 183.0) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0:00:00"),
        (59.9, "0:00:59"),
        (3600, "1:00:00"),
        (86400, "1 day, 0:00:00"),
        (3 * 86400 + 4 * 3600 + 5 * 60 + 6, "3 days, 4:05:06"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    """Lengths of time look as supervisord's; a clock that was set back is no error."""
    assert render.clock(seconds) == text


def test_every_control_character_is_escaped() -> None:
    """Nothing that steers a terminal or reorders text passes."""
    harmful = [*map(chr, range(32)), "\x7f", "\x9b", "\u2028", "\u202e", "\u2066"]
    assert all(render.escape(character).isascii() for character in harmful)
    assert all(render.escape(character).isprintable() for character in harmful)
    assert render.escape("naïve € \N{SNOWMAN}") == "naïve € \N{SNOWMAN}"
    assert render.escape_lines("a\tb\n\x1bc") == "a\tb\n\\x1bc"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError(500, ""), 1),
        (ApiError(409, ""), 1),
        (Broken(""), 1),
        (ApiError(400, ""), 2),
        (ApiError(422, ""), 2),
        (NoDaemon(""), 3),
        (SeveralDaemons([]), 3),
        (ApiError(404, ""), 4),
        (TimedOut(""), 5),
        (ApiError(403, ""), 6),
        (Denied(""), 6),
    ],
)
def test_every_error_has_its_code(error: ClientError, code: int) -> None:
    """The exit codes of the table in docs/slctl.md."""
    assert code_of(error) == code


def test_plan_shows_what_is_touched() -> None:
    """Instances that are left alone are counted, the others listed with their changes."""
    change = {"key": "program.umask", "old": "none", "new": "18"}
    plan = {
        "entries": [
            {"instance": "web:0", "action": "restart", "why": "umask changed", "changes": [change]},
            {"instance": "db:0", "action": "keep", "why": "unchanged", "changes": []},
        ],
        "changes": [],
    }
    assert list(plans.lines(plan)) == [
        "restart  web:0  umask changed",
        "         program.umask: none -> 18",
        "1 to restart, 1 unchanged",
    ]
    assert not plans.is_empty(plan)
