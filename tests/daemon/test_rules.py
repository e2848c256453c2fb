"""Rules about what a worker may take: real workers that break them, in a real daemon."""

import sys

from tests.daemon.conftest import SLEEP, Daemon

BIG = [sys.executable, "-c", "import time; b = bytearray(b'x' * (64 * 2**20)); time.sleep(100000)"]
BUSY = [sys.executable, "-c", "while True: pass"]


def test_a_worker_above_its_memory_is_restarted(daemon: Daemon) -> None:
    """And the daemon says what it used and what it may."""
    daemon.run({"big": {"command": BIG, "max_memory": "32MiB"}})
    pid = daemon.pid("big")
    daemon.until(lambda: daemon.pid("big") != pid)
    assert "above max_memory 32 MiB" in daemon.output()


def test_a_breach_that_is_to_be_reported_is_seen_in_the_status(daemon: Daemon) -> None:
    """With what the worker uses. It goes on, and so does one that keeps its rule."""
    daemon.run(
        {
            "big": {"command": BIG, "max_memory": {"limit": "32MiB", "action": "report"}},
            "small": {"command": SLEEP, "max_memory": "1GiB"},
        }
    )
    pid = daemon.pid("big")
    daemon.until(lambda: daemon.row("big").get("breaches"))
    assert "above max_memory 32 MiB" in daemon.row("big")["breaches"][0]
    assert daemon.row("big")["usage"]["memory"] > 64 * 2**20
    assert 0 < daemon.row("small")["usage"]["memory"] < 2**30
    assert not daemon.row("small").get("breaches")
    assert daemon.pid("big") == pid
    assert daemon.output().count("above max_memory") == 1


def test_a_worker_above_its_share_of_the_processor_is_restarted(daemon: Daemon) -> None:
    """Once its window is over."""
    daemon.run({"busy": {"command": BUSY, "max_cpu": {"limit": "5%", "window": "4s"}}})
    pid = daemon.pid("busy")
    daemon.until(lambda: daemon.pid("busy") != pid)
    assert "above max_cpu 5%" in daemon.output()


def test_an_old_worker_is_replaced_again_and_again(daemon: Daemon) -> None:
    """That is no failure of it, however often it happens."""
    limit = {"count": 2, "within": "1h"}
    worker = {"command": SLEEP, "max_age": "1s", "restart": {"limit": limit}}
    daemon.run({"old": worker})
    daemon.until(lambda: daemon.row("old")["run"] > 4)
    assert "age has reached max_age 1s" in daemon.output()
    assert daemon.state("old") != "FATAL"


def test_a_maximum_age_outlives_the_manager(daemon: Daemon) -> None:
    """The next one knows when the run began."""
    daemon.run({"old": {"command": SLEEP, "max_age": "8s"}})
    pid = daemon.pid("old")
    daemon.kill_manager()
    assert daemon.row("old")["run"] == 1
    daemon.until(lambda: daemon.pid("old") != pid)
    assert daemon.row("old")["run"] == 2


def test_of_several_that_grow_old_together_one_goes_at_a_time(daemon: Daemon) -> None:
    """The next one goes once the one before is RUNNING again."""
    ready = {"exec": "sleep 0.3"}
    worker = {"command": SLEEP, "instances": 3, "max_age": "2s", "ready": ready}
    daemon.run({"old": worker})
    names = [f"old:{number}" for number in range(3)]
    for name in names:
        daemon.await_state(name, "RUNNING")
    away: set[int] = set()

    def each_was_replaced() -> bool:
        rows = daemon.client.workers(*names)
        away.add(sum(row["state"] != "RUNNING" for row in rows))
        return all(row["run"] > 2 for row in rows)

    daemon.until(each_was_replaced)
    assert max(away) == 1
