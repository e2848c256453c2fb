"""Where clients are received: the control socket, and the server that answers there.

What the API needs is imported late, and until then clients wait in the socket's backlog. The
workers come first: where the socket cannot be had, the daemon goes on without it, and signals still
serve.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from supervisord_lite.core.spec import Configuration
from supervisord_lite.linux.lock_file import AlreadyRunning
from supervisord_lite.manager.control_socket import ControlSocket
from supervisord_lite.manager.output.access import Logs
from supervisord_lite.manager.service import Service

_WORKERS_FIRST = 1.0  # seconds that the control API gives way to the first workers, at most


class Server(Protocol):
    """The control API's server, as far as a manager needs to know it."""

    def listen(self, listener: socket.socket) -> None: ...

    async def close(self) -> None: ...


Hold = Callable[[str, int], None]
Serve = Callable[[socket.socket, Service, Logs], Awaitable[Server]]


class Reception:
    """`say` is for operators."""

    def __init__(
        self, held: dict[str, int], hold: Hold, serve: Serve, say: Callable[[str], None]
    ) -> None:
        self._socket = ControlSocket(held, hold, self._listen)
        self._serve = serve
        self._say = say
        self._server: Server | None = None
        self._opening = False

    def serve_at(self, configuration: Configuration) -> None:
        """Have the socket where the configuration says. Raises OSError and `AlreadyRunning`."""
        self._socket.serve_at(configuration)

    async def open(
        self,
        configuration: Configuration,
        service: Service,
        logs: Logs,
        first_workers: Callable[[], Awaitable[None]],
    ) -> None:
        """Answer clients, but only once the first workers are on their way; a spawn that hangs
        keeps nobody waiting.
        """
        if self._opening or self._server is not None:
            return
        self._opening = True
        with suppress(TimeoutError):
            await asyncio.wait_for(first_workers(), _WORKERS_FIRST)
        try:
            self._socket.serve_at(configuration)
        except (OSError, AlreadyRunning) as error:
            # The workers come first: signals still serve, and a reload tries again.
            self._say(f"cannot serve the control API: {error}")
        if self._socket.listener is not None:
            self._server = await self._serve(self._socket.listener, service, logs)
        self._opening = False

    async def close(self, *, remove_socket: bool) -> None:
        if remove_socket:
            self._socket.remove()
        if self._server is not None:
            await self._server.close()

    def _listen(self, listener: socket.socket) -> None:
        if self._server is not None:
            self._server.listen(listener)
