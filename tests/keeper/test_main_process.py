"""A run whose program forks into the background names its new main process, and is no less ours."""

import os
import signal
import sys
from pathlib import Path

import pytest

from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.linux.pidfd import exit_status
from supervisord_lite.linux.process_table import read_entry
from tests.cli.conftest import until
from tests.keeper.conftest import Manager, Stage, spawn

NAME = "web:0"
WHO = {"instance": NAME, "run": 1}
# Forks: the child leads a session of its own, says who it is, and ends with 7 at SIGUSR1. The
# parent does what the second argument says.
DAEMON = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
child = os.fork()
if child == 0:
    os.setsid()
    with open(sys.argv[1] + ".draft", "w") as stream:
        stream.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".draft", sys.argv[1])
    signal.sigwait({signal.SIGUSR1})
    os._exit(7)
if sys.argv[2] == "wait":
    signal.sigwait({signal.SIGUSR2})
if sys.argv[2] == "reap":
    os.waitpid(child, 0)
    signal.sigwait({signal.SIGUSR2})
os._exit(3)
"""


def start(stage: Stage, manager: Manager, parent: str) -> int:
    """Start the program above; the pid of its child."""
    path = stage.directory / "child"
    argv = [sys.executable, "-I", "-S", "-c", DAEMON, str(path), parent]
    manager.order(spawn(NAME, 1, *argv))
    manager.fact("spawned", NAME)
    until(path.exists)
    return int(path.read_text())


def first_pid(manager: Manager) -> int:
    """The process that was spawned."""
    pid: int = manager.fact("spawned", NAME)["pid"]
    return pid


def name_main(manager: Manager, pid: int) -> Packet:
    """Order the main process to be this one; the answer."""
    manager.order({"do": "main", **WHO, "pid": pid})
    return answer(manager, pid)


def answer(manager: Manager, pid: int) -> Packet:
    while True:
        for fact in manager.facts:
            if fact["tell"] in ("main", "refused_main") and fact["pid"] == pid:
                manager.facts.remove(fact)
                return fact
        packet, _ = manager._next()
        manager.facts.append(packet)


def send(manager: Manager, number: int, to: str = "main") -> None:
    manager.order({"do": "signal", **WHO, "signal": int(number), "to": to})


def is_dead(pid: int) -> bool:
    entry = read_entry(pid)
    return entry is None or not entry.lives


def settle(manager: Manager, name: str = "other:0") -> None:
    """Return once the keeper has dealt with all that it was sent."""
    manager.order(spawn(name, 1, "true"))
    manager.fact("exited", name)


def tells_statuses_of_strangers() -> bool:
    """Whether this kernel tells the status of a process that somebody else has reaped."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    descriptor = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    status = exit_status(descriptor)
    os.close(descriptor)
    return status is not None


def test_the_end_of_the_former_one_is_nothing(stage: Stage) -> None:
    """The first process may go; the exit that is told is that of the named one, exactly."""
    manager = stage.open()
    child = start(stage, manager, "wait")
    parent = first_pid(manager)
    assert name_main(manager, child)["tell"] == "main"
    os.kill(parent, signal.SIGUSR2)
    until(lambda: read_entry(parent) is None)
    settle(manager)
    assert not [f for f in manager.facts if f["tell"] == "exited" and f["instance"] == NAME]
    send(manager, signal.SIGUSR1)
    exited = manager.fact("exited", NAME)
    assert exited["status"] == 7 << 8
    assert exited["emptied"] or manager.fact("emptied", NAME)


def test_the_parent_does_not_reap(stage: Stage) -> None:
    """The status of a main process that is another's zombie is told; its tree is not empty."""
    manager = stage.open()
    child = start(stage, manager, "wait")
    assert name_main(manager, child)["tell"] == "main"
    send(manager, signal.SIGUSR1)
    exited = manager.fact("exited", NAME)
    assert (exited["status"], exited["emptied"]) == (7 << 8, False)
    manager.order({"do": "sweep", **WHO}, {"do": "signal", **WHO, "signal": 9, "to": "tree"})
    manager.fact("emptied", NAME)


def test_the_parent_reaps(stage: Stage) -> None:
    """Where the kernel tells it, the status is exact although another has reaped the process; it
    is never invented.
    """
    manager = stage.open()
    child = start(stage, manager, "reap")
    assert name_main(manager, child)["tell"] == "main"
    send(manager, signal.SIGUSR1)
    allowed = {7 << 8} if tells_statuses_of_strangers() else {7 << 8, None}
    assert manager.fact("exited", NAME)["status"] in allowed


def test_the_first_process_was_quicker(stage: Stage) -> None:
    """When the first process has named another and ended at once, so that its exit was told
    before the name was heard, the run is alive again, and its exit is told to nobody any more.
    """
    manager = stage.open()
    child = start(stage, manager, "go")
    assert manager.fact("exited", NAME)["emptied"] is False
    assert name_main(manager, child)["tell"] == "main"
    manager.kill()
    manager = stage.next_manager()
    assert [(f["tell"], f["pid"]) for f in manager.facts if f["instance"] == NAME] == [
        ("spawned", child)
    ]
    send(manager, signal.SIGUSR1)
    exited = manager.fact("exited", NAME)
    assert exited["status"] == 7 << 8
    assert exited["emptied"] or manager.fact("emptied", NAME)


def test_one_after_the_other(stage: Stage) -> None:
    """A run may change its main process, and change it back."""
    manager = stage.open()
    child = start(stage, manager, "wait")
    first = first_pid(manager)
    for pid in (child, first, child, first):
        assert name_main(manager, pid)["tell"] == "main"
    send(manager, signal.SIGUSR2)
    assert manager.fact("exited", NAME)["status"] == 3 << 8
    assert not is_dead(child)


@pytest.mark.parametrize("to", ["main", "group", "tree"])
def test_signals_reach_the_named_one(stage: Stage, to: str) -> None:
    """Each way of sending signals finds a main process that has left session and parent."""
    manager = stage.open()
    child = start(stage, manager, "go")
    manager.fact("exited", NAME)
    assert name_main(manager, child)["tell"] == "main"
    send(manager, signal.SIGTERM, to)
    until(lambda: is_dead(child))


def test_signals_to_main_spare_the_former_one(stage: Stage) -> None:
    """It is only one of the tree now."""
    manager = stage.open()
    child = start(stage, manager, "wait")
    first = first_pid(manager)
    assert name_main(manager, child)["tell"] == "main"
    send(manager, signal.SIGTERM)
    assert manager.fact("exited", NAME)["status"] == signal.SIGTERM
    assert not is_dead(first)


def test_processes_of_others_are_refused(stage: Stage) -> None:
    """What is no living process of the run's tree cannot become its main process."""
    manager = stage.open()
    start(stage, manager, "wait")
    manager.order(spawn("other:7", 1, "sleep", "100000"))
    other = manager.fact("spawned", "other:7")["pid"]
    for pid in (other, 1, os.getpid(), manager.pid, stage.pid, 2**22 + 1, 0, -1):
        assert name_main(manager, pid)["why"] in ("it is not of this run", "it is not alive")
    send(manager, signal.SIGUSR2)
    assert manager.fact("exited", NAME)["status"] == 3 << 8


def test_a_dead_one_is_refused(stage: Stage) -> None:
    """The first process stays the main one if the named one is dead, a zombie or reaped."""
    manager = stage.open()
    child = start(stage, manager, "wait")
    os.kill(child, signal.SIGKILL)
    until(lambda: is_dead(child))
    assert name_main(manager, child)["tell"] == "refused_main"
    send(manager, signal.SIGUSR2)
    assert manager.fact("exited", NAME)["status"] == 3 << 8


def test_runs_that_are_not_there_are_refused(stage: Stage) -> None:
    """An unknown run is no error of the keeper."""
    manager = stage.open()
    assert name_main(manager, os.getpid())["tell"] == "refused_main"


def test_a_run_that_is_being_ended_stays_over(stage: Stage) -> None:
    """Once the rest of a run is being swept up, nothing of it becomes its main process."""
    manager = stage.open()
    child = start(stage, manager, "go")
    manager.fact("exited", NAME)
    manager.order({"do": "sweep", **WHO})
    assert name_main(manager, child)["why"] == "the run is being ended"
    send(manager, signal.SIGKILL, "tree")
    manager.fact("emptied", NAME)


@pytest.mark.parametrize("parent", ["wait", "go"])
def test_the_next_keeper_knows_it(stage: Stage, parent: str) -> None:
    """After the keeper's death the run is adopted with the main process that it has named."""
    manager = stage.open()
    child = start(stage, manager, parent)
    if parent == "go":
        manager.fact("exited", NAME)
    assert name_main(manager, child)["tell"] == "main"
    stage.crash()
    manager = stage.open()
    spawned = manager.fact("spawned", NAME)
    assert (spawned["pid"], spawned["adopted"]) == (child, True)
    send(manager, signal.SIGUSR1)
    assert manager.fact("exited", NAME)["status"] in (7 << 8, None)


def test_an_adopted_run_names_another(stage: Stage) -> None:
    """What an earlier keeper spawned may name its main process, too."""
    manager = stage.open()
    child = start(stage, manager, "wait")
    stage.crash()
    manager = stage.open()
    assert name_main(manager, child)["tell"] == "main"
    send(manager, signal.SIGUSR1)
    assert manager.fact("exited", NAME)["status"] in (7 << 8, None)


def test_whoever_is_left_by_the_former_one_is_swept_up(stage: Stage, tmp_path: Path) -> None:
    """A process of the former main one's session, whose environment was cleared, and whose parent
    is gone, is found when the run is stopped.
    """
    orphan, main = tmp_path / "orphan", tmp_path / "main"
    script = f"""
    setsid sh -c 'echo $$ > {main}; exec sleep 100000' &
    until [ -e {tmp_path}/named ]; do sleep 0.02; done
    (exec env -i sh -c 'echo $$ > {orphan}; exec sleep 100000') &
    until [ -e {tmp_path}/seen ]; do sleep 0.02; done
    """
    manager = stage.open()
    manager.order(spawn(NAME, 1, "/bin/sh", "-c", script))
    first = first_pid(manager)
    assert name_main(manager, pid_in(main))["tell"] == "main"
    (tmp_path / "named").touch()
    left = pid_in(orphan)
    (tmp_path / "seen").touch()
    until(lambda: read_entry(first) is None)
    settle(manager)  # by now the keeper has seen it
    manager.order({"do": "sweep", **WHO}, {"do": "signal", **WHO, "signal": 9, "to": "tree"})
    exited = manager.fact("exited", NAME)
    assert exited["emptied"] or manager.fact("emptied", NAME)
    assert is_dead(left)


def pid_in(path: Path) -> int:
    """The pid that a process writes into a file."""
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())
