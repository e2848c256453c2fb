"""What a message of a queue looks like: a byte that says what follows, and what follows.

b  bytes     B  the length of bytes in a memfd that comes along, in decimal
p  a pickle  P  the length of a pickle in such a memfd
"""

import fcntl
import os
import pickle
import sys
from typing import Any

LARGEST = 32 * 1024  # bytes of a body that travel in the message itself
ROOM = 64 * 1024  # that is received at most; others may be more generous with bodies

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_PLAIN = frozenset({str, int, float, bool, type(None)})  # nothing of multiprocessing is in those


def packed(item: Any) -> bytes:
    """The message that carries this; bytes as they are, everything else pickled."""
    if type(item) is bytes:
        return b"b" + item
    return b"p" + _pickled(item)


def apart(message: bytes) -> tuple[bytes, int]:
    """The short message that goes with the body in a sealed memfd, and that, open."""
    fd = os.memfd_create("message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(message)[1:]
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return message[:1].upper() + str(len(message) - 1).encode(), fd


def unpacked(message: bytes, fd: int | None) -> Any:
    """What the message carries; the memfd that came along stays open. Raises ValueError."""
    kind, body = message[:1], message[1:]
    if kind in (b"B", b"P") and body.isdigit():
        body = _contents(fd, int(body))
    elif kind not in (b"b", b"p"):
        raise ValueError(f"cannot read a message that begins with {message[:8]!r}")
    if kind in (b"b", b"B"):
        return body
    return pickle.loads(body)  # noqa: S301 workers of one configuration trust each other


def _pickled(item: Any) -> bytes:
    """Only what was imported from multiprocessing could need its pickler."""
    reduction = None if type(item) in _PLAIN else sys.modules.get("multiprocessing.reduction")
    if reduction is None:
        return pickle.dumps(item)
    return bytes(reduction.ForkingPickler.dumps(item))


def _contents(fd: int | None, length: int) -> bytes:
    if fd is None:  # the kernel leaves out what it finds no number for
        raise ValueError(
            f"cannot read a message of {length} bytes: its file did not come with it"
            " (too many open files?)"
        )
    size = os.fstat(fd).st_size
    if size < length:
        raise ValueError(f"cannot read a message of {length} bytes: its file has {size}")
    parts, position = [], 0
    while position < length:
        part = os.pread(fd, length - position, position)
        if not part:
            raise ValueError(f"cannot read a message of {length} bytes: its file became shorter")
        parts.append(part)
        position += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
