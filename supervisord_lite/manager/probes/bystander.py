"""Calls that may hang in the kernel for ever: on a dead file server, in a resolver.

Each has a thread of its own, which keeps neither the event loop nor the end of the process waiting.
The loop's own threads are not for this: a few of them that hang would stop everybody's work.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Bystander:
    """Makes one call at a time."""

    def __init__(self) -> None:
        self._busy: asyncio.Future[Any] | None = None

    async def call(self, work: Callable[[], T]) -> T:
        """The result of `work`, or the OSError that it raises; EAGAIN where there is no thread to
        be had. While an earlier call hangs, that one is waited for first, so that hanging calls do
        not pile up.
        """
        while self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy])
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._busy = answer

        def settle(result: T | None, error: OSError | None) -> None:
            if error is not None:
                answer.set_exception(error)
                answer.exception()  # perhaps nobody waits for it any more
            else:
                answer.set_result(result)  # type: ignore[arg-type] # there is one, then

        def make() -> None:
            result, error = None, None
            try:
                result = work()
            except OSError as problem:
                error = problem
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        try:
            threading.Thread(target=make, name="bystander", daemon=True).start()
        except RuntimeError:  # the kernel has no thread for us now (pids.max, RLIMIT_NPROC)
            answer.cancel()
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        return await asyncio.shield(answer)
