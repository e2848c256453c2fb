"""Pipes: pipe(7), and re-opening one through /proc/self/fd, which gives a descriptor with flags
of its own while duplicates share theirs.

Sizes are wishes: F_SETPIPE_SZ fails for users beyond their quota, and then the default stays.
"""

import fcntl
import os
import struct
import termios
from contextlib import suppress

_INT = struct.Struct("i")


def make() -> tuple[int, int]:
    """Read and write end of a fresh pipe, both close-on-exec and blocking."""
    return os.pipe()


def make_shared() -> int:
    """One O_RDWR descriptor of a fresh pipe: whoever holds it keeps both ends of it open."""
    read, write = os.pipe()
    try:
        return reopen(read, os.O_RDWR)
    finally:
        os.close(read)
        os.close(write)


def reopen(fd: int, flags: int) -> int:
    """A new open file description of the same pipe, FIFO or file, close-on-exec."""
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def waiting(fd: int) -> int:
    """How many bytes a read would find now (FIONREAD)."""
    answer = fcntl.ioctl(fd, termios.FIONREAD, bytes(_INT.size))
    return int(_INT.unpack(answer)[0])


def size(fd: int) -> int:
    """How many bytes the buffer holds at most."""
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


def resize(fd: int, size: int) -> None:
    """Ask for a buffer of `size` bytes; the pipe stays as it is where that is refused."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
