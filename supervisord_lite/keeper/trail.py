"""How a descriptor is found again in a process that has it open, once its keeper is gone.

A pipe and a memfd are opened again through /proc/PID/fd (proc(5)). A socket cannot be: it is
duplicated out of the process by pidfd_getfd(2), for which we must have the right to trace that:
root has, others have where nothing forbids it (ptrace(2), Yama).
"""

import fcntl
import os
import stat
from typing import NamedTuple

from supervisord_lite.linux import pidfd

_SOCKET, _MEMORY = -1, -2  # instead of an access mode
_CHANNEL = "channel/"
_DEFINITION = "/definition"


class Trail(NamedTuple):
    """What the journal has of a descriptor: an inode; a pipe's access mode, or what else it is."""

    inode: int
    access: int

    @property
    def kind(self) -> str:
        return {_SOCKET: "socket", _MEMORY: "memfd"}.get(self.access, "pipe")


def of(name: str, descriptor: int) -> Trail | None:
    """How what is held under this name can be found; None if it is made anew, or is found by a
    name of its own.
    """
    kind, inode = at(os.getpid(), descriptor)
    if kind == "pipe":
        return Trail(inode, fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
    if not name.startswith(_CHANNEL) or name.endswith(_DEFINITION):
        return None
    if kind == "socket":
        return Trail(inode, _SOCKET)
    return Trail(inode, _MEMORY) if kind == "memfd" else None


def descriptors_of(pid: int) -> list[int]:
    """What a process has open, as far as we may see it."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def at(pid: int, number: int) -> tuple[str, int]:
    """What a descriptor of a process leads to, pipe, socket or memfd, and its inode; nothing if it
    leads elsewhere.
    """
    path = f"/proc/{pid}/fd/{number}"
    try:
        link = os.readlink(path)
        if link.startswith("/memfd:"):
            return "memfd", os.stat(path).st_ino
    except OSError:
        return "", 0
    kind, _, rest = link.partition(":[")
    return (kind, int(rest.rstrip("]"))) if kind in ("pipe", "socket") else ("", 0)


def take(pid: int, number: int, wanted: Trail) -> int | None:
    """A descriptor of our own for that of a process; None if it is another one by now, or not ours
    to look at.
    """
    if wanted.kind == "socket":
        return _duplicate(pid, number, wanted)
    access = os.O_RDWR if wanted.kind == "memfd" else wanted.access
    return _open_again(f"/proc/{pid}/fd/{number}", wanted, access)


def _open_again(path: str, wanted: Trail, access: int) -> int | None:
    """Open what is behind a link that belongs to a process of somebody else, who may put another
    file there at any time: what was found is looked at before it is opened with our rights.
    """
    try:
        anchor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None  # gone meanwhile, or not ours to look at: adopted without output
    try:
        found = os.fstat(anchor)
        right = _is_memfd if wanted.kind == "memfd" else _is_pipe
        if not right(found) or found.st_ino != wanted.inode:
            return None
        return os.open(f"/proc/self/fd/{anchor}", access | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(anchor)


def _is_pipe(found: os.stat_result) -> bool:
    return stat.S_ISFIFO(found.st_mode)


def _is_memfd(found: os.stat_result) -> bool:
    """Whether it is on the file system that all of them are on, which nobody can mount."""
    own = os.memfd_create("own", os.MFD_CLOEXEC)
    try:
        return os.fstat(own).st_dev == found.st_dev
    finally:
        os.close(own)


def _duplicate(pid: int, number: int, wanted: Trail) -> int | None:
    if (process := pidfd.open_pidfd(pid)) is None:
        return None
    try:
        got = pidfd.duplicate(process, number)
    finally:
        os.close(process)
    if got is not None and at(os.getpid(), got) != ("socket", wanted.inode):
        os.close(got)
        return None
    return got
