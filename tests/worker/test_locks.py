"""Locks and semaphores of a worker, beyond what the standard library's own tests ask of them."""

import multiprocessing
import os
import threading
from typing import Any

import pytest

from tests.worker.made import Made

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forks beside threads

DEADLINE = 30.0
HOLD = (
    "import sys; from supervisord_lite.worker import channels; channels[sys.argv[1]].acquire();"
    "print('held', flush=True); sys.stdin.read()"
)
forking = multiprocessing.get_context("fork")


@pytest.fixture
def lock(made: Made) -> Any:
    made.lock("guard")
    return made.channels()["guard"]


def in_a_fork(work: Any) -> Any:
    """What it says in a process of its own."""
    ours, theirs = forking.Pipe()
    process = forking.Process(target=lambda: theirs.send(work()))
    process.start()
    said = ours.recv() if ours.poll(DEADLINE) else None
    process.kill()
    process.join()
    ours.close()
    theirs.close()
    return said


def refuses(ours: Any) -> bool:
    """To be released."""
    try:
        ours.release()
    except ValueError:
        return True
    return False


def test_a_forked_child_is_another_holder(lock: Any) -> None:
    """What the parent holds, the child can neither have nor release."""
    with lock:
        assert in_a_fork(lambda: lock.acquire(False)) is False
        assert in_a_fork(lambda: refuses(lock))
        assert in_a_fork(lambda: lock.acquire(False)) is False
    assert in_a_fork(lambda: lock.acquire(False)) is True


FORK = """
import os, resource
from supervisord_lite.worker import channels
guard = channels["guard"]
lowest = os.dup(0)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
if os.fork() == 0:
    guard.acquire()
os.wait()
"""


def test_a_forked_child_that_may_open_no_more(made: Made) -> None:
    """Has no lock, never its parent's, and is told why."""
    made.lock("guard")
    said = made.start(["-c", FORK], stderr=-1).communicate()[1].decode()
    assert "Too many open files" in said
    assert "ValueError" in said


def test_a_child_that_ends_releases_nothing(lock: Any) -> None:
    """Of its parent."""
    with lock:
        assert in_a_fork(os.getpid) is not None
        assert in_a_fork(lambda: lock.acquire(False)) is False


@pytest.mark.parametrize("name", ["guard", "slots"])
def test_the_kernel_releases_what_a_dead_worker_held(made: Made, name: str) -> None:
    """At once, for those who wait."""
    made.lock("guard")
    made.semaphore("slots", 1)
    holder = made.start(["-c", HOLD, name], stdin=-1, stdout=-1)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        ours = made.channels()[name]
        assert not ours.acquire(False)
        assert not ours.acquire(timeout=0.01)
        holder.kill()
        assert ours.acquire(timeout=DEADLINE)


def test_threads_exclude_each_other(lock: Any, made: Made) -> None:
    """Also by two objects for one lock."""
    again = made.channels()["guard"]
    order: list[str] = []

    def wait_for_it() -> None:
        again.acquire()
        order.append("second")

    with lock:
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        assert not again.acquire(False)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    lock.release()  # what one thread acquired, another one may release


def test_a_lock_tells_whose_it_is(lock: Any) -> None:
    """Of the thread that asks."""
    assert not lock.is_mine()
    with lock:
        assert lock.is_mine()
        asked: list[bool] = []
        thread = threading.Thread(target=lambda: asked.append(lock.is_mine()))
        thread.start()
        thread.join()
        assert asked == [False]


def test_a_semaphore_lets_so_many_in(made: Made) -> None:
    """Of all processes together."""
    made.semaphore("slots", 3)
    slots = made.channels()["slots"]
    with slots, slots:
        assert in_a_fork(lambda: [slots.acquire(False) for _ in range(2)]) == [True, False]
        assert slots.get_value() == 1
        assert in_a_fork(slots.get_value) == 1
    assert slots.get_value() == 3


def test_a_semaphore_is_released_by_its_holder(made: Made) -> None:
    """And as often as it was acquired."""
    made.semaphore("slots", 1)
    slots = made.channels()["slots"]
    with slots:
        assert in_a_fork(lambda: refuses(slots))
    with pytest.raises(ValueError, match="does not hold"):
        slots.release()


def test_those_that_wait_for_a_semaphore_get_it(made: Made) -> None:
    """When one is released."""
    made.semaphore("slots", 1)
    slots = made.channels()["slots"]
    slots.acquire()
    thread = threading.Thread(target=slots.acquire)
    thread.start()
    slots.release()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert slots.get_value() == 0
