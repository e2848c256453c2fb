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


def write(name: str, kind: Kind) -> int:
    """A descriptor with the definition."""
    text = json.dumps({"type": type_name(kind), **asdict(kind)})
    return sealed.make(f"definition of {name}", text.encode())


def read(descriptor: int) -> Kind | None:
    """The definition; None if it is none that we understand."""
    try:
        text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        fields = json.loads(text)
        return _KINDS[fields.pop("type")](**{key: _field(key, x) for key, x in fields.items()})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _field(key: str, value: Any) -> Any:
    match key:
        case "access":
            return Access(**value)
        case "transport":
            return Transport(value)
        case "initial":
            return tuple(value)
    return value
