"""Being told that files were opened, changed, moved or removed: inotify(7).

A watch on a directory tells of what is directly in it, not of what lies deeper: whoever wants a
whole tree watches each directory, and looks into one again after having watched it, since what was
made in between is told by nobody.
"""

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

IN_MODIFY = 0x0002
IN_ATTRIB = 0x0004
IN_CLOSE_WRITE = 0x0008
IN_OPEN = 0x0020
IN_MOVED_FROM = 0x0040
IN_MOVED_TO = 0x0080
IN_CREATE = 0x0100
IN_DELETE = 0x0200
IN_DELETE_SELF = 0x0400
IN_MOVE_SELF = 0x0800
# Flags for `Inotify.watch`.
IN_ONLYDIR = 0x0100_0000  # fail with ENOTDIR unless it is a directory
IN_MASK_ADD = 0x2000_0000  # to what the watch tells of already, and not instead of it
IN_DONT_FOLLOW = 0x0200_0000  # if it is a symbolic link, watch the link
IN_EXCL_UNLINK = 0x0400_0000  # say nothing about files that are open but removed
# What the kernel adds to the mask of a change.
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ISDIR = 0x4000_0000

_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_AT_ONCE = 65536  # bytes of changes that one read takes
# What is raised where the kernel has no instance or no watch left.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOSPC)
_LIMITS = {
    errno.ENOSPC: "the limit on watches is reached (fs.inotify.max_user_watches)",
    errno.EMFILE: "the limit on instances is reached (fs.inotify.max_user_instances)",
}


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened: to the file `name` in the watched directory, or, where `name` is empty,
    to what is watched itself.
    """

    watch: int
    mask: int
    name: str

    @property
    def of_directory(self) -> bool:
        """Whether what it happened to is a directory."""
        return bool(self.mask & _IN_ISDIR)

    @property
    def ended(self) -> bool:
        """The watch is no more: it was removed, or what it watched was, or got unmounted. Its
        number is free from here on.
        """
        return bool(self.mask & _IN_IGNORED)

    @property
    def lost(self) -> bool:
        """Changes were dropped here, as too many had waited: anything may have happened to any
        watch. `watch` is -1.
        """
        return bool(self.mask & _IN_Q_OVERFLOW)


class Inotify:
    """One inotify instance; `fd` is readable when something happened."""

    def __init__(self) -> None:
        """Raises OSError: EMFILE where the user has too many instances."""
        self.fd = _checked(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), None)

    def watch(self, path: str, mask: int) -> int:
        """Start telling of `mask` events on `path`; answers the watch's number.

        What is watched already, by whatever path, has its mask replaced (but see IN_MASK_ADD) and
        the same number answered. Raises OSError with the path: ENOSPC where the user has too many
        watches.
        """
        return _checked(_libc().inotify_add_watch(self.fd, os.fsencode(path), mask), path)

    def unwatch(self, watch: int) -> None:
        """End a watch; one that the kernel has already ended is no error."""
        _libc().inotify_rm_watch(self.fd, watch)

    def changes(self) -> Iterator[Change]:
        """What waits now, in its order, at most one read full of it; never blocks."""
        try:
            data = os.read(self.fd, _AT_ONCE)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, mask, _cookie, length = _EVENT.unpack_from(data, position)
            position += _EVENT.size
            name = data[position : position + length].rstrip(b"\0")
            position += length
            yield Change(watch, mask, os.fsdecode(name))

    def events(self) -> Iterator[int]:
        """The watches of all changes that wait now, ends of watches left out; never blocks."""
        return (change.watch for change in self.changes() if not change.ended)

    def close(self) -> None:
        """End all watches."""
        os.close(self.fd)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: str | None) -> int:
    if result >= 0:
        return result
    number = ctypes.get_errno()
    raise OSError(number, _LIMITS.get(number, os.strerror(number)), path)
