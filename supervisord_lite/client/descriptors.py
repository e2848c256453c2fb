"""Descriptors that come over the control socket: one message beside a JSON object.

What is read here is never read ahead: bytes that a buffer takes in without room for descriptors
would lose those that came with them (unix(7)).
"""

import array
import json
import os
import socket
from typing import Any

from supervisord_lite.client.connecting import connect
from supervisord_lite.client.errors import ApiError, Broken, TimedOut
from supervisord_lite.client.wire import value_of

_MOST = 250  # descriptors of one message
_PLACES = ("fd", "in", "out", "page", "bell")  # where a channel's object has numbers
_INT = array.array("i").itemsize


def receive_channel(path: str, target: str, timeout: float) -> dict[str, Any]:
    """The channels that `target` opens, by name, as a worker is told of its own; the descriptors
    in them are this process's, close-on-exec, and the caller's to close.
    """
    request = (
        f"GET {target} HTTP/1.1\r\nHost: supervisord-lite\r\n"
        "Connection: upgrade\r\nUpgrade: descriptors\r\n\r\n"
    )
    received: list[int] = []
    try:
        with connect(path, timeout) as connection:
            connection.sendall(request.encode("ascii"))
            status, body = _answer(connection, received)
        return _told(status, body, received)
    except BaseException as error:
        for descriptor in received:
            os.close(descriptor)
        if isinstance(error, TimeoutError):
            raise TimedOut(f"cannot wait any longer for an answer from {path}") from None
        if isinstance(error, OSError | ValueError):
            raise Broken(f"cannot read the answer from {path}: {error}") from None
        raise


def _told(status: int, body: bytes, received: list[int]) -> dict[str, Any]:
    if status != 101:
        value_of(status, body)
        raise ApiError(status, "cannot read the answer: it is no switch of protocols")
    told = json.loads(body)
    if len(received) != len(told["numbers"]):
        raise Broken("cannot take all descriptors of a channel: too many are open here")
    return _renumbered(told["channels"], dict(zip(told["numbers"], received, strict=True)))


def _answer(connection: socket.socket, received: list[int]) -> tuple[int, bytes]:
    """The status, and all that comes behind the head, with the descriptors that are among it."""
    data = b""
    while piece := _piece(connection, received):
        data += piece
        head, separator, body = data.partition(b"\r\n\r\n")
        if separator and _is_whole(head, body):
            return int(head.split(None, 2)[1]), body
    raise ConnectionResetError("the connection ended within the answer")


def _is_whole(head: bytes, body: bytes) -> bool:
    """A refusal says how long it is, what is handed over is one line."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"\n")


def _piece(connection: socket.socket, received: list[int]) -> bytes:
    space = socket.CMSG_SPACE(_MOST * _INT)
    data, ancillary, _, _ = connection.recvmsg(65536, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes(rights[: len(rights) - len(rights) % _INT])
            received.extend(numbers)
    return data


def _renumbered(channels: dict[str, Any], numbers: dict[int, int]) -> dict[str, Any]:
    """The same with our own numbers."""
    return {
        name: {key: numbers[value] if key in _PLACES else value for key, value in told.items()}
        for name, told in channels.items()
    }
