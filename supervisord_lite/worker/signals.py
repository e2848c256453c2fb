"""Signals, for a worker in Python: a function for each, and being asked to stop as a flag.

Functions run in the main thread, between two bytecodes of whatever it does (signal(7) and Python's
`signal`), or, where they were given from within a running asyncio loop, as callbacks of that loop.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Self

from supervisord_lite.worker.owned import Owned

_LONGEST = 2e6  # seconds that poll(2) can wait


def on_signal(which: str | int, function: Callable[[], object]) -> None:
    """Call the function at each signal of that name ("HUP", "SIGHUP") or number. To be called in
    the main thread. Raises ValueError for a signal that does not exist.
    """
    number = _number(which)
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio is not None else None
    except RuntimeError:  # none runs in this thread
        loop = None
    if loop is not None:
        loop.add_signal_handler(number, function)
    else:
        signal.signal(number, lambda *_: function())


class Stopping:
    """Whether this worker was asked to stop; get it by `stopping`. As a context, it puts back in
    the end what SIGTERM did before.
    """

    def __init__(self) -> None:
        self._asked, self._entered = False, 0
        self._bell = Owned(_bell(0))  # readable once it was asked
        before = signal.signal(signal.SIGTERM, lambda *_: self.set())
        self._before = signal.SIG_DFL if before is None else before  # None: not set by Python

    def __bool__(self) -> bool:
        return self._asked

    def set(self) -> None:
        """Be asked: for other ways to ask than SIGTERM."""
        self._asked = True
        os.eventfd_write(self._bell.fd, 1)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is asked, `timeout` seconds at most; tell whether it was."""
        poll = select.poll()
        poll.register(self._bell.fd, select.POLLIN)
        endless = timeout is None or timeout > _LONGEST
        poll.poll(None if endless else max(timeout or 0.0, 0.0) * 1000)
        return self._asked

    def fileno(self) -> int:
        """A descriptor that is readable once it was asked: for loops that watch descriptors."""
        return self._bell.fd

    def __enter__(self) -> Self:
        self._entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        global _stopping  # noqa: PLW0603 there is one SIGTERM, so there is one of these
        self._entered -= 1
        if self._entered:  # it is the same one in all blocks
            return
        signal.signal(signal.SIGTERM, self._before)
        _stopping = None

    def after_fork(self) -> None:
        """What the child is asked is none of its parent's business."""
        fresh = Owned(_bell(int(self._asked)))
        os.dup2(fresh.fd, self._bell.fd, inheritable=False)


def _bell(value: int) -> int:
    return os.eventfd(value, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


_stopping: Stopping | None = None


def stopping() -> Stopping:
    """The flag that SIGTERM sets from the first call on, which has to be in the main thread."""
    global _stopping  # noqa: PLW0603
    if _stopping is None:
        _stopping = Stopping()
    return _stopping


def _number(which: str | int) -> int:
    if isinstance(which, int):
        return which
    name = f"SIG{which.upper().removeprefix('SIG')}"
    try:
        return signal.Signals[name]
    except KeyError:
        raise ValueError(f"cannot find a signal {which!r}") from None


def _after_fork() -> None:
    if _stopping is not None:
        _stopping.after_fork()


os.register_at_fork(after_in_child=_after_fork)
