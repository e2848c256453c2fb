"""Taps that show lines, and forwards, of a whole daemon."""

from __future__ import annotations

import json
import re
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon.conftest import LINES, SLEEP
from tests.logs.test_tap import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon.conftest import Daemon

COUNT = 300
COUNTING = [sys.executable, "-c", LINES, "0.002", str(COUNT)]


@pytest.fixture
def readers() -> Iterator[list[Reader]]:
    made: list[Reader] = []
    yield made
    for reader in made:
        reader.close()


def reader_of(daemon: Daemon, path: Path, readers: list[Reader]) -> Reader:
    """A reader of a tap that the daemon has made; whatever is said from now on is for it."""
    daemon.until(path.exists)
    readers.append(Reader(str(path)))
    daemon.until(lambda: (str(path), True) in [(x["to"], x["read"]) for x in daemon.client.feeds()])
    return readers[-1]


def worker(daemon: Daemon, **stdout: Any) -> dict[str, Any]:
    """One that waits for the file `go`, and then counts."""
    script = 'while ! test -e go; do sleep 0.02; done; exec "$@"'
    command = ["sh", "-c", script, "sh", *COUNTING]
    return {"command": command, "working_dir": str(daemon.directory), "stdout": stdout}


def test_a_reader_of_a_shared_tap_survives_the_manager(
    daemon: Daemon, readers: list[Reader]
) -> None:
    """It sees every line of both workers once, and no end."""
    path = daemon.directory / "all.fifo"
    workers = {name: worker(daemon) for name in ("web", "db")}
    daemon.run(workers, taps={"all": {"path": str(path), "workers": ["web", "db"]}})
    reader = reader_of(daemon, path, readers)
    (daemon.directory / "go").touch()
    daemon.until(reader.read)
    for _ in range(3):
        daemon.kill_manager()
    daemon.until(lambda: reader.read().count(b"\n") >= 2 * COUNT)
    for name in ("web", "db"):
        shown = re.findall(rf"{name}:0 \| (\d+)\n".encode(), reader.found)
        assert [int(number) for number in shown] == list(range(COUNT))


def test_the_tap_of_one_stream_may_show_json(daemon: Daemon, readers: list[Reader]) -> None:
    """Each line says which run has written it."""
    path = daemon.directory / "web.fifo"
    daemon.run({"web": worker(daemon, tap={"path": str(path), "format": "json"})})
    reader = reader_of(daemon, path, readers)
    (daemon.directory / "go").touch()
    daemon.until(lambda: reader.read().count(b"\n") >= COUNT)
    found = [json.loads(line) for line in reader.found.splitlines()]
    assert [line["message"] for line in found] == [str(number) for number in range(COUNT)]
    assert {(line["worker"], line["run"], line["stream"]) for line in found} == {
        ("web", 1, "stdout")
    }


def has_all(reader: Reader) -> bool:
    return reader.read().count(b"\n") >= COUNT


def test_the_tap_of_one_instance_shows_no_other_ones_lines(
    daemon: Daemon, readers: list[Reader]
) -> None:
    """Though they are of the same worker."""
    tap = {"path": str(daemon.directory / "{instance}.fifo"), "format": "prefixed"}
    daemon.run({"web": {**worker(daemon, tap=tap), "instances": 2}})
    both = [reader_of(daemon, daemon.directory / f"{one}.fifo", readers) for one in (0, 1)]
    (daemon.directory / "go").touch()
    for number, reader in enumerate(both):
        daemon.until(partial(has_all, reader))
        prefix = f"web:{number} | ".encode()
        assert all(line.startswith(prefix) for line in reader.found.splitlines())
    assert {row["streams"] for row in daemon.client.feeds()} == {1}


def test_lines_of_a_log_with_a_format_are_shown_as_they_were_said(
    daemon: Daemon, readers: list[Reader]
) -> None:
    """Once, in the tap's own manner; one that is longer than a tap takes at once comes in parts."""
    path = daemon.directory / "all.fifo"
    wait = "while ! test -e go; do sleep 0.02; done"
    script = f"{wait}; head -c 500000 /dev/zero | tr '\\0' x; echo; echo end; exec {SLEEP}"
    web = {
        "command": ["sh", "-c", script],
        "working_dir": str(daemon.directory),
        "stdout": {"format": "json", "max_line": "1MiB"},
    }
    daemon.run({"web": web}, taps={"all": {"path": str(path), "workers": ["web"]}})
    reader = reader_of(daemon, path, readers)
    (daemon.directory / "go").touch()
    daemon.until(lambda: reader.read().endswith(b"end\n"))
    lines = reader.found.replace(b"web:0 | ", b"").split()
    assert len(lines) > 2
    assert b"".join(lines) == b"x" * 500_000 + b"end"


def test_a_direct_log_may_have_a_tap(daemon: Daemon, readers: list[Reader]) -> None:
    """Though nothing of it passes through the daemon otherwise."""
    path = daemon.directory / "web.fifo"
    log = {"log": str(daemon.directory / "web.log"), "direct": True, "tap": str(path)}
    daemon.run({"web": worker(daemon, **log)})
    reader = reader_of(daemon, path, readers)
    (daemon.directory / "go").touch()
    daemon.until(lambda: reader.read().count(b"\n") >= COUNT)
    assert reader.found == b"".join(b"%d\n" % number for number in range(COUNT))


def test_what_workers_say_comes_out_of_the_daemon(daemon: Daemon) -> None:
    """To its last word, also without a line end, before the daemon is gone."""
    command = ["sh", "-c", "trap 'printf bye; exit' TERM; echo hello; while :; do sleep 0.05; done"]
    daemon.run({"web": {"command": command}}, logs={"forward": {"out": {"to": "stdout"}}})
    daemon.until(lambda: "web:0 | hello\n" in daemon.output())
    daemon.client.shutdown()
    assert daemon.exit_code() == 0
    assert "web:0 | bye\n" in daemon.output()


def test_syslog_is_told_the_process_of_a_run(daemon: Daemon) -> None:
    """While the run lives its pid stands in the message."""
    path = daemon.directory / "log"
    gate = daemon.directory / "gate"
    words = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo hello; exec sleep 100000"
    command = ["sh", "-c", words]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(30)
        forward = {"to": "syslog", "socket": str(path)}
        daemon.run({"web": {"command": command}}, logs={"forward": {"system": forward}})
        pid = daemon.pid("web:0")  # its start is known
        gate.touch()
        message = receiver.recv(65536)
    assert f" web {pid} stdout ".encode() in message
    assert message.endswith(b'run="1"] hello')


def test_a_forward_that_a_reload_adds_begins_then(daemon: Daemon) -> None:
    """No worker is touched by it."""
    daemon.run({"web": {"command": ["sh", "-c", f"echo early; exec {SLEEP}"]}})
    pid = daemon.pid("web:0")
    daemon.until(lambda: "early" in daemon.log("web:0"))
    workers = {"web": {"command": ["sh", "-c", f"echo early; exec {SLEEP}"]}, "db": worker(daemon)}
    daemon.configure(workers, logs={"forward": {"out": {"to": "stdout"}}})
    daemon.client.reload()
    (daemon.directory / "go").touch()
    daemon.until(lambda: f"db:0 | {COUNT - 1}\n" in daemon.output())
    assert "| early" not in daemon.output()
    assert daemon.pid("web:0") == pid


def test_the_last_words_of_a_worker_that_is_removed_are_forwarded(daemon: Daemon) -> None:
    """What it says while it is stopped, too."""
    script = "trap 'sleep 0.3; echo bye; exit' TERM; echo hello; while :; do sleep 0.05; done"
    workers = {"web": {"command": ["sh", "-c", script]}, "db": {"command": ["sh", "-c", SLEEP]}}
    logs = {"forward": {"out": {"to": "stdout"}}}
    daemon.run(workers, logs=logs)
    daemon.until(lambda: "web:0 | hello\n" in daemon.output())
    daemon.configure({"db": workers["db"]}, logs=logs)
    daemon.client.reload()
    daemon.until(lambda: "web:0 | bye\n" in daemon.output())
