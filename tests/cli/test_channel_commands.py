"""`slctl channel`, as a process beside a real daemon."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import DEADLINE, command, environment
from tests.daemon.conftest import SLEEP, Daemon

CHANNELS = {
    "work": {"type": "queue", "capacity": 1},
    "guard": {"type": "lock"},
    "total": {"type": "value", "code": "q", "initial": 7},
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    place = Daemon(tmp_path)
    try:
        place.run({"holder": {"command": SLEEP, "channels": ["work"]}}, channels=CHANNELS)
        yield place
    finally:
        place.end()


def slctl(daemon: Daemon, *words: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("slctl", "-s", daemon.socket, "channel", *words),
        env=environment(),
        input=said,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )


def test_ls_shows_a_channel_a_line(daemon: Daemon) -> None:
    """What each is, what is in it, and who has it."""
    slctl(daemon, "put", "work", "hello")
    head, work, guard, total = slctl(daemon, "ls").stdout.splitlines()
    assert head.split() == ["NAME", "TYPE", "HOLDS", "USERS", "STATE"]
    assert work.split() == ["work", "queue", "1", "of", "1", "holder:0", "ok"]
    assert guard.split() == ["guard", "lock", "0", "holders", "-", "ok"]
    assert total.split() == ["total", "value", "-", "-", "ok"]


def test_show_names_every_process(daemon: Daemon) -> None:
    """A channel in detail, as JSON, too."""
    pid = daemon.pid("holder")
    assert f"pid {pid}: holder:0 run 1 (in, out, page)" in slctl(daemon, "show", "work").stdout
    assert json.loads(slctl(daemon, "show", "work", "--json").stdout)["holders"][0]["pid"] == pid


def test_what_is_put_is_got(daemon: Daemon) -> None:
    """A message from the command line or from stdin comes out as it was."""
    assert slctl(daemon, "put", "work", "hello").returncode == 0
    assert slctl(daemon, "peek", "work").stdout == "hello\n"
    assert slctl(daemon, "get", "work").stdout == "hello\n"
    slctl(daemon, "put", "work", said="two\nlines\n")
    assert slctl(daemon, "get", "work").stdout == "two\nlines\n"


def test_full_and_empty_have_an_exit_code(daemon: Daemon) -> None:
    """Who could not wait long enough is told as by any other timeout."""
    slctl(daemon, "put", "work", "one")
    assert slctl(daemon, "put", "work", "two").returncode == 5
    slctl(daemon, "get", "work")
    assert slctl(daemon, "get", "work").returncode == 5
    assert slctl(daemon, "get", "nope").returncode == 4
    assert slctl(daemon, "get", "guard").returncode == 1


def test_values_are_shown(daemon: Daemon) -> None:
    """A peek at shared memory prints a value a line."""
    assert slctl(daemon, "peek", "total").stdout == "7\n"


@pytest.mark.parametrize(
    ("item", "shown"),
    [("{'a': [1, None]}", "{'a': [1, None]}\n"), ("print", "[a pickle of ")],
)
def test_what_python_has_put_is_shown_and_never_run(daemon: Daemon, item: str, shown: str) -> None:
    """Plain values are literals; what would have to be imported is only named."""
    program = f"from supervisord_lite.worker import channels; channels['work'].put({item})"
    workers = {
        "holder": {"command": SLEEP, "channels": ["work"]},
        "once": {
            "command": [*command("python")[:1], "-c", program],
            "type": "task",
            "channels": ["work"],
        },
    }
    daemon.configure(workers, channels=CHANNELS)
    daemon.client.reload()
    daemon.await_state("once", "EXITED")
    assert slctl(daemon, "get", "work").stdout.startswith(shown)
