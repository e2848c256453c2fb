"""Moving bytes without bringing them into this process: splice(2) and tee(2).

Never waits for a pipe: what cannot be moved now raises BlockingIOError. A file on a slow disk
can still hold the caller for as long as the disk likes.
"""

import ctypes
import functools
import os
from collections.abc import Callable


def splice(source: int, target: int, count: int, offset: int | None = None) -> int:
    """Move up to `count` bytes out of the pipe `source`; `offset` is the place in a target file.

    EINVAL says that the target's file system (or O_APPEND on it) does not allow it.
    """
    return os.splice(source, target, count, offset_dst=offset, flags=os.SPLICE_F_NONBLOCK)


def send(source: int, offset: int, target: int, count: int) -> int:
    """Move up to `count` bytes of the file `source` from `offset` on into the pipe `target`."""
    return os.splice(source, target, count, offset_src=offset, flags=os.SPLICE_F_NONBLOCK)


def tee(source: int, target: int, count: int) -> int:
    """Copy up to `count` bytes from pipe to pipe and leave them in `source`."""
    copied = _tee()(source, target, count, os.SPLICE_F_NONBLOCK)
    if copied < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return copied


@functools.cache
def _tee() -> Callable[[int, int, int, int], int]:
    function = ctypes.CDLL(None, use_errno=True).tee
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
    function.restype = ctypes.c_ssize_t
    call: Callable[[int, int, int, int], int] = function
    return call
