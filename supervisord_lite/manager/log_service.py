"""All that a manager has for output, put together: the data plane, the streams attached to it, and
who works beside them.

It decides nothing about instances; the executor tells it of their runs. What touches a disk or
waits for one is done in the threads of the data plane, or in those of `flush` and `stop`.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.state import Instance
from supervisord_lite.logs.event import LogEvent, StreamStatus
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.executor import Executor
from supervisord_lite.manager.keeper_link import Inheritance
from supervisord_lite.manager.log_access import Logs
from supervisord_lite.manager.notices import Notices
from supervisord_lite.manager.outputs import HeldHops, HeldRelays, Outputs

_LAST_WORDS = 5.0  # seconds that output may still take to reach its file at the end


class LogService:
    """Lives inside a running event loop."""

    def __init__(self, given: Inheritance, executor: Executor, notices: Notices) -> None:
        self._notices = notices
        self._loop = asyncio.get_running_loop()
        relays = HeldRelays(
            given.held, executor.hold, executor.drop, self._loop.call_soon_threadsafe
        )
        self.plane = DataPlane(HeldHops(given.held, executor.hold), relays, self._report)
        notices.plane = self.plane
        hold = executor.hold_with_packet
        self.outputs = Outputs(self.plane, hold, executor.drop, notices)

    def take_over(self, instances: Iterable[Instance], given: Inheritance) -> None:
        """Attach every stream that an earlier manager had, and begin to move bytes."""
        self.outputs.take_over(instances, given.held)
        self.plane.start()

    def access(self, fleet: Fleet) -> Logs:
        """What the control API is lent."""
        return Logs(fleet, self.plane, self.outputs)

    def reopen(self) -> None:
        """Open every log again by its name."""
        self.plane.reopen()

    def status(self, stream: str) -> StreamStatus | None:
        """A stream as last seen; None for one that has no log."""
        return self.plane.status(stream) if stream in self.outputs else None

    async def flush(self) -> None:
        """Wait, but not for ever, until all that was said is in the files."""
        if not await asyncio.to_thread(self.plane.flush, _LAST_WORDS):
            self._notices.say("gave up on the last output of some worker: its log does not take it")

    async def stop(self) -> None:
        """Let go of everything between two steps."""
        await asyncio.to_thread(self.plane.stop, _LAST_WORDS)

    def _report(self, event: LogEvent) -> None:
        """In a thread of the data plane."""
        self._loop.call_soon_threadsafe(self._happened, event)

    def _happened(self, event: Any) -> None:
        self._notices.happened_to_log(event)
