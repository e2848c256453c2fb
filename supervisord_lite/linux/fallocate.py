"""Asking a file system for room beforehand: fallocate(2) with FALLOC_FL_KEEP_SIZE.

Free space counters do not know of quotas; this call does, and it leaves the file's size alone.
"""

import ctypes
import errno
import functools
import os
from collections.abc import Callable

_KEEP_SIZE = 0x01  # FALLOC_FL_KEEP_SIZE


def reserve(fd: int, offset: int, size: int) -> None:
    """Raise OSError (ENOSPC, EDQUOT, EROFS, EIO) if `size` more bytes cannot be stored there.

    A file system that cannot tell (EOPNOTSUPP) is taken to have room.
    """
    if _fallocate()(fd, _KEEP_SIZE, offset, size) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EOPNOTSUPP, errno.ENOSYS):
        raise OSError(number, os.strerror(number))


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int]:
    function = ctypes.CDLL(None, use_errno=True).fallocate64
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    function.restype = ctypes.c_int
    call: Callable[[int, int, int, int], int] = function
    return call
