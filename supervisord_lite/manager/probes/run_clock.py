"""When a run began, on the clock of files: seconds since the epoch."""

import time
from collections.abc import Callable

from supervisord_lite.core.state import Readying, Running
from supervisord_lite.linux.process_table import read_entry

_TICK = 100  # of the times in /proc/PID/stat in a second (USER_HZ, proc(5))
_COARSE = 0.02  # seconds by which the stamps of files and of processes may be behind


def beginning(state: Readying | Running) -> Callable[[], float]:
    """The earliest time at which the run can have written anything.

    Its process tells when it was forked; the main process may have handed over to a younger one
    since, so what was remembered counts, too. Should somebody set the clock, what was written
    before that and what is written after are both of the run.
    """
    ages = [time.monotonic() - (state.since if isinstance(state, Readying) else state.started)]
    if (entry := read_entry(state.pid)) is not None:
        ages.append(time.clock_gettime(time.CLOCK_BOOTTIME) - entry.started / _TICK)
    began = time.monotonic() - max(ages) - _COARSE
    offset = time.time() - time.monotonic()
    return lambda: began + min(offset, time.time() - time.monotonic())
