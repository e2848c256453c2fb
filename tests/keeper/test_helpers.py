"""Hooks and probes: runs like any other to the keeper, by a name that begins with @."""

import sys
from pathlib import Path

from supervisord_lite.linux.process_table import read_entry
from tests.cli.conftest import DEADLINE, until
from tests.conftest import Leased
from tests.keeper.conftest import Manager, Stage, spawn

HELPER = "@pre_stop/web:0"
# Leaves somebody behind who has left session and parent, and waits.
FAMILY = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1] + ".draft", "w") as stream:
            stream.write(str(os.getpid()))
        os.rename(sys.argv[1] + ".draft", sys.argv[1])
        os.execvp("sleep", ["sleep", "100000"])
    os._exit(0)
os.wait()
os.execvp("sleep", ["sleep", "100000"])
"""


def start_family(stage: Stage, path: Path) -> tuple[int, int]:
    """A helper and what has come from it, by two pids."""
    manager = stage.open()
    manager.order(spawn(HELPER, 7, sys.executable, "-I", "-S", "-c", FAMILY, str(path)))
    pid = manager.fact("spawned", HELPER)["pid"]
    until(path.exists)
    return pid, int(path.read_text())


def end_unclaimed(manager: Manager) -> None:
    """What a manager does about a helper that nobody claims."""
    assert manager.welcome["helpers"] == [HELPER]
    assert manager.fact("spawned", HELPER)["run"] == 7
    who = {"instance": HELPER, "run": 7}
    manager.order({"do": "sweep", **who}, {"do": "signal", **who, "signal": 9, "to": "tree"})
    exited = manager.fact("exited", HELPER)
    assert exited["emptied"] or manager.fact("emptied", HELPER)
    manager.order({"do": "bury", **who})


def test_one_that_a_dead_manager_has_left_behind(stage: Stage, tmp_path: Path) -> None:
    """The next manager is told, and can end it with all that came from it, and bury it."""
    family = start_family(stage, tmp_path / "child")
    stage.kill_manager()
    manager = stage.next_manager()
    end_unclaimed(manager)
    until(lambda: [read_entry(pid) for pid in family] == [None, None])  # the dead are reaped soon
    manager.kill()
    assert stage.next_manager().welcome["helpers"] == []


def test_one_that_a_dead_keeper_has_left_behind(stage: Stage, tmp_path: Path) -> None:
    """It is adopted like a worker, and ended in the same way."""
    family = start_family(stage, tmp_path / "child")
    stage.crash()
    end_unclaimed(stage.open())
    until(lambda: [read_entry(pid) for pid in family] == [None, None])


def test_one_that_was_over(stage: Stage) -> None:
    """Its exit is told until it is buried, by each keeper."""
    manager = stage.open()
    manager.order(spawn(HELPER, 7, "/bin/sh", "-c", "exit 3"))
    manager.fact("exited", HELPER)
    stage.crash()
    assert stage.open().fact("exited", HELPER)["status"] == 3 << 8


def test_the_compiler_is_forgotten_with_its_output(stage: Stage) -> None:
    """What a helper of the daemon's own wrote has gone with the keeper: another may be started."""
    manager = stage.open()
    manager.order(spawn("@compile", 1, "sleep", "100000"))
    manager.fact("spawned", "@compile")
    stage.crash()
    manager = stage.open()
    assert manager.welcome["helpers"] == []
    manager.order(spawn("@compile", 2, "true"))
    assert manager.fact("exited", "@compile")["status"] == 0


def test_the_compiler_ends_with_the_daemon(stage: Stage) -> None:
    """What was ordered of the daemon that has ended is nothing to the next one."""
    manager = stage.open()
    manager.order(spawn("@compile", 1, "sleep", "100000"))
    compiler = manager.fact("spawned", "@compile")["pid"]
    manager.order({"do": "remember", "name": "shutdown", "value": "{}"}, {"do": "exit", "code": 0})
    until(lambda: (entry := read_entry(compiler)) is None or not entry.lives)
    assert stage.process is not None
    assert stage.process.wait(DEADLINE) == 0
    assert not (stage.directory / "journal").exists()


def test_an_exec_that_hangs_while_the_keeper_dies(stage: Stage, leased: Leased) -> None:
    """The child has no mark yet, by which it could be found: it is ended before the run is said to
    have failed, and never becomes a second process of its instance.
    """
    manager = stage.open()
    manager.order(spawn("web:0", 1, str(leased.path)))
    until(lambda: '"intent":["web:0",1]' in (stage.directory / "journal").read_text())
    until(lambda: len(stage.unborn()) == 1)
    (child,) = stage.unborn()
    stage.crash()
    manager = stage.open()
    assert manager.fact("failed", "web:0")["stage"] == "adoption"
    until(lambda: (entry := read_entry(child)) is None or not entry.lives)
    leased.release()
    manager.order({"do": "bury", "instance": "web:0", "run": 1}, spawn("web:0", 2, "true"))
    assert manager.fact("exited", "web:0")["status"] == 0
    assert not (stage.directory / "witness").exists()
