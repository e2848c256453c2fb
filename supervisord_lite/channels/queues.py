"""Type queue: a pair of sockets that keep messages whole, and a page in which the workers count
them where there is a capacity; see `wire` for who does what with it.
"""

import os
import socket
import struct
import time

from supervisord_lite.channels import wire
from supervisord_lite.channels.parts import BELL, Facts, Parts
from supervisord_lite.core.channel import Queue
from supervisord_lite.linux import locks, peeking, pipes, shared_memory
from supervisord_lite.linux.descriptors import close_all

IN, OUT, PAGE = "in", "out", "page"

# What the kernel counts for a small message; by it, a queue gets room for its capacity.
_SMALL = 768
_MOST = 64 * 1024 * 1024  # bytes that are asked for on account of a capacity alone
_MANY = 1000  # messages: to count n of them takes the kernel n² steps, 3 ms here, 3 s for 20 000
_PATIENCE = 1.0  # seconds that somebody else who looks into the queue is waited for
_NUMBER = struct.Struct("=Q")


def make(kind: Queue, name: str) -> Parts:
    into, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = {IN: into.detach(), OUT: out.detach()}
    try:
        page = wire.PAGE.pack(wire.MAGIC, kind.capacity or 0, 0, 0, 0, 0, 0)
        made[PAGE] = shared_memory.make(f"queue {name}", wire.PAGE_SIZE, page)
        made[BELL] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        adjust(kind, made)
    except BaseException:
        close_all(made.values())
        raise
    return made


def mend(parts: Parts) -> bool:
    """Make again what can be; whether it is whole then. Workers that have another bell look again
    by themselves.
    """
    if parts.keys() >= {IN, OUT, PAGE} and BELL not in parts:
        parts[BELL] = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    return parts.keys() >= {IN, OUT, PAGE, BELL}


def adjust(kind: Queue, parts: Parts) -> None:
    """Beyond what the user may have, the queue has the most that it gets."""
    size = kind.size or min((kind.capacity or 0) * _SMALL // 2, _MOST)
    if size:
        _set_room(parts[IN], size)
    if kind.capacity is not None:
        os.pwrite(parts[PAGE], _NUMBER.pack(kind.capacity), wire.CAPACITY)


def _set_room(end: int, size: int) -> None:
    """Let so many bytes wait; the kernel doubles the number for what it adds (socket(7))."""
    made = socket.socket(fileno=end)
    try:
        for option in (socket.SO_SNDBUF, getattr(socket, "SO_SNDBUFFORCE", 32)):
            try:
                made.setsockopt(socket.SOL_SOCKET, option, size)
            except OSError:  # SNDBUFFORCE wants CAP_NET_ADMIN
                continue
    finally:
        made.detach()


def look(kind: Queue, parts: Parts) -> Facts:
    facts: Facts = {"depth": None, "unit": "messages"}
    counted = 0
    if kind.capacity is not None:
        page = os.pread(parts[PAGE], wire.PAGE.size, 0)
        _, facts["capacity"], putting, getting, puts, gets, _ = wire.PAGE.unpack(page)
        facts["puts"], facts["gets"] = puts, gets
        counted = 0 if putting or getting else puts - gets
    facts["depth"] = counted if counted > _MANY else _depth(parts)
    return facts


def _depth(parts: Parts) -> int | None:
    """How many messages wait; None if somebody else will not let us look."""
    own = pipes.reopen(parts[PAGE], os.O_RDWR)  # an open file description, and with it locks
    end = socket.socket(fileno=parts[OUT])
    deadline = time.monotonic() + _PATIENCE
    try:
        while not locks.lock(own, wire.WALK_BYTE, 1):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.001)
        return peeking.count(end, wire.WALK_BUFFER)
    finally:
        end.detach()
        os.close(own)
