"""Health checks and watchdogs: whole daemons, real workers, probes that hang."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from supervisord_lite.linux.process_table import ProcessTable
from tests.cli.conftest import until
from tests.daemon.conftest import SLEEP, Daemon, alive

# Beats every tenth of a second while the file is there that it is given.
BEATING = """
import os, sys, time
from supervisord_lite import worker
while os.path.exists(sys.argv[1]):
    worker.heartbeat()
    time.sleep(0.1)
time.sleep(100000)
"""


def checked(probe: Any, **more: Any) -> dict[str, Any]:
    """A worker that is looked at often."""
    check = {"interval": "100ms", "timeout": "20s", "retries": 2, "jitter": 0, **more}
    return {"command": SLEEP, "healthcheck": {**probe, **check}}


def script(text: str) -> dict[str, Any]:
    return {"exec": ["sh", "-c", text]}


def health(daemon: Daemon, name: str = "web") -> str:
    return str(daemon.row(name).get("health"))


def test_a_good_worker_is_healthy(daemon: Daemon) -> None:
    """After the first success."""
    daemon.run({"web": checked(script("exit 0"))})
    daemon.until(lambda: health(daemon) == "healthy")


def test_an_unhealthy_worker_is_restarted(daemon: Daemon) -> None:
    """By default, and the next run is healthy for itself."""
    bad = daemon.directory / "bad"
    daemon.run({"web": checked(script(f"test ! -e {bad}"))})
    before = daemon.pid("web")
    daemon.until(lambda: health(daemon) == "healthy")
    bad.touch()
    daemon.until(lambda: daemon.row("web")["run"] > 1)
    bad.unlink()
    until(lambda: not alive(before))
    daemon.until(lambda: health(daemon) == "healthy")


def test_an_unhealthy_worker_is_reported(daemon: Daemon) -> None:
    """Where nothing else is asked for; it goes on, and may get well again."""
    bad = daemon.directory / "bad"
    bad.touch()
    daemon.run({"web": checked(script(f"test ! -e {bad}"), on_unhealthy="report")})
    pid = daemon.pid("web")
    daemon.until(lambda: health(daemon) == "unhealthy")
    assert daemon.row("web")["probe"] == "exit code 1"
    bad.unlink()
    daemon.until(lambda: health(daemon) == "healthy")
    assert daemon.pid("web") == pid


def test_an_unhealthy_worker_is_signalled(daemon: Daemon) -> None:
    """Once a verdict."""
    got = daemon.directory / "signals"
    command = ["sh", "-c", f"trap 'echo x >> {got}' USR1; while :; do sleep 0.1; done"]
    worker = checked(script("exit 1"), on_unhealthy={"signal": "USR1"})
    daemon.run({"web": worker | {"command": command}})
    until(got.exists)
    time.sleep(1.0)
    assert got.read_text() == "x\n"


def test_a_hanging_probe_is_killed_with_its_tree(daemon: Daemon) -> None:
    """It counts as a failure, and nothing of it stays, no zombie either."""
    pids = daemon.directory / "pids"
    probe = script(f"setsid sleep 99999 & echo $! $$ >> {pids}; wait")
    worker = checked(probe, timeout="300ms", on_unhealthy="report")
    daemon.run({"web": worker})
    daemon.until(lambda: health(daemon) == "unhealthy")
    assert daemon.row("web")["probe"] == "no answer within 300ms"
    assert daemon.client.stop(["web"], timeout=20)["ok"]
    found = [int(word) for word in pids.read_text().split()]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in found))


def test_probes_do_not_overlap(daemon: Daemon) -> None:
    """However long one takes and however often it is asked for."""
    place, trouble = daemon.directory / "busy", daemon.directory / "trouble"
    done = daemon.directory / "done"
    probe = f"mkdir {place} || touch {trouble}; sleep 0.4; rmdir {place}; echo x >> {done}"
    daemon.run({"web": checked(script(probe), interval="10ms")})
    until(lambda: done.exists() and len(done.read_text()) >= 8)
    assert not trouble.exists()


def test_nothing_is_probed_that_is_stopped(daemon: Daemon) -> None:
    """The probe of a stopped worker ends with it, and comes back with it."""
    tries = daemon.directory / "tries"
    daemon.run({"web": checked(script(f"echo x >> {tries}"))})
    until(tries.exists)
    assert daemon.client.stop(["web"], timeout=20)["ok"]
    until(lambda: not _probes(daemon))
    before = tries.read_text()
    time.sleep(0.6)
    assert tries.read_text() == before
    daemon.client.start(["web"])
    until(lambda: tries.read_text() != before)


def _probes(daemon: Daemon) -> list[int]:
    """The processes of the daemon that are neither its own nor workers."""
    children = ProcessTable().children(daemon.keeper)
    known = {daemon.manager, daemon.row("web")["pid"]}
    return [pid for pid in children if pid not in known]


def test_the_probe_of_a_dead_worker_does_no_harm(daemon: Daemon) -> None:
    """A worker that is killed in the midst of its probe is restarted as always."""
    started = daemon.directory / "started"
    daemon.run({"web": checked(script(f"touch {started}; sleep 0.5; exit 1"), retries=1000)})
    pid = daemon.pid("web")
    until(started.exists)
    os.kill(pid, signal.SIGKILL)
    daemon.until(lambda: daemon.state("web") == "RUNNING" and daemon.row("web")["run"] == 2)
    started.unlink()
    until(started.exists)


def test_a_worker_that_is_stopped_on_purpose_is_left_alone(daemon: Daemon) -> None:
    """Neither its health check nor its watchdog takes SIGSTOP for an illness."""
    alive_file = daemon.directory / "alive"
    alive_file.touch()
    probe = script(f"test -e {daemon.directory}/never")
    worker = checked(probe, retries=1, start_period="2s")
    command = [sys.executable, "-c", BEATING, str(alive_file)]
    daemon.run({"web": worker | {"command": command, "watchdog": "3s"}})
    pid = daemon.pid("web")
    os.kill(pid, signal.SIGSTOP)
    time.sleep(5.0)
    assert daemon.row("web")["run"] == 1
    assert daemon.state("web") == "RUNNING"
    os.kill(pid, signal.SIGCONT)
    daemon.until(lambda: daemon.row("web")["run"] == 2)


def test_a_manager_that_was_stopped_condemns_nobody(daemon: Daemon) -> None:
    """What it did not see while it stood still does not count: the beats are there."""
    beats = daemon.directory / "beats"
    beats.touch()
    command = [sys.executable, "-c", BEATING, str(beats)]
    daemon.run({"web": {"command": command, "watchdog": "3s"}})
    pid = daemon.pid("web")
    manager = daemon.manager
    os.kill(manager, signal.SIGSTOP)
    time.sleep(6.0)  # less than the keeper's patience with a silent manager
    os.kill(manager, signal.SIGCONT)
    time.sleep(1.0)
    assert daemon.pid("web") == pid
    assert daemon.manager == manager


def test_a_missed_sign_of_life_is_a_failure(daemon: Daemon) -> None:
    """The run is replaced by another one, and the reason is told."""
    beats = daemon.directory / "beats"
    beats.touch()
    command = [sys.executable, "-c", BEATING, str(beats)]
    daemon.run({"web": {"command": command, "watchdog": "4s"}})
    pid = daemon.pid("web")
    time.sleep(5.0)
    assert daemon.pid("web") == pid
    beats.unlink()
    daemon.until(lambda: daemon.row("web")["run"] == 2)
    daemon.until(lambda: "no sign of life for 4s" in daemon.output())


def test_a_new_manager_goes_on_with_the_watchdog(daemon: Daemon) -> None:
    """With a fresh period, and by the beats that waited in the socket."""
    beats = daemon.directory / "beats"
    beats.touch()
    command = [sys.executable, "-c", BEATING, str(beats)]
    daemon.run({"web": {"command": command, "watchdog": "3s"}})
    pid = daemon.pid("web")
    daemon.kill_manager()
    time.sleep(4.0)
    assert daemon.pid("web") == pid
    beats.unlink()
    daemon.until(lambda: daemon.row("web")["run"] == 2)


def test_a_probe_that_a_dead_manager_left_is_killed(daemon: Daemon) -> None:
    """Its name is free again, so the next manager goes on to probe."""
    pids = daemon.directory / "pids"
    probe = script(f"echo $$ >> {pids}; exec sleep 99999")
    daemon.run({"web": checked(probe, timeout="1h")})
    until(lambda: pids.exists() and pids.read_text())
    left = int(pids.read_text())
    daemon.kill_manager()
    until(lambda: not alive(left))
    until(lambda: len(pids.read_text().split()) == 2)


def test_the_verdict_outlives_the_manager(daemon: Daemon) -> None:
    """It is remembered, and told again by nobody."""
    daemon.run({"web": checked(script("exit 1"), on_unhealthy="report", interval="1h", retries=1)})
    daemon.until(lambda: health(daemon) == "unhealthy")
    daemon.kill_manager()
    assert health(daemon) == "unhealthy"


def test_a_changed_check_takes_effect_by_a_reload(daemon: Daemon) -> None:
    """Without a restart."""
    daemon.run({"web": checked(script("exit 1"), on_unhealthy="report")})
    pid = daemon.pid("web")
    daemon.until(lambda: health(daemon) == "unhealthy")
    daemon.configure({"web": checked(script("exit 0"), on_unhealthy="report")})
    daemon.client.reload()
    daemon.until(lambda: health(daemon) == "healthy")
    assert daemon.pid("web") == pid
