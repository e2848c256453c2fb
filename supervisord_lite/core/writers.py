"""Which channels have a writer: an instance holds the write end of what it writes to, unless it
rests. A channel whose last writer has let go is closed, and its readers see the end of file.
"""

from collections.abc import Collection

from supervisord_lite.core.channel import Use
from supervisord_lite.core.spec import InstanceSpec
from supervisord_lite.core.state import Exited, Instance, Stopped

_RESTS = (Stopped, Exited)
_NONE: tuple[tuple[str, ...], tuple[str, ...]] = (), ()


class Writers:
    """How many instances hold the write end of each channel."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def open(self) -> Collection[str]:
        return tuple(self._counts)

    def count(
        self, before: Instance | None, after: Instance | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which channels got their first writer by this change, and which lost their last."""
        if before and after and before.spec is after.spec and _rests(before) is _rests(after):
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


def written_by(spec: InstanceSpec) -> tuple[str, ...]:
    """The channels that it writes to: by its outputs, by copies of its logs, by descriptors."""
    program = spec.program
    names = [program.stdout.channel, program.stderr.channel]
    names += [log.channel for log in (spec.stdout_log, spec.stderr_log) if log is not None]
    names += [one.channel for one in program.channels if one.use is Use.WRITE]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def used_by(spec: InstanceSpec) -> tuple[str, ...]:
    """The channels that must be there for it to start."""
    program = spec.program
    names = (program.stdin.channel, *(one.channel for one in program.channels), *written_by(spec))
    return tuple(name for name in names if name is not None)


def _writes(instance: Instance | None) -> tuple[str, ...]:
    """The channels whose write end the instance holds."""
    return () if instance is None or _rests(instance) else written_by(instance.spec)


def _rests(instance: Instance) -> bool:
    return type(instance.state) in _RESTS
