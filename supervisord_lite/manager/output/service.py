"""All that a manager has for output, put together: the data plane, the streams attached to it, and
who works beside them.

It decides nothing about instances; the executor tells it of their runs. What touches a disk or
waits for one is done in the threads of the data plane, or in those of `flush` and `stop`.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Outlets, View
from supervisord_lite.core.state import Instance
from supervisord_lite.logs.event import LogEvent, Rotated, StreamStatus
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.executor import Executor
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.output.access import Logs
from supervisord_lite.manager.output.chronicle import STREAM, OwnFile
from supervisord_lite.manager.output.copies import ends_of
from supervisord_lite.manager.output.notices import Notices
from supervisord_lite.manager.output.streams import HeldHops, HeldRelays, Outputs
from supervisord_lite.manager.output.upkeep import LogUpkeep

if TYPE_CHECKING:
    from supervisord_lite.manager.output.feeds import Feeds

_LAST_WORDS = 5.0  # seconds that output may still take to reach its file at the end


class LogService:
    """Lives inside a running event loop."""

    def __init__(
        self,
        link: KeeperLink,
        given: Inheritance,
        fleet: Fleet,
        executor: Executor,
        notices: Notices,
    ) -> None:
        self._fleet, self._notices = fleet, notices
        self._loop = asyncio.get_running_loop()
        soon, hold, drop = self._loop.call_soon_threadsafe, executor.hold, executor.drop
        relays = HeldRelays(given.held, hold, drop, soon)
        channels = executor.channels
        hops = HeldHops(given.held, hold, drop)
        self.plane = DataPlane(hops, relays, self._report, ends_of(channels))
        notices.plane = self.plane
        self._own = OwnFile(self.plane, hold, drop, given.held.get(STREAM))
        self._relays, self._soon = relays, soon
        self._feeds: Feeds | None = None  # nor imported, before somebody is to be fed
        self._moves = False
        complain = partial(notices.say, problem=True)
        self.upkeep = LogUpkeep(link, given, self.plane, notices.say, complain)
        self.outputs = Outputs(self.plane, executor.hold_with_packet, drop, self, channels, soon)

    def configure(self, outlets: Outlets) -> None:
        """Take over what a configuration wants of output beyond the log of each stream."""
        self._notices.chronicle.configure(outlets.own, self._own)
        if self._feeds or outlets.taps or outlets.forwards:
            self._need_feeds().configure(outlets)

    def take_over(self, instances: Iterable[Instance], given: Inheritance) -> None:
        """Attach every stream that an earlier manager had, and begin to move bytes."""
        self.outputs.take_over(instances, given.held)
        if self._feeds:
            self._feeds.start()
        self._moves = True
        self.plane.start()

    def access(self) -> Logs:
        """What the control API is lent."""
        return Logs(self._fleet, self.plane, self._own, self._feeds_status)

    async def reopen(self) -> bool:
        """Open every log again by its name; False if a disk has not answered in good time."""
        if self._feeds:
            self._feeds.reopen()
        return await asyncio.to_thread(self.plane.reopen().wait, _LAST_WORDS)

    def status(self, stream: str) -> StreamStatus | None:
        """A stream as last seen; None for one that has no log."""
        return self.plane.status(stream) if stream in self.outputs else None

    # For `Outputs`: who wants to see output as it comes.

    def show(self, stream: str, path: str) -> None:
        self._notices.show(stream, path)
        log = self.outputs.logs[stream]
        if self._feeds:
            self._feeds.show(stream, path)
        elif log.tap and (log.tap_view is not View.RAW or log.direct):
            self._need_feeds()

    def hide(self, stream: str) -> None:
        self._notices.hide(stream)
        if self._feeds:
            self._feeds.hide(stream)

    # The end.

    async def flush(self) -> None:
        """Wait, but not for ever, until all that was said is in the files."""
        if not await asyncio.to_thread(self.plane.flush, _LAST_WORDS):
            self._notices.say("gave up on the last output of some worker: its log does not take it")

    async def stop(self, *, feeding: float) -> None:
        """Let go of everything between two steps, after at most so many seconds in which feeds
        may get what is left; without any, the next manager goes on with them.
        """
        await self.upkeep.close()
        if self._feeds:
            await asyncio.to_thread(self._feeds.stop, feeding, unfinished=bool(feeding))
        await asyncio.to_thread(self.plane.stop, _LAST_WORDS)

    def _need_feeds(self) -> "Feeds":
        if self._feeds is None:
            from supervisord_lite.manager.output.feeds import Feeds

            feeds = Feeds(self._fleet, self.plane, self._relays, self._soon, self._report)
            self._feeds = feeds
            for stream, log in self.outputs.logs.items():
                feeds.show(stream, log.path)
            if self._moves:
                feeds.start()
        return self._feeds

    def _feeds_status(self) -> list[dict[str, Any]]:
        return self._feeds.status() if self._feeds else []

    def _report(self, event: LogEvent) -> None:
        """In a thread of the data plane."""
        self._loop.call_soon_threadsafe(self._happened, event)

    def _happened(self, event: LogEvent) -> None:
        if isinstance(event, Rotated):
            self.upkeep.rotated(event)
        self._notices.happened_to_log(event)
