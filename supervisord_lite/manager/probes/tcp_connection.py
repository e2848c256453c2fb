"""A TCP connection to where a worker is said to listen. Source: tcp(7), getaddrinfo(3)."""

import asyncio
import errno
import os
import socket
from typing import Any

from supervisord_lite.manager.probes.bystander import Bystander

_Found = tuple[Any, ...]  # one row of getaddrinfo(3)


async def connected(host: str, port: int, bystander: Bystander) -> socket.socket:
    """A connected, non-blocking socket: the first address of several that accepts. OSError."""
    problem: OSError | None = None
    for family, kind, protocol, _, address in await _addresses(host, port, bystander):
        try:
            return await _connect(socket.socket(family, kind, protocol), address)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            problem = OSError(error.errno, reason, f"{host} port {port}")
    raise problem or OSError(f"{host} has no address")


async def _addresses(host: str, port: int, bystander: Bystander) -> list[_Found]:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)]
    except socket.gaierror:  # a name, then: it has to be looked up
        pass
    except UnicodeError:  # a label that is empty or too long
        raise OSError(errno.EINVAL, "it is no name of a host", host) from None
    try:
        find = lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # noqa: E731
        return [*await bystander.call(find)]
    except OSError as error:
        raise OSError(error.errno, error.strerror, host) from None


async def _connect(connection: socket.socket, address: Any) -> socket.socket:
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
        _refuse_itself(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_itself(connection: socket.socket) -> None:
    """Where nobody listens on a port that the kernel also hands out, a socket can meet itself."""
    if connection.getsockname() == connection.getpeername():
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
