"""Waiting for what can only be tried: OFD locks know no timed wait, and none for one of several."""

import time
from collections.abc import Callable

_FIRST, _LONGEST = 0.0005, 0.010  # seconds between two tries


def deadline_of(timeout: float | None) -> float | None:
    """The moment, on the monotonic clock, at which a wait of `timeout` seconds is over."""
    return None if timeout is None else time.monotonic() + max(timeout, 0.0)


def left_until(deadline: float | None) -> float | None:
    """The seconds that are left, none of them negative; None: there is no end."""
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


def retry(attempt: Callable[[], bool], deadline: float | None) -> bool:
    """Try until it succeeds or the deadline is reached; tell whether it did."""
    pause = _FIRST
    while not attempt():
        left = left_until(deadline)
        if left == 0.0:
            return False
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 2, _LONGEST)
    return True
