"""The HTTP server on the control socket: accepts, counts, and closes connections.

The listening socket belongs to the keeper and outlives this process: clients that come while no
manager is there wait in its backlog, and closing a server never removes the socket's path.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections import Counter

import h11

from supervisord_lite.control.access import Peer, peer_of, rights_of
from supervisord_lite.control.app import application
from supervisord_lite.control.connection import Connection, Host, Limits, Phase
from supervisord_lite.control.exchange import refusal
from supervisord_lite.control.logs import LogAccess
from supervisord_lite.manager.service import Service

_log = logging.getLogger(__name__)

# accept(2) fails with these while descriptors or memory are short; the client waits meanwhile.
_SHORTAGE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_IN_SHORTAGE = 0.2
_ACCEPTED_AT_ONCE = 32
# What is left for clients to read of their answers when the server goes away.
_FAREWELL = 0.3


async def serve(
    listener: socket.socket, service: Service, logs: LogAccess, limits: Limits | None = None
) -> "Server":
    """Answer clients of `listener` until `Server.close`. Takes the socket object over."""
    return Server(listener, service, logs, limits or Limits())


class Server:
    """All connections of one manager."""

    def __init__(
        self, listener: socket.socket, service: Service, logs: LogAccess, limits: Limits
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._owner = os.geteuid()
        self._host = Host(application(service, logs), limits, self._admits, self._forget)
        self._connections: dict[Connection, None] = {}  # in the order they came
        self._arriving: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._listener = listener
        self._attend()

    def listen(self, listener: socket.socket) -> None:
        """Accept from this one instead: the socket's path was lost and has been made again."""
        self._deafen()
        self._listener = listener
        self._attend()

    def _attend(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    async def close(self) -> None:
        """Stop accepting and end every connection; answers under way say that we go away."""
        self._deafen()
        if self._arriving:  # a client just accepted: asyncio has not made its connection yet
            await asyncio.wait(self._arriving)
        for connection in list(self._connections):
            connection.close()
        if not self._connections:
            return
        self._empty.clear()
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._empty.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORTAGE:
                    raise
                self._rest(error)
                return
            connection.setblocking(False)
            self._receive(connection)

    def _rest(self, shortage: OSError) -> None:
        _log.warning("cannot accept a client now: %s", shortage.strerror)
        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(_PAUSE_IN_SHORTAGE, self._attend)

    def _receive(self, connection: socket.socket) -> None:
        peer = peer_of(connection)
        if not self._make_room(peer):
            _turn_away(connection)
            return
        protocol = Connection(self._host, peer)
        self._connections[protocol] = None
        arrival = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: protocol, connection)
        )
        self._arriving.add(arrival)
        arrival.add_done_callback(self._arriving.discard)

    def _make_room(self, peer: Peer) -> bool:
        """Whether one more may come. One that idles between requests gives way."""
        users = Counter(connection.peer.uid for connection in self._connections)
        limits = self._limits
        most = limits.per_user if self._admits(peer) else limits.per_stranger
        if users[peer.uid] < most and users.total() < limits.connections:
            return True
        for connection in self._connections:
            if connection.phase is Phase.IDLE and connection.peer.uid == peer.uid:
                connection.abort()
                self._forget(connection)
                return True
        return False

    def _admits(self, peer: Peer) -> bool:
        return bool(rights_of(peer, self._owner))

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def _deafen(self) -> None:
        self._loop.remove_reader(self._listener)
        if self._retry is not None:
            self._retry.cancel()
        self._listener.close()


def _turn_away(connection: socket.socket) -> None:
    """Tell one client too many, and forget it: no state, no waiting."""
    http = h11.Connection(h11.SERVER)
    answer = b"".join(
        http.send(event) or b""
        for event in refusal(503, "cannot take another client: too many are connected")
    )
    with connection, contextlib.suppress(OSError):
        connection.send(answer)
