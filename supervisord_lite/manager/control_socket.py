"""The control socket: made once, held by the keeper, taken over by each manager, made again when
somebody removes it.

Clients that come while no manager is there wait in the backlog of the held socket.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from supervisord_lite.core.spec import Configuration
from supervisord_lite.linux.inotify import IN_DELETE, IN_MOVED_FROM, Inotify
from supervisord_lite.linux.unix_socket import bind, still_there

HELD = "control"


class ControlSocket:
    """The listening socket of one daemon. `changed` hears of each new one, to listen there."""

    def __init__(
        self,
        held: dict[str, int],
        hold: Callable[[str, int], None],
        changed: Callable[[socket.socket], None],
    ) -> None:
        self._hold = hold
        self._changed = changed
        self._path: str | None = None
        self._pointer: str | None = None
        self._watch: Inotify | None = None
        self.listener: socket.socket | None = None
        if HELD in held:
            self.listener = socket.socket(fileno=held[HELD])

    def serve_at(self, configuration: Configuration) -> None:
        """Listen where the configuration says. Raises `AlreadyRunning` and OSError."""
        path, mode = configuration.control.socket, configuration.control.mode
        if path == self._path and self.listener is not None:
            return
        if self.listener is None or not still_there(self.listener, path):
            self._make(path, mode)
        if self._path is not None and self._path != path:
            self._unlink(self._path)
        self._path = path
        self._point_to(path, configuration.runtime_dir)
        self._watch_for_removal(path, mode)

    def remove(self) -> None:
        """The daemon ends."""
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fd)
            self._watch.close()
            self._watch = None
        for path in (self._path, self._pointer):
            if path is not None:
                self._unlink(path)

    def _make(self, path: str, mode: int) -> None:
        listener = bind(path, mode)
        self._hold(HELD, listener.fileno())
        self.listener = listener
        self._changed(listener)

    def _point_to(self, path: str, runtime_dir: str) -> None:
        """Leave a word in the runtime directory where clients look first."""
        usual = os.path.join(runtime_dir, "control.sock")
        pointer = os.path.join(runtime_dir, "control.path")
        if path == usual:
            return
        with suppress(OSError):  # clients then need to be told by -s
            os.makedirs(runtime_dir, exist_ok=True)
            with open(pointer, "w", encoding="utf-8") as stream:
                stream.write(path)
            self._pointer = pointer

    def _watch_for_removal(self, path: str, mode: int) -> None:
        loop = asyncio.get_running_loop()
        if self._watch is not None:
            loop.remove_reader(self._watch.fd)
            self._watch.close()
        watch = self._watch = Inotify()
        watch.watch(os.path.dirname(path), IN_DELETE | IN_MOVED_FROM)
        loop.add_reader(watch.fd, self._something_removed, path, mode)

    def _something_removed(self, path: str, mode: int) -> None:
        assert self._watch is not None
        for _ in self._watch.events():
            pass
        if self.listener is not None and not still_there(self.listener, path):
            with suppress(OSError):  # somebody else's now, or the directory is gone
                self._make(path, mode)

    def _unlink(self, path: str) -> None:
        with suppress(OSError):
            os.unlink(path)
