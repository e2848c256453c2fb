"""One byte of a file in memory as a mutex among threads and processes.

Threads exclude each other by a lock of their process, processes by an OFD lock on the byte, which
the kernel releases when its holder dies.
"""

import fcntl
import threading
from typing import Self

from supervisord_lite.worker.opening import Opening, lock_now, request
from supervisord_lite.worker.retrying import deadline_of, left_until, retry


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
        if block and timeout is None:
            self.__enter__()
            return True
        deadline = deadline_of(timeout if block else 0.0)
        left = left_until(deadline) or 0.0
        if not self._threads.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            return False
        try:
            if retry(self._try, deadline):
                self.owner = threading.get_ident()
        finally:
            if self.owner is None:
                self._threads.release()
        return self.owner is not None

    def release(self) -> None:
        """Give it back. Raises ValueError if no thread of this process has it."""
        if self.owner is None:
            raise ValueError("cannot release a lock that this process does not hold")
        self.__exit__()

    def __enter__(self) -> Self:
        self._threads.acquire()
        try:
            fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLKW, self._wanted)
        except BaseException:
            self._threads.release()
            raise
        self.owner = threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        self.owner = None
        fcntl.fcntl(self._opening.fd, fcntl.F_OFD_SETLK, self._release)
        self._threads.release()

    def _try(self) -> bool:
        return lock_now(self._opening, self._wanted)


def mutex_on(opening: Opening, byte: int) -> Mutex:
    """The mutex that this process has on this byte."""
    return opening.part(byte, lambda opening: Mutex(opening, byte))
