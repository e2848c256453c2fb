"""The files that come along: each runs as it stands, and does what its comments promise.

A daemon runs a copy of them. A file beside the copies includes the one in question and says only
where the daemon lives; the ports are those that are free.
"""

import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_lite.client import Client
from supervisord_lite.config.compiler import compile_files
from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import Daemon

CONFIGS = Path(__file__).parents[2] / "configs"
PORTS = ("PORT", "DB_PORT", "WEB_PORT", "REFERENCE_PORT", "HTTP_PORT", "UDP_PORT")
HOME = "supervisor: {runtime_dir: d, state_dir: s}\nworkers: {}\ninclude: "


class Shipped(Daemon):
    """A daemon that runs one of the files."""

    def boot(self, name: str) -> None:
        """Start it and return when it answers."""
        self.file.write_text(f"{HOME}{name}.yaml\n")
        self.socket = compile_files([str(self.file)]).configuration.control.socket
        self.client = Client(self.socket)
        self.ports = {name: free_port() for name in PORTS}
        self.launch(variables={name: str(port) for name, port in self.ports.items()})
        until(self.answers)
        self.note_mark()

    def await_states(self, **workers: str) -> None:
        """Wait until all instances of each worker are in this state."""
        wanted = set(workers.items())

        def reached() -> bool:
            return {(row["worker"], row["state"]) for row in self.rows(*workers)} == wanted

        self.until(reached)

    def rows(self, *names: str) -> list[dict[str, object]]:
        return self.client.workers(*names)

    def stop(self) -> None:
        """It ends as it was asked to, and leaves nothing."""
        self.signal(signal.SIGTERM)
        assert self.exit_code() == 0, self.output()
        until(lambda: not self.ours())

    def says(self, log: str, *lines: str) -> Callable[[], bool]:
        """Whether a log has these lines, one after the other."""
        path = self.directory / "logs" / log
        return lambda: path.exists() and "\n".join(lines) in path.read_text()

    def text(self, log: str) -> str:
        """What a log says so far."""
        path = self.directory / "logs" / log
        return path.read_text() if path.exists() else ""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Shipped]:
    place = tmp_path / "c"  # short: the path of a Unix socket has to be
    shutil.copytree(CONFIGS, place, ignore=shutil.ignore_patterns("__pycache__", "logs", "run"))
    daemon = Shipped(place)
    yield daemon
    daemon.end()


def test_every_file_is_run_here() -> None:
    """A file that is added gets a test that boots it."""
    files = {f"test_{file.stem}" for file in CONFIGS.glob("*.yaml")}
    assert len(files) > 5
    assert files <= globals().keys()


def test_demo(shipped: Shipped) -> None:
    """The web server is visited through a pipe, comes back when killed, and can be listened to."""
    shipped.boot("demo")
    shipped.await_states(web="RUNNING", visitor="RUNNING", tally="RUNNING")
    until(shipped.says("tally.log", "ok"))
    with urllib.request.urlopen(f"http://127.0.0.1:{shipped.ports['PORT']}/", timeout=20) as page:
        assert b"answered by process" in page.read()
    with (shipped.directory / "run/web.fifo").open() as tap:
        assert tap.readline()
    before = shipped.pid("web")
    os.kill(before, signal.SIGKILL)
    shipped.until(lambda: shipped.pid("web") != before)
    shipped.client.scale({"visitor": 2}, timeout=DEADLINE)
    shipped.await_states(visitor="RUNNING")
    shipped.kill_manager()
    shipped.stop()


def test_dependencies(shipped: Shipped) -> None:
    """The database starts first; web goes down with it and brings it back; audit does not mind."""
    shipped.boot("dependencies")
    ends = {"migrate": "EXITED", "greeting": "EXITED"}
    shipped.await_states(db="RUNNING", web="RUNNING", audit="RUNNING", **ends)
    audit = shipped.pid("audit")
    shipped.client.stop(["db"])
    shipped.await_states(db="STOPPED", web="WAITING")
    shipped.client.start(["web"], timeout=DEADLINE)
    shipped.await_states(db="RUNNING", web="RUNNING")
    web = shipped.pid("web")
    shipped.client.restart(["db"], timeout=DEADLINE)
    shipped.until(lambda: shipped.pid("web") != web)
    assert shipped.pid("audit") == audit
    shipped.stop()


def test_health(shipped: Shipped) -> None:
    """All become ready and healthy; the sick and the silent are restarted until they are well."""
    shipped.boot("health")
    names = ("web", "patient", "bound", "beating", "newline")
    shipped.await_states(**dict.fromkeys(names, "RUNNING"))
    shipped.until(lambda: all(r["health"] == "healthy" for r in shipped.rows(*names[:3])))
    patient, beating = shipped.pid("patient"), shipped.pid("beating")
    (shipped.directory / "run/sick").touch()
    (shipped.directory / "run/frozen").touch()
    shipped.until(lambda: shipped.pid("patient") != patient)
    (shipped.directory / "run/sick").unlink()
    shipped.until(lambda: shipped.pid("beating") != beating)
    (shipped.directory / "run/frozen").unlink()
    shipped.until(lambda: shipped.row("patient")["health"] == "healthy")
    shipped.stop()


def test_hooks(shipped: Shipped) -> None:
    """Each hook has its say in the worker's log, and who is not let in never runs."""
    shipped.boot("hooks")
    shipped.await_states(web="RUNNING", mortal="FATAL", guarded="FATAL")
    until(shipped.says("hooks.web.0.log", "up"))
    shipped.client.restart(["web"])
    until(shipped.says("hooks.web.0.log", "stopping", "stopped", "prepared"))
    until(shipped.says("hooks.mortal.0.log", "mortal:0 is given up"))
    assert shipped.says("hooks.mortal.0.log", "that was a failure")()
    assert not shipped.says("hooks.guarded.0.log", "never seen")()
    shipped.stop()


def test_jobs(shipped: Shipped) -> None:
    """They run by the clock and at once, and their schedules are switched off and on."""
    shipped.boot("jobs")
    assert {row["state"] for row in shipped.rows()} == {"WAITING"}
    (report,) = shipped.client.run(["report"], timeout=DEADLINE)["results"]
    assert report["exit"]["code"] == 0
    shipped.until(lambda: shipped.client.history("tick"))
    shipped.client.stop(["tick"])
    assert shipped.state("tick") == "STOPPED"
    shipped.client.start(["tick"])
    shipped.await_states(tick="WAITING")
    shipped.until(lambda: {row["state"] for row in shipped.rows("slow", "latest")} == {"RUNNING"})
    shipped.stop()


def test_limits(shipped: Shipped) -> None:
    """Who takes too much is restarted, and so is, or reads again, whose files have changed."""
    shipped.boot("limits")
    names = ("leaky", "busy", "old", "watching", "settled")
    shipped.await_states(**dict.fromkeys(names, "RUNNING"))
    watching = shipped.pid("watching")
    (shipped.directory / "run/settings").write_text("new")
    until(shipped.says("limits.settled.0.log", "reading the settings again"))
    (shipped.directory / "demo/bound.py").open("a").close()  # as touch(1) does it
    shipped.until(lambda: shipped.pid("watching") != watching)
    shipped.until(lambda: "above max_memory 100 MiB" in shipped.output())
    shipped.stop()


def test_logs(shipped: Shipped) -> None:
    """Each worker's lines are in its file as it is said, in the taps, and on stdout as JSON."""
    shipped.boot("logs")
    names = ("web", "shipped", "busy", "talkative", "steady", "alone")
    shipped.await_states(**dict.fromkeys(names, "RUNNING"))
    logs = shipped.directory / "logs"
    for tap, line in (
        ("all", r"^web:0 .*\| "),
        ("web", r'^{"time":.*"worker":"web"'),
        ("steady", ":"),
    ):
        until((shipped.directory / f"run/{tap}.fifo").exists)
        with (shipped.directory / f"run/{tap}.fifo").open() as reader:
            assert any(re.search(line, reader.readline()) for _ in range(1000)), tap
    until(lambda: re.match(r"\d{4}-.*Z trouble 0$", (logs / "web.err").read_text(), re.MULTILINE))
    assert json.loads((logs / "shipped.log").read_text().splitlines()[0])["message"]
    until(shipped.says("talkative.log", " over the rate limit left out]"))
    until(shipped.says("alone.log", "on my own"))
    until(lambda: list(logs.glob("busy.log.*.gz")))
    (packed, *_) = logs.glob("busy.log.*.gz")
    assert gzip.decompress(packed.read_bytes()).endswith(b"\n")
    until(lambda: '"worker":"web"' in shipped.output())
    until(lambda: '"state":"RUNNING"' in (logs / "logs.daemon.log").read_text())
    shipped.kill_manager()
    shipped.stop()


def test_pipeline(shipped: Shipped) -> None:
    """Lines come through both pipes whoever dies, and jobs come from outside."""
    shipped.boot("pipeline")
    names = ("numbers", "upper", "totals", "worker")
    shipped.await_states(**dict.fromkeys(names, "RUNNING"))
    until(shipped.says("pipeline.totals.0.log", "1: LINE 1", "2: LINE 2"))
    assert shipped.says("pipeline.upper.log", "LINE 1", "LINE 2")()
    subprocess.run(
        ["sh", "-c", "echo a job > run/jobs.fifo"],
        cwd=shipped.directory,
        check=True,
        timeout=DEADLINE,
    )
    logs = shipped.directory / "logs"
    until(lambda: any("- a job" in log.read_text() for log in logs.glob("pipeline.worker.*")))
    shipped.client.stop(["worker"])
    jobs = [f"{number} waits for whoever comes" for number in range(100)]
    subprocess.run(
        ["sh", "-c", 'printf "%s\\n" "$@" > run/jobs.fifo', "sh", *jobs],
        cwd=shipped.directory,
        check=True,
        timeout=DEADLINE,
    )
    shipped.client.start(["worker"], timeout=DEADLINE)
    until(lambda: _done(logs) == sorted(["a job", *jobs]))
    shipped.client.signal(["numbers"], "HUP")
    until(shipped.says("pipeline.numbers.err", "beginning anew"))
    before = shipped.pid("upper")
    os.kill(before, signal.SIGKILL)
    shipped.until(lambda: shipped.pid("upper") != before)
    shipped.kill_manager()
    shipped.client.stop(["numbers", "upper"])
    until(shipped.says("pipeline.totals.0.log", "that is all"))
    shipped.stop()


def _done(logs: Path) -> list[str]:
    """The jobs that the workers of the pipeline have done, as they read them."""
    said = "".join(log.read_text() for log in logs.glob("pipeline.worker.*.log"))
    return sorted(line.partition(" - ")[2] for line in said.splitlines())


def test_queue(shipped: Shipped) -> None:
    """Jobs are done, counted and asked for, also after a worker was killed at one."""
    shipped.boot("queue")
    names = ("produce", "resize", "collect", "ask")
    shipped.await_states(**dict.fromkeys(names, "RUNNING"))
    until(lambda: re.search(r"[1-9]\d* are done", shipped.text("queue.ask.0.log")))
    os.kill(shipped.pid("resize:0"), signal.SIGKILL)
    shipped.kill_manager()
    count = len(shipped.text("queue.collect.0.log").splitlines())
    until(lambda: len(shipped.text("queue.collect.0.log").splitlines()) > count + 5)
    shipped.client.stop(["produce"])
    until(lambda: "jobs were put" in shipped.text("queue.produce.0.log"))
    shipped.stop()


def test_sockets(shipped: Shipped) -> None:
    """All sockets are served, and who connects while nobody serves waits."""
    shipped.boot("sockets")
    shipped.await_states(web="RUNNING", numbered="RUNNING", datagrams="RUNNING")
    assert (shipped.directory / "run/admin.sock").is_socket()
    shipped.client.stop(["web", "numbered"])
    with socket.create_connection(("127.0.0.1", shipped.ports["HTTP_PORT"]), DEADLINE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        shipped.client.start(["web"])
        with client.makefile() as answer:
            assert "answered by process" in answer.read()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", ("127.0.0.1", shipped.ports["UDP_PORT"]))
    until(shipped.says("sockets.datagrams.0.log", "hello"))
    shipped.stop()


def test_rolling(shipped: Shipped) -> None:
    """It is scaled and rolled out without a gap, and comes back from a version that is bad."""
    shipped.boot("rolling")
    shipped.await_states(web="RUNNING", single="RUNNING")
    first = shipped.pid("web:0")
    shipped.client.scale({"web": 5}, timeout=DEADLINE)
    assert [row["state"] for row in shipped.rows("web")] == ["RUNNING"] * 5
    assert shipped.pid("web:0") == first
    file = shipped.directory / "rolling.yaml"
    file.write_text(file.read_text().replace('VERSION: "1"', 'VERSION: "3"'))
    shipped.client.reload(wait=False)

    def is_back() -> bool:
        rollouts = shipped.client.rollouts()
        return [one["progress"] for one in rollouts] == ["went back", "went back"]

    shipped.until(is_back)
    shipped.await_states(web="RUNNING", single="RUNNING")
    file.write_text(file.read_text().replace('VERSION: "3"', 'VERSION: "2"'))
    shipped.client.reload(timeout=2 * DEADLINE)
    assert {one["progress"] for one in shipped.client.rollouts()} == {"done"}
    assert shipped.says("rolling.web.0.log", "version 2 warms up")()
    shipped.stop()


def test_critical(shipped: Shipped) -> None:
    """A session's end is a new beginning for all, and the main worker's is the daemon's."""
    shipped.boot("critical")
    shipped.await_states(main="RUNNING", session="RUNNING", helper="RUNNING")
    helper = shipped.pid("helper")
    os.kill(shipped.pid("session"), signal.SIGKILL)
    shipped.until(lambda: shipped.pid("helper") != helper)
    assert shipped.process.wait(2 * DEADLINE) == 7
    until(lambda: not shipped.ours())


def test_reference(shipped: Shipped) -> None:
    """Every key at work: all services become RUNNING, the task ends, the jobs wait."""
    shipped.boot("reference")
    jobs = dict.fromkeys(("nightly", "regular"), "WAITING")
    services = (
        *("sleeper", "produce", "consume", "everything", "served"),
        *("told", "linked", "asked", "bound", "beating"),
    )
    running = dict.fromkeys(services, "RUNNING")
    shipped.await_states(prepare="EXITED", **running, **jobs)
    assert {row["name"] for row in shipped.rows()} >= {"everything:0", "everything:1"}
    until((shipped.directory / "logs/consume.0.log").exists)
    shipped.until(lambda: shipped.row("served")["health"] == "healthy")
    shipped.stop()
