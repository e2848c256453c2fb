"""Times at which something is to be done in a thread of the data plane, a lane's or the feeder's;
with none set, it sleeps.
"""

import time
from collections.abc import Callable, Hashable


class Timeouts:
    """One timeout a key, at a time of CLOCK_MONOTONIC. There are few at any moment: those of lines
    that wait for their end, of limits that are being kept, and of what the kernel does not watch.
    """

    def __init__(self) -> None:
        self._set: dict[Hashable, tuple[float, Callable[[], None]]] = {}

    def set(self, key: Hashable, at: float, ring: Callable[[], None]) -> None:
        """Call `ring` then, and at no other time that was said before."""
        self._set[key] = at, ring

    def clear(self, key: Hashable) -> None:
        """Call nothing."""
        self._set.pop(key, None)

    @property
    def next(self) -> float | None:
        """The earliest time."""
        return min(at for at, _ in self._set.values()) if self._set else None

    def ring(self) -> None:
        """Call those whose time has come."""
        now = time.monotonic()
        for key, (at, ring) in list(self._set.items()):
            if at <= now and key in self._set:
                del self._set[key]
                ring()
