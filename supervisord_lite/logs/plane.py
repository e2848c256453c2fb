"""The data plane as its owner sees it: streams are attached, adjusted and detached, and their
bytes go from pipe to file in threads of its own, one a file system (a *lane*).

Nothing here blocks but `flush` and `stop`. It knows no states: a run is a number in an index.
Hops come from a `HopStore`, one a lane plus one for each stream whose worker waits while the disk
is full, and buffers, one for each stream whose bytes are looked at. A hop that a killed data plane
left with bytes in it is emptied into the stream that its owner word names, when that stream is
attached and before anything else is written there.
Relays, one a tap, come from a `RelayStore`, and are dropped there when the tap is no more.
A stream that is copied into a channel has a hop of its own, too; whoever made the data plane says
when the channel has writers (`open_copy`, `end_copy`).
So: construct, attach every stream, then `start`. Call everything from one thread.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

from supervisord_lite.core.log import Log, OnFull, View
from supervisord_lite.linux import mounts, pipes
from supervisord_lite.logs.capture.copied import CopiedStream, Copy
from supervisord_lite.logs.capture.direct import DirectLogs
from supervisord_lite.logs.capture.hop import Hop, HopStore, left_in, make_hop
from supervisord_lite.logs.capture.lane import Lane
from supervisord_lite.logs.capture.shaper import shaping
from supervisord_lite.logs.capture.stream import Held, Stream
from supervisord_lite.logs.capture.watchdog import STALLED, Busy, Watchdog
from supervisord_lite.logs.event import LogEvent, StallBegan, StallEnded, StreamStatus
from supervisord_lite.logs.feeds.relay import Relay, RelayStore

__all__ = ["DataPlane", "Hop", "HopStore", "LogEvent", "StreamStatus", "make_hop"]

Wake = Callable[[], None]
Ends = Callable[[str], int | None]  # an end of a channel (`write_end`); None: it has no writers

_OWN = "stream "  # and its name: the hop of a stream that waits for its log
_COPIES = "copy "  # before the names of the streams that hops for copies belong to


def make_stream_pipe() -> int:
    """The O_RDWR descriptor of a fresh pipe for one stream; it is kept across all its runs."""
    return pipes.make_shared()


class Done:
    """That several lanes have done something. To be waited for in any thread."""

    def __init__(self, awaited: Sequence[threading.Event]) -> None:
        self._awaited = awaited

    def wait(self, timeout: float) -> bool:
        """False after `timeout` seconds; what is late is done nevertheless."""
        deadline = time.monotonic() + timeout
        return all(done.wait(max(0.0, deadline - time.monotonic())) for done in self._awaited)


class DataPlane:
    """See the module. `report` is called in the data plane's threads, and must only hand on."""

    def __init__(
        self,
        hops: HopStore,
        relays: RelayStore,
        report: Callable[[LogEvent], None],
        ends: Ends = lambda _: None,
    ) -> None:
        self._hops = hops
        self._ends = ends
        self._relays = relays
        self._report = report
        left = [(key, left_in(hop), hop) for key, hop in hops.held().items()]
        soiled = [(key.startswith(_COPIES), owner, hop) for key, owner, hop in left if owner]
        self._leftovers = {owner: hop for copied, owner, hop in soiled if not copied}
        self._uncopied = {owner: hop for copied, owner, hop in soiled if copied}
        self._soiled = {hop for _, _, hop in soiled}
        self._lanes: dict[str, Lane] = {}
        self._places: dict[str, str] = {}  # directory of a log: place of its lane
        self._streams: dict[str, tuple[Stream, Lane]] = {}
        self._leaving: set[str] = set()
        self._taps: dict[str, tuple[Log, Relay]] = {}
        self._wakes: dict[str, tuple[Wake, ...]] = {}
        self._direct = DirectLogs(self._lane, self._wake)
        self._watchdog = Watchdog(self._stall_began, self._stall_ended)
        self._started = False

    def start(self) -> None:
        """Begin to move bytes."""
        self._started = True
        self._relays.drop_others()
        self._watchdog.start()
        for lane in self._lanes.values():
            lane.start()

    def attach(self, stream: str, pipe: int | None, log: Log, run: int | None = None) -> None:
        """Log what comes through `pipe`, which stays the caller's: output of `run`, where that is
        known, else of whom the index names last. A log that cannot be opened is reported and tried
        again, and its output handled as `on_full` says. A direct log has no pipe.
        """
        assert stream not in self, "a stream is attached once"
        if pipe is None:
            self._direct.attach(stream, log)
            if stream in self._wakes:
                self._direct.watch(stream)
            return
        lane = self._lane(log.path)
        if stream in self._leaving:  # it begins anew, and not with what the lane still looks at
            self._leaving.discard(stream)
            self._hops.drop_buffer(stream)
        attached = self._make(stream, pipe, log)
        attached.run = run
        self._streams[stream] = attached, lane
        lane.enter(attached)

    def adjust(self, stream: str, log: Log) -> None:
        """Go on with another path or other rules, but a direct log stays one."""
        if stream in self._direct:
            self._direct.adjust(stream, log)
            return
        attached, lane = self._streams[stream]
        target = self._lane(log.path)
        held = self._held(stream, log)
        if target is not lane:
            lane.move(attached, log, held, target)
            self._streams[stream] = attached, target
        target.tell(attached, partial(attached.adjust, log, held))

    def detach(self, stream: str, done: Callable[[], object] = lambda: None) -> None:
        """Log what is in the pipe now, let go of the stream, and call `done`, in any thread. What
        holds its bytes until then stays until `forget`.
        """
        if stream in self._direct:
            self._direct.detach(stream)
            self._wake(stream)
            done()
            return
        attached, lane = self._streams.pop(stream)
        self._drop_relay(stream)
        self._leaving.add(stream)
        lane.leave(attached, done)

    def forget(self, stream: str) -> None:
        """Let go of what was held for a stream that is done, and was not attached again."""
        self._leaving.discard(stream)
        self._hops.drop_buffer(stream)
        for key in self._hops.held():
            if key.rpartition(" ")[0] in (f"{_OWN}{stream}", f"{_COPIES}{stream}"):
                self._hops.drop(key)

    def began(self, stream: str, run: int) -> None:
        """What comes from now on is of `run`. To be called before the run is spawned."""
        if stream in self._direct:
            self._direct.began(stream)
            return
        attached, lane = self._streams[stream]
        # The lane may come to it when the run has said something already.
        self._at_halt(attached, lane, partial(attached.mark_run, run))

    def ended(self, stream: str, run: int) -> None:
        """The main process of `run` is gone: what is in the pipe now is the last of its output,
        and what comes later is a grandchild's.
        """
        if stream in self._direct:
            return
        attached, lane = self._streams[stream]
        self._at_halt(attached, lane, partial(attached.end_run, run))

    def _at_halt(self, stream: Stream, lane: Lane, act: Callable[[int], None]) -> None:
        """Have the lane call `act` with the position that the stream has now, and take nothing from
        beyond it before.
        """
        position = stream.meter.halt()

        def order() -> None:
            try:
                act(position)
            finally:
                stream.meter.go_on()

        lane.tell(stream, order)

    def open_copy(self, stream: str) -> None:
        """The channel that the stream is copied into has writers (again)."""
        attached, lane = self._streams[stream]
        assert isinstance(attached, CopiedStream), "its log has a channel"
        if (end := self._end(attached.log)) is not None:
            lane.tell(attached, partial(attached.open_copy, end))

    def end_copy(self, stream: str, done: Callable[[], object]) -> None:
        """Let go of the channel once it has all that is in the pipe now, and call `done`, in a
        thread of the data plane; unless the copy is opened again or the stream detached before.
        """
        attached, lane = self._streams[stream]
        assert isinstance(attached, CopiedStream), "its log has a channel"
        lane.tell(attached, partial(attached.end_copy, attached.meter.position(), done))

    def __contains__(self, stream: str) -> bool:
        return stream in self._streams or stream in self._direct

    def between_steps(self, stream: str, act: Callable[[], None]) -> None:
        """Call `act` in the thread that moves the stream's bytes, when no file of its log is being
        renamed. It must not raise.
        """
        if stream in self._direct:
            self._direct.post(stream, act)
            return
        _, lane = self._streams[stream]
        lane.post(act)

    def reopen(self) -> Done:
        """Open every log again by its name. When that is done, whoever has moved a file may do with
        it what they like.
        """
        self._places.clear()
        return Done([lane.reopen() for lane in self._lanes.values()])

    def flush(self, timeout: float) -> bool:
        """Wait until all that was in the pipes is in the files; False after `timeout` seconds."""
        awaited = [lane.drained(stream) for stream, lane in self._streams.values()]
        awaited += [lane.passed() for lane in self._lanes.values()]
        return Done(awaited).wait(timeout)

    def stop(self, timeout: float = 10.0) -> bool:
        """End all lanes between two steps and let go of everything. False: a disk holds one of
        them; what it was writing is safe in its hop, and only the process's end frees it.
        """
        deadline = time.monotonic() + timeout
        for lane in self._lanes.values():
            lane.stop()
        self._watchdog.stop()
        if not self._started:
            for stream, _ in self._streams.values():
                stream.close()
        lanes = list(self._lanes.values())
        self._lanes.clear()
        ended = [lane.join(max(0.0, deadline - time.monotonic())) for lane in lanes]
        return all(ended)  # each was joined, whatever became of the one before

    def watch(self, stream: str, wake: Wake) -> Wake:
        """Call `wake` in a lane's thread whenever the stream's log grew; answers the cancel. It
        comes often under load and must be cheap: set a flag, and do nothing if it is set.
        """
        self._wakes[stream] = (*self._wakes.get(stream, ()), wake)
        if stream in self._direct:
            self._direct.watch(stream)

        def cancel() -> None:
            left = tuple(other for other in self._wakes.get(stream, ()) if other is not wake)
            if left:
                self._wakes[stream] = left
            else:
                self._wakes.pop(stream, None)
                self._direct.unwatch(stream)

        return cancel

    def status(self, stream: str) -> StreamStatus:
        """The stream as last seen, without touching a disk unless its log is direct."""
        if stream in self._direct:
            return self._direct.status(stream)
        attached, lane = self._streams[stream]
        since = lane.busy_since
        stalled = since if since and time.monotonic() - since >= STALLED else None
        return StreamStatus(
            attached.log.path,
            attached.size,
            *attached.losses.ever,
            attached.trouble,
            stalled,
            *attached.limited,
            attached.channel_lost if isinstance(attached, CopiedStream) else 0,
        )

    def _wake(self, stream: str) -> None:
        for wake in self._wakes.get(stream, ()):
            wake()

    def _lane(self, path: str) -> Lane:
        directory = os.path.dirname(path)
        if directory not in self._places:
            self._places[directory] = mounts.point_of(directory, mounts.points())
        place = self._places[directory]
        if place not in self._lanes:
            lane = Lane(place, self._fresh_hop(f"lane {place}"), self._report, self._watchdog)
            self._lanes[place] = lane
            self._watchdog.watch(lane)
            if self._started:
                lane.start()
        return self._lanes[place]

    def _make(self, stream: str, pipe: int, log: Log) -> Stream:
        left = self._leftovers.pop(stream, None)
        uncopied = self._uncopied.pop(stream, None)
        held = self._held(stream, log)
        if log.channel is None:
            return Stream(stream, pipe, log, self._wakes, held, left or uncopied)
        own = uncopied or self._fresh_hop(f"{_COPIES}{stream}")
        copy = Copy(own, self._end(log), left)
        return CopiedStream(stream, pipe, log, self._wakes, held, copy)

    def _end(self, log: Log) -> int | None:
        assert log.channel is not None, "there is something to copy to"
        return self._ends(log.channel)

    def _held(self, stream: str, log: Log) -> Held:
        waits = log.on_full is OnFull.BLOCK and not shaping(log) and log.channel is None
        own = self._fresh_hop(f"{_OWN}{stream}") if waits else None
        needed = shaping(log) or self._hops.has_buffer(stream)
        buffer = self._hops.buffer(stream) if needed else None
        return Held(own, buffer, self._relay(stream, log))

    def _relay(self, stream: str, log: Log) -> Relay | None:
        """The relay of the stream's tap; a fresh one where the tap is another than before."""
        if stream in self._taps:
            before, relay = self._taps[stream]
            if (log.path, log.tap, log.tap_view) == (before.path, before.tap, before.tap_view):
                return relay
        self._drop_relay(stream)
        if log.tap is None or log.tap_view is not View.RAW:
            return None  # a view of lines is a feed, and somebody else's work
        relay = self._relays.get(stream)
        self._taps[stream] = log, relay
        return relay

    def _drop_relay(self, stream: str) -> None:
        if self._taps.pop(stream, None):
            self._relays.drop(stream)

    def _fresh_hop(self, key: str) -> Hop:
        """A hop under this key that nobody's bytes are waiting in."""
        for number in count():
            hop = self._hops.get(f"{key} {number}")
            if hop not in self._soiled:
                return hop
        raise AssertionError("numbers do not end")

    def _stall_began(self, lane: Busy) -> None:
        held = tuple(name for name, (_, home) in list(self._streams.items()) if home is lane)
        self._report(StallBegan(lane.place, held))

    def _stall_ended(self, lane: Busy) -> None:
        self._report(StallEnded(lane.place))
