"""Memory that processes share: a memfd of a size that nobody can change (memfd_create(2)).

Whoever maps it may write to it, and none of them can be hurt by another who makes it shorter
(fcntl(2), F_ADD_SEALS). Its mode lets every user open it again through /proc/self/fd, which gives
an open file description, and with it locks, of one's own.
"""

import fcntl
import os

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def make(name: str, size: int, data: bytes = b"") -> int:
    """So many bytes that begin with `data`, the rest zero; close-on-exec."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:], done)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd
