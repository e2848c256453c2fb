"""Connecting to a daemon's socket, with errors that tell an absent daemon from a forbidden one."""

import os
import socket
import struct

from supervisord_lite.client.errors import Denied, NoDaemon, TimedOut

_LONGEST_PATH = 107  # sun_path holds 108 bytes with the final NUL, unix(7)


def connect(path: str, timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if timeout is not None:
            # A non-blocking connect(2) would fail at once while the backlog is full.
            limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        _connect_to(connection, path)
        connection.settimeout(timeout)
    except BlockingIOError:
        connection.close()
        raise TimedOut(f"cannot connect to {path} in time: too many wait there") from None
    except PermissionError:
        connection.close()
        raise Denied(f"cannot connect to {path}: permission denied") from None
    except OSError as error:
        connection.close()
        raise NoDaemon(f"cannot reach a daemon at {path}: {error.strerror or error}") from None
    return connection


def _connect_to(connection: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        connection.connect(path)
        return
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)
