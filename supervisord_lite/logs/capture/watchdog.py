"""Noticing a disk that does not answer, from outside the thread that it holds.

Awake only while bytes move: the first step after a quiet time rouses it, and it looks every
second until it has seen nothing busy.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

STALLED = 5.0  # seconds that one step may take
_TICK = 1.0  # seconds between two looks


class Busy(Protocol):
    """A lane, as seen from here."""

    place: str
    busy_since: float


class Watchdog:
    """`began` and `ended` are called once a stall, in the watchdog's thread."""

    def __init__(self, began: Callable[[Busy], None], ended: Callable[[Busy], None]) -> None:
        self.awake = False
        self._began = began
        self._ended = ended
        self._lanes: list[Busy] = []
        self._stalled: set[str] = set()
        self._roused = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logs watchdog", daemon=True)

    def watch(self, lane: Busy) -> None:
        """Look after this one too."""
        self._lanes.append(lane)

    def rouse(self) -> None:
        """Something is about to be busy."""
        self.awake = True
        self._roused.set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, whatever is stalled."""
        self._over.set()
        self._roused.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._roused.wait()
            self._roused.clear()
            while not self._over.wait(_TICK) and self._look():
                pass

    def _look(self) -> bool:
        """Compare the clocks; whether to look again."""
        self.awake = False  # whoever is busy from now on rouses us again
        now = time.monotonic()
        for lane in list(self._lanes):
            since = lane.busy_since
            if since and now - since >= STALLED and lane.place not in self._stalled:
                self._stalled.add(lane.place)
                self._began(lane)
            elif lane.place in self._stalled and (not since or now - since < STALLED):
                self._stalled.remove(lane.place)
                self._ended(lane)
        return any(lane.busy_since for lane in self._lanes)
