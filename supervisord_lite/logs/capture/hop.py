"""The hop: a pipe between a worker's pipe and a file, and the word that says whose bytes it has.

Bytes pass through it by splice and are at every instant in a pipe or in a file, never in the
memory of a process. Both ends and the owner word are held by another process too; whoever comes
after a SIGKILL finds the bytes there, and in the owner word the name of their stream. The word is
written only while the hop is empty, so it is never wrong about bytes that are there.
"""

import os
import struct
from dataclasses import dataclass
from typing import Protocol

from supervisord_lite.linux import pipes, splice

SIZE = 1024 * 1024  # wished for; the kernel's default does as well
_PAGE = 4096
_LENGTH = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class Hop:
    """Three descriptors: both ends of the pipe, and the memfd that is the owner word."""

    read: int
    write: int
    owner: int


class HopStore(Protocol):
    """Where hops are kept alive: each must be held by another process before `get` returns.

    `get` answers the hop held under `key`, or a fresh one that is held from now on; `held` all
    that there are; `buffer` the one that the stream has (see
    `buffer`), or a fresh one. All are called in the caller's thread only.
    """

    def get(self, key: str) -> Hop: ...

    def held(self) -> dict[str, Hop]: ...

    def buffer(self, stream: str) -> int: ...

    def has_buffer(self, stream: str) -> bool: ...

    def drop_buffer(self, stream: str) -> None: ...

    def drop(self, key: str) -> None: ...


def make_hop() -> Hop:
    """A fresh, empty hop."""
    read, write = pipes.make()
    pipes.resize(write, SIZE)
    owner = os.memfd_create("owner-word", os.MFD_CLOEXEC)
    os.ftruncate(owner, _PAGE)
    return Hop(read, write, owner)


def left_in(hop: Hop) -> str | None:
    """The stream whose bytes are in the hop, None if it is empty."""
    if not pipes.waiting(hop.read):
        return None
    page = os.pread(hop.owner, _PAGE, 0)
    (length,) = _LENGTH.unpack_from(page)
    return page[_LENGTH.size : _LENGTH.size + length].decode()


class Passage:
    """The way through one hop, used by one thread."""

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.read = hop.read
        self._owner: str | None = None

    def fill(self, stream: str, pipe: int, most: int = SIZE) -> int:
        """Take what is in the stream's pipe into the empty hop, at most so many bytes.
        BlockingIOError: nothing is.
        """
        if stream != self._owner:
            self._claim(stream)
        return splice.splice(pipe, self.hop.write, most)

    def waiting(self) -> int:
        """Bytes in the hop now."""
        return pipes.waiting(self.read)

    def _claim(self, stream: str) -> None:
        name = stream.encode()
        assert len(name) <= _PAGE - _LENGTH.size, "a stream's name fits the owner word"
        os.pwrite(self.hop.owner, _LENGTH.pack(len(name)) + name, 0)
        self._owner = stream
