"""Processes by descriptor, so that a recycled pid is never taken for the process that had it.

Sources: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), and PIDFD_GET_INFO in linux/pidfd.h.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import struct

# struct pidfd_info, its first published size: mask, cgroupid, eleven ids, exit_code.
_INFO = struct.Struct("=QQ11Ii")
_INFO_EXIT = 1 << 3
# _IOWR(0xFF, 11, struct pidfd_info)
_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11
_PIDFD_GETFD = 438  # the number of the call, on every architecture


def open_pidfd(pid: int) -> int | None:
    """A descriptor for the process, readable once it is dead; None if there is no such process."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):  # EINVAL: by now it is a thread's number
            return None
        raise
    except OverflowError:  # no process has such a number
        return None


def send_signal(pidfd: int, number: int) -> bool:
    """Signal the process; False if it is gone already, or somebody's whom we may not signal."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def is_dead(pidfd: int) -> bool:
    """Whether the process is dead, reaped or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def exit_status(pidfd: int) -> int | None:
    """The wait status of a dead process that is not our child, where the kernel tells it.

    None before Linux 6.15, and while nobody has reaped the process.
    """
    buffer = bytearray(_INFO.pack(_INFO_EXIT, *([0] * 13)))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, buffer)
    except OSError:
        return None
    fields = _INFO.unpack(buffer)
    return fields[-1] if fields[0] & _INFO_EXIT else None


def duplicate(pidfd: int, number: int) -> int | None:
    """A duplicate, close-on-exec, of what the process has open under this number; None if there is
    no such thing, or we may not trace the process (ptrace(2)).
    """
    got = int(ctypes.CDLL(None).syscall(_PIDFD_GETFD, pidfd, number, 0))
    return None if got < 0 else got
