"""Waiting for many descriptors at once: epoll(7), with the handler of each beside it."""

import select
from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT
ERR = select.EPOLLERR

Handler = Callable[[int], None]


class Poller:
    """Descriptors and who is called, with the epoll event mask, when one has something to tell.

    Level-triggered: a handler need not finish what it found, it is called again. A descriptor
    that is watched for nothing (0) still tells of errors.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Watch it for something else."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Forget it; to be done before it is closed."""
        self._epoll.unregister(fd)
        del self._handlers[fd]

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait for ever or for `timeout` seconds; what is to be handled."""
        return self._epoll.poll(timeout)

    def handle(self, fd: int, events: int) -> None:
        """Call the handler of a descriptor, unless one before it has just removed it."""
        handler = self._handlers.get(fd)
        if handler is not None:
            handler(events)

    def close(self) -> None:
        """Give back the epoll instance."""
        self._epoll.close()
