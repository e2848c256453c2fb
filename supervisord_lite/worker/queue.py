"""Queues: whole messages from many producers to many consumers, each to exactly one.

A message is in the kernel once `put` has returned, and outlives whoever put it. The interface is
that of `multiprocessing.Queue`, without its thread: what can not be pickled is `put`'s own error,
and a queue without a capacity is full when the kernel holds as many bytes as it was sized for.
"""

import array
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import termios
import time
from contextlib import suppress
from functools import partial
from queue import Empty, Full
from typing import Any, NamedTuple

from supervisord_lite.worker.message import LARGEST, ROOM, apart, packed, unpacked
from supervisord_lite.worker.owned import Owned
from supervisord_lite.worker.page import Page
from supervisord_lite.worker.retrying import deadline_of, left_until

_RELOOK = 0.05  # seconds after which who waits for room looks again, told of any or not
_REST = 50  # times as long as it took to count, nobody who waits counts again
_FD_SIZE = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4)  # credentials, a descriptor
_SO_PEEK_OFF = 42  # socket(7), asm-generic/socket.h
_ALWAYS_FITS = 1024  # bytes of a message; the kernel has room for 4 KiB at the least
_END = 64  # messages without a byte in a row: rather a socket that somebody has shut down
_NO_NEWS = 0.005  # seconds before something is tried again that nobody tells about


class Wires(NamedTuple):
    """The descriptors of a queue: where messages are sent, where they are received, the page that
    counts them, and the eventfd by which a consumer tells producers of room.
    """

    sender: Owned
    receiver: Owned
    page: Owned
    bell: Owned


class Queue:
    """The queue of a channel. `use` is what this worker may do: put, get, or both."""

    def __init__(self, wires: Wires, use: str = "both") -> None:
        self._wires, self._use = wires, use
        self._sender = _socket_of(wires.sender)
        self._receiver = _socket_of(wires.receiver)
        self._closed = False  # from here on there is something to close
        self._page = Page(wires.page, partial(_walk, self._receiver))  # no cycle: not a method
        self._may_count = 0.0  # from when on, by the monotonic clock

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in. Raises queue.Full if there is no room at once (`block` False), or in
        `timeout` seconds.
        """
        self._check("put")
        message, body = packed(item), -1
        if len(message) > _ALWAYS_FITS and len(message) > min(LARGEST, self._room() // 4):
            message, body = apart(message)
        try:
            if not self._put(message, body, block, timeout):
                raise Full
        finally:
            if body >= 0:
                os.close(body)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take an item out. Raises queue.Empty if there is none at once (`block` False), or in
        `timeout` seconds.
        """
        self._check("get")
        if block and timeout is None and not self._page.capacity:
            received = self._receive(0)  # the kernel wakes one of those that wait
            if received is not None:
                return _opened(received)
        deadline = deadline_of(timeout if block else 0.0)
        if block and not self._page.depth():  # likely in vain: that is cheaper to find out so
            _wait(self._receiver.fileno(), select.POLLIN, left_until(deadline))
        while True:
            received = self._take()
            if received is not None:
                return _opened(received)
            left = left_until(deadline)
            if left == 0.0:
                raise Empty
            _wait(self._receiver.fileno(), select.POLLIN, left)

    def put_nowait(self, item: Any) -> None:
        """As `put` without `block`."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """As `get` without `block`."""
        return self.get(block=False)

    def qsize(self) -> int:
        """How many items are in it; without a capacity they are counted one by one."""
        self._check()
        if self._page.capacity:
            return self._page.depth()
        return self._page.walking.during(partial(_walk, self._receiver))

    def empty(self) -> bool:
        """Whether nothing is in it."""
        self._check()
        return not _wait(self._receiver.fileno(), select.POLLIN, 0.0)

    def full(self) -> bool:
        """Whether nothing more can be put in."""
        self._check()
        capacity = self._page.capacity
        if capacity and self._page.depth() >= capacity:
            return True
        return self._bytes() >= self._room()

    def close(self) -> None:
        """Let go of the queue, which lives on."""
        if not self._closed:
            self._closed = True
            self._sender.close()
            self._receiver.close()
            for wire in self._wires:
                wire.close()

    def join_thread(self) -> None:
        """There is none: an item that was put is in the queue."""

    def cancel_join_thread(self) -> None:
        """There is none."""

    def __del__(self) -> None:
        if hasattr(self, "_closed"):  # else it was never made
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._wires, self._use)

    def _check(self, what: str = "") -> None:
        if self._closed:
            raise ValueError("cannot use a queue that is closed")
        if what and self._use not in (what, "both"):
            raise ValueError(f"cannot {what}: this worker has the queue with `use: {self._use}`")

    def _put(self, message: bytes, body: int, block: bool, timeout: float | None) -> bool:
        capacity = self._page.capacity
        if block and timeout is None and not capacity and self._send(message, body, 0):
            return True  # the kernel waited for room
        deadline, seen = deadline_of(timeout if block else 0.0), None
        while True:
            sent = self._offer(message, body)
            if sent:
                return True
            left = left_until(deadline)
            if left == 0.0:
                return False
            pause = _RELOOK if left is None else min(left, _RELOOK)
            if sent is None:
                _wait(self._sender.fileno(), select.POLLOUT, pause)
            elif not self._hear(pause):
                seen = self._look_again(seen)

    def _offer(self, message: bytes, body: int) -> bool | None:
        """Put without waiting. False: too many messages are in it, None: too many bytes."""
        if self._page.capacity:
            return self._page.put(lambda: self._send(message, body, socket.MSG_DONTWAIT))
        return self._send(message, body, socket.MSG_DONTWAIT) or None

    def _send(self, message: bytes, body: int, flags: int) -> bool:
        try:
            if body < 0:
                self._sender.send(message, flags)
            else:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", body))
                self._sender.sendmsg([message], [rights], flags)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:  # too many descriptors under way, unix(7)
                raise
            time.sleep(_NO_NEWS)  # nothing tells when they are fewer
            return False
        return True

    def _hear(self, seconds: float) -> bool:
        """Wait for a consumer that tells of room."""
        bell = self._wires.bell.fd
        heard = _wait(bell, select.POLLIN, seconds)
        with suppress(BlockingIOError):  # another producer was faster; all of them look again
            os.eventfd_read(bell)
        return heard

    def _look_again(self, seen: int | None) -> int | None:
        """Nobody told of room. Count, if anything has moved since: a killed process or one that
        does not count may have made room all the same. All others wait meanwhile, and it takes the
        kernel n² steps (20 000 messages: 3 s), so it has a share of the time only.
        """
        now, began = self._bytes(), time.monotonic()
        if now == seen or began < self._may_count:
            return seen
        self._page.recount()
        ended = time.monotonic()
        self._may_count = ended + _REST * (ended - began)
        return now

    def _take(self) -> tuple[bytes, int | None] | None:
        """Get without waiting."""
        if not self._page.capacity:
            return self._receive(socket.MSG_DONTWAIT)
        received, is_awaited = self._page.get(lambda: self._receive(socket.MSG_DONTWAIT))
        if is_awaited:
            os.eventfd_write(self._wires.bell.fd, 1)
        return received

    def _receive(self, flags: int) -> tuple[bytes, int | None] | None:
        """A message, and the memfd that came with it."""
        try:
            message, rights, told, _ = self._receiver.recvmsg(
                ROOM, _FD_SIZE, flags | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        # Whoever shares the socket may have asked for more than descriptors (SO_PASSCRED).
        data = b"".join(data for _, kind, data in rights if kind == socket.SCM_RIGHTS)
        fds = array.array("i", data)
        for fd in fds[1:]:
            os.close(fd)
        if told & socket.MSG_TRUNC:
            message = b""  # `unpacked` refuses that
        return message, fds[0] if fds else None

    def _room(self) -> int:
        """For so many bytes, which may become less while it is used."""
        return self._sender.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def _bytes(self) -> int:
        """What the kernel accounts for all that is in it."""
        answer = fcntl.ioctl(self._sender.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)


def _socket_of(wire: Owned) -> socket.socket:
    """One that waits, whatever the program's default timeout is, with a descriptor of its own: two
    owners of one would close it twice.
    """
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=os.dup(wire.fd))
    end.setblocking(True)
    return end


def _walk(receiver: socket.socket) -> int:
    """Count the messages that are there, by looking at each, while `walking` is held."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    count, empty, room = 0, 0, bytearray(ROOM)
    try:
        while empty < _END:
            size = receiver.recv_into(room, 0, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            empty = 0 if size else empty + 1
            count += size > 0
    except BlockingIOError:
        pass
    finally:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, -1)
    return count


def _opened(received: tuple[bytes, int | None]) -> Any:
    message, fd = received
    try:
        return unpacked(message, fd)
    finally:
        if fd is not None:
            os.close(fd)


def _wait(fd: int, event: int, seconds: float | None) -> bool:
    """Wait until that can be done; tell whether it can."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(None if seconds is None else min(seconds, 1e6) * 1000))
