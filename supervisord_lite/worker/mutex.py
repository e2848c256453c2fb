"""One byte of a file in memory as a mutex among threads and processes.

Threads exclude each other by a lock of their process, processes by an OFD lock on the byte, which
the kernel releases when its holder dies.
"""

import fcntl
import threading
from collections.abc import Callable
from typing import TypeVar

from supervisord_lite.worker.opening import Opening, lock_now, request
from supervisord_lite.worker.retrying import deadline_of, left_until, retry

_LONGEST = threading.TIMEOUT_MAX  # seconds that a lock of threads can be waited for
_Result = TypeVar("_Result")


class Mutex:
    """The lock on one byte; not recursive. Get it by `mutex_on`: a process has one of each byte."""

    __slots__ = ("__weakref__", "_opening", "_release", "_threads", "_wanted", "depth", "owner")

    def __init__(self, opening: Opening, byte: int) -> None:
        self._opening = opening
        self._wanted = request(fcntl.F_WRLCK, byte)
        self._release = request(fcntl.F_UNLCK, byte)
        self.forget()

    def forget(self) -> None:
        """Nobody in this process holds it."""
        self._threads = threading.Lock()
        self.owner: int | None = None  # the thread that has it
        self.depth = 0  # how often more than once, where it is used as a recursive one

    def is_mine(self) -> bool:
        """Whether the thread that asks has it."""
        return self.owner == threading.get_ident()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; without `block`, or when the timeout, in seconds, is over, False."""
        me, taken = threading.get_ident(), False
        deadline = deadline_of(timeout if block else 0.0)
        left = left_until(deadline)
        if not self._threads.acquire(timeout=-1 if left is None else min(left, _LONGEST)):
            return False
        try:
            if deadline is None:
                fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLKW, self._wanted)
                taken = True
            else:
                taken = retry(self._try, deadline)
        finally:
            if taken:
                self.owner = me
            else:
                self._give_back()
        return taken

    def release(self) -> None:
        """Give it back. Raises ValueError if no thread of this process has it."""
        if self.owner is None:
            raise ValueError("cannot release a lock that this process does not hold")
        self._give_back()

    def during(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, done by who holds it. Whatever the function for a signal raises, and
        wherever, it is not held afterwards: between two calls in C Python looks for no signals, and
        what has to be undone is undone within one function.
        """
        me = threading.get_ident()
        with self._threads:
            try:
                fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLKW, self._wanted)
                self.owner = me
                return work()
            finally:
                self.owner = None
                fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLK, self._release)

    def _give_back(self) -> None:
        self.owner = None
        try:
            fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLK, self._release)
        finally:
            self._threads.release()

    def _try(self) -> bool:
        return lock_now(self._opening, self._wanted)


def mutex_on(opening: Opening, byte: int) -> Mutex:
    """The mutex that this process has on this byte."""
    return opening.part(byte, lambda opening: Mutex(opening, byte))
