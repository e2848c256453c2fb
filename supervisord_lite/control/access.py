"""Who may do what: rights, and which of them a connected process has.

The only proof of identity is what the kernel tells of the process that connected (SO_PEERCRED,
unix(7)), as it was at connect time; nothing that a client sends counts. What is not granted here
is refused.
"""

import socket
import struct
from dataclasses import dataclass
from enum import Enum

_UCRED = struct.Struct("3i")  # pid_t, uid_t, gid_t
_ROOT = 0


class Right(Enum):
    """What a route may ask for. Reading logs is a right of its own: they hold what workers say."""

    OBSERVE = "observe"
    OPERATE = "operate"
    ADMINISTER = "administer"
    READ_LOGS = "read logs"


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, when it connected."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel who connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(raw))


def rights_of(peer: Peer, owner: int) -> frozenset[Right]:
    """All rights for root and for `owner`, the user the daemon runs as; none for anybody else."""
    if peer.uid in {_ROOT, owner}:
        return frozenset(Right)
    return frozenset()
