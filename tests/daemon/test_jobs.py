"""Jobs on a living daemon: they fire, overlap by rule, and survive its deaths."""

from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import Daemon

NOTE = "echo $$ >> runs"


def job(command: str, **schedule: Any) -> dict[str, Any]:
    return {
        "type": "job",
        "command": ["sh", "-c", command],
        "schedule": {"every": "300ms", **schedule},
        "stop": "1s",
    }


def runs(daemon: Daemon) -> list[str]:
    path = daemon.directory / "runs"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("schedule", [{"every": "300ms"}, {"every": None, "cron": "* * * * * *"}])
def test_a_job_runs_again_and_again(daemon: Daemon, schedule: dict[str, Any]) -> None:
    """At intervals, and by a cron line with seconds."""
    given = {key: value for key, value in schedule.items() if value}
    daemon.run({"tick": {**job(NOTE), "schedule": given}})
    daemon.until(lambda: len(runs(daemon)) >= 3)
    assert daemon.state("tick") in ("WAITING", "STARTING", "RUNNING")


def test_a_schedule_is_switched_off_and_on(daemon: Daemon) -> None:
    """`stop` ends the runs, `start` brings them back."""
    daemon.run({"tick": job(NOTE)})
    daemon.until(lambda: runs(daemon))
    daemon.client.stop(["tick"])
    before = len(runs(daemon))
    daemon.kill_manager()
    assert daemon.state("tick") == "STOPPED"
    assert len(runs(daemon)) == before
    daemon.client.start(["tick"], wait=False)
    daemon.until(lambda: len(runs(daemon)) > before)


def test_replace_ends_the_run_before(daemon: Daemon) -> None:
    """Never two at a time: the first gives way to the second."""
    daemon.run({"tick": job(f"{NOTE}; exec sleep 1000", overlap="replace")})
    daemon.until(lambda: len(runs(daemon)) >= 3)
    living = [pid for pid in runs(daemon)[:-1] if Path(f"/proc/{pid}/exe").exists()]
    assert len(living) <= 1


def test_queued_runs_follow(daemon: Daemon) -> None:
    """What came while one was under way runs afterwards, though its schedule adds no more."""
    daemon.run({"slow": job(f"{NOTE}; while [ ! -e go ]; do sleep 0.05; done", overlap="queue")})
    daemon.until(lambda: int(daemon.row("slow").get("queued") or 0) >= 2)
    assert len(runs(daemon)) == 1
    (daemon.directory / "go").touch()
    daemon.until(lambda: len(runs(daemon)) >= 3)


def test_a_run_survives_the_daemon(daemon: Daemon) -> None:
    """Both halves die in the middle of a run; it is neither doubled nor forgotten."""
    slow = job(f"{NOTE}; while [ ! -e go ]; do sleep 0.05; done; exit 3", every="1h")
    daemon.run({"slow": slow})
    daemon.client.run(["slow"], wait=False)
    daemon.until(lambda: len(runs(daemon)) == 1)
    daemon.kill_manager()
    daemon.kill_keeper()
    (daemon.directory / "go").touch()
    daemon.await_state("slow", "WAITING")
    assert len(daemon.client.history("slow")) == 1
    assert len(runs(daemon)) == 1
