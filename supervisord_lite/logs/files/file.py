"""One stream's log file: opened, locked, appended to, rotated at line ends.

The offset of every write is the file's size at that moment, so that whoever truncates a log from
outside finds it going on from the start, and one who removes or moves it finds a new one. There is
no O_APPEND, since splice(2) refuses it; a lock keeps a second daemon out instead.
"""

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from supervisord_lite.core.log import Rotation
from supervisord_lite.linux import fallocate, locks, splice
from supervisord_lite.logs.capture.bench import Bench
from supervisord_lite.logs.capture.mover import refuses_splice
from supervisord_lite.logs.directory import make_parents
from supervisord_lite.logs.files import retention, rotation
from supervisord_lite.logs.files.index import Index

_ROOM = 256 * 1024  # free bytes that a file system must have before a log in trouble goes on
_ROTATION_RETRY = 1.0  # seconds
_BLOCK = 64 * 1024  # bytes that a hole may end before the data that is behind it
_LOOK = 1.0  # seconds between two looks at whether the path still names the file


class Owner(Protocol):
    """Whose file it is. `attempt` has errors treated as those of writing are."""

    def notice(self, text: str) -> None: ...

    def rotated(self) -> None: ...

    def attempt(self, act: Callable[[], None]) -> None: ...


class LogFile:
    """A regular file that bytes are appended to. All errors of writing it are raised."""

    def __init__(self, path: str, rotating: Rotation, bench: Bench, owner: Owner) -> None:
        self.path = path
        self.size = 0
        self._rules = rotating
        self._bench = bench
        self._owner = owner
        self._splices = True
        self._rotate_after = 0.0
        self._look_at = time.monotonic() + _LOOK
        self._due: float | None = None  # when the clock has it rotated; only while it has bytes
        self._expiry: float | None = None  # when the oldest file is too old
        self.index = Index(path, bench.indexes, owner.notice)
        self.fd = self._open()
        self.size = os.fstat(self.fd).st_size
        self._trim()
        self._find_boundary()

    def append(self, source: int, count: int) -> None:
        """Move `count` bytes out of a pipe to the end of the file. An error leaves those that
        were not written in the pipe.
        """
        while count:
            self._look()
            limit = self._limit()
            if limit is not None and self.size + count > limit:
                count -= self._near_the_limit(source, count, self.size, limit)
            else:
                count -= self._put(source, count, self.size)

    def room(self) -> int | None:
        """Bytes that fit before the file is to be rotated (0 or less: none); None: no limit now.
        Whatever happened to the file from outside is noticed first.
        """
        self._look()
        limit = self._limit()
        return None if limit is None else limit - self.size

    def write(self, data: bytes, at: int) -> None:
        """Append bytes of our own making that came at `at` (ns since the epoch), all or none."""
        size = self.size
        self.index.note(size, at=at)
        self._put_whole(data, size)
        self._began(size)

    def rewrite(self, data: bytes, offset: int, at: int) -> None:
        """The same at `offset`, where a killed data plane may have written some or all of it, which
        is written over and not cut off first: somebody may have read it.
        """
        self.size = offset
        self.write(data, at)

    def mark(self, line: bytes) -> None:
        """Append a line of our own, at a line's start, whole or not at all."""
        self.size = os.fstat(self.fd).st_size
        if line:
            self.write(line if self.at_line_start() else b"\n" + line, time.time_ns())

    def reserve(self) -> None:
        """Raise unless the file system has room to go on with."""
        fallocate.reserve(self.fd, os.fstat(self.fd).st_size, _ROOM)

    def is_current(self) -> bool:
        """Whether the path still names this file."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def follow_name(self) -> None:
        """Go on in the file that the path names now, which is made if there is none."""
        if self.is_current():
            return
        try:
            regular = stat.S_ISREG(os.lstat(self.path).st_mode)
        except FileNotFoundError:
            self._leave_index()
            self._renew()
            return
        if not regular:
            raise OSError(errno.EINVAL, "it is no regular file any more")
        self._take_over(self._locked(self.path, 0))

    def rotate_as(self, rules: Rotation) -> None:
        """Go on under other rules."""
        self._rules = rules
        self._trim()
        self._find_boundary()

    def rotate(self) -> None:
        """Make this the youngest older file, and go on in a fresh one. What keeps it from being
        renamed is told once, and tried again soon.
        """
        self.index.moves()
        try:
            rotation.rotate(self.path, self._rules.keep)
        except OSError as error:
            if not self._rotate_after:
                self._owner.notice(f"cannot rotate {self.path}: {error.strerror}")
            self._rotate_after = time.monotonic() + _ROTATION_RETRY
            return
        self._rotate_after = 0.0
        self._renew()
        self._trim()
        self._set_alarm()
        self._owner.rotated()

    def began(self, run: int) -> None:
        """Whatever is appended from now on is of this run (0: of nobody known)."""
        self.index.run = run
        self.index.note(os.fstat(self.fd).st_size, force=True)

    def at_line_start(self) -> bool:
        """Whether what is appended next begins a line."""
        return self.size == 0 or os.pread(self.fd, 1, self.size - 1) == b"\n"

    def close(self) -> None:
        """Let go of the file and its lock."""
        self._bench.alarms.set(self, None, self._ring)
        os.close(self.fd)
        self.index.moves()

    # ------------------------------------------------------------- which file it is

    def _open(self) -> int:
        """The file of the name, locked, with its index; made if it is not there."""
        make_parents(self.path)
        try:
            fd = self._locked(self.path, 0)
        except FileNotFoundError:
            return self._create(lambda inode, begun: self.index.create(inode, begun=begun))
        status = os.fstat(fd)
        self.index.adopt(status.st_ino, status.st_size)
        return fd

    def _create(self, begin_index: Callable[[int, bool], None]) -> int:
        """A fresh file, which gets its name last: who opens it by that finds its index there.
        `begin_index` is told its inode, and whether a crash has left it.
        """
        hidden = rotation.hidden_path(self.path, "new")
        begun = os.path.lexists(hidden)
        fd = self._locked(hidden, os.O_CREAT)
        try:
            if os.fstat(fd).st_size:  # ext4 writes out at once what was truncated and is closed
                os.ftruncate(fd, 0)
            begin_index(os.fstat(fd).st_ino, begun)
            os.rename(hidden, self.path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _locked(self, path: str, flags: int) -> int:
        fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        ours = False
        try:
            ours = locks.lock(fd)
        finally:
            if not ours:
                os.close(fd)
        if not ours:
            raise OSError(errno.EBUSY, "another process is writing it")
        return fd

    def _look(self) -> None:
        """Notice what was done to the file by others: it was removed, truncated or renamed."""
        status = os.fstat(self.fd)
        if status.st_nlink == 0:
            self.follow_name()
            status = os.fstat(self.fd)
        if status.st_size < self.size:
            self.index.restart(status.st_ino)
            self._due = None if status.st_size == 0 else self._due
        self.size = status.st_size
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            self.follow_name()
            self._bring_forward()

    def _renew(self) -> None:
        """The path names no file of ours any more: go on in a fresh one."""
        make_parents(self.path)
        size = self.size
        self._replace(self._create(lambda inode, _: self.index.follow(inode, size)))

    def _take_over(self, fd: int) -> None:
        """Go on in a file that somebody else put in this one's place."""
        status = os.fstat(fd)
        self._leave_index()
        if status.st_size:
            self.index.adopt(status.st_ino, status.st_size)
        else:
            self.index.follow(status.st_ino, self.size)
        self._replace(fd)

    def _replace(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self._find_boundary()

    def _leave_index(self) -> None:
        """The file was renamed from outside: its index goes along, if it is an older one now."""
        self.index.moves()
        inode = os.fstat(self.fd).st_ino
        for one in rotation.older(self.path):
            with suppress(OSError):
                if os.stat(one.path).st_ino == inode:
                    os.replace(rotation.index_path(self.path), rotation.index_path(one.path))

    # ------------------------------------------------------------- putting bytes into it

    def _put(self, source: int, count: int, offset: int) -> int:
        """Write up to `count` bytes at `offset`, the file's end."""
        self.index.note(offset)  # first: who reads the bytes at once finds out when they came
        if self._splices:
            try:
                moved = splice.splice(source, self.fd, count, offset)
            except OSError as error:
                if not refuses_splice(error):
                    raise
                self._splices = False
                self._owner.notice(f"{self.path}: the file system refuses splice, bytes are copied")
                return 0
        else:
            copy = self._bench.mover.copy
            moved = copy(source, count, lambda data: os.pwrite(self.fd, data, offset))
        self.size = offset + moved
        self._close_gap(offset)
        self._began(offset)
        return moved

    def _put_whole(self, data: bytes, offset: int) -> None:
        written = 0
        try:
            written = os.pwrite(self.fd, data, offset)
        finally:
            if written < len(data):
                os.ftruncate(self.fd, offset)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size = offset + written
        self._close_gap(offset)

    def _close_gap(self, offset: int) -> None:
        """Somebody may have truncated the file just before bytes were put at `offset`: then there
        is nothing before them but a hole, and they belong to its start.
        """
        if not offset or os.pread(self.fd, 1, offset - 1) != b"\0":
            return  # without lseek(2), for which NFS would write out all that is dirty
        try:
            begin = os.lseek(self.fd, 0, os.SEEK_DATA)
        except OSError:  # it has no data any more, or its file system cannot tell
            return
        if begin + _BLOCK <= offset or not begin:
            return
        data = os.pread(self.fd, self.size - max(begin, offset), max(begin, offset))
        if begin > offset:  # zeros up to where the first of them begin that were put afterwards
            data = data[:_BLOCK].lstrip(b"\0") + data[_BLOCK:]
        os.pwrite(self.fd, data, 0)
        os.ftruncate(self.fd, len(data))
        self.size = len(data)
        self.index.restart(os.fstat(self.fd).st_ino)

    # ------------------------------------------------------------- rotation

    def _limit(self) -> int | None:
        """The size at which the file is to be rotated; None: not now, whatever its size."""
        limit = self._rules.size
        if self._due is not None and self._due <= time.time():
            limit = self.size if limit is None else min(self.size, limit)
        if self._rotate_after and time.monotonic() <= self._rotate_after:
            return None
        return limit

    def _near_the_limit(self, source: int, count: int, size: int, limit: int) -> int:
        data = self._bench.mover.peek(source, count)
        cut = rotation.cut(size, limit, data, at_line_start=self.at_line_start())
        if cut is None:
            return self._put(source, len(data), size)
        if cut:
            return self._put(source, cut, size)  # then the next round finds a line's start
        self.rotate()
        return 0

    def _began(self, offset: int) -> None:
        """Bytes were put at `offset`: perhaps the file's first."""
        if offset == 0 and (self._rules.every is not None or self._rules.daily is not None):
            self._due = retention.boundary(self._rules, time.time())
            self._set_alarm()

    def _find_boundary(self) -> None:
        """When the clock has this file rotated, by when its first byte came."""
        self._due = None
        if self.size and (self._rules.every is not None or self._rules.daily is not None):
            began = self.index.began() or os.fstat(self.fd).st_mtime
            self._due = retention.boundary(self._rules, min(began, time.time()))
        self._set_alarm()

    def _bring_forward(self) -> None:
        """The clock may have been set back since the first byte came."""
        if self._due is None:
            return
        latest = retention.boundary(self._rules, time.time())
        if latest is not None and latest < self._due:
            self._due = latest
            self._set_alarm()

    def _trim(self) -> None:
        try:
            self._expiry = retention.trim(self.path, self._rules, time.time())
        except OSError as error:
            self._expiry = None
            self._owner.notice(f"cannot remove older files of {self.path}: {error.strerror}")

    def _set_alarm(self) -> None:
        """Be called when the next thing is to be done, also where nothing is written."""
        times = [at for at in (self._due, self._expiry) if at is not None]
        try:
            self._bench.alarms.set(self, min(times, default=None), self._ring)
        except OSError as error:  # no descriptor is left: then with the next byte that comes
            self._owner.notice(f"cannot watch the time for {self.path}: {error.strerror}")

    def _ring(self) -> None:
        self._owner.attempt(self._keep_to_the_clock)

    def _keep_to_the_clock(self) -> None:
        self._look()
        now = time.time()
        if self._expiry is not None and self._expiry <= now:
            self._trim()
        due = self._due is not None and self._due <= now and self.size
        if due and self.at_line_start():
            self.rotate()
        elif due:  # once the line has ended that is being written
            self._bench.alarms.set(self, self._expiry, self._ring)
        else:
            self._set_alarm()
