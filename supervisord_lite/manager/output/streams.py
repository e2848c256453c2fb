"""Output streams: the pipes of the instances, between the keeper that holds them, the workers that
write to them and the data plane that reads them.

A stream's pipe is made at the first run and kept across all later ones. This process keeps no
descriptor of it beyond what the data plane opens for itself.
"""

import errno
import os
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

from supervisord_lite.channels.room import Channels
from supervisord_lite.core.log import Log
from supervisord_lite.core.spec import InstanceSpec, Route
from supervisord_lite.core.state import Instance, live_run
from supervisord_lite.linux.descriptors import has_room
from supervisord_lite.logs.capture.buffer import make_buffer
from supervisord_lite.logs.capture.hop import Hop, make_hop
from supervisord_lite.logs.feeds.relay import Relay, make_relay_parts
from supervisord_lite.logs.plane import DataPlane, make_stream_pipe
from supervisord_lite.manager.output.copies import Copies

Hold = Callable[[str, int], None]
Drop = Callable[[str], None]
Soon = Callable[..., object]

_RESERVE = 64  # descriptors that are not for logs: control clients, compilations, hops
_HOP = "hop/"
_TAP = "tap/"
_BUFFER = "buffer/"


def logged_streams(spec: InstanceSpec) -> Iterator[tuple[str, Log]]:
    """The logged streams of an instance, by full name ("web:0/stdout"), with their logs."""
    if spec.stdout_log is not None and spec.program.stdout.route is Route.LOG:
        yield f"{spec.name}/stdout", spec.stdout_log
    if spec.stderr_log is not None and spec.program.stderr.route is Route.LOG:
        yield f"{spec.name}/stderr", spec.stderr_log


def _alike(one: Log, other: Log) -> bool:
    """Whether a stream can go from one log to the other as it is; else its next run begins anew."""
    return one.direct == other.direct and one.channel == other.channel


class Audience(Protocol):
    """Who wants to see output as it comes."""

    def show(self, stream: str, path: str) -> None: ...

    def hide(self, stream: str) -> None: ...


class HeldHops:
    """Hops and buffers that the keeper holds: those that a data plane before left, fresh ones."""

    def __init__(self, held: Mapping[str, int], hold: Hold, drop: Drop) -> None:
        self._hold, self._drop = hold, drop
        self._hops: dict[str, Hop] = {}
        self._buffers = {
            name.removeprefix(_BUFFER): descriptor
            for name, descriptor in held.items()
            if name.startswith(_BUFFER)
        }
        for key, parts in _left(held, _HOP).items():
            if len(parts) == 3:  # a manager that died while it gave them left some: start afresh
                self._hops[key] = Hop(**parts)

    def get(self, key: str) -> Hop:
        if key not in self._hops:
            hop = self._hops[key] = make_hop()
            for part in ("owner", "write", "read"):
                self._hold(f"{_HOP}{key}/{part}", getattr(hop, part))
        return self._hops[key]

    def held(self) -> dict[str, Hop]:
        return dict(self._hops)

    def buffer(self, stream: str) -> int:
        if stream not in self._buffers:
            buffer = self._buffers[stream] = make_buffer()
            self._hold(f"{_BUFFER}{stream}", buffer)
        return self._buffers[stream]

    def has_buffer(self, stream: str) -> bool:
        return stream in self._buffers

    def drop_buffer(self, stream: str) -> None:
        buffer = self._buffers.pop(stream, None)
        if buffer is not None:
            self._drop(f"{_BUFFER}{stream}")
            os.close(buffer)

    def drop(self, key: str) -> None:
        hop = self._hops.pop(key)
        for part in ("owner", "write", "read"):
            self._drop(f"{_HOP}{key}/{part}")
            os.close(getattr(hop, part))


class HeldRelays:
    """Relays that the keeper holds. `soon` has a function called in this thread, from any."""

    def __init__(self, held: Mapping[str, int], hold: Hold, drop: Drop, soon: Soon) -> None:
        self._hold, self._drop = hold, drop
        self._soon = soon
        self._left = _left(held, _TAP)
        self._marks: dict[str, object] = {}  # tells a stream's relay from an earlier one

    def get(self, stream: str) -> Relay:
        parts = self._left.pop(stream, {})
        if not {"pipe", "page"} <= parts.keys():
            if parts:  # as with hops; nothing old may be taken for a part of the new one
                self._discard(stream, parts)
            pipe, page = make_relay_parts()
            parts = {"pipe": pipe, "page": page}
            for part, descriptor in parts.items():
                self._hold(f"{_TAP}{stream}/{part}", descriptor)
        mark = self._marks[stream] = object()
        keep = partial(self._keep, stream, mark)
        return Relay(parts["pipe"], parts["page"], parts.get("fifo"), keep)

    def drop(self, stream: str) -> None:
        self._marks.pop(stream, None)
        for part in ("fifo", "pipe", "page"):
            self._drop(f"{_TAP}{stream}/{part}")

    def drop_others(self) -> None:
        while self._left:
            self._discard(*self._left.popitem())

    def _discard(self, stream: str, parts: Mapping[str, int]) -> None:
        self.drop(stream)
        for descriptor in parts.values():
            os.close(descriptor)

    def _keep(self, stream: str, mark: object, fifo: int | None) -> None:
        self._soon(self._kept, stream, mark, None if fifo is None else os.dup(fifo))

    def _kept(self, stream: str, mark: object, fifo: int | None) -> None:
        if self._marks.get(stream) is mark:
            if fifo is None:
                self._drop(f"{_TAP}{stream}/fifo")
            else:
                self._hold(f"{_TAP}{stream}/fifo", fifo)
        if fifo is not None:
            os.close(fifo)


def _left(held: Mapping[str, int], prefix: str) -> dict[str, dict[str, int]]:
    """Held descriptors that belong together, by key and part: they are named PREFIX KEY/PART."""
    found: dict[str, dict[str, int]] = {}
    for name, descriptor in held.items():
        if name.startswith(prefix):
            key, _, part = name.removeprefix(prefix).rpartition("/")
            found.setdefault(key, {})[part] = descriptor
    return found


class Outputs:
    """Which streams are attached to the data plane, and with which log."""

    def __init__(
        self,
        plane: DataPlane,
        hold: Hold,
        drop: Drop,
        audience: Audience,
        channels: Channels,
        soon: Soon,
    ) -> None:
        self._plane = plane
        self._hold, self._drop = hold, drop
        self._audience = audience
        self._logs: dict[str, Log] = {}
        self._runs: dict[str, int] = {}  # the last that each stream was told of
        self._soon = soon
        self._leaving: dict[str, object] = {}  # tells a release of a stream from an earlier one
        self.copies = Copies(plane, channels, self._logs, soon)

    def __contains__(self, stream: str) -> bool:
        return stream in self._logs

    @property
    def logs(self) -> Mapping[str, Log]:
        """Those of the attached streams."""
        return self._logs

    def take_over(self, instances: Iterable[Instance], held: Mapping[str, int]) -> None:
        """Attach the streams whose pipes an earlier manager left; let go of nobody's."""
        known: dict[str, Log] = {}
        for one in instances:
            for name, log in logged_streams(one.spec):
                known[name] = log
                if (run := live_run(one.state)) is not None:
                    self._runs[name] = run
        for name, log in known.items():
            if log.direct:
                self._attach(name, None, log)
        for name, descriptor in held.items():
            if ":" not in name.partition("/")[0]:
                continue  # a channel's, a hop's, the control socket: no stream of an instance
            if name in known and not known[name].direct:
                self._attach(name, descriptor, known[name])
            else:
                self._drop(name)
            os.close(descriptor)

    def prepare(self, spec: InstanceSpec, run: int) -> None:
        """Have a pipe ready for every stream of the run that is about to be spawned."""
        self.open(spec)
        for stream, _ in logged_streams(spec):
            if self._runs.get(stream) != run:  # else it is ordered again and has spoken
                self._runs[stream] = run
                self._plane.began(stream, run)

    def open(self, spec: InstanceSpec) -> None:
        """Have a pipe for each logged stream, and none for others."""
        wanted = dict(logged_streams(spec))
        for stream in self._attached(spec.name):
            if stream not in wanted or not _alike(wanted[stream], self._logs[stream]):
                self._release(stream)
        for stream, log in wanted.items():
            if stream in self._logs:
                continue
            if log.direct:
                self._attach(stream, None, log)
            else:
                if not has_room(_RESERVE, resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                pipe = make_stream_pipe()
                self._hold(stream, pipe)
                self._attach(stream, pipe, log)
                os.close(pipe)

    def follow(self, spec: InstanceSpec) -> None:
        """Take over what changed about the logs of attached streams."""
        for stream, log in logged_streams(spec):
            before = self._logs.get(stream)
            if before and before != log and _alike(before, log):
                self._logs[stream] = log
                self._plane.adjust(stream, log)
                self._audience.show(stream, log.path)

    def ended(self, instance: str, run: int) -> None:
        """The run's main process is gone."""
        for stream in self._attached(instance):
            self._plane.ended(stream, run)

    def release(self, instance: str, done: Callable[[], None]) -> bool:
        """The instance is no more. `done` is called once all that it said is logged, unless it
        comes back before; False: it is already, or was nothing.
        """
        left = {stream for stream in self._attached(instance) if not self._logs[stream].direct}

        def logged(stream: str) -> None:
            left.discard(stream)
            if not left:
                done()

        for stream in self._attached(instance):
            self._release(stream, partial(logged, stream))
        return bool(left)

    def _attached(self, instance: str) -> list[str]:
        streams = (f"{instance}/stdout", f"{instance}/stderr")
        return [stream for stream in streams if stream in self._logs]

    def _attach(self, stream: str, pipe: int | None, log: Log) -> None:
        self._logs[stream] = log
        if pipe is not None:  # and is held in place of the one before
            self._leaving.pop(stream, None)
        self._plane.attach(stream, pipe, log, self._runs.get(stream))
        self._audience.show(stream, log.path)

    def _release(self, stream: str, then: Callable[[], None] = lambda: None) -> None:
        log = self._logs.pop(stream)
        self._runs.pop(stream, None)
        self._audience.hide(stream)
        if log.direct:
            self._plane.detach(stream)
        else:
            ticket = self._leaving[stream] = object()
            self._plane.detach(stream, partial(self._soon, self._released, stream, ticket, then))
        self.copies.detached(stream)

    def _released(self, stream: str, ticket: object, then: Callable[[], None]) -> None:
        """All that came through its pipe is logged: nobody needs it any more."""
        if self._leaving.get(stream) is ticket:
            del self._leaving[stream]
            self._plane.forget(stream)
            self._drop(stream)
            then()
