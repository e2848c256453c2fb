"""The wall clock: being told that it was set, and of a time on it. timerfd_create(2).

A timer that is never to go off becomes readable nevertheless when CLOCK_REALTIME makes a jump
(TFD_TIMER_CANCEL_ON_SET): when somebody sets it, and when the machine wakes up from sleep. One that
is to go off at a time of that clock does so however the clock comes to it. Until then neither costs
a wake-up.
"""

import ctypes
import errno
import functools
import math
import os
import time

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC are the same bits
_ABSOLUTE = 1 << 0  # TFD_TIMER_ABSTIME
_ABSOLUTE_AND_CANCELLED = _ABSOLUTE | 1 << 1  # TFD_TIMER_CANCEL_ON_SET
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


class WallAlarm:
    """`fd` is readable once the wall clock shows the time that was set last, until the next one is
    set.
    """

    def __init__(self) -> None:
        self.fd = _checked(_libc().timerfd_create(time.CLOCK_REALTIME, _NONBLOCK_CLOEXEC))

    def set(self, at: float | None) -> None:
        """Go off at this time, in seconds since the epoch, and at once if it has passed; None:
        never.
        """
        nanoseconds = 0 if at is None else max(1, math.ceil(at * 1e9))  # 0 disarms it
        setting = _Itimerspec(value=_Timespec(*divmod(nanoseconds, 1_000_000_000)))
        _checked(_libc().timerfd_settime(self.fd, _ABSOLUTE, ctypes.byref(setting), None))

    def close(self) -> None:
        os.close(self.fd)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result >= 0:
        return result
    number = ctypes.get_errno()
    raise OSError(number, f"cannot watch the wall clock: {os.strerror(number)}")
