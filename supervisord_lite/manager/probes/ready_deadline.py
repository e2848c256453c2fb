"""A run that is not ready yet has until its deadline, and more if it was kept from running.

The core counts seconds; what it cannot see is that a signal has stopped the worker, or that this
daemon was held up. The seconds lost so are asked for just before the deadline.
"""

import asyncio
import time
from collections.abc import Callable

from supervisord_lite.core.event import Finding, TimeExtended
from supervisord_lite.core.state import Readying
from supervisord_lite.manager.probes.active_probes import Subject
from supervisord_lite.manager.probes.stillness import Stillness

_BEFORE = 0.02  # seconds before the deadline, so that the core hears of it in time
_STEP = 1.0


class ReadyDeadline:
    """Runs from its making until `stop`."""

    def __init__(self, subject: Subject, take: Callable[[Finding], None]) -> None:
        self._subject = subject
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._stillness = Stillness(_STEP)
        self._lost = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._set()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _state(self) -> Readying:
        assert isinstance(self._subject.state, Readying), "it ends with that state"
        return self._subject.state

    def _set(self) -> None:
        """Look again in a while, but once more just before the deadline."""
        now, last = time.monotonic(), self._state.deadline - _BEFORE
        self._timer = self._loop.call_at(min(now + _STEP, max(last, now)), self._look)

    def _look(self) -> None:
        self._lost += self._stillness.observe(self._state.pid)
        deadline = self._state.deadline
        if time.monotonic() < deadline - _BEFORE:
            self._set()
        elif self._lost:
            until, self._lost = max(deadline, time.monotonic()) + self._lost, 0.0
            spec, run = self._subject.instance.spec, self._state.run
            self._take(TimeExtended(spec.name, run, until))
            if self._later(deadline):
                self._set()

    def _later(self, before: float) -> bool:
        """Whether the core has given more time."""
        state = self._subject.instance.state
        return isinstance(state, Readying) and state.deadline > before
