"""Looking into a Unix socket that keeps messages whole, without taking anything out.

With SO_PEEK_OFF (socket(7)), each MSG_PEEK goes on behind what the last one has seen. The place is
a property of the socket, so whoever looks must exclude the others who do.
"""

import socket
from collections.abc import Iterator

_SO_PEEK_OFF = 42  # asm-generic/socket.h; Python has no name for it
_END = 64  # messages without a byte in a row: rather a socket that was shut down


def messages(end: socket.socket, largest: int) -> Iterator[bytes]:
    """What waits in `end`, message by message, as it was put; none may be longer than `largest`.
    Messages without a byte are left out: the kernel shows each of them once.
    """
    end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    empty = 0
    try:
        while empty < _END:
            message = end.recv(largest, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            empty = 0 if message else empty + 1
            if message:
                yield message
    except BlockingIOError:
        return
    finally:
        end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, -1)


def count(end: socket.socket, largest: int) -> int:
    """How many messages with at least a byte wait in `end`."""
    return sum(1 for _ in messages(end, largest))
