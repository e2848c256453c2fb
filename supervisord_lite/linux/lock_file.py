"""A lock file: the proof that at most one daemon owns a place, held until its process ends.

The lock is flock(2) on a file that is never removed; the kernel drops it when the last
descriptor is closed, however its owner died. The pid written inside is information for people:
it decides nothing, since it may be stale, reused, or of another pid namespace.
"""

import errno
import fcntl
import os


class AlreadyRunning(Exception):
    """Another daemon owns the place. The text says which place and, as far as known, who."""


def acquire(path: str) -> int:
    """Take the lock at `path` for this process's life and return its descriptor.

    The directory must exist. Keep the descriptor, or pass it on: the lock goes where it goes.
    Raises `AlreadyRunning`, or OSError when the file cannot be made.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(fd, path)
            if _is_still(fd, path):
                sign(fd)
                return fd
        except BaseException:
            os.close(fd)
            raise
        # Somebody removed the file between open and lock: what we locked is nobody's any more.
        os.close(fd)


def sign(fd: int) -> None:
    """Write this process's pid into a lock that it holds."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _lock(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        pid = os.pread(fd, 32, 0).strip().decode("ascii", "replace")
        owner = f" (pid {pid})" if pid.isdigit() else ""
        raise AlreadyRunning(
            f"cannot lock {path}: another supervisord-lite{owner} is running there"
        ) from None


def _is_still(fd: int, path: str) -> bool:
    held = os.fstat(fd)
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
