"""Type socket: bound, and listening where there are connections to be had, from before the first
worker until after the last, so that nobody is refused while workers restart.

It blocks, as programs that are handed a socket expect. A Unix socket's path is taken over where
nobody answers there, and left where it is once the channel is gone, for its workers may go on.
"""

import errno
import os
import socket
import stat

from supervisord_lite.channels.access import set_access
from supervisord_lite.channels.parts import Facts, Parts
from supervisord_lite.core.channel import Socket, Transport
from supervisord_lite.linux import inet_socket, pipes, unix_socket

SOCKET = "socket"

_KINDS = {
    Transport.TCP: socket.SOCK_STREAM,
    Transport.UDP: socket.SOCK_DGRAM,
    Transport.STREAM: socket.SOCK_STREAM,
    Transport.DATAGRAM: socket.SOCK_DGRAM,
    Transport.SEQPACKET: socket.SOCK_SEQPACKET,
}
_INET = (Transport.TCP, Transport.UDP)
_WITHOUT_CONNECTIONS = (Transport.UDP, Transport.DATAGRAM)


def make(kind: Socket, _name: str) -> Parts:
    return _made(kind, reuse_port=kind.reuse_port)


def succeed(kind: Socket, old: Parts) -> Parts:
    """Make it where the old one still is, on another address of the same port: its workers have it
    until they are restarted, and nobody is to be refused meanwhile.
    """
    _share(old, shared=True)
    made = _made(kind, reuse_port=True)
    _share(made, shared=kind.reuse_port)
    return made


def _share(parts: Parts, *, shared: bool) -> None:
    """Whether others may be bound to the port beside it (SO_REUSEPORT; it counts at their bind)."""
    made = socket.socket(fileno=parts[SOCKET])
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    finally:
        made.detach()


def _made(kind: Socket, *, reuse_port: bool) -> Parts:
    made = _bound(kind, reuse_port=reuse_port)
    try:
        _listen(made, kind)
    except BaseException:
        made.close()
        raise
    return {SOCKET: made.detach()}


def _bound(kind: Socket, *, reuse_port: bool) -> socket.socket:
    if kind.transport in _INET:
        how = _KINDS[kind.transport]
        return inet_socket.bind(how, kind.host, kind.port, reuse_port=reuse_port)
    if kind.path.startswith("@"):
        made = socket.socket(socket.AF_UNIX, _KINDS[kind.transport])
        try:
            made.bind(f"\0{kind.path[1:]}")
        except BaseException:
            made.close()
            raise
        return made

    def prepare(made: socket.socket, newborn: str) -> None:
        set_access(newborn, kind.access)
        _listen(made, kind)

    return unix_socket.bind_as(kind.path, _KINDS[kind.transport], prepare)


def _listen(made: socket.socket, kind: Socket) -> None:
    """Again with another backlog, it changes that alone (listen(2))."""
    if kind.transport not in _WITHOUT_CONNECTIONS:
        made.listen(kind.backlog)


def mend(parts: Parts) -> bool:
    return SOCKET in parts


def adjust(kind: Socket, parts: Parts) -> None:
    made = socket.socket(fileno=parts[SOCKET])
    try:
        _listen(made, kind)
    finally:
        made.detach()
    if kind.transport in _INET:
        _share(parts, shared=kind.reuse_port)
    elif not kind.path.startswith("@"):
        _set_access(kind)


def _set_access(kind: Socket) -> None:
    """Give what is at the path its owner and mode, if it is a socket: whoever may write to the
    directory could have put anything there.
    """
    anchor = os.open(kind.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(anchor).st_mode):
            raise OSError(errno.EEXIST, "there is something else than a socket", kind.path)
        set_access(f"/proc/self/fd/{anchor}", kind.access)
    finally:
        os.close(anchor)


def lost(kind: Socket, _parts: Parts) -> str | None:
    """Whether its path leads to no socket any more, in words. To which one, only a connect could
    tell, and that is for clients.
    """
    if kind.transport in _INET or kind.path.startswith("@"):
        return None
    try:
        if stat.S_ISSOCK(os.lstat(kind.path).st_mode):
            return None
    except OSError as error:
        return f"{kind.path}: {error.strerror}"
    return f"{kind.path}: there is something else now"


def look(kind: Socket, parts: Parts) -> Facts:
    """Of a TCP listener, the connections that nobody has accepted yet; of one that takes
    datagrams, the bytes of the first.
    """
    made = socket.socket(fileno=parts[SOCKET])
    try:
        if kind.transport is Transport.TCP:
            return {"depth": inet_socket.connections_waiting(made), "unit": "connections"}
        if kind.transport in _WITHOUT_CONNECTIONS:
            return {"depth": pipes.waiting(parts[SOCKET]), "unit": "bytes"}
        return {"depth": None, "unit": "connections"}  # the kernel does not tell
    finally:
        made.detach()
