"""What /proc says of processes: their statuses, their marks, their families."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_lite.linux.process_table import (
    ProcessTable,
    belongs,
    environment_value,
    read_entry,
    zombie_status,
)

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes, and ends what is left of them."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str, env: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def is_zombie(pid: int) -> bool:
    entry = read_entry(pid)
    return entry is not None and entry.state == "Z"


def leads(pid: int) -> bool:
    """Whether it has come to lead a session of its own."""
    entry = read_entry(pid)
    return entry is not None and entry.session == pid


def test_a_zombie_tells_its_status(start: Start) -> None:
    """Who is dead and not reaped has a wait status that others can read."""
    child = start("sh", "-c", "exit 7")
    until(lambda: is_zombie(child.pid))
    entry = read_entry(child.pid)
    assert entry is not None
    status = zombie_status(child.pid, entry.started)
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == 7


def test_another_process_of_the_same_pid_tells_nothing(start: Start) -> None:
    """A status counts only for the process that was meant."""
    child = start("sh", "-c", "exit 7")
    until(lambda: is_zombie(child.pid))
    assert zombie_status(child.pid, 1) is None


def test_the_living_have_no_status(start: Start) -> None:
    """A process that runs, or that nobody knows, has no wait status."""
    child = start("cat")
    entry = read_entry(child.pid)
    assert entry is not None
    assert zombie_status(child.pid, entry.started) is None
    assert zombie_status(2**22 + 1, 1) is None


def test_a_name_with_parentheses_misleads_nobody(start: Start) -> None:
    """A process may call itself what it likes; the fields behind the name stay where they are."""
    rename = "open('/proc/self/comm', 'w').write(') Z 1 (x'); print('!', flush=True); input()"
    child = start(sys.executable, "-I", "-S", "-c", rename)
    assert child.stdout is not None
    child.stdout.readline()
    entry = read_entry(child.pid)
    assert entry is not None
    assert (entry.parent, entry.state != "Z") == (os.getpid(), True)


def test_the_environment_is_that_of_the_exec(start: Start) -> None:
    """A mark is found by its whole name, and only if it is there."""
    child = start("cat", env={"MARKED": "no", "MARK": "a=b"})
    until(lambda: environment_value(child.pid, "MARK"))
    assert environment_value(child.pid, "MARK") == "a=b"
    assert environment_value(child.pid, "MAR") is None


def test_descendants_are_found_without_the_dead(start: Start) -> None:
    """A pass finds children and grandchildren, and leaves out who is dead already."""
    child = start("sh", "-c", "cat | cat | cat")
    until(lambda: len(list(ProcessTable().with_descendants([child.pid]))) >= 3)
    table = ProcessTable()
    assert all(entry.state != "Z" for entry in table.with_descendants([child.pid]))
    assert child.pid in table.children(os.getpid())


# Prints the pids of a child, of one in a session of its own, and of one that has lost its parent
# besides; each runs `cat` on a pipe of ours, with its environment as it is or cleared.
RELATIVES = """
import os, sys
def start(session, orphan):
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        if session:
            os.setsid()
        if orphan and os.fork() != 0:
            os._exit(0)
        os.write(write_end, str(os.getpid()).encode())
        os.dup2(0, 0)
        os.execve("/bin/cat", ["cat"], {} if "clear" in sys.argv else dict(os.environ))
    if orphan:
        os.wait()
    return int(os.read(read_end, 20))
print(start(False, False), start(True, False), start(True, True), start(False, True), flush=True)
sys.stdin.read()
"""
MARK = "MARK=daemon/web:0/1"


@pytest.fixture
def relatives(start: Start) -> Iterator[Callable[[str], tuple[int, list[int]]]]:
    """Starts the program above; its pid, and those of its relatives."""
    found: list[int] = []

    def begin(argument: str) -> tuple[int, list[int]]:
        name, _, value = MARK.partition("=")
        argv = ["setsid", sys.executable, "-I", "-S", "-c", RELATIVES, argument]
        child = start(*argv, env={**os.environ, name: value})
        assert child.stdout is not None
        found.extend(map(int, child.stdout.readline().split()))
        until(lambda: all(Path(f"/proc/{pid}/comm").read_text() == "cat\n" for pid in found))
        return child.pid, found

    yield begin
    for pid in found:
        os.kill(pid, 9)


def test_who_belongs_to_a_run(relatives: Callable[[str], tuple[int, list[int]]]) -> None:
    """The main process itself, its children, those in its session, and whoever has its mark."""
    main, (child, away, lost, orphan) = relatives("keep")
    assert [belongs(pid, main, MARK) for pid in (main, child, away, lost, orphan)] == [True] * 5


def test_who_has_cleared_its_environment(
    relatives: Callable[[str], tuple[int, list[int]]],
) -> None:
    """Descent and session do without the mark; with none of the three nobody is known."""
    main, (child, away, lost, orphan) = relatives("clear")
    assert [belongs(pid, main, MARK) for pid in (main, child, away, orphan)] == [True] * 4
    assert belongs(lost, main, MARK) is False


def test_who_does_not_belong(start: Start) -> None:
    """Others, the parent, init: no. Who is not there: not known."""
    main = start("cat", env={"MARK": "daemon/web:0/1"})
    # A session of its own, as every run has: in a container, init may be in that of the tests.
    other = start("setsid", "cat", env={"MARK": "x"})
    mark = "MARK=daemon/web:0/10"
    until(lambda: environment_value(main.pid, "MARK") and leads(other.pid))
    assert belongs(1, other.pid, mark) is False
    assert belongs(2**22 + 1, main.pid, mark) is None
    assert belongs(0, main.pid, mark) is None
    assert belongs(-1, main.pid, mark) is None


def test_another_runs_mark_is_none(start: Start) -> None:
    """A mark that begins alike is another one."""
    main = start("setsid", "cat")
    other = start("setsid", "cat", env={"MARK": "daemon/web:0/1"})
    until(lambda: environment_value(other.pid, "MARK") and leads(main.pid) and leads(other.pid))
    assert belongs(other.pid, main.pid, "MARK=daemon/web:0/1") is True
    assert belongs(other.pid, main.pid, "MARK=daemon/web:0/10") is False
    assert belongs(other.pid, main.pid, "MARK=daemon/web:0/") is False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_an_environment_that_may_not_be_read_says_nothing(start: Start) -> None:
    """Who may not look at a process knows it by its descent alone."""
    main, other = start("setsid", "cat", env={"MARK": "m"}), start("setsid", "cat")
    until(lambda: environment_value(main.pid, "MARK") and leads(main.pid) and leads(other.pid))
    code = "from supervisord_lite.linux.process_table import belongs; import sys;"
    code += "print(belongs(int(sys.argv[1]), int(sys.argv[2]), 'MARK=m'))"
    argv = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code]
    for known, expected in ((main.pid, "True"), (other.pid, "False")):
        asked = subprocess.run([*argv, str(main.pid), str(known)], capture_output=True, check=True)
        assert asked.stdout.decode().strip() == expected
