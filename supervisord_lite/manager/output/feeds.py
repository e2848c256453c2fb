"""Feeds: who is shown lines beside the readers of a single raw tap, as the configuration wants it.

Shared taps, taps that show lines instead of bytes, and forwards. They are declared here, in the
manager's thread, and fed in the feeder's; the data plane is watched only for what somebody reads.
A forward keeps its place whatever else about it is changed; a tap that is changed begins anew.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Destination, Forward, Log, Outlets, Selection, SharedTap, View
from supervisord_lite.core.state import live_run
from supervisord_lite.logs.event import LogEvent
from supervisord_lite.logs.feeds.encoding import Encode, as_objects, plain, prefixed
from supervisord_lite.logs.feeds.feeder import Feed, Feeder, Progress
from supervisord_lite.logs.feeds.forwarding import (
    FifoFeed,
    MessageFeed,
    OutputFeed,
    longest_through,
)
from supervisord_lite.logs.feeds.journald import Journald
from supervisord_lite.logs.feeds.mixture import Mixture, Origin, key_of
from supervisord_lite.logs.feeds.relay import Relay, RelayStore
from supervisord_lite.logs.feeds.syslog import LONGEST_LINE, Syslog
from supervisord_lite.logs.feeds.tap import Place
from supervisord_lite.logs.line import Source
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.logs.reading.reader import tail
from supervisord_lite.manager.output.streams import Soon, logged_streams

_ENCODE: dict[View, Encode] = {View.RAW: plain, View.PREFIXED: prefixed, View.JSON: as_objects}
_OUTPUTS = {Destination.STDOUT: 1, Destination.STDERR: 2}
_LONGEST = 1024 * 1024  # bytes of a line for the journal

Outlet = SharedTap | Forward


@dataclass(eq=False)
class _Declared:
    """One feed: what is wanted, what it reads, and which streams are watched for it."""

    key: str
    outlet: Outlet
    mixture: Mixture
    relay: Relay
    listening: bool
    streams: dict[str, Callable[[], None] | None] = field(default_factory=dict)  # and the cancel


class Feeds:
    """All feeds of a manager. `soon` has a function called in the manager's thread, from any;
    `report` is called in the feeder's. `start` comes when the streams of an earlier manager are
    attached.
    """

    def __init__(
        self,
        fleet: Fleet,
        plane: DataPlane,
        relays: RelayStore,
        soon: Soon,
        report: Callable[[LogEvent], None],
    ) -> None:
        self._fleet = fleet
        self._plane = plane
        self._relays = relays
        self._soon = soon
        self._report = report
        self._feeder = Feeder(report)
        self._declared: dict[str, _Declared] = {}
        self._logs: dict[str, Log] = {}  # of the streams that are attached
        self._gone: set[str] = set()  # streams that may have left something behind in their logs
        self._waiting: dict[str, Callable[[], Feed]] | None = {}  # for `start`

    def start(self) -> None:
        """Begin to feed."""
        waiting, self._waiting = self._waiting or {}, None
        for key, make in waiting.items():
            self._feeder.enter(key, make)
        self._feeder.start()

    def configure(self, outlets: Outlets) -> None:
        """Feed whom this configuration wants fed. Comes before its workers are started."""
        for stream in self._gone:  # all that it said has long been logged
            self._withdraw(stream)
        self._gone.clear()
        wanted: dict[str, Outlet] = {f"taps/{tap.name}": tap for tap in outlets.taps}
        wanted |= {f"forward/{forward.name}": forward for forward in outlets.forwards}
        for key in list(self._declared):
            if key not in wanted and not key.startswith(_SINGLE):
                self._end(key)
        for key, outlet in wanted.items():
            self._declare(key, outlet)

    def show(self, stream: str, path: str) -> None:
        """The stream is attached to the data plane, with its log at `path`."""
        log = self._log_of(stream, path)
        self._gone.discard(stream)
        if stream in self._logs and self._logs[stream].path != path:
            self._withdraw(stream)
        self._logs[stream] = log
        for key, declared in self._declared.items():
            if not key.startswith(_SINGLE) and _is_of(stream, declared.outlet.of):
                self._offer(declared, stream)
        self._show_single(stream, log)

    def hide(self, stream: str) -> None:
        """The stream is about to be detached; what is in its pipe is still logged."""
        self._gone.add(stream)
        if _SINGLE + stream in self._declared:
            self._end(_SINGLE + stream)

    def reopen(self) -> None:
        """Look whether all FIFOs are still those at their paths."""
        self._feeder.check()

    def stop(self, timeout: float, *, unfinished: bool) -> bool:
        """Send what is in the logs, with lines that have no end if they will get none any more,
        for at most so many seconds. Waits: not for an event loop's thread.
        """
        for declared in self._declared.values():
            for cancel in declared.streams.values():
                if cancel is not None:
                    cancel()
        if not self._feeder.stop(timeout, unfinished=unfinished):
            return False
        for declared in self._declared.values():
            declared.relay.close()
        return True

    def status(self) -> list[dict[str, Any]]:
        """One row a feed. Reads logs: not for an event loop's thread."""
        progress = self._feeder.progress()
        return [
            _row(declared, progress.get(declared.key)) for declared in list(self._declared.values())
        ]

    # ---------------------------------------------------------------- declaring

    def _show_single(self, stream: str, log: Log) -> None:
        key = _SINGLE + stream
        # The bytes of a direct log never pass through the data plane, which would show them raw.
        if log.tap is None or (log.tap_view is View.RAW and not log.direct):
            if key in self._declared:
                self._end(key)
            return
        worker, _, which = stream.partition(":")
        of = Selection((worker,), which.rpartition("/")[2])
        self._declare(key, SharedTap(stream, log.tap, of, log.tap_view))
        self._offer(self._declared[key], stream)

    def _declare(self, key: str, outlet: Outlet) -> None:
        before = self._declared.get(key)
        if before is None:
            self._begin(key, outlet, self._relays.get(key))
        elif before.outlet != outlet:
            self._change(before, outlet)
        if not key.startswith(_SINGLE):
            self._select(self._declared[key])

    def _change(self, before: _Declared, outlet: Outlet) -> None:
        if replace(before.outlet, of=outlet.of) == outlet:
            before.outlet = outlet
        elif isinstance(before.outlet, Forward):
            self._end(before.key, keep=True)
            self._begin(before.key, outlet, before.relay)
        else:
            self._end(before.key)
            self._begin(before.key, outlet, self._relays.get(before.key))

    def _select(self, declared: _Declared) -> None:
        for stream in self._logs:
            if _is_of(stream, declared.outlet.of):
                self._offer(declared, stream)
            elif stream in declared.streams:
                self._soon(self._deselect, declared, stream)

    def _deselect(self, declared: _Declared, stream: str) -> None:
        """Once the fleet knows the configuration, too: of who is removed, the last words count."""
        if self._declared.get(declared.key) is declared and not _is_of(stream, declared.outlet.of):
            instance = self._fleet.instances.get(stream.rpartition("/")[0])
            if instance is None or not instance.retiring:
                self._retract(declared, stream)

    def _begin(self, key: str, outlet: Outlet, relay: Relay) -> None:
        tapped = isinstance(outlet, SharedTap)
        mixture = Mixture(
            partial(self._feeder.stir, key),
            longest=_longest(outlet, relay),
            live=tapped,
        )
        declared = _Declared(key, outlet, mixture, relay, listening=not tapped)
        self._declared[key] = declared
        for stream in self._logs:
            if not key.startswith(_SINGLE) and _is_of(stream, outlet.of):
                self._offer(declared, stream)
        make = partial(self._make, declared)
        if self._waiting is None:
            self._feeder.enter(key, make)
        else:
            self._waiting[key] = make

    def _end(self, key: str, *, keep: bool = False) -> None:
        declared = self._declared.pop(key)
        self._listen(declared, listening=False)
        if self._waiting is not None and key in self._waiting:
            del self._waiting[key]
        self._feeder.leave(key)
        if not keep:
            self._feeder.post(declared.relay.close)
            self._relays.drop(key)

    def _make(self, declared: _Declared) -> Feed:
        """In the feeder's thread."""
        key, outlet, relay, feeder = declared.key, declared.outlet, declared.relay, self._feeder
        mixture, report = declared.mixture, self._report
        lines = mixture, _ENCODE[outlet.view]
        if isinstance(outlet, SharedTap):

            def listen(listening: bool) -> None:
                self._soon(self._heard, declared, listening)

            place = Place(outlet.path, outlet.mode)
            return FifoFeed(key, place, relay, lines, feeder, report, listen)
        if outlet.to in _OUTPUTS:
            return OutputFeed(key, _OUTPUTS[outlet.to], relay, lines, feeder, report)
        assert outlet.socket is not None, "a service has a socket"
        if outlet.to is Destination.SYSLOG:
            syslog = Syslog(outlet.socket, outlet.facility, self._pid_of)
            return MessageFeed(key, syslog, relay, mixture, feeder, report)
        return MessageFeed(key, Journald(outlet.socket), relay, mixture, feeder, report)

    # ---------------------------------------------------------------- the streams of a feed

    def _offer(self, declared: _Declared, stream: str) -> None:
        """Have the feed read this stream's log, as it is now."""
        log = self._logs[stream]
        source = Source.of(stream)
        origin = Origin(source, log.path, log.max_line, time.time_ns(), log.format)
        self._feeder.post(partial(declared.mixture.add, key_of(stream, log.path), origin))
        if stream not in declared.streams:
            declared.streams[stream] = self._watch(declared, stream) if declared.listening else None

    def _retract(self, declared: _Declared, stream: str) -> None:
        if stream in declared.streams:
            cancel = declared.streams.pop(stream)
            if cancel is not None:
                cancel()
            key = key_of(stream, self._logs[stream].path)
            self._feeder.post(partial(declared.mixture.drop, key))

    def _withdraw(self, stream: str) -> None:
        """No feed reads this stream any more."""
        for declared in self._declared.values():
            self._retract(declared, stream)
        self._logs.pop(stream, None)

    def _watch(self, declared: _Declared, stream: str) -> Callable[[], None]:
        key = key_of(stream, self._logs[stream].path)
        return self._plane.watch(stream, partial(declared.mixture.wake, key))

    def _heard(self, declared: _Declared, listening: bool) -> None:
        """A reader has come or gone."""
        if self._declared.get(declared.key) is declared:
            self._listen(declared, listening=listening)

    def _listen(self, declared: _Declared, *, listening: bool) -> None:
        declared.listening = listening
        for stream, cancel in list(declared.streams.items()):
            if listening and cancel is None:
                declared.streams[stream] = self._watch(declared, stream)
            elif not listening and cancel is not None:
                cancel()
                declared.streams[stream] = None
        if listening:  # what came before we watched
            self._feeder.post(declared.mixture.wake_all)

    # ---------------------------------------------------------------- looking things up

    def _log_of(self, stream: str, path: str) -> Log:
        instance = self._fleet.instances.get(stream.rpartition("/")[0])
        known = dict(logged_streams(instance.spec)) if instance is not None else {}
        log = known.get(stream)
        return log if log is not None and log.path == path else Log(path)

    def _pid_of(self, source: Source, run: int) -> int | None:
        """The main process of a run that lives; called in the feeder's thread."""
        instance = self._fleet.instances.get(f"{source.worker}:{source.instance}")
        if instance is None or live_run(instance.state) != run:
            return None
        pid = getattr(instance.state, "pid", None)
        return pid if isinstance(pid, int) else None


_SINGLE = "view/"  # and the stream: the tap of one stream that shows lines


def _is_of(stream: str, of: Selection) -> bool:
    source = Source.of(stream)
    return source.worker in of.workers and of.stream in (None, source.stream)


def _longest(outlet: Outlet, relay: Relay) -> int:
    if isinstance(outlet, Forward) and outlet.to is Destination.SYSLOG:
        return LONGEST_LINE
    if isinstance(outlet, Forward) and outlet.to is Destination.JOURNALD:
        return _LONGEST
    return longest_through(relay)


def _row(declared: _Declared, progress: Progress | None) -> dict[str, Any]:
    outlet = declared.outlet
    row: dict[str, Any] = {
        "name": outlet.name,
        "kind": "tap" if isinstance(outlet, SharedTap) else "forward",
        "to": _to(outlet),
        "format": outlet.view.value,
        "streams": len(declared.streams),
    }
    if progress is None:
        return {**row, "read": False, "trouble": "it does not answer", "lag": None}
    behind = sum(_bytes_behind(path, place) for path, place in progress.places.items())
    since = progress.since
    seconds = max(0.0, (time.time_ns() - since) / 1e9) if since is not None else 0.0
    lag = {"bytes": behind, "seconds": round(seconds, 3)}
    return {**row, "read": progress.read, "trouble": progress.trouble, "lag": lag}


def _to(outlet: Outlet) -> str:
    if isinstance(outlet, SharedTap):
        return outlet.path
    return outlet.to.value if outlet.socket is None else f"{outlet.to.value} {outlet.socket}"


def _bytes_behind(path: str, place: str) -> int:
    try:
        end = tail(path, 0)
    except OSError:
        return 0
    chain, _, offset = end.partition(":")
    before, _, at = place.partition(":")
    return max(0, int(offset) - int(at)) if chain == before else int(offset)
