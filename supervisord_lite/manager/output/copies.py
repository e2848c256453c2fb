"""Which logged streams are copied into which channels, and how a channel with copies is closed.

A channel whose last writer is down by wish is to be closed, but what that writer has said may still
wait for room in it. So the copies are ended first, each behind its last byte, and only then the
write end is let go of.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from supervisord_lite.channels.room import Channels
from supervisord_lite.core.log import Log
from supervisord_lite.logs.capture.copied import write_end
from supervisord_lite.logs.plane import DataPlane, Ends

Soon = Callable[..., object]

_WRITE = "write"  # the part of a channel that is written to


@dataclass(eq=False, slots=True)
class _Ending:
    """One attempt to close a channel: the streams whose copies have not ended yet."""

    left: set[str]


def ends_of(channels: Channels) -> Ends:
    """Where the data plane gets its ends of channels."""

    def end_of(channel: str) -> int | None:
        parts = channels.duplicates(channel)
        try:
            return write_end(parts[_WRITE]) if _WRITE in parts else None
        finally:
            for descriptor in parts.values():
                os.close(descriptor)

    return end_of


class Copies:
    """`logs` are those of the attached streams; `soon` has a function called in this thread, from
    any.
    """

    def __init__(
        self, plane: DataPlane, channels: Channels, logs: Mapping[str, Log], soon: Soon
    ) -> None:
        self._plane = plane
        self._channels = channels
        self._logs = logs
        self._soon = soon
        self._endings: dict[str, _Ending] = {}

    def open_writers(self, channel: str) -> None:
        """A writer is coming, or is there: also for what it says into its log. OSError."""
        self._endings.pop(channel, None)
        self._channels.open_writers(channel)
        for stream in self._into(channel):
            self._plane.open_copy(stream)

    def close_writers(self, channel: str) -> None:
        """No writer is left or wanted: let go of the write end once everything is in the channel
        that was said before.
        """
        ending = self._endings[channel] = _Ending(set(self._into(channel)))
        for stream in tuple(ending.left):
            self._plane.end_copy(stream, partial(self._soon, self._ended, channel, stream, ending))
        self._close_if_over(channel, ending)

    def renew(self) -> None:
        """A channel may have become another one: copy into what it is now."""
        for stream, log in self._logs.items():
            if log.channel is not None and log.channel not in self._endings:
                self._plane.open_copy(stream)

    def detached(self, stream: str) -> None:
        """Nothing more of this stream is copied."""
        for channel, ending in tuple(self._endings.items()):
            self._ended(channel, stream, ending)

    def _into(self, channel: str) -> list[str]:
        return [stream for stream, log in self._logs.items() if log.channel == channel]

    def _ended(self, channel: str, stream: str, ending: _Ending) -> None:
        ending.left.discard(stream)
        self._close_if_over(channel, ending)

    def _close_if_over(self, channel: str, ending: _Ending) -> None:
        # Another ending, or none: a writer has come meanwhile.
        if self._endings.get(channel) is ending and not ending.left:
            del self._endings[channel]
            self._channels.close_writers(channel)
