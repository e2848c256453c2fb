"""What a held channel was made as, in a sealed memfd beside its descriptors: so that whoever comes
next, another manager or another daemon, knows whether it is what he wants without asking anyone.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from supervisord_lite.core.channel import (
    Access,
    Channel,
    Fifo,
    Kind,
    Lock,
    Pipe,
    Queue,
    Semaphore,
    Socket,
    SocketPair,
    Transport,
    Value,
)
from supervisord_lite.core.handing import type_name
from supervisord_lite.linux import sealed

DEFINITION = "definition"

_KINDS: Mapping[str, type[Kind]] = {
    "pipe": Pipe,
    "fifo": Fifo,
    "socket": Socket,
    "socketpair": SocketPair,
    "queue": Queue,
    "lock": Lock,
    "semaphore": Semaphore,
    "value": Value,
    "array": Value,
}


def write(channel: Channel) -> int:
    """A descriptor with the definition."""
    kind = channel.kind
    fields = {"type": type_name(kind), "generation": channel.generation, **asdict(kind)}
    return sealed.make(f"definition of {channel.name}", json.dumps(fields).encode())


def read(name: str, descriptor: int) -> Channel | None:
    """The definition; None if it is none that we understand."""
    try:
        fields = _fields(descriptor)
        make, generation = _KINDS[fields.pop("type")], int(fields.pop("generation", 0))
        kind = make(**{key: _field(key, x) for key, x in fields.items()})
        return Channel(name, kind, generation)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_old(descriptor: int) -> bool:
    """Whether it was written when a pipe's write end had one name, written to or not."""
    try:
        return "generation" not in _fields(descriptor)
    except (OSError, ValueError):
        return False


def _fields(descriptor: int) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    return fields


def _field(key: str, value: Any) -> Any:
    match key:
        case "access":
            return Access(**value)
        case "transport":
            return Transport(value)
        case "initial":
            return tuple(value)
    return value
