"""The standard library's own tests of multiprocessing's objects, run against ours.

Each class below is one of `test._test_multiprocessing` with our objects put in the place of its
own. What is left out is named with the reason; all else that they ask for holds.
"""

import unittest
from collections.abc import Callable, Sequence
from typing import Any

import pytest

theirs = pytest.importorskip("test._test_multiprocessing")
import multiprocessing  # noqa: E402 after it is known that there is anything to run

from tests.worker.made import Made  # noqa: E402

# They fork while threads run.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# By class: the tests that are not run, and why.
LEFT_OUT: dict[str, dict[str, str]] = {
    "_TestQueue": {
        "test_task_done": "of a JoinableQueue, which a channel is not",
        "test_no_import_lock_contention": "makes a queue of multiprocessing, not one of ours",
        "test_timeout": "makes a queue of multiprocessing, not one of ours",
        "test_queue_feeder_donot_stop_onexc": "there is no thread: put raises the error",
        "test_queue_feeder_on_queue_feeder_error": "there is no thread: put raises the error",
        "test_closed_queue_put_get_exceptions": "makes queues of multiprocessing, not ours",
    },
    "_TestSemaphore": {
        "test_semaphore": "releases what it has not acquired: released at death means that a"
        " holder is counted by what it holds",
    },
    "_TestConnection": {
        "test_duplex_false": "of a one-way pipe, which is a channel of type pipe",
    },
}

# Those that are not run with spawned processes.
LEFT_OUT_SPAWNED: dict[str, dict[str, str]] = {
    "_TestValue": {"test_rawvalue": "get_obj() is a plain ctypes object, which pickles as a copy"},
    "_TestArray": {"test_rawarray": "get_obj() is a plain ctypes object, which does not pickle"},
}


class OurObjects:
    """Makes what the tests of the library call for out of channels."""

    TYPE = "processes"
    made: Made

    def _make(self, make: Callable[[str], None]) -> Any:
        """A channel of a fresh name."""
        name = f"channel-{len(self.made.told)}"
        make(name)
        return self.made.channels()[name]

    def Queue(self, maxsize: int = 0) -> Any:  # noqa: N802 their name
        return self._make(lambda name: self.made.queue(name, maxsize))

    def Lock(self) -> Any:  # noqa: N802
        return self._make(self.made.lock)

    def RLock(self) -> Any:  # noqa: N802 what guards a value that names no lock
        return self.Value("i", 0).get_lock()

    def Semaphore(self, count: int) -> Any:  # noqa: N802
        return self._make(lambda name: self.made.semaphore(name, count))

    BoundedSemaphore = Semaphore

    def Value(self, code: str, initial: Any, *, lock: Any = None) -> Any:  # noqa: N802
        value = self._make(lambda name: self.made.value(name, code))
        value.value = initial
        return _guarded(value, lock)

    def Array(self, code: str, initial: int | Sequence[Any], *, lock: Any = None) -> Any:  # noqa: N802
        items = [0] * initial if isinstance(initial, int) else list(initial)
        array = self._make(lambda name: self.made.array(name, code, len(items)))
        array[:] = items
        return _guarded(array, lock)

    def RawValue(self, code: str, initial: Any) -> Any:  # noqa: N802
        return self.Value(code, initial, lock=False)

    def RawArray(self, code: str, initial: int | Sequence[Any]) -> Any:  # noqa: N802
        return self.Array(code, initial, lock=False)

    def Pipe(self, duplex: bool = True) -> Any:  # noqa: N802, FBT
        """Not held by anybody else, so that they see the end of the file as these tests want."""
        name = f"channel-{len(self.made.told)}"
        self.made.pair(name)
        channels = self.made.channels()
        ends = channels[name], channels[f"{name}-b"]
        self.made.let_go(name)
        self.made.let_go(f"{name}-b")
        return ends


def _guarded(shared: Any, lock: Any) -> Any:
    """As the factories of multiprocessing have it: no lock, one of its own, or a given one."""
    if lock is None:
        return shared
    if lock is False:
        return shared.get_obj()
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    kind, arguments = shared.__reduce__()
    return kind(*arguments[:-1], lock)


class Forking(OurObjects):
    """Their processes are forked."""

    Process = multiprocessing.get_context("fork").Process
    Event = staticmethod(multiprocessing.get_context("fork").Event)


class Spawning(OurObjects):
    """Their processes are spawned, so all that they are given is pickled."""

    Process = multiprocessing.get_context("spawn").Process
    Event = staticmethod(multiprocessing.get_context("spawn").Event)


class Fixture(unittest.TestCase):
    """What each of them needs beside."""

    made: Made

    def setUp(self) -> None:
        self.made = Made()
        self.addCleanup(self.made.close)
        super().setUp()


def _ours(name: str, objects: type) -> type:
    """Their class, with our objects, without what is left out."""
    left_out = LEFT_OUT.get(name, {})
    if objects is Spawning:
        left_out = left_out | LEFT_OUT_SPAWNED.get(name, {})
    bases = (Fixture, objects, getattr(theirs, name))
    return type(f"{objects.__name__}{name.removeprefix('_')}", bases, dict.fromkeys(left_out))


for _name in ("Queue", "Lock", "Semaphore", "Value", "Array", "Connection", "Poll", "PollEintr"):
    for _objects in (Forking, Spawning):
        _made = _ours(f"_Test{_name}", _objects)
        _made.__module__ = __name__
        globals()[_made.__name__] = _made
del _made
