"""The service under a real systemd: start, restart, reload, stop, and the death of the daemon."""

import os
import sys

import pytest

from tests.cli.conftest import until
from tests.systemd.conftest import COUNTER, SLEEPER, UNIT, Machine

# Deaf to SIGTERM, with a grandchild in a session of its own.
STUBBORN = {
    "command": ["sh", "-c", "trap '' TERM; setsid sleep 100000 & while :; do sleep 1; done"],
    "stop": [{"signal": "TERM", "wait": "200ms"}, {"signal": "KILL", "to": "tree"}],
}


KERNEL = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))


def is_counted(text: str) -> bool:
    """Whether these are the lines 0, 1, 2 … without a gap, without one twice."""
    lines = text.split("\n")
    return lines == [*map(str, range(len(lines) - 1)), ""]


def test_started_is_when_the_workers_run(machine: Machine) -> None:
    """`systemctl start` returns when every worker has been started, and the status counts them."""
    machine.start({"web": {**SLEEPER, "instances": 3}, "later": {**SLEEPER, "autostart": False}})
    assert machine.show("ActiveState") == "active"
    assert machine.show("StatusText") == "3 running, 1 stopped"
    assert all(machine.pids("web").values())


def test_restart_keeps_every_worker_and_every_line(machine: Machine) -> None:
    """`systemctl restart` replaces the daemon: workers keep their pids, their logs have no gap."""
    machine.start({"count": COUNTER, "web": SLEEPER})
    daemons, workers = {machine.show("MainPID")}, machine.pids()
    for _ in range(3):
        machine.systemctl("restart", UNIT)
        daemons.add(machine.show("MainPID"))
        assert machine.pids() == workers
    machine.systemctl("stop", UNIT)
    assert len(daemons) == 4
    assert is_counted(machine.log("count:0"))


def test_restart_applies_the_file_as_it_is_now(machine: Machine) -> None:
    """What was added to the file since it was last read is there after `systemctl restart`."""
    machine.start({"web": SLEEPER})
    workers = machine.pids()
    machine.configure({"web": SLEEPER, "mail": SLEEPER})
    machine.systemctl("restart", UNIT)
    assert machine.pids().keys() == {"web:0", "mail:0"}
    assert machine.pids("web") == workers


def test_restart_with_a_bad_file_changes_nothing(machine: Machine) -> None:
    """The next daemon says what is wrong, and goes on with what was applied."""
    machine.start({"web": SLEEPER})
    workers = machine.pids()
    machine.configure({"web": {"comand": "sleep 1"}})
    machine.systemctl("restart", UNIT)
    until(lambda: "supervisord-lite.yaml:1:" in machine.output())
    assert machine.pids() == workers


def test_death_of_the_daemon_is_followed_by_adoption(machine: Machine) -> None:
    """SIGKILL of the keeper: the next one adopts every worker, and their logs have no gap."""
    machine.start({"count": COUNTER, "web": SLEEPER})
    workers = machine.pids()
    for deaths in ("1", "2"):
        machine.kill_keeper()
        assert machine.pids() == workers
        assert machine.show("NRestarts") == deaths
    machine.systemctl("stop", UNIT)
    assert is_counted(machine.log("count:0"))


def test_death_does_not_apply_an_edited_file(machine: Machine) -> None:
    """Nobody has asked for it: the next daemon goes on with what was applied."""
    machine.start({"web": SLEEPER})
    machine.configure({"mail": SLEEPER})
    machine.kill_keeper()
    assert machine.pids().keys() == {"web:0"}
    machine.systemctl("reload", UNIT)
    until(lambda: machine.pids().keys() == {"mail:0"})


def test_death_of_both_processes_loses_no_line(machine: Machine) -> None:
    """What is in no worker's hands, such as the hop with bytes in it, comes from the store."""
    machine.start({"count": COUNTER})
    workers = machine.pids()
    for _ in range(3):
        machine.kill_both()
        assert machine.pids() == workers
    machine.systemctl("stop", UNIT)
    assert is_counted(machine.log("count:0"))


def test_death_of_the_daemon_ends_no_pipeline(machine: Machine) -> None:
    """A reader of a channel sees no end of file, although nobody else held the other end."""
    reader = {"command": "cat", "stdin": {"channel": "lines"}}
    machine.start({"read": reader}, channels={"lines": {"type": "pipe"}})
    workers = machine.pids()
    machine.kill_keeper()
    assert machine.pids() == workers


@pytest.mark.skipif(KERNEL < (6, 15), reason="this kernel may not tell a stranger's exit status")
def test_an_adopted_worker_ends_with_its_exit_status(machine: Machine) -> None:
    """How a worker ended is known although its parent is systemd."""
    ending = {"command": "sh -c 'until [ -e go ]; do sleep 0.05; done; exit 7'", "type": "task"}
    machine.start({"once": {**ending, "restart": "never"}})
    machine.kill_keeper()
    (machine.configuration.parent / "go").touch()
    until(lambda: machine.pids()["once:0"] is None)
    assert "exit code 7" in machine.run("slctl", "status").stdout


def test_death_after_a_restart_finds_the_pipes_of_now(machine: Machine) -> None:
    """What was in systemd's store at an earlier start is not taken for what is held now."""
    machine.start({"count": COUNTER, "web": SLEEPER})
    machine.systemctl("restart", UNIT)
    machine.configure({"web": SLEEPER})
    machine.systemctl("reload", UNIT)
    until(lambda: machine.pids().keys() == {"web:0"})
    machine.configure({"count": COUNTER, "web": SLEEPER})
    machine.systemctl("reload", UNIT)
    until(lambda: all(machine.pids("count").values()))
    machine.kill_keeper()
    size = len(machine.log("count:0"))
    until(lambda: len(machine.log("count:0")) > size)


def test_leaving_is_followed_by_adoption(machine: Machine) -> None:
    """`slctl leave` ends the daemon, and systemd starts the next one, which adopts."""
    machine.start({"count": COUNTER, "web": SLEEPER})
    workers = machine.pids()
    assert machine.run("slctl", "leave").returncode == 0
    until(lambda: machine.show("NRestarts") == "1" and machine.show("ActiveState") == "active")
    assert machine.pids() == workers
    machine.systemctl("stop", UNIT)
    assert is_counted(machine.log("count:0"))


def test_stop_ends_everything(machine: Machine) -> None:
    """After `systemctl stop` no process of the service is left, however stubborn."""
    machine.start({"stubborn": STUBBORN, "web": SLEEPER})
    group = f"/sys/fs/cgroup{machine.show('ControlGroup')}"
    machine.systemctl("stop", UNIT)
    assert (machine.show("ActiveState"), machine.show("Result")) == ("inactive", "success")
    until(lambda: machine.run("test", "-d", group).returncode)


def test_reload_touches_only_what_changed(machine: Machine) -> None:
    """`systemctl reload` applies the difference and leaves the other workers alone."""
    machine.start({"web": SLEEPER})
    workers = machine.pids()
    machine.configure({"web": SLEEPER, "mail": SLEEPER})
    machine.systemctl("reload", UNIT)
    assert set(machine.pids()) == {"web:0", "mail:0"}
    assert machine.pids("web") == workers
    until(lambda: machine.show("StatusText") == "2 running")


def test_reload_of_a_bad_file_fails_and_changes_nothing(machine: Machine) -> None:
    """`systemctl reload` fails, the reason is in the service's output, the workers run on."""
    machine.start({"web": SLEEPER})
    workers = machine.pids()
    machine.configure({"web": {"comand": "sleep 1"}})
    assert machine.run("systemctl", "reload", UNIT).returncode != 0
    until(lambda: "supervisord-lite.yaml:1:" in machine.output())
    assert machine.pids() == workers
    assert (machine.show("ActiveState"), machine.show("SubState")) == ("active", "running")


def test_start_with_a_bad_file_fails_once(machine: Machine) -> None:
    """A file that cannot be used fails the start, and trying again is left to the operator."""
    machine.configure({"web": {"comand": "sleep 1"}})
    assert machine.run("systemctl", "start", UNIT).returncode != 0
    assert (machine.show("ExecMainStatus"), machine.show("NRestarts")) == ("2", "0")
    assert machine.show("ActiveState") == "failed"


def test_workers_see_nothing_of_systemd(machine: Machine) -> None:
    """A worker's environment is the same under the next daemon, and names none of its sockets."""
    printing = {"command": [sys.executable, "-c", "import os; print(sorted(os.environ))"]}
    machine.start({"env": {**printing, "type": "task"}, "web": SLEEPER})
    until(lambda: machine.log("env:0").endswith("\n"))
    machine.systemctl("restart", UNIT)
    assert machine.run("slctl", "start", "env").returncode == 0
    until(lambda: machine.log("env:0").count("\n") == 2)
    first, second = machine.log("env:0").splitlines()
    assert first == second
    for private in ("NOTIFY_", "LISTEN_", "INVOCATION_ID", "SYSTEMD_", "JOURNAL_STREAM"):
        assert private not in first


def test_workers_are_ordinary_to_the_kernel(machine: Machine) -> None:
    """The daemon is spared by the OOM killer and may have many descriptors; its workers are not."""
    machine.start({"web": SLEEPER})
    worker = machine.pids()["web:0"]
    assert machine.proc(worker, "oom_score_adj") == "0\n"
    limits = machine.proc(worker, "limits").splitlines()
    assert [line.split()[3] for line in limits if line.startswith("Max open files")] == ["1024"]
