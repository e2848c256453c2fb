"""The keeper is killed, or the whole daemon; the workers live, and the next one adopts them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from supervisord_lite.linux.process_table import read_entry
from tests.cli.conftest import DEADLINE, command, environment, until
from tests.daemon.conftest import LINES, SLEEP, Daemon, alive, arguments_of

Line = dict[str, Any]

COUNT = 2000


def test_manager_takes_the_keepers_place(daemon: Daemon) -> None:
    """Workers keep their pids and runs when the keeper is killed, and stay under control."""
    daemon.run({"web": {"command": SLEEP, "instances": 3}})
    before = [daemon.pid(f"web:{number}") for number in range(3)]
    daemon.kill_keeper()
    assert [daemon.pid(f"web:{number}") for number in range(3)] == before
    assert [row["run"] for row in daemon.client.workers()] == [1, 1, 1]
    daemon.client.stop(["web:0"])
    assert not alive(before[0])
    daemon.client.shutdown()
    until(lambda: not any(map(alive, before)))
    until(lambda: not daemon.ours())


def test_keeper_after_keeper(daemon: Daemon) -> None:
    """It works as often as one likes."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    for _ in range(3):
        daemon.kill_keeper()
    assert daemon.pid("web") == pid


@pytest.mark.parametrize("way", ["keeper", "both", "leave", "signal"])
def test_no_byte_is_lost(daemon: Daemon, way: str) -> None:
    """A worker that writes all the while has every line in its log, once and in order; if keeper
    and manager die at one moment, all but what was in the hop at that moment.
    """
    writer = [sys.executable, "-c", LINES, "0.001", str(COUNT)]
    daemon.run({"writer": {"command": writer}})
    pid = daemon.pid("writer")
    daemon.until(lambda: daemon.log("writer:0").count("\n") > 20)
    lost = _go_and_come(daemon, way).decode()
    expected = "".join(f"{number}\n" for number in range(COUNT))
    daemon.until(lambda: len(daemon.log("writer:0")) + len(lost) >= len(expected))
    found = daemon.log("writer:0")
    pairs = zip(found, expected, strict=False)
    before = next((at for at, (one, other) in enumerate(pairs) if one != other), len(found))
    assert lost in expected
    assert found == expected[:before] + expected[before + len(lost) :]
    assert daemon.pid("writer") == pid


def _go_and_come(daemon: Daemon, way: str) -> bytes:
    """Have the daemon end in one of its ways, with the workers alive, and be there again. Answers
    what nobody else had of their output.
    """
    lost = b""
    if way == "keeper":
        daemon.kill_keeper()
        return lost
    if way == "both":
        lost = daemon.kill_both()
    elif way == "leave":
        daemon.client.leave()
        assert daemon.exit_code() == 0
    else:
        daemon.signal(signal.SIGRTMIN + 1)
        assert daemon.exit_code() == 0
    daemon.run()
    return lost


@pytest.mark.parametrize("way", ["keeper", "both", "leave", "signal"])
def test_adopted_worker_is_restarted_when_it_ends(daemon: Daemon, way: str) -> None:
    """The end of an adopted worker is noticed, and its restart policy holds."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    _go_and_come(daemon, way)
    assert daemon.pid("web") == pid
    os.kill(pid, signal.SIGKILL)
    daemon.until(lambda: daemon.row("web")["run"] == 2 and daemon.pid("web") != pid)
    assert daemon.state("web") == "RUNNING"


def test_end_that_nobody_saw(daemon: Daemon) -> None:
    """A worker that ended between two daemons is started again, its exit status not invented."""
    daemon.run({"web": {"command": SLEEP}, "off": {"command": SLEEP}})
    pid = daemon.pid("web")
    daemon.client.stop(["off"])
    daemon.kill_both()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    daemon.run()
    daemon.await_state("web", "RUNNING")
    row = daemon.row("web")
    assert row["run"] == 2
    assert row["last_exit"] == {"code": None, "signal": None, "core_dumped": False}
    assert daemon.state("off") == "STOPPED"


def test_stop_of_an_adopted_worker(daemon: Daemon) -> None:
    """The ladder works for a worker whose parent is somebody else: group, session and all."""
    script = "setsid sleep 100001 & sleep 100002 & trap '' TERM; while :; do sleep 1; done"
    daemon.run({"web": {"command": script, "shell": True, "stop": "1s"}})
    daemon.pid("web")
    daemon.kill_both()
    daemon.run()
    assert daemon.client.stop(["web"])["ok"]
    left = [pid for pid in daemon.ours() if pid not in (daemon.keeper, daemon.manager)]
    assert left == []


def test_journal_of_another_boot_is_ignored(daemon: Daemon) -> None:
    """After a boot no pid means anything: everything is started afresh."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    daemon.kill_both()
    _edit_journal(daemon, lambda line: {**line, "boot": "another"} if "boot" in line else line)
    daemon.run()
    assert daemon.pid("web") != pid
    assert daemon.row("web")["run"] == 1
    assert alive(pid)


def test_recycled_pid_is_not_taken(daemon: Daemon) -> None:
    """A process that has the pid of a worker but not its start time is left alone."""
    daemon.run({"web": {"command": SLEEP}})
    daemon.pid("web")
    daemon.kill_both()
    with subprocess.Popen(["sleep", "100000"]) as stranger:
        try:
            entry = read_entry(stranger.pid)
            assert entry is not None
            recycled = ["web:0", 1, stranger.pid, entry.started - 1]
            _edit_journal(daemon, lambda line: {"pid": recycled} if "pid" in line else line)
            daemon.run()
            assert daemon.pid("web") != stranger.pid
            daemon.client.stop(["web"])
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_intent_without_a_pid_is_searched_for(daemon: Daemon) -> None:
    """A worker that was started just before the daemon died is found by its mark."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    daemon.kill_both()
    _edit_journal(daemon, lambda line: None if line.get("pid", [""])[0] == "web:0" else line)
    daemon.run()
    assert daemon.pid("web") == pid


def _edit_journal(daemon: Daemon, edit: Callable[[Line], Line | None]) -> None:
    journal = daemon.place / "journal"
    lines = [edit(json.loads(line)) for line in journal.read_text().splitlines() if line]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def test_journal_that_was_cut_off(daemon: Daemon) -> None:
    """A last line that is only half there costs nothing but itself."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    daemon.kill_both()
    with (daemon.place / "journal").open("a") as stream:
        stream.write('{"pid":["web:0",1,')
    daemon.run()
    assert daemon.pid("web") == pid


def test_second_daemon_is_refused_while_the_first_is_replaced(daemon: Daemon) -> None:
    """The place belongs to the daemon however often its keeper changes."""
    daemon.run({"web": {"command": SLEEP}})
    daemon.kill_keeper()
    done = subprocess.run(
        command("daemon", "run", "-c", str(daemon.file)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert f"another supervisord-lite (pid {daemon.keeper}) is running there" in done.stderr


def test_limit_of_workers_survives_the_keeper(daemon: Daemon) -> None:
    """A worker gets the soft limit on files that the first daemon was started with."""
    daemon.run(
        {"web": {"command": f"ulimit -Sn; exec {SLEEP}", "shell": True}},
        prefix=["prlimit", "--nofile=1024:4096"],
    )
    daemon.kill_keeper()
    daemon.client.restart(["web"])
    daemon.until(lambda: daemon.log("web:0") == "1024\n1024\n")


def test_environment_survives_the_keeper(daemon: Daemon) -> None:
    """A worker's environment is the same whoever starts it, but for the mark of its run."""
    daemon.run(
        {
            "web": {
                "command": f"env | sort | grep -v ^SUPERVISORD_LITE_RUN; exec {SLEEP}",
                "shell": True,
            }
        }
    )
    daemon.until(lambda: "TOKEN" in daemon.log("web:0"))
    first = daemon.log("web:0")
    daemon.kill_keeper()
    daemon.client.restart(["web"])
    daemon.until(lambda: len(daemon.log("web:0")) >= 2 * len(first))
    assert daemon.log("web:0") == 2 * first


def test_tree_of_a_worker_that_ended_unseen(daemon: Daemon) -> None:
    """What a worker left behind between two daemons is gone before its next run begins."""
    script = f"setsid sleep 100003 & exec {SLEEP}"
    daemon.run({"web": {"command": script, "shell": True}})
    pid = daemon.pid("web")
    until(lambda: len(_sleepers(daemon)) == 1)
    (left,) = _sleepers(daemon)
    daemon.kill_both()
    os.kill(pid, signal.SIGKILL)
    daemon.run()
    daemon.until(lambda: daemon.row("web")["run"] == 2 and daemon.state("web") == "RUNNING")
    assert not alive(left)


def _sleepers(daemon: Daemon) -> list[int]:
    return [pid for pid in daemon.ours() if arguments_of(pid) == ["sleep", "100003"]]
