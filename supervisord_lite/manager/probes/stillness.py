"""Whether a process, the machine or this daemon stood still: then nothing may be made of silence.

A process that somebody has stopped by a signal (or a debugger holds) is in state T or t of
/proc/PID/stat (proc(5)). The machine's sleep is what CLOCK_BOOTTIME counts and CLOCK_MONOTONIC
does not (clock_gettime(2)). That this daemon was stopped shows in timers that fire late.
"""

import time

from supervisord_lite.linux.process_table import read_entry
from supervisord_lite.manager.probes.health_rules import NAP, lost


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger holds this process."""
    entry = read_entry(pid)
    return entry is not None and entry.state in "Tt"


def slept() -> float:
    """For how many seconds the machine has slept since its boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


class Stillness:
    """Looked at every `step` seconds, tells how much of the time since the last look was lost."""

    def __init__(self, step: float) -> None:
        self.step = step
        self._looked = time.monotonic()
        self._slept = slept()

    def observe(self, pid: int) -> float:
        """Seconds in which the process could not have given a sign of life, as far as is seen."""
        now, asleep = time.monotonic(), slept()
        passed, self._looked = now - self._looked, now
        napped, self._slept = asleep - self._slept > NAP, asleep
        return lost(passed, self.step, napped=napped, stopped=is_stopped(pid))
