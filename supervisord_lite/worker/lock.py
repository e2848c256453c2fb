"""Locks: one holder at a time among all workers; the kernel releases it when the holder dies.

They answer to the interface of `multiprocessing.Lock` and `RLock`, but belong to the process that
has them: another one can not release them.
"""

from collections.abc import Callable
from typing import Any, Self, TypeVar

from supervisord_lite.worker.mutex import Mutex, mutex_on
from supervisord_lite.worker.opening import open_again
from supervisord_lite.worker.owned import Owned

_Result = TypeVar("_Result")


class Lock:
    """The lock of a channel; not recursive. `memory` is the file whose first byte is locked."""

    def __init__(self, memory: Owned) -> None:
        self._memory = memory
        self._mutex: Mutex = mutex_on(open_again(memory.fd), 0)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; False if it cannot be had at once (`block` False), or in `timeout` seconds."""
        return self._mutex.acquire(block, timeout)

    def release(self) -> None:
        """Give it back. Raises ValueError if this process does not hold it."""
        self._mutex.release()

    def is_mine(self) -> bool:
        """Whether the thread that asks holds it."""
        return self._mutex.is_mine()

    def during(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, done while this thread holds it, whether it did before or not."""
        return work() if self.is_mine() else self._mutex.during(work)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._memory,)


class RLock(Lock):
    """A lock that the thread that holds it may take again, and has to release as often."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As that of `Lock`, and at once where the thread has it already."""
        if self.is_mine():
            self._mutex.depth += 1
            return True
        return super().acquire(block, timeout)

    def release(self) -> None:
        """Give it back once. Raises RuntimeError if this thread does not hold it."""
        if not self.is_mine():
            raise RuntimeError("cannot release a lock that this thread does not hold")
        if self._mutex.depth:
            self._mutex.depth -= 1
        else:
            super().release()
