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


def lock(fd: int) -> bool:
    """Lock the whole file for writing, at once or not at all; tell whether it is ours now."""
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
