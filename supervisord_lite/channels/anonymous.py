"""Type pipe: an anonymous pipe whose two ends are held apart.

So what sits in a pipe survives its writers, its readers and the manager. When the last writer is
down by wish, the write end is let go of, and the readers see the end of the file; it can be made
again from the read end. Until the first writer comes, the write end has another name: a pipe that
nobody has written to has not ended.
"""

import os

from supervisord_lite.channels.definition import DEFINITION, is_old
from supervisord_lite.channels.parts import Facts, Parts
from supervisord_lite.core.channel import Pipe
from supervisord_lite.linux import pipes

READ, WRITE, UNWRITTEN = "read", "write", "unwritten"


def make(kind: Pipe, _name: str) -> Parts:
    """A fresh pipe has both ends, whoever comes first."""
    reader, writer = pipes.make()
    adjust(kind, made := {READ: reader, UNWRITTEN: writer})
    return made


def mend(parts: Parts) -> bool:
    """Without its read end nothing of it is left. Where an earlier version has made it, a write end
    says nothing: if there is a writer, we are told so.
    """
    if WRITE in parts and DEFINITION in parts and is_old(parts[DEFINITION]):
        if UNWRITTEN in parts:
            os.close(parts[UNWRITTEN])
        parts[UNWRITTEN] = parts.pop(WRITE)
    return READ in parts


def adjust(kind: Pipe, parts: Parts) -> None:
    """Beyond the user's quota the pipe works as it is."""
    if kind.size is not None:
        pipes.resize(parts[READ], kind.size)


def is_open(parts: Parts) -> bool:
    """Whether a reader that has read everything waits for more."""
    return WRITE in parts or UNWRITTEN in parts


def write_end(parts: Parts) -> int:
    """Another write end, where the one there was has been let go of."""
    return pipes.reopen(parts[READ], os.O_WRONLY)


def look(_kind: Pipe, parts: Parts) -> Facts:
    return {"depth": pipes.waiting(parts[READ]), "unit": "bytes", "open": is_open(parts)}
