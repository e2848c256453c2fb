"""Output in a whole daemon: formats, direct logs, and what a death of the manager does to them."""

import json
import os
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.client import ClientError
from tests.daemon.conftest import LINES, Daemon

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.MULTILINE)
PYTHON = "/usr/bin/env python3"


def lines(daemon: Daemon, count: int, pause: float = 0.0) -> str:
    """The command of a worker that says so many numbers."""
    script = daemon.directory / "lines.py"
    script.write_text(LINES)
    return f"{PYTHON} {script} {pause} {count}"


def log_of(daemon: Daemon, name: str) -> Path:
    return daemon.directory / "logs" / name


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def ends_with_a_line(path: Path) -> bool:
    return text_of(path).endswith("\n")


def is_longer(path: Path, size: int) -> bool:
    return len(text_of(path)) > size


def test_a_log_may_be_json(daemon: Daemon) -> None:
    """Each line says whose it is; stderr apart has its own stream's name."""
    command = "echo out; echo err >&2; exec sleep 100000"
    streams: dict[str, Any] = {
        "stdout": {"log": "logs/out.log", "format": "json"},
        "stderr": {"log": "logs/err.log", "format": "json"},
    }
    daemon.run({"web": {"command": command, "shell": True, **streams}})
    for which in ("out", "err"):
        path = log_of(daemon, f"{which}.log")
        daemon.until(partial(ends_with_a_line, path))
        found = json.loads(text_of(path))
        assert (found["message"], found["stream"]) == (which, f"std{which}")
        assert (found["worker"], found["instance"], found["run"]) == ("web", 0, 1)


@pytest.mark.parametrize("format_", ["timestamped", "json"])
def test_a_death_of_the_manager_shows_nowhere_in_the_file(daemon: Daemon, format_: str) -> None:
    """Every line once and in order, and none in two pieces."""
    stdout = {"log": "logs/web.log", "format": format_}
    daemon.run({"web": {"command": lines(daemon, 3000, 0.001), "stdout": stdout}})
    path = log_of(daemon, "web.log")
    for _ in range(3):
        before = len(text_of(path))
        daemon.until(partial(is_longer, path, before))
        daemon.kill_manager()
    daemon.until(lambda: text_of(path).count("\n") == 3000)
    text = text_of(path)
    if format_ == "json":
        numbers = [json.loads(line)["message"] for line in text.splitlines()]
    else:
        numbers = STAMP.sub("", text).splitlines()
    assert numbers == [str(number) for number in range(3000)]


def test_a_direct_log_is_the_workers_own(daemon: Daemon) -> None:
    """It has the file itself, for appending, and nobody else keeps it open."""
    stdout = {"log": "logs/deep/web.log", "direct": True}
    daemon.run({"web": {"command": lines(daemon, 100), "stdout": stdout}})
    path = daemon.directory / "logs" / "deep" / "web.log"
    daemon.until(lambda: text_of(path).count("\n") == 100)
    pid = daemon.pid("web")
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)] == [str(path)] * 2
    flags = Path(f"/proc/{pid}/fdinfo/1").read_text().split("flags:")[1].split()[0]
    assert int(flags, 8) & os.O_APPEND
    assert not int(flags, 8) & os.O_NONBLOCK
    assert path.stat().st_mode & 0o777 == 0o640
    for process in (daemon.keeper, daemon.manager):
        assert str(path) not in _open_files(process)


def test_a_direct_log_is_read_and_outlives_the_manager(daemon: Daemon) -> None:
    """Who asks for it gets it; a restart appends to it."""
    stdout = {"log": "logs/web.log", "direct": True}
    daemon.run(
        {"web": {"command": "echo hello; exec sleep 100000", "shell": True, "stdout": stdout}}
    )
    path = log_of(daemon, "web.log")
    daemon.until(lambda: text_of(path) == "hello\n")
    daemon.kill_manager()
    assert "hello" in daemon.log("web")
    daemon.client.restart(["web"])
    daemon.until(lambda: text_of(path) == "hello\n" * 2)


def test_a_direct_log_that_cannot_be_opened_fails_the_start(daemon: Daemon) -> None:
    """And says which file it is, and why."""
    stdout = {"log": "logs/web.log", "direct": True}
    daemon.run({"web": {"command": "sleep 100000", "stdout": stdout, "autostart": False}})
    log_of(daemon, "web.log").mkdir(parents=True)
    with suppress(ClientError):
        daemon.client.start(["web"])
    daemon.until(lambda: "cannot open" in json.dumps(daemon.row("web")))
    assert "Is a directory" in json.dumps(daemon.row("web"))


def _open_files(pid: int) -> set[str]:
    return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
