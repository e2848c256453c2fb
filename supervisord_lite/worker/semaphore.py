"""Semaphores: at most so many holders at a time among all workers.

Each holder has one byte of a file in memory locked, so the kernel takes back what a dead one held.
The interface is that of `multiprocessing.BoundedSemaphore`; what one process has acquired, another
one can not release.
"""

import fcntl
import threading
import time
from typing import Any, Self

from supervisord_lite.worker.opening import Opening, lock_now, open_again, request
from supervisord_lite.worker.owned import Owned
from supervisord_lite.worker.retrying import deadline_of, retry


class _Slots:
    """The bytes of one file that this process has."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self.forget()

    def forget(self) -> None:
        """None of them."""
        self._changing = threading.Lock()
        self._held: list[int] = []

    def take_one(self, count: int) -> bool:
        """Lock any free byte of so many, if there is one."""
        first = time.monotonic_ns()  # anywhere, so that not all try the same one
        with self._changing:
            for number in range(first, first + count):
                byte = number % count
                if byte not in self._held and self._take(byte):
                    return True
        return False

    def give_one(self) -> None:
        """Unlock the one that was taken last."""
        with self._changing:
            if not self._held:
                raise ValueError("cannot release a semaphore that this process does not hold")
            self._unlock(self._held[-1])

    def _take(self, byte: int) -> bool:
        try:
            if lock_now(self._opening, request(fcntl.F_WRLCK, byte)):
                self._held.append(byte)
                return True
        except BaseException:  # of the function for a signal: it may be locked already
            self._unlock(byte)
            raise
        return False

    def _unlock(self, byte: int) -> None:
        try:
            fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLK, request(fcntl.F_UNLCK, byte))
        finally:
            if byte in self._held:
                self._held.remove(byte)

    def count_free(self, count: int) -> int:
        """How many of so many nobody has."""
        with self._changing:
            mine = set(self._held)
        return sum(byte not in mine and not self._opening.is_taken(byte) for byte in range(count))


class Semaphore:
    """The semaphore of a channel; `count` bytes of `memory` can be locked."""

    def __init__(self, memory: Owned, count: int) -> None:
        self._memory, self._count = memory, count
        self._slots: _Slots = open_again(memory.fd).part("slots", _Slots)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one; False if none is to be had at once (`block` False), or in `timeout` seconds."""
        deadline = deadline_of(timeout if block else 0.0)
        return retry(lambda: self._slots.take_one(self._count), deadline)

    def release(self) -> None:
        """Give one back. Raises ValueError if this process does not hold any."""
        self._slots.give_one()

    def get_value(self) -> int:
        """How many are free."""
        return self._slots.count_free(self._count)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._memory, self._count)
