"""Hooks as real commands: when they run, what they know, and that they run once."""

import signal
from typing import Any

from tests.daemon.conftest import Daemon, alive


def note(daemon: Daemon, what: str) -> str:
    return f"sh -c 'echo {what} >> {daemon.directory}/events'"


def events(daemon: Daemon) -> list[str]:
    path = daemon.directory / "events"
    return path.read_text().splitlines() if path.exists() else []


def test_hooks_accompany_a_run(daemon: Daemon) -> None:
    """Before and after the start, before and after the stop, each in its place and once."""
    worker = {
        "command": note(daemon, "work")[:-1] + "; exec sleep 1000'",
        "hooks": {
            "pre_start": note(daemon, "pre_start"),
            "post_start": note(daemon, "post_start"),
            "pre_stop": note(daemon, "pre_stop"),
            "post_stop": note(daemon, "post_stop"),
        },
    }
    daemon.run({"web": worker})
    daemon.pid("web")
    daemon.until(lambda: "post_start" in events(daemon) and "work" in events(daemon))
    daemon.client.stop(["web"])
    daemon.until(lambda: "post_stop" in events(daemon))
    seen = events(daemon)
    assert sorted(seen[1:3]) == ["post_start", "work"]
    assert [seen[0], *seen[3:]] == ["pre_start", "pre_stop", "post_stop"]


def test_a_hook_knows_what_it_is_about(daemon: Daemon) -> None:
    """Which instance, which point, and how the run ended; what it says is in the worker's log."""
    told = "echo $SUPERVISORD_LITE_HOOK $SUPERVISORD_LITE_INSTANCE $SUPERVISORD_LITE_EXIT_CODE"
    worker = {
        "command": "sh -c 'exit 7'",
        "type": "task",
        "hooks": {"on_failure": f"sh -c '{told}'"},
    }
    daemon.run({"once": worker})
    daemon.until(lambda: "on_failure once:0 7\n" in daemon.log("once:0"))


def test_a_failed_pre_start_is_a_failed_start(daemon: Daemon) -> None:
    """The worker is never spawned, and the limit of failed starts holds for that too."""
    worker = {
        "command": note(daemon, "work"),
        "hooks": {"pre_start": "false", "on_fatal": note(daemon, "on_fatal")},
        "restart": {"delay": "10ms", "limit": {"count": 3, "within": "60s"}},
    }
    daemon.run({"web": worker})
    daemon.await_state("web", "FATAL")
    daemon.until(lambda: events(daemon) == ["on_fatal"])


def test_a_hanging_hook_is_killed_with_all_it_started(daemon: Daemon) -> None:
    """It blocks neither the daemon nor, beyond its time, its own worker."""
    hang = "sh -c 'setsid sleep 1000 & echo $! > escaped; sleep 1000'"
    worker = {
        "command": "sleep 1000",
        "hooks": {"pre_stop": {"command": hang, "timeout": "500ms"}},
    }
    daemon.run({"web": worker, "other": {"command": "sleep 1000"}})
    daemon.pid("web")
    daemon.client.stop(["web"], wait=False)
    daemon.until((daemon.directory / "escaped").exists)
    daemon.client.restart(["other"])  # nobody else waits
    daemon.await_state("web", "STOPPED")
    escaped = int((daemon.directory / "escaped").read_text())
    daemon.until(lambda: not alive(escaped))


def test_a_hook_runs_once_although_the_manager_dies(daemon: Daemon) -> None:
    """The next manager goes on with the hook that is under way, and starts the worker after it."""
    slow = "sh -c 'echo hook >> events; while [ ! -e go ]; do sleep 0.05; done'"
    worker: dict[str, Any] = {"command": "sleep 1000", "hooks": {"pre_start": slow}}
    daemon.run({"web": worker})
    daemon.until(lambda: events(daemon) == ["hook"])
    for _ in range(2):
        daemon.kill_manager()
    assert daemon.state("web") == "STARTING"
    (daemon.directory / "go").touch()
    daemon.pid("web")
    assert events(daemon) == ["hook"]


def test_a_stop_during_pre_start_ends_the_hook(daemon: Daemon) -> None:
    """Nothing is spawned any more, and the hook's processes are gone."""
    hook = "sh -c 'echo $$ > hook; exec sleep 1000'"
    daemon.run({"web": {"command": note(daemon, "work"), "hooks": {"pre_start": hook}}})
    daemon.until((daemon.directory / "hook").exists)
    daemon.until(lambda: (daemon.directory / "hook").read_text().strip())
    daemon.client.stop(["web"])
    pid = int((daemon.directory / "hook").read_text())
    daemon.until(lambda: not alive(pid))
    assert daemon.state("web") == "STOPPED"
    assert events(daemon) == []


def test_hooks_end_before_the_daemon(daemon: Daemon) -> None:
    """A shutdown waits for what a stop brings about, such as a post_stop hook."""
    hook = "sh -c 'sleep 0.5; echo cleaned >> events'"
    daemon.run({"web": {"command": "sleep 1000", "hooks": {"post_stop": hook}}})
    daemon.pid("web")
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert events(daemon) == ["cleaned"]
