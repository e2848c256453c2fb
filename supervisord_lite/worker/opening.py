"""Files in memory that this process has opened for itself, to lock bytes of.

An open-file-description lock (fcntl(2), F_OFD_SETLK) excludes other open file descriptions only,
and the kernel releases it with the last descriptor of its own. A descriptor that was inherited is
shared with whoever it came from, so each process opens the file again, a forked one, too. A process
has one opening of a file, however many objects it has for it: they share what its threads hold.
"""

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

# struct flock: l_type, l_whence, l_start, l_len, l_pid (0)
_FLOCK = struct.Struct("hhqqi4x")


class Part(Protocol):
    """Something that this process knows of an opening, and that a forked one does not."""

    def forget(self) -> None:
        """Be as when it was made."""


_Part = TypeVar("_Part", bound=Part)


class Opening:
    """An open file description of our own; get it by `open_again`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._parts: WeakValueDictionary[Hashable, Part] = WeakValueDictionary()

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def part(self, key: Hashable, make: "Callable[[Opening], _Part]") -> _Part:
        """What this process has under that key, which says its type, too; made at first use, and
        there for as long as somebody uses it.
        """
        with _making:
            part = self._parts.get(key)
            if part is None:
                part = self._parts[key] = make(self)
            return part  # type: ignore[return-value]

    def is_taken(self, byte: int) -> bool:
        """Whether somebody else has a lock on this byte."""
        answer = fcntl.fcntl(self.fd, fcntl.F_OFD_GETLK, request(fcntl.F_WRLCK, byte))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def after_fork(self) -> None:
        """Open the file once more, under the same number. OSError: then there are no locks."""
        for part in list(self._parts.values()):
            part.forget()
        try:
            fresh = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            os.close(self.fd)
            self.fd = -1
            raise
        os.dup2(fresh, self.fd, inheritable=False)
        os.close(fresh)


_openings: WeakValueDictionary[tuple[int, int], Opening] = WeakValueDictionary()
_finding = threading.Lock()
_making = threading.Lock()


def open_again(fd: int) -> Opening:
    """The opening that this process has of the file behind `fd`. Raises OSError."""
    status = os.fstat(fd)
    with _finding:
        opening = _openings.get((status.st_dev, status.st_ino))
        if opening is None:
            opening = Opening(os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC))
            _openings[status.st_dev, status.st_ino] = opening
        return opening


def request(kind: int, byte: int) -> bytes:
    """What fcntl(2) is asked for: F_WRLCK or F_UNLCK of one byte."""
    return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)


def lock_now(opening: Opening, wanted: bytes) -> bool:
    """Lock what is asked for at once or not at all; tell whether it is ours."""
    try:
        fcntl.fcntl(opening.fd, fcntl.F_OFD_SETLK, wanted)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _after_fork() -> None:
    # A thread that does not exist here may have held them.
    global _finding, _making
    _finding, _making = threading.Lock(), threading.Lock()
    failures = []
    for opening in list(_openings.values()):
        try:
            opening.after_fork()
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]  # Python says it on stderr, and goes on


os.register_at_fork(after_in_child=_after_fork)
