"""The earliest deadline of a fleet: a heap whose entries may be out of date.

Nothing is ever cancelled: an entry that no longer is its instance's deadline is dropped when it
surfaces, or with all others of its kind when they have become the majority.
"""

from heapq import heapify, heappop, heappush


class Alarms:
    """One deadline of each name, or none."""

    def __init__(self) -> None:
        self._current: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, name: str, deadline: float | None) -> None:
        """Its deadline from now on."""
        if deadline is None:
            self._current.pop(name, None)
        elif self._current.get(name) != deadline:
            self._current[name] = deadline
            heappush(self._heap, (deadline, name))
            if len(self._heap) > 2 * len(self._current) + 64:
                self._heap = [(at, name) for name, at in self._current.items()]
                heapify(self._heap)

    def next(self) -> float | None:
        heap, current = self._heap, self._current
        while heap and current.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now: float) -> str | None:
        """One name whose deadline has come, which counts no more; ask again until there is none."""
        while self._heap and self._heap[0][0] <= now:
            deadline, name = heappop(self._heap)
            if self._current.get(name) == deadline:
                del self._current[name]
                return name
        return None
