"""Showing the lines of logs to clients: merged by time, filtered, live.

What each is and where it is from is the manager's `LineView`; here it becomes an answer, piece by
piece, as fast as the client reads and no faster. Files are read in threads, a bounded step at a
time, so that nobody's search holds up anybody else.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from supervisord_lite.control.logs import Changes, LogAccess, Source, Unreadable, Wakeups
from supervisord_lite.control.requests import BadRequest
from supervisord_lite.manager.output.wanted import Shown

if TYPE_CHECKING:
    from supervisord_lite.manager.output.lines import LineView

Answer = TypeVar("Answer")

# Who has found nothing for a while goes on here, so that others need not wait for a thread.
_searchers = ThreadPoolExecutor(2, "log search")
_PATIENCE = 1.0  # seconds that what has no end of line waits for one


async def lines(view: "LineView") -> AsyncIterator[bytes]:
    """What is there now, oldest line first; empty pieces while nothing is found."""
    try:
        async for shown in _present(view):
            yield b"".join(one.text for one in shown)
    finally:
        _close_soon(view)


async def follow_lines(
    logs: LogAccess, wanted: Sequence[Source], view: "LineView"
) -> AsyncIterator[bytes]:
    """Server-sent events: what is there now, oldest line first, a `position` of each log, and then
    lines as they come, until a stream gets another log.
    """
    wakeups = Wakeups(len(wanted))
    changes = Changes(logs, wanted, wakeups)
    cancels = [
        logs.watch(source.instance, source.stream, wakeups.waker(number))
        for number, source in enumerate(wanted)
    ]
    try:
        async for shown in _present(view):
            yield _events(shown)
        yield b"".join(_position(cursor) for cursor in view.cursors())
        async for shown in _live(view, wakeups, changes):
            yield _events(shown)
    finally:
        for cancel in cancels:
            cancel()
        _close_soon(view)


async def _present(view: "LineView") -> AsyncIterator[list[Shown]]:
    """What is there now; nothing, now and then, while it is being looked for."""
    searching = False
    while (shown := await _done(view.step, searching=searching)) is not None:
        yield shown
        searching = not shown


async def _live(view: "LineView", wakeups: Wakeups, changes: Changes) -> AsyncIterator[list[Shown]]:
    """Lines as they come. What has no end is shown once nothing has come for a while."""
    open_ended: dict[int, float] = {}  # since when each waits
    searching = False
    clock = asyncio.get_running_loop().time
    while True:
        waited = next(iter(open_ended), None)
        patience = None if waited is None else open_ended[waited] + _PATIENCE - clock()
        number = waited
        if patience is None or patience > 0:  # else its turn has come, whoever else is awake
            with suppress(TimeoutError):
                number = await asyncio.wait_for(wakeups.next(), patience)
        assert number is not None, "without a patience somebody wakes us"
        if changes.rewritten(number):
            return
        unfinished = number == waited and clock() >= open_ended[number] + _PATIENCE
        open_ended.pop(number, None)
        look = partial(view.arrived, number, unfinished=unfinished)
        shown, exhausted = await _done(look, searching=searching)
        searching = not (shown or exhausted)
        if not exhausted:
            wakeups.wake(number)  # there is more, but the others come first
        elif not unfinished:
            open_ended[number] = clock()
        if shown:
            yield shown
        elif exhausted and changes.moved(number):
            shown, _ = await _done(partial(view.arrived, number, unfinished=True), searching=False)
            yield shown
            return


async def _done(work: Callable[[], Answer], *, searching: bool) -> Answer:
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(_searchers if searching else None, work)
    except ValueError as error:
        raise BadRequest(f"{error}: that is no cursor") from None
    except OSError as error:
        raise Unreadable(f"cannot read the logs: {error.strerror}") from None


def _close_soon(view: "LineView") -> None:
    """In a thread, which may have to wait for one that reads."""
    asyncio.get_running_loop().run_in_executor(None, view.close)


def _events(shown: Sequence[Shown]) -> bytes:
    return b"".join(
        b"id: %b\nevent: line\ndata: %b\n" % (one.cursor.encode(), one.text) for one in shown
    )


def _position(cursor: str) -> bytes:
    name, _, stream = cursor.rpartition("@")[0].rpartition("/")
    data = json.dumps({"name": name, "stream": stream})
    return f"id: {cursor}\nevent: position\ndata: {data}\n\n".encode()
