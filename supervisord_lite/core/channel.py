"""What a configuration declares as a channel: an IPC object that workers share by name and that
outlives each of them, and how a worker is bound to one.

As in `spec`, everything here is frozen, resolved and comparable. Sizes are bytes, paths are
absolute, users and groups are ids.
"""

from dataclasses import dataclass
from enum import StrEnum


class Use(StrEnum):
    """What a worker does with a channel; each type knows some of them."""

    READ = "read"  # pipe, fifo
    WRITE = "write"  # pipe, fifo
    BOTH = "both"  # fifo, queue
    PUT = "put"  # queue
    GET = "get"  # queue
    A = "a"  # the ends of a socketpair
    B = "b"
    SHARE = "share"  # everything else is the same for all


@dataclass(frozen=True, slots=True)
class Binding:
    """A worker is given this channel; `fd` is the number it asked for. `generation` differs once
    the channel had to be replaced by another one: who has the old one is restarted.
    """

    channel: str
    use: Use = Use.SHARE
    fd: int | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """Mode and owner of something that has a path; None: as it is made."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Pipe:
    """An anonymous pipe, its two ends held apart."""

    size: int | None = None  # that the kernel may buffer; None: its default


@dataclass(frozen=True, slots=True)
class Fifo:
    """A named pipe, both ends held."""

    path: str
    access: Access = Access(0o660)
    size: int | None = None


class Transport(StrEnum):
    """How a socket carries what is sent."""

    TCP = "tcp"
    UDP = "udp"
    STREAM = "unix"
    DATAGRAM = "unix-datagram"
    SEQPACKET = "unix-seqpacket"


@dataclass(frozen=True, slots=True)
class Socket:
    """A bound socket; one that has connections listens. `host` and `port` are those of tcp and udp
    (an empty host: every address), `path` is that of the others ("@name": abstract).
    """

    transport: Transport
    host: str = ""
    port: int = 0
    path: str = ""
    backlog: int = 128
    reuse_port: bool = False
    access: Access = Access()


@dataclass(frozen=True, slots=True)
class SocketPair:
    """Two ends that talk to each other."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Whole messages from many producers to many consumers."""

    capacity: int | None = None  # messages; None: as the kernel bounds their bytes
    size: int | None = None  # bytes


@dataclass(frozen=True, slots=True)
class Lock:
    """One holder at a time; the kernel releases it when that dies."""


@dataclass(frozen=True, slots=True)
class Semaphore:
    """At most `count` holders at a time."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class Value:
    """Typed shared memory: one value (`length` None) or an array. `code` is a typecode of
    `multiprocessing`; `lock` is the lock that guards it, None: one of its own.
    """

    code: str
    length: int | None = None
    initial: tuple[float, ...] = ()
    lock: str | None = None


Kind = Pipe | Fifo | Socket | SocketPair | Queue | Lock | Semaphore | Value


@dataclass(frozen=True, slots=True)
class Channel:
    """A named channel. `generation` grows whenever it has to be another one (`generations`)."""

    name: str
    kind: Kind = Pipe()
    generation: int = 0
