"""A descriptor that an object owns: closed with it, and passed on when it is pickled.

It can be given to a `multiprocessing.Process`, forked or spawned; that module carries it then, and
is imported only for that.
"""

import os
from typing import Any


class Owned:
    """The owner of descriptor `fd`, which is -1 once it is closed."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close the descriptor; once is enough."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _arrived, (DupFd(self.fd),)


def _arrived(duplicate: Any) -> Owned:
    fd: int = duplicate.detach()
    os.set_inheritable(fd, False)
    return Owned(fd)
