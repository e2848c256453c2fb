"""The receiving side of sd_notify(3): datagrams of NAME=VALUE lines, each with who sent it.

The kernel adds the sender's credentials (SO_PASSCRED, unix(7)). Whether the sender may say what
it says is not decided here. Nothing that anybody can send is an error: what is empty, too long or
garbled says nothing (CVE-2016-7795), and descriptors that come along are closed.

A message is looked at first (`peek`) and taken away once it has been dealt with (`discard`), so
that nothing is lost with a receiver that dies in between.

What is sent while nobody receives waits in the socket, up to net.unix.max_dgram_qlen messages;
then its sender waits.
"""

import array
import errno
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from supervisord_lite.linux.descriptors import close_all

_LONGEST = 4096  # bytes of a message, as systemd has it
_LONGEST_PATH = 107  # that a sender can name, unix(7)
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_INT = array.array("i").itemsize
_MOST_DESCRIPTORS = 253  # the kernel's SCM_MAX_FD
_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT)
_PEEK = int(socket.MSG_DONTWAIT) | int(socket.MSG_CMSG_CLOEXEC) | int(socket.MSG_PEEK)

_Ancillary = list[tuple[int, int, bytes]]


@dataclass(frozen=True, slots=True)
class Message:
    """One message and the credentials of its sender, who may be dead by now, and its pid another's.
    Of a name that comes twice the first value counts; a message that says nothing has no fields.
    """

    pid: int
    uid: int
    gid: int
    fields: dict[str, str]


def make(path: str, mode: int, uid: int, gid: int) -> socket.socket:
    """A socket that receives at `path`, with this mode (less the umask) from the beginning, and
    then this owner. What was at the path is removed. The directory must exist, and nobody else may
    write to it. Raises OSError with the path.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, "too long for the address of a socket", path)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        os.fchmod(receiver.fileno(), mode)  # which bind(2) gives to the file that it makes
        with suppress(FileNotFoundError):
            os.unlink(path)
        receiver.bind(path)
        os.lchown(path, uid, gid)
    except OSError as error:
        receiver.close()
        raise OSError(error.errno, error.strerror, path) from None
    return receiver


def peek(receiver: socket.socket) -> Message | None:
    """The message that comes next, and stays; None if none waits."""
    try:
        payload, ancillary, flags, _ = receiver.recvmsg(_LONGEST, _SPACE, _PEEK)
    except BlockingIOError:
        return None
    close_all(_descriptors(ancillary))
    senders = _of_kind(ancillary, socket.SCM_CREDENTIALS)
    cut_off = not senders or flags & socket.MSG_TRUNC
    pid, uid, gid = _CREDENTIALS.unpack(senders[0]) if senders else (0, 0, 0)
    return Message(pid, uid, gid, {} if cut_off else _parse(payload))


def discard(receiver: socket.socket) -> None:
    """Take away the next message, with all that came along. For a sender who waits until its
    descriptor is closed, sd_notify_barrier(3), that is the answer.
    """
    with suppress(BlockingIOError):
        receiver.recv(1, socket.MSG_DONTWAIT)


def _parse(payload: bytes) -> dict[str, str]:
    """What a message says: nothing if there is a NUL byte in it, but for one at its end."""
    text = payload.removesuffix(b"\0")
    fields: dict[str, str] = {}
    if b"\0" in text:
        return fields
    for line in text.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if name and equals:
            fields.setdefault(name.decode(errors="replace"), value.decode(errors="replace"))
    return fields


def _descriptors(ancillary: _Ancillary) -> list[int]:
    numbers = array.array("i")
    for data in _of_kind(ancillary, socket.SCM_RIGHTS):
        numbers.frombytes(data[: len(data) - len(data) % _INT])
    return list(numbers)


def _of_kind(ancillary: _Ancillary, kind: int) -> list[bytes]:
    return [data for *what, data in ancillary if what == [socket.SOL_SOCKET, kind]]
