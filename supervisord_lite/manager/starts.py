"""Which instances are on their way to exec, so that one can wait for those that are now."""

import asyncio

from supervisord_lite.core.command import Announce


class Starts:
    """Kept up to date by the announcements; a start is under way for milliseconds, at most for
    the keeper's deadline of a hung spawn.
    """

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._rounds: list[tuple[set[str], asyncio.Future[None]]] = []

    def announced(self, change: Announce) -> None:
        if change.after == "STARTING" and change.before != "STARTING":
            self._under_way.add(change.instance)
            return
        # Another state; or STARTING still, but past exec: it is only not ready yet.
        self._under_way.discard(change.instance)
        for names, over in self._rounds:
            names.discard(change.instance)
            if not names and not over.done():
                over.set_result(None)

    async def answered(self) -> None:
        """Return once each start that is under way now has succeeded or failed; those that begin
        meanwhile, a second try among them, do not count.
        """
        if not self._under_way:
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        this = (set(self._under_way), over)
        self._rounds.append(this)
        try:
            await over
        finally:
            self._rounds.remove(this)
