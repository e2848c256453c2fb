"""The index of a log file: when its bytes came and of which run, in a hidden file beside it.

    header  magic (8 bytes), chain (16), inode of the log file (8), base (8)
    entry   offset in the file (8), nanoseconds since the epoch (8, signed), run (8; 0: unknown)

All integers are little-endian. An entry speaks of the bytes from its offset up to the next one's;
offsets and times never go down. All files of one log share the *chain*, a random number that is
drawn anew when the log starts from nothing, and `base` is how many bytes of the chain lie in
files before this one: chain and position name a byte for ever, across every rotation.

An index is a help, not a record: where it cannot be written, the log goes on without it. The
inode tells an index that belongs to another file.
"""

import errno
import os
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from supervisord_lite.logs.files import rotation
from supervisord_lite.logs.files.packed import Packed
from supervisord_lite.logs.files.rotation import Older, index_path, numbered

HEADER = struct.Struct("<8s16sQQ")
ENTRY = struct.Struct("<QqQ")
MAGIC = b"sl-idx1\n"
_SPACING = 10_000_000  # nanoseconds between two entries of one run
_KEPT_OPEN = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Which bytes a log file holds: those of `chain` from `base` on."""

    chain: bytes
    base: int


def identity(path: str, inode: int) -> Identity | None:
    """Who the log file at `path` with this inode is; None if no index tells."""
    try:
        fd = os.open(index_path(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = os.read(fd, HEADER.size)
        finally:
            os.close(fd)
    except OSError:
        return None
    if len(header) < HEADER.size:
        return None
    magic, chain, owner, base = HEADER.unpack(header)
    return Identity(chain, base) if magic == MAGIC and owner == inode else None


class OpenIndexes:
    """Descriptors of the indexes written last: there may be thousands, and few are busy."""

    def __init__(self) -> None:
        self._fds: OrderedDict[str, int] = OrderedDict()

    def get(self, path: str) -> int:
        """A descriptor for reading and appending, of a file that is made if need be."""
        fd = self._fds.pop(path, None)
        if fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(path, flags, 0o640)
        self._fds[path] = fd
        if len(self._fds) > _KEPT_OPEN:
            os.close(self._fds.popitem(last=False)[1])
        return fd

    def forget(self, path: str) -> None:
        """The file at this path is about to be another one."""
        fd = self._fds.pop(path, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Give back all of them."""
        for path in list(self._fds):
            self.forget(path)


class Index:
    """The index of a log's present file. That it cannot be written is told once, never raised."""

    def __init__(self, log: str, fds: OpenIndexes, notice: Callable[[str], None]) -> None:
        self._log = log
        self._path = index_path(log)
        self._fds = fds
        self._notice = notice
        self._broken = False
        self._identity = Identity(b"", 0)
        self._header = b""  # while it cannot be written
        self._time = 0
        self._noted = -_SPACING  # CLOCK_MONOTONIC: the wall clock may be set back
        self.run = 0

    def adopt(self, inode: int, size: int) -> None:
        """Go on with the index of a file that was there, or begin one."""
        self._complete_rotation(inode)
        self._fds.forget(self._path)
        known = identity(self._log, inode)
        if known is None:
            self._begin(self._successor() or _fresh(), inode)
            return
        self._identity = known
        try:
            if not self._resume(size):
                self.restart(inode)
        except OSError as error:
            self._fail(error)

    def follow(self, inode: int, size: int) -> None:
        """Begin the index of a fresh file that takes over from one of `size` bytes."""
        self._begin(Identity(self._identity.chain, self._identity.base + size), inode)

    def create(self, inode: int, *, begun: bool) -> None:
        """Begin the index of a fresh file, which nobody here was writing before. Without an old
        index it is the one that a crash in the middle of a rotation kept from being made; `begun`:
        a crash has left the file, and so perhaps the beginning of its index.
        """
        who = identity(self._log, inode) if begun else None
        self._begin(who or self._successor() or _fresh(), inode)

    def restart(self, inode: int) -> None:
        """Begin from nothing: no position in what was before means anything any more."""
        self._begin(_fresh(), inode)

    def note(self, offset: int, *, force: bool = False, at: int | None = None) -> None:
        """Bytes from `offset` on come now, or came `at` that time. Says so at most once in 10 ms,
        unless it must.
        """
        now = time.monotonic_ns()
        if not force and now - self._noted < _SPACING:
            return
        self._noted = now
        self._time = max(time.time_ns() if at is None else at, self._time)
        try:
            self._write_entry(offset)
        except OSError as error:
            self._fail(error)
        else:
            self._broken = False

    def began(self) -> float | None:
        """When the file's first byte came, in seconds since the epoch; None: nobody knows."""
        first: int | None = None
        place = HEADER.size
        with suppress(OSError):
            fd = self._fds.get(self._path)
            while len(entry := os.pread(fd, ENTRY.size, place)) == ENTRY.size:
                offset, when, _ = ENTRY.unpack(entry)
                if offset:
                    break
                first, place = when, place + ENTRY.size
        return None if first is None else first / 1e9

    def moves(self) -> None:
        """The file is about to be renamed, and this index with it."""
        self._fds.forget(self._path)

    def _fail(self, error: OSError) -> None:
        if not self._broken:
            self._notice(f"cannot write {self._path}: {error.strerror}")
        self._broken = True

    def _begin(self, who: Identity, inode: int) -> None:
        self._identity = who
        self._time = 0
        self._header = HEADER.pack(MAGIC, who.chain, inode, who.base)
        self.note(0, force=True)

    def _write_entry(self, offset: int) -> None:
        """Write an entry, and before the first one the header, as soon as that is possible."""
        fd = self._fds.get(self._path)
        if self._header:
            os.ftruncate(fd, 0)
            first = ENTRY.pack(0, self._time, 0) if offset else b""
            _write(fd, self._header + first)
            self._header = b""
        _write(fd, ENTRY.pack(offset, self._time, self.run))

    def _successor(self) -> Identity | None:
        """Who the present file is, if a crash or a full disk kept its index from being made."""
        if _size(self._path) >= HEADER.size:
            return None
        older = rotation.older(self._log)
        return _after(older[0]) if older and older[0].number == 1 else None

    def _resume(self, size: int) -> bool:
        fd = self._fds.get(self._path)
        length = os.fstat(fd).st_size
        whole = length - (length - HEADER.size) % ENTRY.size
        if whole != length:
            os.ftruncate(fd, whole)
        if whole == HEADER.size:
            return False
        offset, self._time, self.run = ENTRY.unpack(os.pread(fd, ENTRY.size, whole - ENTRY.size))
        return bool(offset <= size)

    def _complete_rotation(self, inode: int) -> None:
        """A crash between moving the index and moving its file: take the index back."""
        older = numbered(self._log, 1)
        if identity(self._log, inode) is None and identity(older, inode) is not None:
            with suppress(OSError):
                os.replace(index_path(older), self._path)


def _fresh() -> Identity:
    """Of a log that begins from nothing."""
    return Identity(os.urandom(16), 0)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _after(one: Older) -> Identity | None:
    """Who the file is that comes after an older one; None if no index tells."""
    try:
        if one.packed:
            with Packed(one.path) as packed:
                inode, size = packed.inode, packed.size
        else:
            status = os.stat(one.path)
            inode, size = status.st_ino, status.st_size
    except OSError:
        return None
    known = identity(one.path, inode)
    return Identity(known.chain, known.base + size) if known else None


def _write(fd: int, data: bytes) -> None:
    """Append all of it or nothing."""
    written = os.write(fd, data)
    if written < len(data):
        os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
