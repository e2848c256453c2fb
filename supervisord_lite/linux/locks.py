"""Open file description locks: fcntl(2), F_OFD_SETLK.

They belong to the open file description, so they exclude two openings in one process as well as
two processes, and the kernel releases them with the last descriptor, however its holder died.
"""

import errno
import fcntl
import os
import struct

# struct flock: l_type, l_whence, l_start, l_len, l_pid (must be 0); a length of 0 means to the end
_FLOCK = struct.Struct("hhqqi4x")


def lock(fd: int, start: int = 0, length: int = 0) -> bool:
    """Lock a file or some of its bytes for writing, at once or not at all; tell whether they are
    ours now.
    """
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def unlock(fd: int, start: int = 0, length: int = 0) -> None:
    request = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, start, length, 0)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)


def is_locked(fd: int, start: int = 0, length: int = 0) -> bool:
    """Whether any of the bytes is locked through another open file description."""
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, request)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
