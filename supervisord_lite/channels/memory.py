"""Types lock, semaphore, value and array: memory that workers share, each of them a memfd.

A lock or a semaphore has no content: it is the bytes that can be locked, which the kernel releases
when their holder dies. Nobody but a worker ever holds one.
"""

import errno
import os
import struct
from collections.abc import Iterator

from supervisord_lite.channels.parts import Facts, Parts
from supervisord_lite.channels.wire import CODES
from supervisord_lite.core.channel import Lock, Semaphore, Value
from supervisord_lite.linux import locks, pipes, shared_memory

MEMORY = "memory"

Kind = Lock | Semaphore | Value


def make(kind: Kind, name: str) -> Parts:
    match kind:
        case Value():
            data = _initial(kind)
            size = struct.calcsize(CODES[kind.code]) * (1 if kind.length is None else kind.length)
        case Semaphore(count=size):
            data = b""
        case Lock():
            data, size = b"", 1
    return {MEMORY: shared_memory.make(f"channel {name}", size, data)}


def _initial(kind: Value) -> bytes:
    """The first elements, in the machine's own layout. OSError if one does not fit its type."""
    code = CODES[kind.code]
    try:
        return b"".join(struct.pack(code, one) for one in _elements(kind))
    except (struct.error, OverflowError, ValueError) as error:
        text = f"an initial value does not fit the type {kind.code}: {error}"
        raise OSError(errno.ERANGE, text) from None


def _elements(kind: Value) -> Iterator[float | bytes]:
    for one in kind.initial:
        if kind.code in "fd":
            yield one
        elif kind.code == "c":
            yield bytes([int(one)])
        else:
            yield int(one)


def mend(parts: Parts) -> bool:
    return MEMORY in parts


def adjust(_kind: Kind, _parts: Parts) -> None:
    """There is nothing about it that could be changed."""


def look(kind: Kind, parts: Parts) -> Facts:
    """How many holders a lock or a semaphore has; of a value, nothing: it has no depth."""
    if isinstance(kind, Value):
        return {"size": os.fstat(parts[MEMORY]).st_size}
    own = pipes.reopen(parts[MEMORY], os.O_RDWR)  # asked through the one that a worker was given,
    try:  # the kernel would leave out what is locked through that
        places = 1 if isinstance(kind, Lock) else kind.count
        taken = sum(locks.is_locked(own, place, 1) for place in range(places))
    finally:
        os.close(own)
    return {"depth": taken, "unit": "holders", "free": places - taken}
