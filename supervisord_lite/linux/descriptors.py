"""Passing descriptors over Unix sockets, and the limit on how many a process may have.

Sources: unix(7) for SCM_RIGHTS, getrlimit(2) for RLIMIT_NOFILE. `socket.recv_fds` is not used:
it ignores its flags, so what it receives leaks into children started at that moment.
"""

import array
import contextlib
import fcntl
import os
import resource
import socket
import threading
from collections.abc import Iterable, Iterator

MOST_PER_MESSAGE = 250  # the kernel's SCM_MAX_FD is 253
MADE_AT_ONCE = 512  # descriptors that are usually made in one go, at most
_SPARE = 256  # descriptors below the soft limit that are not for keeping
_INT = array.array("i").itemsize
# As a plain number: combining members of an enum.Flag costs more than receiving does.
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_SPACE = socket.CMSG_SPACE(MOST_PER_MESSAGE * _INT)


def send_with(
    channel: socket.socket, payload: bytes, descriptors: Iterable[int], flags: int = 0
) -> None:
    """Send one message and duplicates of these descriptors with it."""
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
    channel.sendmsg([payload], ancillary, flags)


def receive_with(channel: socket.socket, size: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """Receive one message of at most `size` bytes and its descriptors, all close-on-exec.

    Where our own limit is reached, the kernel drops the last descriptors, and fewer come.
    """
    payload, ancillary, _, _ = channel.recvmsg(size, _SPACE, flags | _CLOEXEC)
    descriptors: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % _INT])
            descriptors.extend(numbers)
    return payload, descriptors


def has_room(count: int, limit: int) -> bool:
    """Whether so many more descriptors fit below the limit."""
    try:
        number = os.open("/", os.O_PATH | os.O_CLOEXEC)
    except OSError:  # EMFILE: not even this one
        return False
    os.close(number)
    return number + count < limit


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def clear_nonblocking(descriptor: int) -> None:
    """Undo O_NONBLOCK, which one run may have set on a description that the next one inherits."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)


def raise_limit() -> int:
    """Let this process have as many descriptors as its hard limit allows; the soft limit before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def restore_limit(soft: int) -> None:
    """Go back to the soft limit that `raise_limit` found; what is open above it stays open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class DescriptorLimit:
    """Lets this process hold as many descriptors as its hard limit allows, while every child
    starts with the soft limit that the process was itself started with.

    The kernel looks at the limit only when a descriptor is made, so the soft limit stays low and
    is raised for the moments in which the main thread makes some. Those moments and the spawning
    of children exclude each other; a spawn that hangs has forked long before, and is waited for
    once.
    """

    _A_FORK_TAKES_AT_MOST = 0.5  # seconds

    def __init__(self) -> None:
        self.soft, self.hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._changed = threading.Condition()
        self._spawning: set[object] = set()
        self._hanging: set[object] = set()
        self._allocating = False

    @contextlib.contextmanager
    def allocation(self, most: int = MADE_AT_ONCE) -> Iterator[None]:
        """Within it, the main thread may make so many descriptors, up to the hard limit."""
        if self.soft == self.hard or has_room(most, self.soft):
            yield
            return
        with self.raised():
            yield

    def settle(self, descriptor: int) -> int:
        """Give a descriptor that is kept for long a number above the soft limit, if it has one of
        the last below it: those stay free for what is opened in passing. The new number.
        """
        if self.soft == self.hard or descriptor < self.soft - min(_SPARE, self.soft // 2):
            return descriptor
        with self.raised():
            try:
                settled = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, self.soft)
            except OSError:  # no room up there: it serves where it is
                return descriptor
        os.close(descriptor)
        return settled

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Within it, the limit is the hard one."""
        with self._changed:
            self._allocating = True
            self._changed.wait_for(self._all_forked, self._A_FORK_TAKES_AT_MOST)
            self._hanging |= self._spawning
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.hard, self.hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.soft, self.hard))
            with self._changed:
                self._allocating = False
                self._changed.notify_all()

    def _all_forked(self) -> bool:
        return self._spawning <= self._hanging

    @contextlib.contextmanager
    def spawning(self) -> Iterator[None]:
        """Within it, a child is forked and gets the original limit. Threads may share it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._allocating)
            spawn = object()
            self._spawning.add(spawn)
        try:
            yield
        finally:
            with self._changed:
                self._spawning.discard(spawn)
                self._hanging.discard(spawn)
                self._changed.notify_all()
