"""Putting into channels and taking out of them, for the control API: what a worker does with its
library, done here without ever waiting.

A door has descriptors of its own of one channel, which it closes. Each try either does the whole
thing or nothing, and is to be repeated by whoever wants to wait. The queue is spoken to as
`channels.wire` describes it.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from supervisord_lite.channels import wire
from supervisord_lite.core.channel import Fifo, Kind, Pipe, Queue, Value
from supervisord_lite.core.handing import type_name
from supervisord_lite.linux import locks, peeking, pipes, sealed, splice
from supervisord_lite.linux.descriptors import close_all, receive_with, send_with

LARGEST = 8 * 1024 * 1024  # bytes of a message that is handed out here
_PIECE = 64 * 1024  # bytes that are taken out of a pipe at once
_NUMBER = struct.Struct("=Q")
_Done = TypeVar("_Done")
_FAR = (wire.FAR_BYTES, wire.FAR_PICKLE)
_DIGITS = 20  # of a size, and no more
_HEAD = 32  # bytes that are enough to see how long the message is


class Unfit(Exception):
    """The channel is of no such kind; the text says what it cannot do."""


@dataclass(frozen=True, slots=True)
class Message:
    """What was in a channel. `data` is None where only the size of it was looked at."""

    data: bytes | None
    size: int
    pickled: bool = False


class Door(Protocol):
    """One channel, to be used and closed. False, None: not now."""

    def put(self, data: bytes) -> int:
        """Put it in; answers how many bytes went, which for a queue is all or none."""

    def get(self) -> Message | None: ...

    def peek(self, most: int) -> list[Message] | None: ...

    def close(self) -> None: ...


def door_to(kind: Kind, parts: Mapping[str, int]) -> Door:
    """The door to a channel of which these are descriptors, that become the door's. Raises `Unfit`
    for a type that nothing is put into.
    """
    match kind:
        case Queue():
            return QueueDoor(parts)
        case Pipe() | Fifo():
            return PipeDoor(parts)
    close_all(parts.values())
    raise Unfit(f"it is of type {type_name(kind)}: nothing is put into it or taken out of it")


def values_in(kind: Value, parts: Mapping[str, int]) -> list[object]:
    """What a value or an array is now; not guarded by its lock."""
    form = struct.Struct(f"{kind.length or 1}{wire.CODES[kind.code]}")
    data = os.pread(parts["memory"], form.size, 0)
    return [one.decode("latin-1") if isinstance(one, bytes) else one for one in form.unpack(data)]


class PipeDoor:
    """A pipe or a fifo: bytes, without a beginning or an end.

    Its reader is to see the end also while somebody waits here to take something out, so an end to
    write to is open only while something is put in.
    """

    def __init__(self, parts: Mapping[str, int]) -> None:
        readable = parts.get("read", parts.get("both"))
        assert readable is not None, "it is held"
        self._is_open = "write" in parts or "both" in parts
        try:
            self._read = pipes.reopen(readable, os.O_RDONLY | os.O_NONBLOCK)
        finally:
            close_all(parts.values())

    def put(self, data: bytes) -> int:
        if not self._is_open:
            raise Unfit("it is closed: none of its writers is up")
        write = pipes.reopen(self._read, os.O_WRONLY | os.O_NONBLOCK)
        try:
            return os.write(write, data)
        except BlockingIOError:
            return 0
        finally:
            os.close(write)

    def get(self) -> Message | None:
        try:
            data = os.read(self._read, _PIECE)
        except BlockingIOError:
            return None
        return Message(data, len(data)) if data else None

    def peek(self, most: int) -> list[Message] | None:
        source, copy = os.pipe()
        try:
            pipes.resize(copy, 16 * _PIECE)
            data = os.read(source, splice.tee(self._read, copy, _PIECE)) if self._waiting() else b""
        finally:
            os.close(source)
            os.close(copy)
        return [Message(data, len(data))][:most] if data else []

    def _waiting(self) -> int:
        return pipes.waiting(self._read)

    def close(self) -> None:
        os.close(self._read)


class QueueDoor:
    """A queue: messages, each to one consumer."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._parts = parts
        self._in = socket.socket(fileno=os.dup(parts["in"]))
        self._out = socket.socket(fileno=os.dup(parts["out"]))
        # An open file description, and with it locks, of our own.
        self._page = pipes.reopen(parts["page"], os.O_RDWR)

    def put(self, data: bytes) -> int:
        return len(data) if self._put(data) else 0

    def _put(self, data: bytes) -> bool:
        if not self._number(wire.CAPACITY):
            return self._send(data)
        with self._locked(wire.PUT_BYTE) as ours:
            if ours and not self._is_dirty():
                if self._number(wire.PUTS) - self._number(wire.GETS) >= self._number(wire.CAPACITY):
                    self._set(wire.WAITING, 1)
                    return False
                return self._counted(wire.PUTS_DIRTY, wire.PUTS, lambda: self._send(data))
        if ours:
            self._recount()
        return False

    def get(self) -> Message | None:
        if not self._number(wire.CAPACITY):
            return self._receive()
        with self._locked(wire.GET_BYTE) as ours:
            if ours and not self._number(wire.GETS_DIRTY):
                message = self._counted(wire.GETS_DIRTY, wire.GETS, self._receive)
                if message and self._number(wire.WAITING):
                    self._set(wire.WAITING, 0)
                    os.eventfd_write(self._parts["bell"], 1)
                return message
        if ours:
            self._recount()
        return None

    def peek(self, most: int) -> list[Message] | None:
        with self._locked(wire.WALK_BYTE) as ours:
            if not ours:
                return None
            found: list[Message] = []
            walk: Any = peeking.messages(self._out, wire.WALK_BUFFER)
            with closing(walk):
                for raw in walk:
                    if len(found) == most:
                        break
                    found.append(_seen(raw))
            return found

    def close(self) -> None:
        self._in.close()
        self._out.close()
        for descriptor in (*self._parts.values(), self._page):
            os.close(descriptor)

    # ---------------------------------------------------------------- messages

    def _send(self, data: bytes) -> bool:
        far = len(data) > wire.LARGEST_INLINE
        body = [sealed.make("message", data)] if far else []
        message = wire.FAR_BYTES + b"%d" % len(data) if far else wire.BYTES + data
        try:
            send_with(self._in, message, body, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        finally:
            for descriptor in body:
                os.close(descriptor)
        return True

    def _receive(self) -> Message | None:
        """Take one, unless it is too large for us: that is for somebody else."""
        with self._locked(wire.WALK_BYTE) as ours:
            if not ours:
                return None
            # Not by a bare MSG_PEEK: who was killed while he walked has left his place there.
            walk: Any = peeking.messages(self._out, _HEAD)
            with closing(walk):
                head = next(walk, b"")
            if (size := _size_elsewhere(head) or 0) > LARGEST:
                raise Unfit(f"the next message has {size} bytes: open the channel for it")
        try:
            raw, descriptors = receive_with(self._out, wire.WALK_BUFFER, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        try:
            seen = _seen(raw)
            if seen.data is None and descriptors and _is_memory(descriptors[0]):
                return replace(seen, data=os.pread(descriptors[0], seen.size, 0))
            return seen
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    # ---------------------------------------------------------------- the page

    def _number(self, offset: int) -> int:
        value: int = _NUMBER.unpack(os.pread(self._page, _NUMBER.size, offset))[0]
        return value

    def _set(self, offset: int, value: int) -> None:
        os.pwrite(self._page, _NUMBER.pack(value), offset)

    def _is_dirty(self) -> bool:
        return bool(self._number(wire.PUTS_DIRTY) or self._number(wire.GETS_DIRTY))

    def _counted(self, flag: int, counter: int, act: Callable[[], _Done]) -> _Done:
        self._set(flag, 1)
        try:
            done = act()
            if done:
                self._set(counter, self._number(counter) + 1)
        finally:
            self._set(flag, 0)
        return done

    def _recount(self) -> None:
        """Somebody was killed between a message and counting it. Unless others are at it."""
        with (
            self._locked(wire.PUT_BYTE) as puts,
            self._locked(wire.GET_BYTE) as gets,
            self._locked(wire.WALK_BYTE) as walk,
        ):
            if not (puts and gets and walk):
                return
            there = peeking.count(self._out, wire.WALK_BUFFER)
            put = max(self._number(wire.PUTS), there)
            self._set(wire.PUTS, put)
            self._set(wire.GETS, put - there)
            self._set(wire.PUTS_DIRTY, 0)
            self._set(wire.GETS_DIRTY, 0)

    @contextmanager
    def _locked(self, byte: int) -> Iterator[bool]:
        """Have a byte of the page locked, or not: whether it is, is said."""
        ours = locks.lock(self._page, byte, 1)
        try:
            yield ours
        finally:
            if ours:
                locks.unlock(self._page, byte, 1)


def _seen(raw: bytes) -> Message:
    """A message as it was sent; of one that is elsewhere only the size."""
    pickled = raw[:1] in (wire.PICKLE, wire.FAR_PICKLE)
    if (size := _size_elsewhere(raw)) is not None:
        return Message(None, size, pickled)
    body = raw[1:] if raw[:1] in (wire.BYTES, wire.PICKLE) else raw
    return Message(body, len(body), pickled)


def _is_memory(descriptor: int) -> bool:
    """Whether it is a memfd (fcntl(2), F_GET_SEALS): to read anything else could take for ever."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True


def _size_elsewhere(raw: bytes) -> int | None:
    """How long the body is, if it is elsewhere; what says that wrongly is a body itself."""
    size = raw[1:]
    return int(size) if raw[:1] in _FAR and size.isdigit() and len(size) < _DIGITS else None
