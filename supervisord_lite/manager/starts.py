"""Which instances are on their way to exec, so that one can wait until none is."""

import asyncio

from supervisord_lite.core.command import Announce


class Starts:
    """Kept up to date by the announcements; a start is under way for milliseconds, at most for
    the keeper's deadline of a hung spawn.
    """

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._none = asyncio.Event()
        self._none.set()

    def announced(self, change: Announce) -> None:
        if change.after == "STARTING":
            self._under_way.add(change.instance)
            self._none.clear()
        elif self._under_way:
            self._under_way.discard(change.instance)
            if not self._under_way:
                self._none.set()

    async def none_under_way(self) -> None:
        await self._none.wait()
