"""How values become text."""

from typing import Any

import pytest

from supervisord_lite.cli import accounts, plans, render
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
            {"health": "healthy", "status": "half\x1b way", "breaches": ["memory 2 GiB above"]},
            'pid 7, uptime 0:01:23, healthy, "half\\x1b way", memory 2 GiB above',
        ),
        (
            {"state": "STARTING", "why": "not ready yet", "deadline": 185.25},
            "pid 7, not ready yet, 2.2s left for that",
        ),
        (
            {"state": "STARTING", "why": "not ready yet", "deadline": 183.0 + 5400},
            "pid 7, not ready yet, 1:30:00 left for that",
        ),
        (
            {"state": "BACKOFF", "pid": None, "why": "exit code 1", "next": 183.0 + 60},
            "exit code 1, next try in 0:01:00",
        ),
        ({"queued": 2}, "pid 7, uptime 0:01:23, 2 queued"),
        (
            {
                "state": "STARTING",
                "pid": None,
                "why": "its pre_start hook is under way",
                "hooks": [{"point": "pre_start"}, {"point": "on_failure"}],
            },
            "its pre_start hook is under way, on_failure hook under way",
        ),
        (
            {"usage": {"memory": 3 * 2**20, "cpu": 0.25}},
            "pid 7, uptime 0:01:23, memory 3.0 MiB, cpu 25%",
        ),
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


def test_the_next_run_of_a_job_is_a_time_of_day() -> None:
    """It is shown as whoever looks reads the clock."""
    row = {**ROW, "state": "WAITING", "pid": None, "since": None, "next": 86400.0 * 365}
    assert render.detail(row, 183.0) == f"next run {render.moment(86400.0 * 365)}"


def test_a_rollout_says_how_far_it_is() -> None:
    """Its progress, and why it did not get on."""
    one = {"worker": "web", "progress": "went back", "replaced": 1, "of": 4, "problem": None}
    assert render.rollout(one) == "web: went back, 1 of 4 replaced"
    failed = {**one, "problem": "web:0: exit code 1"}
    assert render.rollout(failed) == "web: went back, 1 of 4 replaced: web:0: exit code 1"


def test_an_explanation_goes_down_to_the_root() -> None:
    """Each cause stands deeper than what it is the cause of."""
    value = {
        "instance": "web:0",
        "state": "WAITING",
        "causes": [
            {"depth": 0, "text": "waits for db to be ready"},
            {"depth": 1, "text": "db:0 is FATAL"},
        ],
        "changes": ["it starts by itself once that is so"],
    }
    assert list(accounts.explanation(value)) == [
        "web:0  WAITING",
        "  waits for db to be ready",
        "    <- db:0 is FATAL",
        "  => it starts by itself once that is so",
    ]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"seconds": None, "exit": None}, "under way"),
        ({"seconds": 1.25, "exit": {"code": 3, "signal": None}}, "took 1.2s  exit code 3"),
        ({"seconds": 61.0, "exit": None}, "took 0:01:01  never came to be"),
    ],
)
def test_a_run_of_a_job_is_a_line(more: dict[str, Any], text: str) -> None:
    """When it began, how long it took, how it ended, what it was for."""
    run = {"name": "backup:0", "run": 7, "began": 100.0, "why": "on schedule", **more}
    began = render.moment(100.0)
    assert accounts.job_run(run) == f"backup:0  run 7  {began}  {text}  on schedule"


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
    plan: dict[str, Any] = {
        "entries": [
            {"instance": "web:0", "action": "restart", "why": "umask changed", "changes": [change]},
            {"instance": "db:0", "action": "keep", "why": "unchanged", "changes": []},
        ],
        "changes": [],
    }
    for entry in plan["entries"]:
        entry["how"] = "rolling, 1 at a time" if entry["action"] == "restart" else ""
    assert list(plans.lines(plan)) == [
        "restart  web:0  umask changed (rolling, 1 at a time)",
        "         program.umask: none -> 18",
        "1 to restart, 1 unchanged",
    ]
    assert not plans.is_empty(plan)
