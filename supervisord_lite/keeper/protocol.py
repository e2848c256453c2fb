"""The language between keeper and manager, and the link that carries it.

One ordered SOCK_SEQPACKET between the two. A packet is a JSON object with a version; unknown keys
are ignored, so that a newer side can talk to an older one. A packet of more than 64 KiB travels in
a memfd. Packets are numbered by their sender; the manager acknowledges the keeper's.

From the manager, a packet holds `orders`, a list that the keeper obeys whole, in this order:

    {"do": "remember", "name", "value"}          keep this record; null drops it
    {"do": "hold", "name"}                       keep the descriptor that came along; replaces
    {"do": "drop", "names"}                      let descriptors go
    {"do": "spawn", "instance", "run", "program", "streams", "extra"}    see `orders`
    {"do": "signal", "instance", "run", "signal", "to"}
    {"do": "sweep", "instance", "run"}           tell when nothing of the run is left
    {"do": "bury", "instance", "run"}            its facts need not be told again
    {"do": "main", "instance", "run", "pid"}     its main process is this one from now on
    {"do": "watch", "signals"}                   tell of these signals of the daemon, too
    {"do": "notify", "state"}                    sd_notify(3)
    {"do": "despair", "traceback"}               the manager's last words
    {"do": "leave"}                              exit, touch no worker
    {"do": "exit", "code"}                       exit; the runtime files go, too

and `ack`, the number of the last packet of the keeper that is dealt with, orders and all.

From the keeper, a packet is one of

    {"tell": "welcome", ...}                     who we are (see `daemon.keeper_main`)
    {"tell": "records", "records"}               what was remembered
    {"tell": "held", "names"}                    descriptors, which came along in this order
    {"tell": "restored"}                         that was all
    {"tell": "spawned", "instance", "run", "pid", "adopted", "since"}
    {"tell": "failed", "instance", "run", "stage", "errno", "message", "at"}
    {"tell": "exited", "instance", "run", "status", "at", "emptied", "emptied_at"}
    {"tell": "emptied", "instance", "run", "at"}
    {"tell": "main", "instance", "run", "pid"}            the answer to an order to replace it
    {"tell": "refused_main", "instance", "run", "pid", "why"}    or this; no level, told once
    {"tell": "signalled", "signal"}              the daemon got a signal

Facts about a run are levels: each new manager is told them again until the run is buried. A status
is one of wait(2), or null where nobody could tell it. Times are seconds of CLOCK_MONOTONIC, null
where no keeper saw what happened.

An `exited` can be taken back by a `main`: a program may name another main process and end before
the name has been heard. A manager that hears such names reads them before it believes an `exited`
that has left something behind, and waits for the answer (`mains`).
"""

import errno
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from supervisord_lite.linux.descriptors import MOST_PER_MESSAGE, close_all, receive_with, send_with

VERSION = 1
OLDEST = 1  # the oldest version whose packets we understand

# What every process of a run carries in its environment: DAEMON/INSTANCE/RUN (see `marks`).
MARK = "SUPERVISORD_LITE_RUN"

LEAVE = signal.SIGRTMIN + 1  # the signal that asks the daemon to go and the workers to stay

# ETOOMANYREFS: too many descriptors of this user are on their way (unix(7)).
_NOT_NOW = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)
_INLINE = 64 * 1024
_BUFFER = 4 * 1024 * 1024

Packet = dict[str, Any]


class BrokenLink(Exception):
    """The other side is gone, or speaks a language that we do not."""


class Link:
    """One end of the socket. Sending never blocks: what the kernel does not take yet waits here,
    in order, until `flush` finds room (`pending` says whether there is something left).
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, getattr(socket, "SO_SNDBUFFORCE", 32)):
            try:
                end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            except OSError:  # SNDBUFFORCE wants CAP_NET_ADMIN; the default serves, with more waits
                continue
        self.socket = end
        self._waiting: deque[tuple[bytes, list[int]]] = deque()

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def send(self, packet: Packet, descriptors: Sequence[int] = ()) -> bool:
        """Send a packet; True once the kernel has it and with it everything before it.

        Descriptors are duplicated by the kernel, or by us while the packet has to wait.
        """
        payload = json.dumps({"v": VERSION, "min": OLDEST} | packet).encode()
        if len(payload) > _INLINE:
            body = _to_memfd(payload)
            try:
                return self._send(b"", [body, *descriptors])
            finally:
                os.close(body)
        return self._send(payload, list(descriptors))

    def _send(self, payload: bytes, descriptors: list[int]) -> bool:
        if not self._waiting and self._try(payload, descriptors):
            return True
        self._waiting.append((payload, [os.dup(number) for number in descriptors]))
        return False

    def flush(self) -> bool:
        """Send what waits, as far as the kernel takes it; True if nothing waits any more."""
        while self._waiting:
            payload, descriptors = self._waiting[0]
            if not self._try(payload, descriptors):
                return False
            close_all(descriptors)
            self._waiting.popleft()
        return True

    def _try(self, payload: bytes, descriptors: list[int]) -> bool:
        try:
            send_with(self.socket, payload or b"\0", descriptors)
        except OSError as error:
            if error.errno in _NOT_NOW:
                return False
            if error.errno in _GONE:
                raise BrokenLink(f"cannot send: {error.strerror}") from error
            raise  # a packet that the kernel refuses is a mistake of ours
        return True

    def receive(self, most: int = 64) -> Iterator[tuple[Packet, list[int]]]:
        """The packets that are here now, at most so many, each with its descriptors, of which
        there are less than two messages full.

        Raises `BrokenLink` at the end of the stream.
        """
        taken = 0
        for _ in range(most):
            if taken >= MOST_PER_MESSAGE:
                return
            try:
                payload, descriptors = receive_with(self.socket, _INLINE + 4096)
            except BlockingIOError:
                return
            except ConnectionError as error:
                raise BrokenLink("the other side is gone") from error
            if not payload:
                raise BrokenLink("the other side is gone")
            taken += len(descriptors)
            try:
                packet = _decode(payload, descriptors)
            except (ValueError, IndexError) as error:
                close_all(descriptors)
                raise BrokenLink(f"cannot understand a packet: {error}") from error
            yield packet, descriptors

    def close(self) -> None:
        for _, descriptors in self._waiting:
            close_all(descriptors)
        self._waiting.clear()
        self.socket.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a new link."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)


def _decode(payload: bytes, descriptors: list[int]) -> Packet:
    """The packet; a large one came in the first of the descriptors. ValueError, IndexError."""
    if payload == b"\0":
        payload = _from_memfd(descriptors.pop(0))
    packet = json.loads(payload)
    if not isinstance(packet, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - a wrong value, from elsewhere
    if packet.get("min", 0) > VERSION:
        raise ValueError(f"version {packet.get('v')} of the protocol")
    return packet


def _to_memfd(payload: bytes) -> int:
    body = os.memfd_create("packet", os.MFD_CLOEXEC)
    with open(body, "wb", closefd=False) as stream:
        stream.write(payload)
    return body


def _from_memfd(body: int) -> bytes:
    with open(body, "rb") as stream:
        stream.seek(0)
        return stream.read()
