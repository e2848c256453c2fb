"""Changing the older files of a log: only between two steps of the thread that renames them, so
that a name means what it meant when it was looked up.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from supervisord_lite.logs.plane import DataPlane


class CannotTouch(Exception):
    """An older file stays as it is; the text says why."""


async def between_steps(
    plane: DataPlane, stream: str, path: str, act: Callable[[], object]
) -> None:
    """Have the data plane's thread do something to the older files of a stream's log, and wait for
    it. A stream that is not attached is left alone. Raises `CannotTouch`.
    """
    if stream not in plane:
        return
    loop = asyncio.get_running_loop()
    done: asyncio.Future[OSError | None] = loop.create_future()

    def finish(error: OSError | None) -> None:
        if not done.done():
            done.set_result(error)

    def work() -> None:
        problem = None
        try:
            act()
        except OSError as error:
            problem = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(finish, problem)

    plane.between_steps(stream, work)
    error = await done
    if error is not None:
        raise CannotTouch(f"cannot change the older files of {path}: {error.strerror}")
