"""Taking over the channels that an earlier manager left, and telling of those that are in trouble:
people, the core, whose instances wait for a channel that is missing, and the data plane.
"""

import asyncio
from collections.abc import Mapping

from supervisord_lite.channels.room import Channels
from supervisord_lite.core.event import ChannelFound
from supervisord_lite.manager.core_loop import CoreLoop
from supervisord_lite.manager.executor import Executor
from supervisord_lite.manager.output.notices import Notices


def take_over_channels(
    held: Mapping[str, int], executor: Executor, core: CoreLoop, notices: Notices
) -> Channels:
    """The channels among what is `held`, as the applied configuration has them."""

    def found(channel: str, trouble: str | None) -> None:
        notices.channel_trouble(channel, trouble)
        loop.call_soon(tell, channel)

    def tell(channel: str) -> None:
        core.take(ChannelFound(channel, channels.missing().get(channel)))
        executor.outputs.copies.renew()

    loop = asyncio.get_running_loop()
    channels = Channels(held, executor.hold, executor.drop, loop.call_later, found)
    executor.channels = channels
    if executor.compiled is not None:
        channels.declare(executor.compiled.configuration.channels)
    core.fleet.miss(channels.missing())
    return channels
