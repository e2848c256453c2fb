"""A file in memory that can never change again: memfd_create(2), sealed (fcntl(2), F_ADD_SEALS).

Whoever is passed one may map it without fear of the sender.
"""

import fcntl
import os

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def make(name: str, data: bytes) -> int:
    """A sealed memfd with these bytes, close-on-exec; `name` is for who looks in /proc."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd
