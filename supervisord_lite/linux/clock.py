"""The wall clock, and being told that it was set: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.

A timer that is never to go off becomes readable nevertheless when CLOCK_REALTIME makes a jump:
when somebody sets it, and when the machine wakes up from sleep. Until then it costs no wake-up.
"""

import ctypes
import errno
import functools
import os
import time

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC are the same bits
_ABSOLUTE_AND_CANCELLED = 1 << 0 | 1 << 1  # TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
_NEVER = 1 << 40  # seconds since the epoch: some 34 000 years from now


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def offset() -> float:
    """How many seconds CLOCK_REALTIME is ahead of CLOCK_MONOTONIC now."""
    before = time.monotonic()
    wall = time.time()
    return wall - (before + time.monotonic()) / 2


class ClockWatch:
    """`fd` is readable when the wall clock has been set, or the machine has slept."""

    def __init__(self) -> None:
        self.fd = _checked(_libc().timerfd_create(time.CLOCK_REALTIME, _NONBLOCK_CLOEXEC))
        self._arm()

    def was_set(self) -> bool:
        """Whether the clock was set since this was asked last; never blocks."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        self._arm()
        return True

    def close(self) -> None:
        os.close(self.fd)

    def _arm(self) -> None:
        never = _Itimerspec(value=_Timespec(seconds=_NEVER))
        settime = _libc().timerfd_settime
        try:
            _checked(settime(self.fd, _ABSOLUTE_AND_CANCELLED, ctypes.byref(never), None))
        except OSError as error:
            # Set once more this very moment. The timer is armed nevertheless, and the clock that
            # is looked at after this is the new one.
            if error.errno != errno.ECANCELED:
                raise


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result >= 0:
        return result
    number = ctypes.get_errno()
    raise OSError(number, f"cannot watch the wall clock: {os.strerror(number)}")
