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
from supervisord_lite.linux.lock_file import AlreadyRunning
from supervisord_lite.linux.socket_guard import Guard
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
        self._directory: str | None = None
        self._guard: Guard | None = None
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
        self._path, self._directory = path, configuration.runtime_dir
        self._point_to(path, configuration.runtime_dir)
        self._guard_against_removal(path, mode)

    def remove(self) -> None:
        """The daemon ends."""
        self._unguard()
        path = self._path
        if path is not None and self.listener is not None and still_there(self.listener, path):
            self._unlink(path)  # ours, and not somebody else's by now
        if self._pointer is not None:
            self._unlink(self._pointer)
        if self._directory is not None:
            with suppress(OSError):  # not empty
                os.rmdir(self._directory)

    def _make(self, path: str, mode: int) -> socket.socket:
        listener = bind(path, mode)
        self._hold(HELD, listener.fileno())
        self.listener = listener
        self._changed(listener)
        return listener

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

    def _guard_against_removal(self, path: str, mode: int) -> None:
        self._unguard()
        assert self.listener is not None
        try:
            self._guard = Guard(self.listener, path)
        except OSError:  # inotify has its limits; a removed socket is then made by the next reload
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._guard.fd, self._perhaps_removed, self._guard, path, mode)

    def _perhaps_removed(self, guard: Guard, path: str, mode: int) -> None:
        if guard.is_lost():
            with suppress(OSError, AlreadyRunning):  # somebody else's by now
                guard.replace(self._make(path, mode))

    def _unguard(self) -> None:
        if self._guard is not None:
            asyncio.get_running_loop().remove_reader(self._guard.fd)
            self._guard.close()
            self._guard = None

    def _unlink(self, path: str) -> None:
        with suppress(OSError):
            os.unlink(path)
