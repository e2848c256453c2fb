"""Dependencies with real processes: what starts when, what stops first, who restarts along."""

import signal
from pathlib import Path
from typing import Any

from tests.daemon.conftest import Daemon, alive

# Notes its start, its stop signal and its end in one file, and takes its time to go down.
WITNESS = """
import os, signal, sys, time
name, slow = sys.argv[1], float(sys.argv[2])
def note(what):
    fd = os.open("events", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{name} {what}\\n".encode())
    os.close(fd)
def go(*_):
    note("told")
    time.sleep(slow)
    note("gone")
    os._exit(0)
signal.signal(signal.SIGTERM, go)
note("up")
os.write(3, b"\\n")
while True:
    signal.pause()
"""


def witness(daemon: Daemon, name: str, slow: float = 0.0, **more: Any) -> dict[str, Any]:
    script = daemon.directory / "witness.py"
    script.write_text(WITNESS)
    command = f"python3 -S {script} {name} {slow}"
    return {"command": command, "ready": {"fd": 3}, **more}


def events(daemon: Daemon) -> list[str]:
    path = daemon.directory / "events"
    return path.read_text().splitlines() if path.exists() else []


def is_before(seen: list[str], first: str, second: str) -> bool:
    return seen.index(first) < seen.index(second)


def test_a_chain_starts_in_order_and_stops_in_reverse(daemon: Daemon) -> None:
    """Nothing is told to stop before everything that depends on it is gone, slow as it may be."""
    daemon.run(
        {
            "web": witness(daemon, "web", 0.4, depends_on=["app"]),
            "app": witness(daemon, "app", 0.4, depends_on=["db"]),
            "db": witness(daemon, "db"),
            "aside": witness(daemon, "aside"),
        }
    )
    daemon.until(lambda: len(events(daemon)) == 4)
    ups = events(daemon)
    assert is_before(ups, "db up", "app up")
    assert is_before(ups, "app up", "web up")
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    downs = events(daemon)[4:]
    assert is_before(downs, "web gone", "app told")
    assert is_before(downs, "app gone", "db told")
    assert is_before(downs, "aside gone", "app told")  # who has no bond waits for nobody


def test_the_order_holds_although_the_manager_dies(daemon: Daemon) -> None:
    """A shutdown in which the manager is killed goes on in the same order."""
    daemon.run(
        {
            "web": witness(daemon, "web", 1.0, depends_on=["db"]),
            "db": witness(daemon, "db"),
        }
    )
    daemon.until(lambda: len(events(daemon)) == 2)
    daemon.signal(signal.SIGTERM)
    daemon.until(lambda: "web told" in events(daemon))
    daemon.kill_manager()
    assert daemon.exit_code() == 0
    assert events(daemon)[2:] == ["web told", "web gone", "db told", "db gone"]


def test_who_is_stuck_is_waited_for_within_the_deadline_only(daemon: Daemon) -> None:
    """As PID 1 would have it: all of a stop fits into the deadline, in whatever order."""
    deaf = {"command": "sh -c 'trap \"\" TERM; while :; do sleep 1; done'", "stop": "30s"}
    daemon.run(
        {"web": {**deaf, "depends_on": ["db"]}, "db": {**deaf}},
        supervisor={"stop_deadline": "1s"},
    )
    pids = [daemon.pid("web"), daemon.pid("db")]
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert not any(alive(pid) for pid in pids)


def test_restart_with_goes_down_first_and_comes_back_last(daemon: Daemon) -> None:
    """`restart_with` takes the dependent along, in order, and leaves those without it alone."""
    along = {"db": {"condition": "ready", "restart_with": True}}
    daemon.run(
        {
            "web": witness(daemon, "web", 0.3, depends_on=along),
            "mail": witness(daemon, "mail", depends_on=["db"]),
            "db": witness(daemon, "db"),
        }
    )
    daemon.until(lambda: len(events(daemon)) == 3)
    mail = daemon.pid("mail")
    daemon.client.restart(["db"])
    daemon.until(lambda: events(daemon).count("web up") == 2)
    assert events(daemon)[3:] == [
        *("web told", "web gone"),
        *("db told", "db gone"),
        *("db up", "web up"),
    ]
    assert daemon.pid("mail") == mail


def test_a_crash_takes_along_who_asked_for_it(daemon: Daemon) -> None:
    """The death of a dependency restarts the dependent, once there is another one."""
    along = {"db": {"condition": "ready", "restart_with": True}}
    daemon.run({"web": witness(daemon, "web", depends_on=along), "db": witness(daemon, "db")})
    web, db = daemon.pid("web"), daemon.pid("db")
    daemon.client.signal(["db"], "KILL")
    daemon.until(lambda: events(daemon).count("web up") == 2)
    assert daemon.pid("db") != db
    assert daemon.pid("web") != web


def test_a_failed_task_blocks_with_its_reason_until_it_succeeds(daemon: Daemon) -> None:
    """Who needs a task that failed is FATAL and says why; when it succeeds at last, it starts."""
    migrate = {"command": "test -e fixed", "type": "task"}
    web = {"command": "sleep 1000", "depends_on": {"migrate": "succeeded"}}
    daemon.run({"migrate": migrate, "web": web})
    daemon.await_state("web", "FATAL")
    assert "migrate" in str(daemon.row("web"))
    (daemon.directory / "fixed").touch()
    daemon.client.start(["migrate"])
    daemon.await_state("web", "RUNNING")


def test_policies_wait_and_ignore(daemon: Daemon) -> None:
    """The same failure leaves one waiting and another undisturbed."""
    bad = {"command": "false", "type": "task"}
    on_bad = {"condition": "succeeded"}
    daemon.run(
        {
            "bad": bad,
            "patient": {
                "command": "sleep 1000",
                "depends_on": {"bad": {**on_bad, "policy": "wait"}},
            },
            "bold": {
                "command": "sleep 1000",
                "depends_on": {"bad": {**on_bad, "policy": "ignore"}},
            },
        }
    )
    daemon.await_state("bold", "RUNNING")
    daemon.await_state("patient", "WAITING")


def test_a_restart_of_who_waits_is_one_start(daemon: Daemon) -> None:
    """Restarting, again and again, what waits for a dependency leads to exactly one process."""
    slow: dict[str, Any] = {"command": "sleep 1000", "ready": {"file": "ready", "timeout": "60s"}}
    daemon.run({"web": witness(daemon, "web", depends_on=["db"]), "db": slow})
    daemon.await_state("web", "WAITING")
    for _ in range(5):
        daemon.client.restart(["web"], wait=False)
    Path(daemon.directory / "ready").touch()
    daemon.until(lambda: events(daemon))
    daemon.client.stop(["web"])
    assert events(daemon) == ["web up", "web told", "web gone"]
