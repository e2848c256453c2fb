"""Packed logs: compressed in frames of 1 MiB of plain bytes, so that any place is one frame away.

    gzip   members (RFC 1952), each with an extra field "SL": its own size and that of what is in
           it, two 32-bit integers, so that a place is found by walking over headers
    zstd   frames (RFC 8878), and after them the seek table of zstd's seekable format: a skippable
           frame with the same two integers for each

Both are plain files of their kind: zcat and zstdcat read them. Integers are little-endian. What a
file is is told by its first bytes, not by its name.
"""

import errno
import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from supervisord_lite.logs.files import zstd

FRAME = 1024 * 1024  # plain bytes in a frame; the last one has fewer
_GZIP = b"\x1f\x8b\x08\x04"  # magic, deflate, FEXTRA
_ZSTD = b"\x28\xb5\x2f\xfd"
# magic, mtime, flags, system (unknown), length of extra, id, length, sizes of member and content
_MEMBER = struct.Struct("<4sIBBH2sHII")
_TRAILER = struct.Struct("<II")  # CRC-32 and size of the content
_SKIPPABLE = struct.Struct("<II")
_SEEK_TABLE = 0x184D2A5E
_SEEKABLE = 0x8F92EAB1
_FOOTER = struct.Struct("<IBI")  # number of frames, descriptor, magic
_SIZES = struct.Struct("<II")
_CHECKSUMS = 0x80  # bit of the descriptor: each entry is followed by a checksum

Sizes = tuple[int, int]  # of a frame, and of its content


def gzip_member(data: bytes) -> bytes:
    """One member of a packed file."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    size = _MEMBER.size + len(body) + _TRAILER.size
    head = _MEMBER.pack(_GZIP, 0, 0, 255, 12, b"SL", 8, size, len(data))
    return head + body + _TRAILER.pack(zlib.crc32(data), len(data))


def seek_table(frames: list[Sizes]) -> bytes:
    """What follows the frames of a file packed by zstd."""
    entries = b"".join(_SIZES.pack(*sizes) for sizes in frames)
    footer = _FOOTER.pack(len(frames), 0, _SEEKABLE)
    return _SKIPPABLE.pack(_SEEK_TABLE, len(entries) + len(footer)) + entries + footer


class Packed:
    """A packed file, held open; `source` is its path, or a descriptor that is taken over. OSError
    if it is damaged or not one of ours.
    """

    def __init__(self, source: str | int) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        self.fd = os.open(source, flags) if isinstance(source, str) else source
        self.size = 0  # plain bytes
        self._begins = array("Q")  # plain offset of each frame
        self._places = array("Q")  # and where it lies in the file
        self._frame = (-1, b"")
        try:
            status = os.fstat(self.fd)
            self.inode = status.st_ino
            self._is_gzip = os.pread(self.fd, 4, 0) == _GZIP
            sizes = _members if self._is_gzip else _seekable
            self._note(sizes(self.fd, status.st_size))
        except OSError:
            self.close()
            raise

    def pread(self, count: int, offset: int) -> bytes:
        """Up to `count` plain bytes from a plain offset on, not beyond the end of a frame; none
        only at or after the end of all. It costs one frame, or nothing in the frame read last.
        """
        if offset >= self.size:
            return b""
        number = bisect_right(self._begins, offset) - 1
        if self._frame[0] != number:
            self._frame = number, self._read(number)
        start = offset - self._begins[number]
        return self._frame[1][start : start + count]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.close()

    def _note(self, frames: Iterator[Sizes]) -> None:
        place = 0
        for packed, plain in frames:
            self._begins.append(self.size)
            self._places.append(place)
            place += packed
            self.size += plain
        self._places.append(place)

    def _read(self, number: int) -> bytes:
        start, end = self._places[number], self._places[number + 1]
        frame = os.pread(self.fd, end - start, start)
        if len(frame) < end - start:
            raise _damaged()
        return _inflated(frame) if self._is_gzip else zstd.decompress(frame)


def _members(fd: int, length: int) -> Iterator[Sizes]:
    place = 0
    while place < length:
        head = os.pread(fd, _MEMBER.size, place)
        if len(head) < _MEMBER.size:
            raise _damaged()
        magic, _, _, _, _, ours, _, packed, plain = _MEMBER.unpack(head)
        place += packed
        if magic != _GZIP or ours != b"SL" or not packed or place > length:
            raise _damaged()
        yield packed, plain


def _seekable(fd: int, length: int) -> Iterator[Sizes]:
    footer = os.pread(fd, _FOOTER.size, max(0, length - _FOOTER.size))
    if len(footer) < _FOOTER.size or os.pread(fd, 4, 0) != _ZSTD:
        raise _damaged()
    count, descriptor, magic = _FOOTER.unpack(footer)
    each = _SIZES.size + (4 if descriptor & _CHECKSUMS else 0)
    start = length - _FOOTER.size - count * each
    if magic != _SEEKABLE or start < 0:
        raise _damaged()
    table = os.pread(fd, count * each, start)
    yield from (_SIZES.unpack_from(table, number * each) for number in range(count))


def _inflated(member: bytes) -> bytes:
    body = member[_MEMBER.size : -_TRAILER.size]
    try:
        data = zlib.decompress(body, -zlib.MAX_WBITS)
    except zlib.error:
        raise _damaged() from None
    if _TRAILER.unpack(member[-_TRAILER.size :]) != (zlib.crc32(data), len(data)):
        raise _damaged()
    return data


def _damaged() -> OSError:
    return OSError(errno.EBADMSG, "it is damaged, or not a log that was packed here")
