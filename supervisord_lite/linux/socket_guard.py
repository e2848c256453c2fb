"""Noticing that a socket's path no longer leads to it, without looking twice a second.

Cleaners of temporary directories and impatient operators remove sockets; a daemon that goes on
listening on an unlinked socket cannot be reached by anybody. inotify(7) on the directory tells
when something was removed or replaced there; what it was, `still_there` finds out.
"""

import socket
from pathlib import Path

from supervisord_lite.linux import inotify
from supervisord_lite.linux.inotify import Inotify
from supervisord_lite.linux.unix_socket import still_there

_REMOVALS = (
    inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_DELETE
    | inotify.IN_DELETE_SELF
    | inotify.IN_MOVE_SELF
)


class Guard:
    """Watches over `listener` at `path`. `fd` is readable when it may be lost."""

    def __init__(self, listener: socket.socket, path: str) -> None:
        self._listener = listener
        self._path = path
        self._inotify = Inotify()
        self.fd = self._inotify.fd
        self._watch = self._look()

    def is_lost(self) -> bool:
        """Whether the path leads elsewhere or nowhere. To be asked whenever `fd` is readable."""
        for _ in self._inotify.events():
            pass  # any of them is a reason to look
        return not still_there(self._listener, self._path)

    def replace(self, listener: socket.socket) -> None:
        """Watch over the socket that was made again, in a directory that may be new as well."""
        self._listener = listener
        self._inotify.unwatch(self._watch)
        self._watch = self._look()

    def close(self) -> None:
        self._inotify.close()

    def _look(self) -> int:
        return self._inotify.watch(str(Path(self._path).absolute().parent), _REMOVALS)
