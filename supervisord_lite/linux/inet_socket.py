"""Bound TCP and UDP sockets: ip(7), ipv6(7), tcp(7), udp(7).

No name is looked up: that could take as long as a name server likes.
"""

import contextlib
import errno
import socket
import struct

_UNACKED = struct.Struct("8x16xI")  # tcpi_unacked in struct tcp_info: of a listener, who waits
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bind(kind: socket.SocketKind, host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A blocking socket at this address. An empty host stands for every address: of IPv6 and IPv4,
    where the machine has both. An address of IPv6 is that alone. OSError.
    """
    if host:
        family, address = _numeric(host, port)
        return _bound(family, kind, address, reuse_port=reuse_port, both=False)
    try:
        return _bound(socket.AF_INET6, kind, ("::", port), reuse_port=reuse_port, both=True)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
    return _bound(socket.AF_INET, kind, ("0.0.0.0", port), reuse_port=reuse_port, both=False)  # noqa: S104 - asked for


def _numeric(host: str, port: int) -> tuple[int, tuple[str, int] | tuple[str, int, int, int]]:
    if host == "localhost":
        return socket.AF_INET, ("127.0.0.1", port)
    try:
        found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE)
    except socket.gaierror:
        raise OSError(errno.EADDRNOTAVAIL, "it is no address of IPv4 or IPv6", host) from None
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # the third shape is for no IPv6 at all


def _bound(
    family: int,
    kind: socket.SocketKind,
    address: tuple[str, int] | tuple[str, int, int, int],
    *,
    reuse_port: bool,
    both: bool,
) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        if kind == socket.SOCK_STREAM:  # what closed connections leave behind is in nobody's way
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def connections_waiting(listener: socket.socket) -> int | None:
    """How many connections of a TCP listener nobody has accepted yet."""
    with contextlib.suppress(OSError):
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
        if len(info) == _UNACKED.size:
            return int(_UNACKED.unpack(info)[0])
    return None
