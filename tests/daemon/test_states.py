"""Commands that meet each other, crash loops, and reloads: what an operator sees."""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.cli.conftest import until
from tests.daemon.conftest import DEAF, SLEEP, Daemon, alive

SOAK = os.environ.get("SOAK") == "1"
NO_LIMIT = {"delay": "0s", "limit": "none"}


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """Make all these calls at the same time; their answers."""
    answers: list[object] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def make(index: int) -> None:
        gate.wait()
        answers[index] = calls[index]()

    threads = [threading.Thread(target=make, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_stop_during_backoff(daemon: Daemon) -> None:
    """A stop ends the waiting at once, and nothing comes back."""
    daemon.run({"bad": {"command": "false", "restart": {"delay": "1h", "max_delay": "1h"}}})
    daemon.await_state("bad", "BACKOFF")
    assert daemon.client.stop(["bad"], timeout=20)["ok"]
    assert daemon.state("bad") == "STOPPED"
    assert daemon.row("bad")["next"] is None


def test_crash_loop_ends_in_fatal(daemon: Daemon) -> None:
    """The limit on failed starts holds, and the reason says what happened."""
    restart = {"delay": "10ms", "limit": {"count": 3, "within": "1h"}}
    daemon.run({"bad": {"command": "sh -c 'exit 9'", "restart": restart}})
    daemon.await_state("bad", "FATAL")
    row = daemon.row("bad")
    assert row["run"] == 3
    assert row["last_exit"]["code"] == 9
    assert "3 failed starts" in row["why"]
    assert "exit code 9" in row["why"]


def test_a_service_that_succeeds_at_once_has_failed_to_start(daemon: Daemon) -> None:
    """However little is asked of a good start: it is counted, and given up."""
    restart = {"stable_after": "10ms", "delay": "10ms", "limit": 3}
    daemon.run({"web": {"command": "true", "restart": restart}})
    daemon.await_state("web", "FATAL")
    assert "exit code 0" in daemon.row("web")["why"]


def test_a_worker_that_is_not_ready_yet_is_stopped_by_its_ladder(daemon: Daemon) -> None:
    """By a stop and by the end of the daemon: its own signal, and the time that it needs."""
    script = (
        "trap 'echo told; sleep 0.5; echo done; exit 0' INT; echo up; while :; do sleep 0.1; done"
    )
    web = {"command": script, "shell": True, "stop": "INT", "ready": {"file": "never"}}
    daemon.run({"web": web})
    daemon.until(lambda: daemon.log("web:0") == "up\n")
    assert daemon.state("web") == "STARTING"
    daemon.client.stop(["web"])
    assert (daemon.state("web"), daemon.log("web:0")) == ("STOPPED", "up\ntold\ndone\n")
    daemon.client.start(["web"], wait=False)
    daemon.until(lambda: daemon.log("web:0").count("up") == 2)
    daemon.client.shutdown()
    assert daemon.exit_code() == 0
    assert daemon.log("web:0").count("done") == 2


def test_no_two_tries_are_closer_than_the_delay(daemon: Daemon) -> None:
    """However fast a worker dies, each of its tries waits at least as long as was promised."""
    script = "date +%s.%N >> tries; exit 1"
    restart = {"delay": "300ms", "factor": 1, "limit": 5}
    daemon.run({"web": {"command": script, "shell": True, "restart": restart}})
    daemon.await_state("web", "FATAL")
    tries = [float(line) for line in (daemon.directory / "tries").read_text().split()]
    assert len(tries) == 5
    assert all(later - earlier >= 0.3 for earlier, later in pairwise(tries))


def test_fatal_is_forgiven_by_a_start(daemon: Daemon) -> None:
    """An operator's start begins with a clean slate."""
    restart = {"delay": "10ms", "limit": {"count": 2, "within": "1h"}}
    switch = daemon.directory / "switch"
    script = f"test -e {switch} && exec {SLEEP}"
    daemon.run({"bad": {"command": script, "shell": True, "restart": restart}})
    daemon.await_state("bad", "FATAL")
    switch.touch()
    assert daemon.client.start(["bad"])["ok"]
    assert daemon.state("bad") == "RUNNING"


def test_program_that_is_not_there(daemon: Daemon) -> None:
    """A spawn that fails says at which stage and why, and is tried again by the policy."""
    restart = {"delay": "10ms", "limit": {"count": 2, "within": "1h"}}
    daemon.run({"bad": {"command": "/nowhere/program", "restart": restart}})
    daemon.await_state("bad", "FATAL")
    assert "exec" in daemon.row("bad")["why"]
    assert "No such file or directory" in daemon.row("bad")["why"]
    assert daemon.row("bad")["pid"] is None


def test_concurrent_restarts_give_one_process(daemon: Daemon) -> None:
    """Twenty restarts at once are one; every caller hears of a run that came after its request."""
    append = f"echo $$ >> starts; exec {SLEEP}"
    where = {"working_dir": str(daemon.directory)}
    daemon.run({"web": {"command": append, "shell": True, **where}})
    before = daemon.pid("web")
    answers = at_once([lambda: daemon.client.restart(["web"])] * 20)
    assert all(answer["ok"] for answer in answers)  # type: ignore[index]
    assert len([p for p in _started(daemon) if alive(p)]) == 1
    assert daemon.pid("web") == _started(daemon)[-1] != before


def _started(daemon: Daemon) -> list[int]:
    return [int(pid) for pid in (daemon.directory / "starts").read_text().split()]


def test_stop_wins_over_a_restart_in_flight(daemon: Daemon) -> None:
    """A stop that comes while a restart takes the old run down ends STOPPED, for good."""
    daemon.run({"deaf": {"command": DEAF, "stop": "1s"}})
    pid = daemon.pid("deaf")
    daemon.client.restart(["deaf"], wait=False)
    daemon.await_state("deaf", "STOPPING")
    assert daemon.client.stop(["deaf"])["ok"]
    assert (daemon.state("deaf"), alive(pid)) == ("STOPPED", False)
    assert daemon.row("deaf")["run"] == 1


def test_start_wins_over_a_stop_in_flight(daemon: Daemon) -> None:
    """And a start that comes while a stop is under way ends RUNNING, after the old run is gone."""
    daemon.run({"deaf": {"command": DEAF, "stop": "1s"}})
    pid = daemon.pid("deaf")
    daemon.client.stop(["deaf"], wait=False)
    assert daemon.client.start(["deaf"])["ok"]
    assert not alive(pid)
    assert (daemon.state("deaf"), daemon.row("deaf")["run"]) == ("RUNNING", 2)


def test_racing_commands_leave_one_process_at_most(daemon: Daemon) -> None:
    """Whatever twelve clients order at once, one process lives at most; the last word counts."""
    append = f"echo $$ >> starts; exec {SLEEP}"
    where = {"working_dir": str(daemon.directory)}
    daemon.run({"web": {"command": append, "shell": True, **where}})
    client = daemon.client
    for _ in range(5):
        orders = [client.restart, client.stop, client.start] * 4
        at_once([lambda order=order: order(["web"], wait=False) for order in orders])  # type: ignore[misc]
        assert len([pid for pid in _started(daemon) if alive(pid)]) <= 1
    assert client.stop(["web"])["ok"]
    assert not any(map(alive, _started(daemon)))


def test_stop_right_after_start(daemon: Daemon) -> None:
    """A worker that is stopped the moment it is started is stopped by its first signal, always."""
    rungs = [{"signal": "TERM", "to": "main", "wait": "30s"}]
    daemon.run({"web": {"command": SLEEP, "autostart": False, "stop": rungs}})
    rounds = 1000 if SOAK else 50
    for number in range(1, rounds + 1):
        daemon.client.start(["web"], wait=False)
        assert daemon.client.stop(["web"], timeout=20)["ok"]
        row = daemon.row("web")
        assert row["state"] == "STOPPED"
        assert row["last_exit"]["signal"] == "SIGTERM"
        assert row["run"] == number


def test_kill_of_what_is_gone(daemon: Daemon) -> None:
    """Signals to workers that end at the same moment never hurt the daemon."""
    daemon.run({"brief": {"command": "true", "restart": NO_LIMIT, "instances": 5}})
    for _ in range(30):
        daemon.client.signal(["all"], "USR1")
        daemon.client.restart(["brief:0"], wait=False)
    daemon.client.stop(["all"])
    assert {row["state"] for row in daemon.client.workers()} == {"STOPPED"}
    assert daemon.about("manager_deaths") == 0
    assert daemon.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP])
def test_death_by_signal_is_named(daemon: Daemon, number: signal.Signals) -> None:
    """A worker that dies by a signal is restarted by `on-failure`, and the signal is known."""
    daemon.run(
        {"web": {"command": SLEEP, "restart": {"when": "on-failure", "stable_after": "10ms"}}}
    )
    os.kill(daemon.pid("web"), number)
    daemon.until(lambda: daemon.row("web")["run"] == 2)
    assert daemon.row("web")["last_exit"]["signal"] == number.name


def test_task_runs_once(daemon: Daemon) -> None:
    """A task that succeeds at once has ended well, however brief it was."""
    daemon.run({"once": {"command": "true", "type": "task"}})
    daemon.await_state("once", "EXITED")
    assert daemon.row("once")["run"] == 1


def test_restart_is_prompt_after_a_long_run(daemon: Daemon) -> None:
    """A worker that was up for good is replaced at once, without any delay."""
    restart = {"delay": "30s", "stable_after": "10ms"}
    daemon.run({"web": {"command": SLEEP, "restart": restart}})
    pid = daemon.pid("web")
    os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    daemon.until(lambda: daemon.row("web")["run"] == 2)
    assert time.monotonic() - begun < 5.0


def test_reload_touches_only_what_changed(daemon: Daemon) -> None:
    """Of four workers one is changed, one is removed, one is new: the fourth keeps its process."""
    daemon.run({name: {"command": SLEEP} for name in ("kept", "changed", "removed")})
    pids = {name: daemon.pid(name) for name in ("kept", "changed", "removed")}
    changed = {"command": SLEEP, "environment": {"A": "1"}}
    daemon.configure({"kept": {"command": SLEEP}, "changed": changed, "new": {"command": SLEEP}})
    daemon.client.reload()
    assert daemon.pid("kept") == pids["kept"]
    assert daemon.pid("changed") != pids["changed"]
    assert daemon.state("new") == "RUNNING"
    assert not alive(pids["removed"])
    assert {row["worker"] for row in daemon.client.workers()} == {"kept", "changed", "new"}


def test_more_instances_touch_none_of_the_old(daemon: Daemon) -> None:
    """Four instances instead of two: two new processes."""
    daemon.run({"web": {"command": SLEEP, "instances": 2}})
    before = [daemon.pid(f"web:{n}") for n in range(2)]
    daemon.configure({"web": {"command": SLEEP, "instances": 4}})
    daemon.client.reload()
    assert [daemon.pid(f"web:{n}") for n in range(4)][:2] == before


def test_policy_is_applied_in_place(daemon: Daemon) -> None:
    """What needs no new process gets none: a new stop ladder holds for the process that runs."""
    daemon.run({"deaf": {"command": DEAF, "stop": "1h"}})
    pid = daemon.pid("deaf")
    daemon.configure({"deaf": {"command": DEAF, "stop": "300ms"}})
    daemon.client.reload()
    assert daemon.pid("deaf") == pid
    assert daemon.client.stop(["deaf"], timeout=20)["ok"]


def test_reload_under_a_dying_manager(daemon: Daemon) -> None:
    """A reload that was begun is finished by the next manager."""
    daemon.run({"web": {"command": SLEEP}})
    manager = daemon.manager
    daemon.configure({"web": {"command": SLEEP}, "new": {"command": SLEEP}})
    daemon.signal(signal.SIGHUP)
    time.sleep(0.05)  # somewhere in the compilation: whenever it is, the result is the same
    os.kill(manager, signal.SIGKILL)
    daemon.until(lambda: len(daemon.client.workers()) == 2 and daemon.state("new") == "RUNNING")


def test_reloads_leak_nothing(daemon: Daemon) -> None:
    """After many reloads that add and remove workers, keeper and manager hold what they held."""
    few, many = {"web": {"command": SLEEP}}, {"web": {"command": SLEEP}, "new": {"command": "true"}}
    daemon.run(few)
    rounds = 500 if SOAK else 8

    def cycle() -> None:
        for workers in (many, few):
            daemon.configure(workers)
            daemon.client.reload(wait=False)
        daemon.until(lambda: len(daemon.client.workers()) == 1)

    cycle()
    before = [_descriptors(pid) for pid in (daemon.keeper, daemon.manager)]
    memory = [_memory(pid) for pid in (daemon.keeper, daemon.manager)]
    for _ in range(rounds):
        cycle()
    until(lambda: _are_no_more_than(before, daemon))
    after = [_memory(pid) for pid in (daemon.keeper, daemon.manager)]
    assert all(now - then < 8 * 2**20 for now, then in zip(after, memory, strict=True))


def _are_no_more_than(before: list[int], daemon: Daemon) -> bool:
    """Before, one more may have been open for an instant."""
    now = [_descriptors(pid) for pid in (daemon.keeper, daemon.manager)]
    return all(one <= then for one, then in zip(now, before, strict=True))


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()
