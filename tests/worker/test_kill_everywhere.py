"""A worker is killed before every single bytecode of `put` and `get`: whatever it leaves, the next
one finds a queue with its exact capacity, without a lock that is held, and without a loss.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import Empty, Full
from types import FrameType
from typing import Any

import pytest

import supervisord_lite.worker
from tests.worker.made import Made

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forks beside threads
]

LIBRARY = str(Path(supervisord_lite.worker.__file__).parent)
STEP = 1 if os.environ.get("SOAK") == "1" else 20
CAPACITY = 4

Work = Callable[[Any], object]
WORKS: dict[str, tuple[int, Work]] = {  # with so many in the queue
    "put into an empty one": (0, lambda queue: queue.put_nowait("new")),
    "put the last one": (3, lambda queue: queue.put_nowait("new")),
    "put into a full one": (4, lambda queue: queue.put_nowait("new")),
    "get from an empty one": (0, lambda queue: queue.get_nowait()),
    "get the last one": (1, lambda queue: queue.get_nowait()),
    "get from a full one": (4, lambda queue: queue.get_nowait()),
    "count": (2, lambda queue: queue._page.recount()),
}


def die_at(work: Callable[[], object], bytecode: int) -> None:
    """Do it, and die before that bytecode of the library, the first being number 1."""
    passed = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal passed
        if not frame.f_code.co_filename.startswith(LIBRARY):
            return None
        frame.f_trace_opcodes = True
        passed += event == "opcode"
        if passed == bytecode:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    with suppress(Full, Empty):
        work()
    sys.settrace(None)


def was_killed(work: Callable[[], object], bytecode: int) -> bool:
    child = os.fork()
    if child == 0:
        try:
            die_at(work, bytecode)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def drain(queue: Any) -> list[Any]:
    got = []
    while not queue.empty():
        got.append(queue.get_nowait())
    return got


def fill(queue: Any) -> int:
    for put in count():
        try:
            queue.put_nowait(None)
        except Full:
            return put
    raise AssertionError


@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("flag", [None, "puts_dirty", "gets_dirty"])
def test_whenever_it_dies(name: str, flag: str | None) -> None:
    """Also where it came upon what another dead one had left."""
    inside, work = WORKS[name]
    items = list(range(inside))
    for bytecode in count(random.randrange(1, STEP + 1), STEP):
        made = Made()
        made.queue("jobs", CAPACITY)
        queue = made.channels()["jobs"]
        for item in items:
            queue.put_nowait(item)
        if flag is not None:
            os.pwrite(made.told["jobs"]["page"], b"\1", 16 if flag == "puts_dirty" else 24)
        killed = was_killed(lambda queue=queue: work(queue), bytecode)  # type: ignore[misc]
        fill(queue)
        left = drain(queue)
        assert len(left) == CAPACITY, f"killed at {bytecode}"
        assert [one for one in left if one is not None] in (items, [*items, "new"], items[1:])
        assert fill(queue) == CAPACITY
        made.close()
        if not killed:
            return
