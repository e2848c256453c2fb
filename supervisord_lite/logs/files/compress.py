"""The compressor: a program of its own that packs one older file of a log.

    python -m supervisord_lite.logs.files.compress LOG INODE gzip|zstd

It packs the older file of LOG with this inode, whatever its number is by now, and leaves what it
has made, whole and on the disk, under a hidden name beside it, with its index; only the data plane,
which renames the log's files, gives it its name (`rotation.settle`). So nothing is lost or seen
half done, whenever this is killed. It takes the processor and the disk only while nobody else wants
them. Exit status 0: done; 3: there is no such file, or it is still written to; 1: it says why.
"""

import contextlib
import os
import sys

import psutil

from supervisord_lite.core.log import Compression
from supervisord_lite.linux import locks
from supervisord_lite.logs.files import packed, rotation, zstd
from supervisord_lite.logs.files.index import HEADER
from supervisord_lite.logs.files.packed import FRAME, Sizes

DONE, FAILED, NOTHING = 0, 1, 3
_IDLE = 19  # the lowest priority, setpriority(2)


def compress(log: str, inode: int, method: Compression) -> bool:
    """Pack the file; False if there is none. OSError leaves nothing behind."""
    hidden, hidden_index = rotation.packing_paths(log)
    for name in (hidden_index, hidden):  # a killed one's
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    with contextlib.ExitStack() as stack:
        source = _open(log, inode)
        if source is None:
            return False
        stack.callback(os.close, source)
        target = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, target)
        try:
            _pack(source, target, method)
            _copy_index(log, inode, os.fstat(target).st_ino)
            _liken(source, target)
        except OSError:
            os.unlink(hidden)
            raise
    return True


def _open(log: str, inode: int) -> int | None:
    """The older file with this inode, locked: none that is written to is packed."""
    for one in rotation.older(log):
        try:
            fd = os.open(one.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:  # it moved on while we looked
            continue
        if os.fstat(fd).st_ino == inode and not one.packed and locks.lock(fd):
            return fd
        os.close(fd)
    return None


def _pack(source: int, target: int, method: Compression) -> None:
    """Write all frames of `source`."""
    squeeze = zstd.compress if method is Compression.ZSTD else packed.gzip_member
    frames: list[Sizes] = []
    place = 0
    while data := os.pread(source, FRAME, place):
        frame = squeeze(data)
        _write(target, frame)
        frames.append((len(frame), len(data)))
        place += len(data)
    if method is Compression.ZSTD:
        _write(target, packed.seek_table(frames))
    os.fsync(target)


def _copy_index(log: str, inode: int, packed_inode: int) -> None:
    """The index of the file with `inode` for the packed one: all offsets are those in the plain
    file. Without one, there is none.
    """
    content = _index_of(log, inode)
    if content is None:
        return
    magic, chain, _, base = HEADER.unpack_from(content)
    head = HEADER.pack(magic, chain, packed_inode, base)
    path = rotation.packing_paths(log)[1]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        _write(fd, head + content[HEADER.size :])
        os.fsync(fd)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)


def _index_of(log: str, inode: int) -> bytes | None:
    """It is beside the file, or one number ahead while a rotation is under way."""
    numbers = [one.number for one in rotation.older(log)]
    for number in [*numbers, max(numbers, default=0) + 1]:
        try:
            with open(rotation.index_path(rotation.numbered(log, number)), "rb") as stream:
                content = stream.read()
        except FileNotFoundError:
            continue
        if len(content) >= HEADER.size and HEADER.unpack_from(content)[2] == inode:
            return content
    return None


def _liken(source: int, target: int) -> None:
    """Owner, mode and times of the plain file: its mtime tells when its last byte came."""
    status = os.fstat(source)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, status.st_mode & 0o777)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def main(log: str, inode: str, method: str) -> int:
    """The whole program."""
    os.nice(_IDLE)
    with contextlib.suppress(OSError):  # not every sandbox lets one
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    try:
        return DONE if compress(log, int(inode), Compression(method)) else NOTHING
    except OSError as error:
        print(f"cannot compress an older file of {log}: {error.strerror}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
