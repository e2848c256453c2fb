"""How many bytes have come out of a stream's pipe, and how far they may come out now.

A place in the stream, where a run ends or begins, is its position when that is told. The lane comes
to it later, and until then takes nothing from beyond it: bytes of two runs are never one fill.
"""

import threading
from collections.abc import Callable

from supervisord_lite.linux import pipes


class Meter:
    """`taken` is how many have left the pipe. `position` and `halt` are for any thread, and no disk
    can hold them up; all else is for the lane's.
    """

    def __init__(self, pipe: int) -> None:
        self.taken = 0
        self._pipe = pipe
        self._counting = threading.Lock()  # while some leave it, and are not counted yet
        self._halts: list[int] = []

    def position(self) -> int:
        """How many bytes have come out of the pipe or are in it. It may be too low, but only for
        bytes that go into no file.
        """
        with self._counting:
            return self._position()

    def halt(self) -> int:
        """The position, beyond which nothing is filled from now on, until `go_on`."""
        with self._counting:
            position = self._position()
            self._halts.append(position)
            return position

    def go_on(self) -> None:
        """What was to be done at the first of the halts is done."""
        with self._counting:
            self._halts.pop(0)

    def fill(self, take: Callable[[int], int], most: int) -> int:
        """Have at most so many bytes taken out of the pipe, which must not wait; answers how many
        it were.
        """
        with self._counting:
            if self._halts:
                most = min(most, self._halts[0] - self.taken)
            if most <= 0:
                return 0
            count = take(most)
            self.taken += count
            return count

    def _position(self) -> int:
        return self.taken + pipes.waiting(self._pipe)
