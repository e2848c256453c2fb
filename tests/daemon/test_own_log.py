"""What the daemon says of itself is a log like any other: kept, rotated, adjusted, survived."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.conftest import DEADLINE
from tests.daemon.conftest import SLEEP, Daemon

WORKERS = {"web": {"command": SLEEP}}


def records(daemon: Daemon, name: str = "daemon.log") -> list[dict[str, Any]]:
    """What stands in the daemon's own log, which is JSON, and in its older files."""
    path = daemon.directory / name
    older = sorted(path.parent.glob(f"{name}.*"), key=lambda one: -int(one.suffix[1:]))
    text = "".join(one.read_text() for one in (*older, path) if one.exists())
    return [json.loads(line) for line in text.splitlines()]


def states(daemon: Daemon) -> list[str]:
    """The changes of state that were recorded, each once."""
    return [one["state"] for one in records(daemon) if one.get("event") == "state"]


def runs(daemon: Daemon, state: str) -> list[int]:
    """The runs of which it was recorded that they came into this state."""
    return [one["run"] for one in records(daemon) if one.get("state") == state]


def own(path: Path | None = None, **keys: Any) -> dict[str, Any]:
    """A section `supervisor` with a log in JSON."""
    where = {} if path is None else {"path": str(path)}
    return {"log": {"format": "json", **where, **keys}}


def start(daemon: Daemon, **keys: Any) -> None:
    daemon.run(WORKERS, supervisor=own(daemon.directory / "daemon.log", **keys))
    daemon.await_state("web:0", "RUNNING")


def test_everything_from_the_first_word_on_is_in_the_file(daemon: Daemon) -> None:
    """Where the socket is, and every change of state with what it is about."""
    start(daemon, stderr=False)
    daemon.until(lambda: "RUNNING" in states(daemon))
    first, *others = records(daemon)
    assert daemon.socket in first["message"]
    running = next(one for one in others if one.get("state") == "RUNNING")
    assert (running["level"], running["worker"], running["instance"]) == ("info", "web", 0)
    assert (running["run"], running["before"]) == (1, "STARTING")
    assert daemon.output() == ""


def test_stderr_has_the_same_lines(daemon: Daemon) -> None:
    """Unless it is switched off, in the form that was asked for."""
    start(daemon)
    path = daemon.directory / "daemon.log"
    daemon.until(lambda: path.exists() and "RUNNING" in path.read_text())
    daemon.until(lambda: daemon.output() == path.read_text())


def test_without_a_word_it_is_text_on_stderr(daemon: Daemon) -> None:
    """Time in UTC, level and text."""
    daemon.run(WORKERS)
    daemon.await_state("web:0", "RUNNING")
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO web:0 RUNNING: pid \d+"
    running = re.compile(line.replace(": pid", " pid"), re.MULTILINE)
    daemon.until(lambda: running.search(daemon.output()))


def test_a_killed_manager_takes_no_word_with_it(daemon: Daemon) -> None:
    """What one manager said is there, once, and the next one goes on in the same file."""
    start(daemon)
    daemon.until(lambda: "RUNNING" in states(daemon))
    before = (daemon.directory / "daemon.log").read_text()
    daemon.kill_manager()
    daemon.client.stop(["web"])
    daemon.until(lambda: states(daemon)[-1:] == ["STOPPED"])
    assert (daemon.directory / "daemon.log").read_text().startswith(before)
    assert states(daemon).count("RUNNING") == 1


def test_it_rotates_like_any_log(daemon: Daemon) -> None:
    """By size, at a line's end, and as many older files stay as were asked for."""
    start(daemon, rotate={"size": "4KiB", "keep": 2})

    def rotated_often() -> bool:
        daemon.client.restart(["web"])
        return (daemon.directory / "daemon.log.2").exists()

    daemon.until(rotated_often)
    assert all(one["message"] for one in records(daemon))
    assert not (daemon.directory / "daemon.log.3").exists()


def test_a_reload_changes_its_level_at_once(daemon: Daemon) -> None:
    """The daemon says more, or less, without being started again."""
    start(daemon)
    path = daemon.directory / "daemon.log"
    daemon.configure(WORKERS, supervisor=own(path, level="error"))
    daemon.client.reload()
    daemon.client.restart(["web"])
    daemon.configure(WORKERS, supervisor=own(path, level="debug"))
    daemon.client.reload()
    daemon.client.restart(["web"])
    daemon.until(lambda: 3 in runs(daemon, "RUNNING"))
    assert runs(daemon, "RUNNING") == [1, 3]
    assert runs(daemon, "STARTING") == [3]


def test_a_reload_moves_it(daemon: Daemon) -> None:
    """Another path is taken while everything runs, and no worker notices."""
    start(daemon)
    pid = daemon.pid("web:0")
    daemon.configure(WORKERS, supervisor=own(daemon.directory / "logs/other.log"))
    daemon.client.reload()

    def said_there() -> bool:
        daemon.signal(signal.SIGHUP)
        return bool(records(daemon, "logs/other.log"))

    daemon.until(said_there)
    assert daemon.pid("web:0") == pid


def test_it_is_reopened_by_name(daemon: Daemon) -> None:
    """Who moves the file away and sends SIGUSR2 gets a new one in its place."""
    start(daemon)
    path = daemon.directory / "daemon.log"
    daemon.until(lambda: "RUNNING" in states(daemon))
    os.rename(path, daemon.directory / "moved")
    daemon.signal(signal.SIGUSR2)
    daemon.until(path.exists)
    daemon.client.stop(["web"])
    daemon.until(lambda: states(daemon)[-1:] == ["STOPPED"])


def test_a_file_that_cannot_be_written_stops_nothing(daemon: Daemon) -> None:
    """The daemon says so on stderr and does its work."""
    daemon.run(WORKERS, supervisor={"log": str(daemon.directory / "sub")})
    daemon.until((daemon.directory / "sub").exists)
    (daemon.directory / "sub").rename(daemon.directory / "gone")
    (daemon.directory / "sub").mkdir()
    daemon.signal(signal.SIGUSR2)
    daemon.until(lambda: f"cannot write {daemon.directory}/sub: " in daemon.output())
    daemon.client.restart(["web"])
    daemon.await_state("web:0", "RUNNING")


_DIE = """
import sys
from supervisord_lite import daemon

class Link:
    def order(self, orders):
        print(orders[0]["traceback"], flush=True)

daemon._despair(Link(), "last words " * 9000 + "at last")
"""


def test_a_dying_manager_waits_for_no_reader_of_stderr() -> None:
    """The keeper is told why it dies, whether or not stderr has any room left."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    with subprocess.Popen(
        [sys.executable, "-c", _DIE], stdout=subprocess.PIPE, stderr=writing
    ) as manager:
        try:
            told, _ = manager.communicate(timeout=DEADLINE)
        finally:
            manager.kill()
            os.close(reading)
            os.close(writing)
    assert told.endswith(b"at last\n")
    assert manager.returncode == 0
