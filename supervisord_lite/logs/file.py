"""One stream's log file: opened, locked, appended to, rotated at line ends.

The offset of every write is the file's size at that moment, so that whoever truncates a log from
outside finds it going on from the start, and one who removes it finds a new one. There is no
O_APPEND, since splice(2) refuses it; a lock keeps a second daemon out instead.
"""

import errno
import os
import time
from collections.abc import Callable

from supervisord_lite.core.log import Rotation
from supervisord_lite.linux import fallocate, locks, splice
from supervisord_lite.logs import rotation
from supervisord_lite.logs.directory import make_parents
from supervisord_lite.logs.index import Index, OpenIndexes
from supervisord_lite.logs.mover import Mover, refuses_splice

_ROOM = 256 * 1024  # free bytes that a file system must have before a log in trouble goes on
_ROTATION_RETRY = 1.0  # seconds


class LogFile:
    """A regular file that bytes are appended to. All errors of writing it are raised."""

    def __init__(
        self,
        path: str,
        rotating: Rotation,
        mover: Mover,
        indexes: OpenIndexes,
        notice: Callable[[str], None],
    ) -> None:
        self.path = path
        self.size = 0
        self.rotating = rotating
        self._mover = mover
        self._notice = notice
        self._splices = True
        self._rotate_after = 0.0
        self.index = Index(path, indexes, notice)
        self.fd = self._open()
        self.size = os.fstat(self.fd).st_size

    def append(self, source: int, count: int) -> None:
        """Move `count` bytes out of a pipe to the end of the file. An error leaves those that
        were not written in the pipe.
        """
        while count:
            status = os.fstat(self.fd)
            size = status.st_size
            if status.st_nlink == 0:
                self._renew()
                continue
            if size < self.size:  # someone truncated it
                self.index.restart(status.st_ino)
            self.size = size
            limit = self.rotating.size
            if limit is not None and size + count > limit and time.monotonic() > self._rotate_after:
                count -= self._near_the_limit(source, count, size, limit)
            else:
                count -= self._put(source, count, size)

    def mark(self, line: bytes) -> None:
        """Append a line of our own, at a line's start, whole or not at all. Raises if the file
        system has no room to go on with afterwards.
        """
        size = os.fstat(self.fd).st_size
        fallocate.reserve(self.fd, size, _ROOM)
        if not line:
            return
        text = line if self._at_line_start(size) else b"\n" + line
        if os.pwrite(self.fd, text, size) < len(text):
            os.ftruncate(self.fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size = size + len(text)

    def is_current(self) -> bool:
        """Whether the path still names this file."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def began(self, run: int) -> None:
        """Whatever is appended from now on is of this run (0: of nobody known)."""
        self.index.run = run
        self.index.note(os.fstat(self.fd).st_size, force=True)

    def prune(self) -> None:
        """Remove older files beyond what rotation keeps."""
        rotation.prune(self.path, self.rotating.keep)

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self.fd)
        self.index.moves()

    def _open(self) -> int:
        """The file of the name, locked, with its index; made if it is not there."""
        make_parents(self.path)
        try:
            fd = self._locked(self.path, 0)
        except FileNotFoundError:
            return self._create(self.index.create)
        status = os.fstat(fd)
        self.index.adopt(status.st_ino, status.st_size)
        return fd

    def _create(self, begin_index: Callable[[int], None]) -> int:
        """A fresh file, which gets its name last: who opens it by that finds its index there."""
        hidden = rotation.hidden_path(self.path, "new")
        fd = self._locked(hidden, os.O_CREAT)
        try:
            if os.fstat(fd).st_size:  # ext4 writes out at once what was truncated and is closed
                os.ftruncate(fd, 0)
            begin_index(os.fstat(fd).st_ino)
            os.rename(hidden, self.path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _locked(self, path: str, flags: int) -> int:
        fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        if not locks.lock(fd):
            os.close(fd)
            raise OSError(errno.EBUSY, "another process is writing it")
        return fd

    def _put(self, source: int, count: int, offset: int) -> int:
        """Write up to `count` bytes at `offset`, the file's end."""
        if self._splices:
            try:
                moved = splice.splice(source, self.fd, count, offset)
            except OSError as error:
                if not refuses_splice(error):
                    raise
                self._splices = False
                self._notice(f"{self.path}: the file system refuses splice, bytes are copied")
                return 0
        else:
            moved = self._mover.copy(source, count, lambda data: os.pwrite(self.fd, data, offset))
        self.index.note(offset)
        self.size = offset + moved
        return moved

    def _near_the_limit(self, source: int, count: int, size: int, limit: int) -> int:
        data = self._mover.peek(source, count)
        cut = rotation.cut(size, limit, data, at_line_start=self._at_line_start(size))
        if cut is None:
            return self._put(source, len(data), size)
        if cut:
            return self._put(source, cut, size)  # then the next round finds a line's start
        self._rotate()
        return 0

    def _at_line_start(self, size: int) -> bool:
        return size == 0 or os.pread(self.fd, 1, size - 1) == b"\n"

    def _rotate(self) -> None:
        self.index.moves()
        try:
            rotation.rotate(self.path, self.rotating.keep)
        except OSError as error:
            self._rotate_after = time.monotonic() + _ROTATION_RETRY
            self._notice(f"cannot rotate {self.path}: {error.strerror}")
            return
        self._renew()

    def _renew(self) -> None:
        """The path names no file of ours any more: go on in a fresh one."""
        size = self.size
        fresh = self._create(lambda inode: self.index.follow(inode, size))
        os.close(self.fd)
        self.fd = fresh
        self.size = 0
