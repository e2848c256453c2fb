"""Type pipe: an anonymous pipe whose two ends are held apart.

So what sits in a pipe survives its writers, its readers and the manager. When the last writer is
down by wish, the write end is let go of, and the readers see the end of the file; it can be made
again from the read end.
"""

import os

from supervisord_lite.channels.parts import Facts, Parts
from supervisord_lite.core.channel import Pipe
from supervisord_lite.linux import pipes

READ, WRITE = "read", "write"


def make(kind: Pipe, _name: str) -> Parts:
    """A fresh pipe has both ends, whoever comes first."""
    reader, writer = pipes.make()
    adjust(kind, made := {READ: reader, WRITE: writer})
    return made


def mend(parts: Parts) -> bool:
    """Make again what can be; whether it is whole then. A pipe without a write end is closed."""
    return READ in parts


def adjust(kind: Pipe, parts: Parts) -> None:
    """Beyond the user's quota the pipe works as it is."""
    if kind.size is not None:
        pipes.resize(parts[READ], kind.size)


def write_end(parts: Parts) -> int:
    """Another write end, where the one there was has been let go of."""
    return pipes.reopen(parts[READ], os.O_WRONLY)


def look(_kind: Pipe, parts: Parts) -> Facts:
    return {"depth": pipes.waiting(parts[READ]), "unit": "bytes", "open": WRITE in parts}
