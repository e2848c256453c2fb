"""The page on which it stands how far a feed has come: a memfd that another process holds too, so
that whoever comes after a SIGKILL reads what was true at that instant.

    header   letter (1 byte), slot (1), two unused, length (4), count (8): one write, thus whole
    slots    two texts, each at a place of its own; the header names the valid one

A text of any length is written into the other slot before the header names it. The count begins
from 0 with each change of the text, and is its last line, after a plus, if it is more. What letter
and count mean is their owner's business.
"""

import os
import struct

_HEADER = struct.Struct("<cBxxIQ")
_FIRST = 4096
_SLOT = 1 << 28  # bytes from one to the next; nobody pays for what is never written


class Page:
    """Owns its descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._letter = b""
        self._slot = self._length = self._count = 0
        header = os.pread(fd, _HEADER.size, 0)
        if len(header) == _HEADER.size:
            self._letter, self._slot, self._length, self._count = _HEADER.unpack(header)

    def letter(self) -> bytes:
        """What was marked last; empty where nothing was ever noted."""
        return self._letter

    def text(self) -> str:
        """What was noted last, and added to it."""
        text = os.pread(self._fd, self._length, _place(self._slot)).decode()
        return f"{text}\n+{self._count}" if self._count else text

    @property
    def length(self) -> int:
        """Bytes of the text."""
        return self._length

    def mark(self, letter: bytes) -> None:
        """Change the letter alone."""
        self._letter = letter
        os.pwrite(self._fd, letter, 0)

    def note(self, letter: bytes, text: str) -> None:
        """Replace letter and text together."""
        data = text.encode()
        slot = 1 - self._slot & 1
        os.pwrite(self._fd, data, _place(slot))
        self._letter, self._slot, self._length = letter, slot, len(data)
        self.count(0)

    def add(self, text: str) -> None:
        """Add to the text: cheaper than to note all of a long one."""
        data = text.encode()
        os.pwrite(self._fd, data, _place(self._slot) + self._length)
        self._length += len(data)
        self.count(0)

    def count(self, count: int) -> None:
        """Change the count alone: cheapest."""
        self._count = count
        header = _HEADER.pack(self._letter, self._slot, self._length, count)
        os.pwrite(self._fd, header, 0)

    def clear(self) -> None:
        """Note nothing any more."""
        os.ftruncate(self._fd, 0)
        self._letter = b""
        self._slot = self._length = self._count = 0

    def close(self) -> None:
        """Let go of it; the other process keeps its own."""
        os.close(self._fd)


def _place(slot: int) -> int:
    return _FIRST + (slot & 1) * _SLOT
