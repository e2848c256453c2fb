"""Pipe channels: anonymous pipes whose ends the keeper holds apart.

So what sits in a pipe survives its writers, its readers and the manager. Readers get the read
end, writers the write end; when the last writer is down by wish, the write end is dropped and the
readers see the end of the file. A fresh pipe has both ends held, whoever comes first.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from supervisord_lite.core.spec import ChannelSpec

Hold = Callable[[str, int], None]
Drop = Callable[[str], None]

_PREFIX = "channel/"


def read_end(channel: str) -> str:
    """The name under which the read end is held."""
    return f"{_PREFIX}{channel}/read"


def write_end(channel: str) -> str:
    """The name under which the write end is held."""
    return f"{_PREFIX}{channel}/write"


class PipeChannels:
    """The pipes of a configuration. Keeps a read end of each here, to make write ends from, and
    never a write end, which would keep readers from ever seeing the end of the file.
    """

    def __init__(self, held: Mapping[str, int], hold: Hold, drop: Drop) -> None:
        """`held` is what an earlier manager left; the descriptors of channels become ours."""
        self._hold, self._drop = hold, drop
        self._readers: dict[str, int] = {}
        self._open: set[str] = set()
        for name, descriptor in held.items():
            if not name.startswith(_PREFIX):
                continue
            channel, _, end = name.removeprefix(_PREFIX).rpartition("/")
            if end == "read":
                self._readers[channel] = descriptor
            else:
                self._open.add(channel)
                os.close(descriptor)

    def declare(self, specs: Iterable[ChannelSpec]) -> None:
        """Make the channels that are new, let go of those that are gone, set sizes."""
        declared = {spec.name: spec for spec in specs}
        for name in [name for name in self._readers if name not in declared]:
            self._remove(name)
        for name, spec in declared.items():
            if name not in self._readers:
                self._make(name)
            if spec.size is not None:
                with suppress(OSError):  # beyond the user's quota: the pipe works as it is
                    fcntl.fcntl(self._readers[name], fcntl.F_SETPIPE_SZ, spec.size)

    def open_writers(self, channel: str) -> None:
        """A writer is coming: there must be a write end for it."""
        if channel in self._open or channel not in self._readers:
            return
        path = f"/proc/self/fd/{self._readers[channel]}"
        end = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._hold(write_end(channel), end)
        os.close(end)
        self._open.add(channel)

    def close_writers(self, channel: str) -> None:
        """No writer is left or wanted: readers see the end once they have read what is there."""
        if channel in self._open:
            self._open.discard(channel)
            self._drop(write_end(channel))

    def _make(self, channel: str) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self._hold(read_end(channel), reader)
        self._hold(write_end(channel), writer)
        os.close(writer)
        self._readers[channel] = reader
        self._open.add(channel)

    def _remove(self, channel: str) -> None:
        self.close_writers(channel)
        self._drop(read_end(channel))
        os.close(self._readers.pop(channel))
