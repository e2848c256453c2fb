"""A run is its whole tree: whatever a worker started ends with it, however it tried to get away."""

import os
import signal
import sys
import time

import pytest

from supervisord_lite.linux.process_table import read_entry
from tests.cli.conftest import until
from tests.daemon.conftest import DEAF, SLEEP, Daemon, alive, arguments_of

ESCAPED = "100007"
# A daemon by the book: forks twice, in a session of its own, its first parent gone.
DOUBLE_FORK = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{ESCAPED}"])
    os._exit(0)
os.wait()
os.execvp("sleep", ["sleep", "100000"])
"""


def escaped(daemon: Daemon) -> list[int]:
    """The processes that tried to get away."""
    return [pid for pid in daemon.ours() if arguments_of(pid)[-1:] == [ESCAPED]]


def run_with_escape(daemon: Daemon, script: str | list[str], **more: object) -> int:
    """Start a worker and wait until what it lets go is there; the pid of that."""
    command = {"command": script, "shell": isinstance(script, str), **more}
    daemon.run({"web": command, "other": {"command": SLEEP}})
    daemon.pid("web")
    until(lambda: len(escaped(daemon)) == 1)
    return escaped(daemon)[0]


def test_grandchild_in_its_own_session_is_gone_after_stop(daemon: Daemon) -> None:
    """A session of its own is no way out."""
    pid = run_with_escape(daemon, f"setsid sleep {ESCAPED} & exec {SLEEP}")
    other = daemon.pid("other")
    assert daemon.client.stop(["web"])["ok"]
    assert not alive(pid)
    assert alive(other)


def test_double_forked_daemon_is_gone_after_stop(daemon: Daemon) -> None:
    """Nor is a double fork."""
    pid = run_with_escape(daemon, [sys.executable, "-c", DOUBLE_FORK])
    assert daemon.client.stop(["web"])["ok"]
    assert not alive(pid)


def test_grandchild_without_environment_is_gone_after_stop(daemon: Daemon) -> None:
    """Nor is a new session without the mark, as long as the main process ties it to the run."""
    pid = run_with_escape(daemon, f"env -i setsid sleep {ESCAPED} & exec {SLEEP}")
    assert daemon.client.stop(["web"])["ok"]
    assert not alive(pid)


def test_grandchild_of_a_crashed_worker_is_gone_before_the_next_run(daemon: Daemon) -> None:
    """A worker that dies by itself leaves nobody to its next run, in whichever session."""
    pid = run_with_escape(daemon, f"setsid sleep {ESCAPED} & exec {SLEEP}")
    os.kill(daemon.pid("web"), signal.SIGKILL)
    daemon.until(lambda: daemon.row("web")["run"] == 2)
    assert not alive(pid)


def test_group_of_a_crashed_worker_is_gone_before_the_next_run(daemon: Daemon) -> None:
    """The same for what shares its group."""
    pid = run_with_escape(daemon, f"sleep {ESCAPED} & exec {SLEEP}")
    os.kill(daemon.pid("web"), signal.SIGKILL)
    daemon.until(lambda: daemon.row("web")["run"] == 2)
    assert not alive(pid)


def test_wrapper_that_dies_first(daemon: Daemon) -> None:
    """A shell that ends at the signal does not end the stop: its child may still clean up."""
    child = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.5); open('cleaned', 'w').close(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "open('ready', 'w').close()\n"
        "while True: time.sleep(1)\n"
    )
    script = f'{sys.executable} -c "$CHILD" & wait'
    daemon.run(
        {
            "web": {
                "command": script,
                "shell": True,
                "environment": {"CHILD": child},
                "working_dir": str(daemon.directory),
            }
        }
    )
    until((daemon.directory / "ready").exists)
    assert daemon.client.stop(["web"])["ok"]
    assert (daemon.directory / "cleaned").exists()


def test_worker_that_ignores_the_signal_is_killed_at_its_deadline(daemon: Daemon) -> None:
    """The ladder keeps its times: not before, and not long after."""
    rungs = [{"signal": "TERM", "wait": "1500ms"}, {"signal": "KILL", "to": "tree", "wait": "5s"}]
    daemon.run({"deaf": {"command": DEAF, "stop": rungs}})
    daemon.pid("deaf")
    until(lambda: len(daemon.ours()) >= 4)  # keeper, manager, shell and its sleep: the trap is set
    begun = time.monotonic()
    assert daemon.client.stop(["deaf"])["ok"]
    assert 1.45 < time.monotonic() - begun < 15.0
    assert daemon.row("deaf")["last_exit"]["signal"] == "SIGKILL"


def test_a_rung_that_was_needed_is_told(daemon: Daemon) -> None:
    """The daemon's log says that a worker did not go by itself, and what ended it."""
    daemon.run({"deaf": {"command": DEAF, "stop": "200ms"}})
    daemon.pid("deaf")
    until(lambda: len(daemon.ours()) >= 4)  # keeper, manager, shell and its sleep: the trap is set
    assert daemon.client.stop(["deaf"])["ok"]
    until(lambda: "SIGKILL" in daemon.output())


def test_every_rung_is_climbed(daemon: Daemon) -> None:
    """Each rung sends its own signal to its own target."""
    script = (
        "trap 'echo int' INT; trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready;"
        "while :; do sleep 0.05; done"
    )
    rungs = [
        {"signal": "INT", "to": "main", "wait": "300ms"},
        {"signal": "USR1", "to": "main", "wait": "300ms"},
        {"signal": "TERM", "to": "main", "wait": "30s"},
    ]
    daemon.run({"web": {"command": script, "shell": True, "stop": rungs}})
    daemon.until(lambda: "ready" in daemon.log("web:0"))
    daemon.client.stop(["web"])
    daemon.until(lambda: daemon.log("web:0") == "ready\nint\nusr1\nterm\n")
    assert daemon.row("web")["last_exit"]["code"] == 3


def test_last_words_are_in_the_log(daemon: Daemon) -> None:
    """What a worker says after the stop signal, up to its end, is kept."""
    last = "for i in $(seq 1000); do echo bye $i; done; exit"
    script = f"trap '{last}' TERM; echo up; while :; do sleep 0.05; done"
    rungs = [{"signal": "TERM", "to": "main", "wait": "30s"}]
    daemon.run({"web": {"command": script, "shell": True, "stop": rungs}})
    daemon.until(lambda: "up" in daemon.log("web:0"))
    daemon.client.stop(["web"])
    expected = "up\n" + "".join(f"bye {number}\n" for number in range(1, 1001))
    daemon.until(lambda: daemon.log("web:0") == expected)


def test_grandchild_that_holds_the_output_delays_nothing(daemon: Daemon) -> None:
    """The end of a worker is its wait status, not the end of its output."""
    script = f"setsid sleep {ESCAPED} & echo started; read line < gate; exit 7"
    os.mkfifo(daemon.directory / "gate")
    where = {"working_dir": str(daemon.directory), "restart": "never"}
    pid = run_with_escape(daemon, script, **where)
    with (daemon.directory / "gate").open("w") as gate:
        gate.write("\n")
    daemon.await_state("web", "EXITED")
    assert daemon.row("web")["last_exit"]["code"] == 7
    assert not alive(pid)


def test_strangers_are_buried_quietly(daemon: Daemon) -> None:
    """An orphan that ends is reaped by the keeper and is nobody's exit."""
    script = f"(sleep 0.2 & echo $! > orphan) & exec {SLEEP}"
    daemon.run({"web": {"command": script, "shell": True, "working_dir": str(daemon.directory)}})
    pid = daemon.pid("web")
    orphan = daemon.directory / "orphan"
    until(lambda: orphan.exists() and orphan.read_text().strip())
    until(lambda: read_entry(int(orphan.read_text())) is None)
    assert (daemon.pid("web"), daemon.row("web")["run"]) == (pid, 1)
    assert daemon.process.poll() is None


def test_exit_codes_are_right_among_strangers(daemon: Daemon) -> None:
    """Hundreds of orphans end and are reaped, and each probe is judged by its own exit code."""
    storm = "while :; do (true & true &); sleep 0.01; done"
    good = {"exec": "sh -c 'echo x >> tries'", "interval": "20ms", "retries": 1}
    bad = {"exec": "false", "interval": "20ms", "retries": 1, "on_unhealthy": "report"}
    daemon.run(
        {
            "storm": {"command": storm, "shell": True},
            "good": {"command": SLEEP, "healthcheck": good},
            "bad": {"command": SLEEP, "healthcheck": bad},
        }
    )
    tries = daemon.directory / "tries"
    daemon.until(lambda: tries.exists() and len(tries.read_text().split()) >= 100)
    daemon.until(lambda: daemon.row("bad")["health"] == "unhealthy")
    assert (daemon.row("good")["health"], daemon.row("good")["run"]) == ("healthy", 1)
    assert daemon.row("storm")["run"] == 1


def zombies_of(keeper: int) -> int:
    """How many dead children the keeper has not buried."""
    entries = [read_entry(int(name)) for name in os.listdir("/proc") if name.isdecimal()]
    return sum(e is not None and (e.parent, e.state) == (keeper, "Z") for e in entries)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a pid namespace")
def test_as_pid_1_it_reaps_and_stops(daemon: Daemon) -> None:
    """As the init of a pid namespace the daemon buries every zombie and ends in time."""
    script = "while :; do setsid true & setsid sh -c 'true & true &' & sleep 0.05; done"
    deaf = {"command": DEAF, "stop": "1s"}
    daemon.configure({"web": {"command": script, "shell": True}, "deaf": deaf})
    daemon.launch(prefix=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    daemon.until(lambda: daemon.about("keeper") == 1)
    daemon.until(lambda: daemon.state("web") == "RUNNING")
    keeper = next(p for p in daemon.ours() if arguments_of(p)[-2:-1] == ["keeper"])
    time.sleep(1.0)  # some twenty rounds of orphans
    until(lambda: zombies_of(keeper) <= 3)  # those that die just now
    begun = time.monotonic()
    os.kill(keeper, signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert time.monotonic() - begun < 10.0
