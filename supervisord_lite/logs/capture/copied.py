"""A stream whose bytes go into a channel as well as into its log.

They are taken out of the worker's pipe in batches into a hop of the stream's own. Of a batch the
channel is given a copy first (tee(2), as far as there is room), and exactly that much then goes on
into the log. What is in the hop at a SIGKILL is given again: at most one batch twice to the
channel, and not one byte twice to the log.

A channel that is full holds everything up, or is passed by and what it missed is counted, as
`deliver` says. While it holds things up, what was ordered for a place in the stream waits for that
place: a run's beginning in the index, the end of the copy.
"""

import os
import select
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from supervisord_lite.core.log import Deliver, Log, OnFull
from supervisord_lite.linux import pipes, splice
from supervisord_lite.logs import poller
from supervisord_lite.logs.capture.bench import Bench
from supervisord_lite.logs.capture.hop import Hop, Passage
from supervisord_lite.logs.capture.sink import Sink
from supervisord_lite.logs.capture.stream import Held, Stream, Wakes

BATCH = 64 * 1024  # bytes that a channel may see twice after a SIGKILL


class Copy(NamedTuple):
    """The stream's own hop, which may have bytes that a killed data plane left in it, an end of the
    channel (None while it has no writers), and another hop with bytes for the log alone.
    """

    hop: Hop
    channel: int | None
    leftover: Hop | None


class _Mark(NamedTuple):
    """What is to be done once all bytes before `position` are where they belong. `run` is the one
    that begins there; None: it is the copy that ends.
    """

    position: int
    run: int | None
    act: Callable[[], None]


class CopiedStream(Stream):
    """`copy.channel` (see `write_end`) becomes the stream's. `channel_lost` are the bytes that the
    channel was not given.
    """

    def __init__(
        self, name: str, pipe: int, log: Log, wakes: Wakes, held: Held, copy: Copy
    ) -> None:
        super().__init__(name, pipe, log, wakes, held, copy.leftover)
        self.channel_lost = 0
        self._hop = Passage(copy.hop)
        self._channel = copy.channel
        self._given = 0  # bytes at the head of the hop that the channel has
        self._marks: deque[_Mark] = deque()
        self._blocked = False  # and the poller watches the channel
        self._last = False  # nothing is held back any more

    # Orders.

    def begin(self, bench: Bench) -> None:
        super().begin(bench)
        self._turn(0)  # what is in the hop; the pipe may have to wait for what was ordered

    def open_copy(self, channel: int) -> None:
        """Copy into this from now on; the descriptor becomes ours. An end that was not reached
        yet is none any more.
        """
        self._close_channel()
        self._channel = channel
        self._marks = deque(mark for mark in self._marks if mark.run is not None)
        self._listen()
        self._turn()

    def end_copy(self, position: int, done: Callable[[], object]) -> None:
        """Copy what comes before this position, let go of the channel, and call `done`."""

        def act() -> None:
            self._close_channel()
            done()

        self._marks.append(_Mark(position, None, act))
        self._turn()

    def mark_run(self, run: int, position: int) -> None:
        self._marks.append(_Mark(position, run, partial(super().mark_run, run, position)))
        self._move_up_to(position)
        self._turn()

    def end_run(self, run: int, position: int) -> None:
        began = [mark.run for mark in self._marks if mark.run is not None]
        if (began[-1] if began else self.run) == run:
            self.mark_run(0, position)

    def adjust(self, log: Log, held: Held) -> None:
        super().adjust(log, held)
        self._turn()

    def retry(self) -> None:
        super().retry()
        if self.trouble is None:
            self._turn()

    def drain(self) -> None:
        self._turn(0)
        super().drain()

    def finish(self) -> None:
        """The log is to have everything now, whatever the channel has room for."""
        self._last = True
        self._forget_room()
        self._listen()
        super().finish()

    def part(self) -> None:
        self._forget_room()
        super().part()

    def close(self) -> None:
        super().close()
        if self._channel is not None:
            os.close(self._channel)

    def discard_pending(self) -> None:
        self.losses.drop(self._hop.read, self._hop.waiting())
        super().discard_pending()

    @property
    def waits(self) -> bool:
        return self._blocked or super().waits

    # In the course of events.

    def _move(self, most: int) -> int:
        if not self._empty_hop():
            return 0
        self._reach()
        if self._marks:
            most = min(most, self._marks[0].position - self.meter.taken)
        count = self.meter.fill(partial(self._hop.fill, self.name, self._pipe), min(most, BATCH))
        if self._empty_hop():
            self._reach()
        return count

    def _empty_hop(self) -> bool:
        """Give everyone what is in the hop; False: something stays in it."""
        if self.target is None and self.log.on_full is OnFull.BLOCK:
            return False
        moved = 0
        while left := self._hop.waiting():
            self._given = self._given or self._give(left)
            if not self._given:
                self._await_channel()
                break
            try:
                self._pass_on(self._given)
            finally:
                gone = left - self._hop.waiting()
                self._given -= gone
                moved += gone
            if not gone:
                break
        if moved:
            self.grew()
        return not left

    def _reach(self) -> None:
        """The hop is empty: do what was to be done here."""
        while self._marks and self._marks[0].position <= self.meter.taken:
            self._marks.popleft().act()

    def _give(self, count: int) -> int:
        """Give the channel what it takes of so many bytes; answers how many it is done with."""
        if self._channel is None:
            self.channel_lost += count
            return count
        try:
            # What is written shares a page with what was written before, which tee never does: a
            # pipe that is read late would be full after a few short lines.
            if count <= select.PIPE_BUF:
                return os.write(self._channel, self.bench.mover.peek(self._hop.read, count))
            return splice.tee(self._hop.read, self._channel, count)
        except BlockingIOError:
            if self._last or self.log.deliver is Deliver.LOSSY:
                self.channel_lost += count
                return count
            return 0
        except BrokenPipeError:  # nobody holds the channel any more: it was removed
            self.channel_lost += count
            return count

    def _pass_on(self, count: int) -> None:
        """Have the log take so many bytes out of the hop, or some of them. Errors leave there what
        it did not take.
        """
        target = self.target
        if target is None:
            self.losses.drop(self._hop.read, count)
        elif self._shaping:
            self._shaping.fill(self._hop.read, count)
            self._shaping.write(target)
        elif isinstance(target, Sink):
            target.take(self._hop.read, count)
        else:
            target.append(self._hop.read, count)
            self.size = target.size

    def _await_channel(self) -> None:
        """Leave the worker's pipe alone until the channel has room."""
        if not self._blocked:
            assert self._channel is not None, "what is not there is not full"
            self._blocked = True
            self.bench.poller.add(self._channel, poller.OUT, self._channel_writable)
            self._listen()

    def _channel_writable(self, _events: int) -> None:
        self._forget_room()
        self._listen()
        self._turn()

    def _sink_writable(self, events: int) -> None:
        super()._sink_writable(events)
        self._turn()

    def _has_more(self) -> bool:
        return self._hop.waiting() > 0 or super()._has_more()

    def _forget_room(self) -> None:
        if self._blocked:
            assert self._channel is not None, "it was waited for"
            self._blocked = False
            self.bench.poller.remove(self._channel)

    def _close_channel(self) -> None:
        self._forget_room()
        if self._channel is not None:
            os.close(self._channel)
            self._channel = None


def write_end(channel: int) -> int:
    """To write to the pipe of which this is a descriptor, and never to wait: an end of our own,
    since flags are shared by all who share an open file description.
    """
    return pipes.reopen(channel, os.O_WRONLY | os.O_NONBLOCK)
