"""Type fifo: a named pipe of which both ends are held, so that who opens it by its path comes and
goes as he likes, and nobody ever sees an end of file.

Something else at its path is refused and left alone; so is the FIFO itself, once it is no channel
any more, since others may have it open.
"""

import os

from supervisord_lite.channels.access import set_access
from supervisord_lite.channels.parts import Facts, Parts
from supervisord_lite.core.channel import Fifo
from supervisord_lite.linux import fifo, pipes
from supervisord_lite.linux.descriptors import close_all

READ, WRITE, BOTH = "read", "write", "both"


def make(kind: Fifo, _name: str) -> Parts:
    """Make the FIFO, or take the one that is there, and open it in all three ways."""
    os.makedirs(os.path.dirname(kind.path), exist_ok=True)
    fifo.make(kind.path, 0o600)
    made: Parts = {}
    try:
        # Not blocking, so that no open of it can wait; what others do with it must be able to.
        first = os.open(kind.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            made[BOTH] = pipes.reopen(first, os.O_RDWR)
            made[READ] = pipes.reopen(first, os.O_RDONLY)
            made[WRITE] = pipes.reopen(first, os.O_WRONLY)
        finally:
            os.close(first)
        adjust(kind, made)
    except BaseException:
        close_all(made.values())
        raise
    return made


def mend(parts: Parts) -> bool:
    """Whether it is whole. What is not is made again from its path, and is the same FIFO."""
    return parts.keys() >= {READ, WRITE, BOTH}


def adjust(kind: Fifo, parts: Parts) -> None:
    if kind.size is not None:
        pipes.resize(parts[BOTH], kind.size)
    set_access(parts[BOTH], kind.access)


def lost(kind: Fifo, parts: Parts) -> str | None:
    """Whether its path leads to it no more, in words."""
    try:
        there = os.lstat(kind.path)
    except OSError as error:
        return f"{kind.path}: {error.strerror}"
    held = os.fstat(parts[BOTH])
    if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
        return None
    return f"{kind.path}: there is something else now"


def look(_kind: Fifo, parts: Parts) -> Facts:
    return {"depth": pipes.waiting(parts[BOTH]), "unit": "bytes"}
