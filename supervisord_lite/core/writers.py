"""Which channels have a writer: an instance holds the write end of what it writes to, unless it
rests. A channel whose last writer has let go is closed, and its readers see the end of file.
"""

from collections.abc import Iterable

from supervisord_lite.core.state import Exited, Instance, Stopped

_NONE: tuple[tuple[str, ...], tuple[str, ...]] = (), ()


class Writers:
    """How many instances hold the write end of each channel."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def open(self) -> Iterable[str]:
        return tuple(self._counts)

    def count(
        self, before: Instance | None, after: Instance | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which channels got their first writer by this change, and which lost their last."""
        if before and after and before.spec is after.spec:
            program = after.spec.program
            if program.stdout.channel is None and program.stderr.channel is None:
                return _NONE
        old, new = _writes(before), _writes(after)
        if old == new:
            return _NONE
        for channel in new:
            self._counts[channel] = self._counts.get(channel, 0) + 1
        for channel in old:
            self._counts[channel] -= 1
        opened = tuple(one for one in new if one not in old and self._counts[one] == 1)
        closed = tuple(one for one in old if not self._counts[one])
        for channel in closed:
            del self._counts[channel]
        return opened, closed


def _writes(instance: Instance | None) -> tuple[str, ...]:
    """The channels whose write end the instance holds."""
    if instance is None or isinstance(instance.state, Stopped | Exited):
        return ()
    return _channels(instance)


def _channels(instance: Instance) -> tuple[str, ...]:
    """The channels that it writes to."""
    program = instance.spec.program
    first, second = program.stdout.channel, program.stderr.channel
    if first == second or second is None:
        return () if first is None else (first,)
    return (second,) if first is None else (first, second)
