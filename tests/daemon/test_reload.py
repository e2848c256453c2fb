"""Reloads at awkward moments: what is going down, waiting or changing already."""

from typing import Any

import pytest

from supervisord_lite.client import ApiError
from tests.daemon.conftest import Daemon

SLEEP = "sleep 100000"
SLOW_END = [
    "sh",
    "-c",
    "trap 'while [ ! -e go ]; do sleep 0.05; done; exit 0' TERM; while :; do sleep 0.1; done",
]


def reload(daemon: Daemon, workers: dict[str, Any], *, wait: bool = False) -> None:
    daemon.configure(workers)
    daemon.client.reload(wait=wait)


def names(daemon: Daemon) -> set[str]:
    return {row["name"] for row in daemon.client.workers()}


def test_removed_and_added_back_while_it_goes_down(daemon: Daemon) -> None:
    """It comes back as a new one, once the old one is gone."""
    slow = {"command": SLOW_END, "stop": "30s"}
    daemon.run({"web": slow, "other": {"command": SLEEP}})
    before = daemon.pid("web")
    reload(daemon, {"other": {"command": SLEEP}})
    daemon.await_state("web", "STOPPING")
    reload(daemon, {"web": slow, "other": {"command": SLEEP}})
    (daemon.directory / "go").touch()
    daemon.until(lambda: daemon.row("web")["pid"] not in (None, before))
    assert names(daemon) == {"web:0", "other:0"}


def test_a_new_program_during_backoff_starts_at_once(daemon: Daemon) -> None:
    """What waited because of the old one has nothing to wait for."""
    late = {"restart": {"delay": "1h", "max_delay": "1h"}}
    daemon.run({"web": {"command": "false", **late}})
    daemon.await_state("web", "BACKOFF")
    reload(daemon, {"web": {"command": SLEEP, **late}})
    daemon.await_state("web", "RUNNING")


def test_twice_in_a_row(daemon: Daemon) -> None:
    """The last one counts, and there is one process."""
    daemon.run({"web": {"command": SLOW_END, "stop": "30s"}})
    daemon.pid("web")
    reload(daemon, {"web": {"command": "sleep 5000"}})
    reload(daemon, {"web": {"command": "sleep 6000"}})
    (daemon.directory / "go").touch()
    pid = daemon.pid("web")
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as stream:
        assert stream.read().split("\0")[:2] == ["sleep", "6000"]


@pytest.mark.parametrize(
    "slow", [{"ready": {"file": "never", "timeout": "1h"}}, {"hooks": {"pre_start": SLEEP}}]
)
def test_a_bad_file_is_refused_at_once(daemon: Daemon, slow: dict[str, Any]) -> None:
    """Whoever takes long to become ready, or to be prepared, has nothing to do with it."""
    daemon.run({"web": {"command": SLEEP, **slow}})
    daemon.await_state("web", "STARTING")
    daemon.configure({"web": {"comand": SLEEP}})
    with pytest.raises(ApiError, match="cannot use the configuration"):
        daemon.client.reload(timeout=5.0)


def test_a_rename_is_one_less_and_one_more(daemon: Daemon) -> None:
    """The old name goes, the new one comes, and nobody else notices."""
    daemon.run({"old": {"command": SLEEP}, "other": {"command": SLEEP}})
    other = daemon.pid("other")
    reload(daemon, {"new": {"command": SLEEP}, "other": {"command": SLEEP}})
    daemon.until(lambda: names(daemon) == {"new:0", "other:0"})
    daemon.pid("new")
    assert daemon.pid("other") == other


def test_types_change(daemon: Daemon) -> None:
    """A task becomes a job, a job a service: each behaves as what it is now."""
    daemon.run({"one": {"type": "task", "command": "true"}})
    daemon.await_state("one", "EXITED")
    tick = {"command": "sh -c 'echo x >> ticks'", "schedule": {"every": "200ms"}}
    reload(daemon, {"one": {"type": "job", **tick}})
    ticks = daemon.directory / "ticks"
    daemon.until(lambda: ticks.exists() and len(ticks.read_text().split()) >= 2)
    reload(daemon, {"one": {"command": SLEEP}})
    daemon.pid("one")


def test_dependencies_come_and_go_in_place(daemon: Daemon) -> None:
    """A condition that is added restarts nobody, and one that is removed lets who waits start."""
    db = {"command": SLEEP, "autostart": False}
    daemon.run(
        {"web": {"command": SLEEP}, "late": {"command": SLEEP, "depends_on": ["db"]}, "db": db}
    )
    web = daemon.pid("web")
    daemon.await_state("late", "WAITING")
    reload(
        daemon,
        {"web": {"command": SLEEP, "depends_on": ["db"]}, "late": {"command": SLEEP}, "db": db},
    )
    daemon.pid("late")
    assert daemon.pid("web") == web


def test_what_was_stopped_by_hand_stays_stopped(daemon: Daemon) -> None:
    """Through a reload with another program, and the death of both halves."""
    daemon.run({"web": {"command": SLEEP}})
    daemon.pid("web")
    daemon.client.stop(["web"])
    reload(daemon, {"web": {"command": "sleep 9999"}})
    daemon.kill_manager()
    daemon.kill_keeper()
    daemon.until(lambda: daemon.state("web") == "STOPPED")


def test_everything_restarts_with_a_critical_worker(daemon: Daemon) -> None:
    """`on_exit: restart-all`: its end is a new beginning for all that is wanted."""
    main = {
        "command": "sh -c 'while [ ! -e end ]; do sleep 0.05; done; rm end'",
        "on_exit": "restart-all",
        "restart": "never",
    }
    daemon.run(
        {"main": main, "web": {"command": SLEEP}, "off": {"command": SLEEP, "autostart": False}}
    )
    before = daemon.pid("main"), daemon.pid("web")
    (daemon.directory / "end").touch()
    daemon.until(lambda: daemon.row("web")["pid"] not in (None, before[1]))
    daemon.until(lambda: daemon.row("main")["pid"] not in (None, before[0]))
    assert daemon.state("off") == "STOPPED"


def test_pid_1_is_done_within_ten_seconds(daemon: Daemon) -> None:
    """A container engine kills after ten seconds: the deaf are killed before that."""
    daemon.configure(
        {"deaf": {"command": "sh -c 'trap \"\" TERM; while :; do sleep 1; done'", "stop": "1h"}}
    )
    inside = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    process = daemon.launch(prefix=inside)
    daemon.until(lambda: daemon.state("deaf") == "RUNNING")
    assert daemon.about("keeper") == 1
    daemon.client.shutdown()
    assert process.wait(30) == 0
