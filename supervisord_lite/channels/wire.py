"""What a worker is told of its channels, and how they speak: the wire formats, in one place.

The environment of a worker that has channels, for all of them:

    SUPERVISORD_LITE_CHANNELS   a JSON object, by the channel's name (below)
    CHANNEL_<NAME>              the numbers of its descriptors, separated by spaces; in NAME,
                                letters are upper case, all but A-Z 0-9 is `_`
    LISTEN_FDS LISTEN_FDNAMES   its sockets, from 3 on (sd_listen_fds(3)); LISTEN_PID is set by the
                                keeper, who alone can know it

    {"type": "pipe", "use": "read", "fd": 3}                          read | write
    {"type": "fifo", "use": "both", "fd": 3, "path": "/…"}            read | write | both
    {"type": "socket", "fd": 3, "address": "tcp://127.0.0.1:8080"}
    {"type": "socketpair", "use": "a", "fd": 3}                       a | b
    {"type": "queue", "use": "put", "in": 3, "out": 4, "page": 5, "bell": 6, "capacity": 100}
                                              put | get | both; capacity null: as the kernel bounds
    {"type": "lock", "fd": 3}
    {"type": "semaphore", "fd": 3, "count": 4}
    {"type": "value", "fd": 3, "code": "q", "lock": "guard"}          lock null: its own
    {"type": "array", "fd": 3, "code": "d", "length": 1000, "lock": null}

A lock that only came along for a value is in the object, too, with `"guards": true`.

All descriptors are shared by everybody who has the channel, flags included: nobody may set
O_NONBLOCK on one. Use MSG_DONTWAIT and poll(2) where waiting is to have an end.

**Queue.** `in` and `out` are the ends of an AF_UNIX SOCK_SEQPACKET pair. A put is one send on `in`,
a get is one recv on `out`; neither end ever closes. The first byte of a message:

    b   the bytes that follow              p   the pickle that follows
    B   bytes in a memfd                   P   a pickle in a memfd

A body longer than 32 KiB goes as B or P: in a sealed memfd that comes by SCM_RIGHTS, its length as
decimal text behind the marker. `bell` is an eventfd(2), non-blocking. `page` is a memfd to map:

    offset  0   8 bytes   SLQUEUE1
            8   u64       capacity, in messages; 0: none. It may grow while workers run
           16   u64       puts_dirty: a producer is between its send and counting it
           24   u64       gets_dirty: a consumer is between its recv and counting it
           32   u64       puts
           40   u64       gets
           48   u64       waiting: a producer waits for the bell

All in the machine's byte order. The page counts only where there is a capacity. It is guarded by
open-file-description locks (fcntl(2), F_OFD_SETLKW) on bytes of the same memfd, for which each
process opens /proc/self/fd/N again, read-write, so that it has an open file description of its
own: byte 0 to put (puts_dirty, puts), byte 1 to get (gets_dirty, gets), byte 2 to walk.

    put  lock 0. If either dirty flag is set, recount. While puts - gets >= capacity: waiting = 1,
         unlock 0, poll the bell for at most 50 ms, read it, lock 0, look again. puts_dirty = 1,
         send (MSG_DONTWAIT), puts += 1, puts_dirty = 0, unlock 0. On EAGAIN: puts_dirty = 0,
         unlock, poll `in` for POLLOUT (50 ms at most), begin again.
    get  poll `out` for POLLIN. lock 1. If gets_dirty, recount. gets_dirty = 1, recv (MSG_DONTWAIT),
         gets += 1, gets_dirty = 0. If waiting: waiting = 0 and write 1 to the bell. unlock 1.
         On EAGAIN: gets_dirty = 0, unlock, poll again.
    recount  unlock what is locked; lock 0, 1, 2 in this order; n = walk; gets = puts - n, or where
         n > puts, puts = gets + n; both flags = 0; unlock 2, 1, 0; begin again.

A wait that a killed consumer did not end by its bell ends by itself 50 ms later; so a consumer may
as well leave the bell alone until the queue is half empty, which saves switches. Who only sends or
receives, without the page, is not counted: a producer that has waited in vain recounts when what
is in the socket (SIOCOUTQ of `in`) is not what it was at its last look.

**Walk**, which counts what is in a queue without a capacity: with byte 2 locked, SO_PEEK_OFF
(socket(7)) is set to 0 on `out`, recv with MSG_PEEK | MSG_DONTWAIT and a buffer of 64 KiB is
repeated until EAGAIN, SO_PEEK_OFF is set to -1. Who looks with MSG_PEEK locks byte 2 as well.

**Lock, semaphore.** A memfd, opened again by each process as above. The lock is an OFD write lock
on byte 0, the semaphore one on any of the bytes 0 to count - 1.

**Value, array.** A memfd of exactly the size, sealed against another size, to be mapped shared; in
it ctypes' layout of this machine, without a header. Guarded by the lock channel named by `lock`,
else by byte 0 of the memfd itself, taken as a lock channel's byte 0 is.

**Socketpair.** SOCK_STREAM; between Python workers what `multiprocessing.connection.Connection`
writes: a length of 4 bytes, signed, big-endian, and the message. A length of -1 means that 8 bytes
with the length follow.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from supervisord_lite.core.channel import Fifo, Kind, Queue, Semaphore, Socket, Use, Value
from supervisord_lite.core.handing import FIRST, Handed, address_of, type_name, variable_of

ENVIRONMENT = "SUPERVISORD_LITE_CHANNELS"

BYTES, PICKLE, FAR_BYTES, FAR_PICKLE = b"b", b"p", b"B", b"P"
LARGEST_INLINE = 32 * 1024  # bytes of a body that travel in the message itself
WALK_BUFFER = 64 * 1024

MAGIC = b"SLQUEUE1"
PAGE_SIZE = 4096
PAGE = struct.Struct("=8s6Q")  # magic, capacity, puts_dirty, gets_dirty, puts, gets, waiting
CAPACITY, PUTS_DIRTY, GETS_DIRTY, PUTS, GETS, WAITING = range(8, 56, 8)  # offsets
PUT_BYTE, GET_BYTE, WALK_BYTE = 0, 1, 2  # of the page: what is locked
RELOOK = 0.05  # seconds after which a waiting producer looks again, bell or no bell

# The typecodes of `multiprocessing.sharedctypes`, in the words of `struct` with native sizes.
CODES = {code: code for code in "cbBhHiIlLqQfd"} | {"u": "I"}  # wchar_t has 4 bytes on Linux


def described(handed: Handed, kind: Kind) -> dict[str, Any]:
    """A channel, as the JSON object has it; of one that a value needs, `lock` is a name, by which
    the object has that, too.
    """
    told: dict[str, Any] = {"type": type_name(kind)}
    if handed.use is not Use.SHARE:
        told["use"] = handed.use.value
    if len(handed.numbers) == 1:
        told["fd"] = handed.number
    else:
        told.update(handed.numbers)
    match kind:
        case Fifo(path=path):
            told["path"] = path
        case Socket():
            told["address"] = address_of(kind)
        case Queue(capacity=capacity):
            told["capacity"] = capacity
        case Semaphore(count=count):
            told["count"] = count
        case Value():
            told["code"] = kind.code
            told["lock"] = kind.lock
            if kind.length is not None:
                told["length"] = kind.length
    return told if handed.asked else told | {"guards": True}


def environment(handed: Iterable[Handed], kinds: Mapping[str, Kind]) -> dict[str, str]:
    """The variables of a worker that was handed these channels; none if it has none."""
    handed = tuple(handed)
    if not handed:
        return {}
    whole = {one.channel: described(one, kinds[one.channel]) for one in handed}
    made = {ENVIRONMENT: json.dumps(whole, separators=(",", ":"))}
    for one in handed:
        made[variable_of(one.channel)] = " ".join(str(number) for _, number in one.numbers)
    sockets = {one.number: one.channel for one in handed if isinstance(kinds[one.channel], Socket)}
    names: list[str] = []
    while FIRST + len(names) in sockets:
        names.append(sockets[FIRST + len(names)])
    if names:
        # The pid is put in by whoever has it: see `keeper.orders`.
        made |= {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names), "LISTEN_PID": ""}
    return made
