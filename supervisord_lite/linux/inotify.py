"""Being told that files were opened, moved or removed: inotify(7)."""

import ctypes
import functools
import os
import struct
from collections.abc import Iterator

IN_OPEN = 0x0020
IN_MOVED_FROM = 0x0040
IN_MOVED_TO = 0x0080
IN_DELETE = 0x0200
IN_DELETE_SELF = 0x0400
IN_MOVE_SELF = 0x0800
_IN_IGNORED = 0x8000  # the kernel's word that a watch is gone

_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows


class Inotify:
    """One inotify instance; `fd` is readable when something happened."""

    def __init__(self) -> None:
        self.fd = _checked(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def watch(self, path: str, mask: int) -> int:
        """Start telling of `mask` events on `path`; answers the watch's number."""
        return _checked(_libc().inotify_add_watch(self.fd, os.fsencode(path), mask))

    def unwatch(self, watch: int) -> None:
        """End a watch; one that the kernel has already ended is no error."""
        _libc().inotify_rm_watch(self.fd, watch)

    def events(self) -> Iterator[int]:
        """The watches of all events that wait now; never blocks."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            watch, mask, _cookie, length = _EVENT.unpack_from(data, position)
            position += _EVENT.size + length
            if not mask & _IN_IGNORED:
                yield watch

    def close(self) -> None:
        """End all watches."""
        os.close(self.fd)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result
