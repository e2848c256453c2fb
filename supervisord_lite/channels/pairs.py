"""Type socketpair: two ends that talk to each other, both of them held, so that neither sees the
other go.
"""

import socket

from supervisord_lite.channels.parts import Facts, Parts
from supervisord_lite.core.channel import SocketPair
from supervisord_lite.linux import pipes

A, B = "a", "b"


def make(_kind: SocketPair, _name: str) -> Parts:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return {A: first.detach(), B: second.detach()}


def mend(parts: Parts) -> bool:
    return parts.keys() >= {A, B}


def adjust(_kind: SocketPair, _parts: Parts) -> None:
    """There is nothing about it that could be changed."""


def look(_kind: SocketPair, parts: Parts) -> Facts:
    """What waits on its way to either end."""
    to_a, to_b = pipes.waiting(parts[A]), pipes.waiting(parts[B])
    return {"depth": to_a + to_b, "unit": "bytes", "to_a": to_a, "to_b": to_b}
