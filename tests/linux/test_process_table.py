"""What /proc says of processes: their statuses, their marks, their families."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from supervisord_lite.linux.process_table import (
    ProcessTable,
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
