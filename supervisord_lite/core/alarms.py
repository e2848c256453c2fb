"""The earliest deadline of a fleet: a heap whose entries may be out of date.

Nothing is ever cancelled: an entry that no longer is its instance's deadline is dropped when it
surfaces, or with all others of its kind when they have become the majority.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush


class Alarms:
    """`due` tells an instance's present deadline by its name; None if it has none."""

    def __init__(self, due: Callable[[str], float | None]) -> None:
        self._due = due
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, deadline: float, name: str, instances: int) -> None:
        """The instance has this deadline now, in a fleet of so many."""
        heappush(self._heap, (deadline, name))
        if len(self._heap) > 2 * instances + 64:
            self._heap = [alarm for alarm in set(self._heap) if self._is_current(alarm)]
            heapify(self._heap)

    def next(self) -> float | None:
        while self._heap and not self._is_current(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> str | None:
        """One instance whose deadline has come; ask again until there is none."""
        while self._heap and self._heap[0][0] <= now:
            alarm = heappop(self._heap)
            if self._is_current(alarm):
                return alarm[1]
        return None

    def _is_current(self, alarm: tuple[float, str]) -> bool:
        return self._due(alarm[1]) == alarm[0]
