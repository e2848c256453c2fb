"""Looking into a Unix socket that keeps messages whole, without taking anything out.

With SO_PEEK_OFF (socket(7)), each MSG_PEEK goes on behind what the last one has seen. The place is
a property of the socket, so whoever looks must exclude the others who do.
"""

import socket
from collections.abc import Iterator

_SO_PEEK_OFF = 42  # asm-generic/socket.h; Python has no name for it


def messages(end: socket.socket, largest: int) -> Iterator[bytes]:
    """What waits in `end`, message by message, as it was put; none is longer than `largest`."""
    end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    try:
        while True:
            try:
                yield end.recv(largest, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
    finally:
        end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, -1)


def count(end: socket.socket, largest: int) -> int:
    """How many messages wait in `end`."""
    end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    buffer, found = bytearray(largest), 0
    try:
        while end.recv_into(buffer, 0, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            found += 1
    except BlockingIOError:
        return found
    finally:
        end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, -1)
    return found
