"""The manager is killed; no worker notices, nothing is lost, and what was under way goes on."""

import contextlib
import os
import random
import shutil
import signal
import sys
import time

import pytest

from tests.cli.conftest import until
from tests.daemon.conftest import DEAF, LINES, SLEEP, Daemon, alive, arguments_of, first_manager


def test_workers_live_on(daemon: Daemon) -> None:
    """The next manager finds the workers as they are: same pids, same runs."""
    daemon.run({"web": {"command": SLEEP, "instances": 5}})
    daemon.until(lambda: all(row["state"] == "RUNNING" for row in daemon.client.workers()))
    before = [(row["pid"], row["run"]) for row in daemon.client.workers()]
    daemon.kill_manager()
    assert [(row["pid"], row["run"]) for row in daemon.client.workers()] == before
    assert all(row["state"] == "RUNNING" for row in daemon.client.workers())


def test_state_changes_stay_known(daemon: Daemon) -> None:
    """What was stopped stays stopped, and what was started by hand stays started."""
    daemon.run({"on": {"command": SLEEP}, "off": {"command": SLEEP, "autostart": False}})
    daemon.client.stop(["on"])
    daemon.client.start(["off"])
    daemon.kill_manager()
    assert (daemon.state("on"), daemon.state("off")) == ("STOPPED", "RUNNING")


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_death_while_starting(daemon: Daemon, after: float) -> None:
    """A manager that dies at any moment of the start leaves each worker started exactly once."""
    append = f"echo $$ >> {daemon.directory}/starts; exec {SLEEP}"
    daemon.configure({"web": {"command": append, "shell": True, "instances": 10}})
    process = daemon.launch()
    manager = first_manager(process.pid)
    time.sleep(after)  # not for luck: the moment of the death is what the test is about
    os.kill(manager, signal.SIGKILL)
    daemon.until(lambda: len(daemon.client.workers()) == 10)
    daemon.note_mark()
    daemon.until(lambda: all(row["state"] == "RUNNING" for row in daemon.client.workers()))
    started = (daemon.directory / "starts").read_text().split()
    assert sorted(map(int, started)) == sorted(row["pid"] for row in daemon.client.workers())


def test_death_before_the_compilation_was_heard_of(daemon: Daemon) -> None:
    """A manager that is there only when the file has been compiled applies it all the same."""
    daemon.configure({"web": {"command": SLEEP}})
    process = daemon.launch()
    manager = first_manager(process.pid)
    os.kill(manager, signal.SIGSTOP)
    compiler = "supervisord_lite.config.compiler"
    until(lambda: not any(compiler in arguments_of(pid) for pid in daemon.ours()))
    os.kill(manager, signal.SIGKILL)
    daemon.pid("web")
    daemon.note_mark()


def test_deadline_of_a_stop_goes_on(daemon: Daemon) -> None:
    """A stop that was half way down its ladder climbs on when it was due, not from the start."""
    wait = 3.0
    rungs = [{"signal": "TERM", "wait": "3s"}, {"signal": "KILL", "to": "tree", "wait": "5s"}]
    daemon.run({"deaf": {"command": DEAF, "stop": rungs}})
    pid = daemon.pid("deaf")
    begun = time.monotonic()
    daemon.client.stop(["deaf"], wait=False)
    daemon.kill_manager()
    assert daemon.state("deaf") == "STOPPING"
    until(lambda: not alive(pid))
    assert wait * 0.9 < time.monotonic() - begun < wait + 2.0
    daemon.await_state("deaf", "STOPPED")


def test_attempts_go_on(daemon: Daemon) -> None:
    """Failed starts are counted across managers: the limit holds."""
    limit = {"count": 4, "within": "1h"}
    restart = {"delay": "700ms", "factor": 1, "jitter": 0, "limit": limit}
    daemon.run({"bad": {"command": "false", "restart": restart}})
    daemon.await_state("bad", "BACKOFF")
    daemon.kill_manager()
    daemon.await_state("bad", "FATAL")
    assert daemon.row("bad")["run"] == 4


def test_exit_status_is_exact(daemon: Daemon) -> None:
    """A worker that exits while there is no manager is reported with its status."""
    gate = daemon.directory / "gate"
    os.mkfifo(gate)
    daemon.run(
        {"once": {"command": f"read line < {gate}; exit 42", "shell": True, "restart": "never"}}
    )
    pid, manager = daemon.pid("once"), daemon.manager
    os.kill(manager, signal.SIGSTOP)
    with gate.open("w") as stream:
        stream.write("\n")
    until(lambda: not alive(pid))
    os.kill(manager, signal.SIGKILL)
    daemon.await_state("once", "EXITED")
    assert daemon.row("once")["last_exit"]["code"] == 42


def test_signal_that_nobody_heard_is_told_again(daemon: Daemon) -> None:
    """A SIGTERM that the dead manager had not dealt with ends the daemon all the same."""
    daemon.run({"web": {"command": SLEEP}})
    pid, manager = daemon.pid("web"), daemon.manager
    os.kill(manager, signal.SIGSTOP)
    daemon_pid = daemon.process.pid
    os.kill(daemon_pid, signal.SIGTERM)
    os.kill(manager, signal.SIGKILL)
    assert daemon.exit_code() == 0
    assert not alive(pid)


def test_requests_are_answered_by_the_next_manager(daemon: Daemon) -> None:
    """A query that comes while nobody manages waits for the next manager; it is not refused."""
    daemon.run({"web": {"command": SLEEP}})
    manager = daemon.manager
    os.kill(manager, signal.SIGKILL)
    assert daemon.client.version()["manager"] != manager


def test_three_deaths_lead_to_a_hold(daemon: Daemon) -> None:
    """After three deaths in a row nothing is started by itself, and status says why."""
    restart = {"delay": "0s", "stable_after": "10ms"}
    daemon.run({"web": {"command": SLEEP, "restart": restart}, "other": {"command": SLEEP}})
    pid, other = daemon.pid("web"), daemon.pid("other")
    for _ in range(3):
        daemon.kill_manager()
    about = daemon.client.version()
    assert about["held"]
    assert "signal 9" in about["last_words"]
    os.kill(pid, signal.SIGKILL)
    daemon.until(lambda: daemon.state("web") != "RUNNING")
    assert daemon.row("web")["pid"] is None
    assert alive(other)
    daemon.client.stop(["other"])
    assert not alive(other)
    daemon.client.start(["web"])
    assert daemon.state("web") == "RUNNING"
    daemon.client.shutdown()
    assert daemon.exit_code() == 0


@pytest.mark.soak
def test_watchdog_replaces_a_manager_that_hangs(daemon: Daemon) -> None:
    """A manager that does not answer is killed after ten seconds, and the next one takes over."""
    daemon.run({"web": {"command": SLEEP}, "other": {"command": SLEEP}})
    victim, pid, manager = daemon.pid("web"), daemon.pid("other"), daemon.manager
    os.kill(manager, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)  # something to tell, and no answer
    until(lambda: not alive(manager))
    daemon.until(lambda: daemon.manager != manager)
    assert "had not answered" in daemon.about("last_words")
    daemon.await_state("web", "RUNNING")
    assert daemon.pid("other") == pid


@pytest.mark.soak
def test_random_kills_lose_no_byte(daemon: Daemon) -> None:
    """Whenever managers die, workers keep their pids and logs have each byte once, in order."""
    soak = os.environ.get("SOAK") == "1"
    kills, count = (100, 60_000) if soak else (8, 3_000)
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print("SEED", seed)
    chance = random.Random(seed)
    writer = [sys.executable, "-c", LINES, "0.001", str(count)]
    daemon.run({"writer": {"command": writer, "instances": 3}})
    pids = [daemon.pid(f"writer:{number}") for number in range(3)]
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 0.4))
        _kill_some_manager(daemon)
    expected = "".join(f"{number}\n" for number in range(count))
    daemon.until(lambda: all(len(daemon.log(f"writer:{n}")) >= len(expected) for n in range(3)))
    assert all(daemon.log(f"writer:{number}") == expected for number in range(3))
    assert [daemon.pid(f"writer:{number}") for number in range(3)] == pids


LAST_WORDS = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"x" * 59999 + b"\\n"), os._exit(0)))
print("up", flush=True)
while True:
    time.sleep(1)
"""


RULES: tuple[dict[str, str], ...] = ({}, {"format": "json"}, {"on_full": "block"})


@pytest.mark.soak
def test_last_words_of_removed_workers_are_logged(daemon: Daemon) -> None:
    """A reload removes them, and the manager is killed while they say the last they have to say:
    the next one logs that, and only then forgets them.
    """
    command = [sys.executable, "-c", LAST_WORDS]
    removed = {f"w{n}": {"command": command, "stdout": RULES[n % len(RULES)]} for n in range(9)}
    for _ in range(30 if os.environ.get("SOAK") == "1" else 2):
        daemon.run({"stays": {"command": SLEEP}, **removed})
        daemon.until(lambda: all("up" in daemon.log(f"{name}:0") for name in removed))
        manager = daemon.manager
        daemon.configure({"stays": {"command": SLEEP}})
        daemon.signal(signal.SIGHUP)
        daemon.until(lambda: any(len(daemon.log(f"{name}:0")) > 1000 for name in removed))
        time.sleep(random.uniform(0.0, 0.03))
        os.kill(manager, signal.SIGKILL)
        daemon.until(lambda: [row["name"] for row in daemon.client.workers()] == ["stays:0"])
        assert [daemon.log(f"{name}:0").count("x") for name in removed] == [59999] * 9
        daemon.end()
        shutil.rmtree(daemon.directory / "logs")


FAST = """
import os, sys, time
chunks, size, begun, line = int(sys.argv[1]), 65536, time.monotonic(), b"%011d" + b"." * 52 + b"\\n"
for chunk in range(chunks):
    os.writev(1, [b"".join(line % n for n in range(chunk * 1024, chunk * 1024 + 1024))])
    time.sleep(max(0.0, begun + chunk * size / 100e6 - time.monotonic()))
time.sleep(100000)
"""


@pytest.mark.soak
def test_fast_output_survives_kills(daemon: Daemon) -> None:
    """At up to 100 MB/s no kill of a manager loses, doubles or moves a byte."""
    soak = os.environ.get("SOAK") == "1"
    kills, chunks = (100, 16384) if soak else (4, 800)
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print("SEED", seed)
    chance = random.Random(seed)
    log = {"log": "fast.log", "rotate": {"size": "none"}}
    daemon.run({"fast": {"command": [sys.executable, "-c", FAST, str(chunks)], "stdout": log}})
    pid = daemon.pid("fast")
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 0.3))
        _kill_some_manager(daemon)
    path = daemon.directory / "fast.log"
    daemon.until(lambda: path.stat().st_size >= chunks * 65536)
    assert path.stat().st_size == chunks * 65536
    with path.open("rb") as stream:
        for number, line in enumerate(stream):
            assert line == b"%011d" % number + b"." * 52 + b"\n"
    assert daemon.pid("fast") == pid


def _kill_some_manager(daemon: Daemon) -> None:
    """Whoever is the manager now, be it half-way through its start."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(first_manager(daemon.process.pid), signal.SIGKILL)
