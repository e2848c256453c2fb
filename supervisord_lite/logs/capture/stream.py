"""One stream in the data plane: its pipe, its log, and what becomes of its bytes in trouble.

Made by the caller's thread, used by its lane's alone from `begin` to `close`; the plain
attributes that `status` reads are the exception.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from supervisord_lite.core.log import Log, OnFull
from supervisord_lite.linux import pipes
from supervisord_lite.logs import poller
from supervisord_lite.logs.capture import hop, widths
from supervisord_lite.logs.capture.bench import Bench
from supervisord_lite.logs.capture.hop import Hop, Passage
from supervisord_lite.logs.capture.losses import Losses
from supervisord_lite.logs.capture.meter import Meter
from supervisord_lite.logs.capture.shaper import shaping
from supervisord_lite.logs.capture.shaping import shaping_for
from supervisord_lite.logs.capture.sink import Sink
from supervisord_lite.logs.event import Noticed, Rotated, TroubleBegan, TroubleEnded
from supervisord_lite.logs.feeds.relay import Relay
from supervisord_lite.logs.feeds.tap import Tap
from supervisord_lite.logs.files.file import LogFile

_LOOKED_AT = 64 * 1024  # bytes at a time, where they are: what comes at once costs memory
_FILLS = 4  # that a flooding stream may move before others have their turn

Wakes = Mapping[str, tuple[Callable[[], None], ...]]


@dataclass(frozen=True, slots=True)
class Held:
    """What a stream uses that another process holds, too: a hop of its own, which it has if its
    worker shall wait while its log cannot be written; a buffer, if its bytes must be looked at; and
    a relay, which becomes the stream's own, if it has a tap.
    """

    own: Hop | None
    buffer: int | None
    relay: Relay | None


class Stream:
    """`leftover` is a hop that a killed data plane left with bytes of this stream."""

    def __init__(
        self, name: str, pipe: int, log: Log, wakes: Wakes, held: Held, leftover: Hop | None
    ) -> None:
        self.name = name
        self.log = log
        self.relay = held.relay
        self.trouble: str | None = None
        self.losses = Losses()
        self.size = 0
        self._pipe = pipes.reopen(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.meter = Meter(self._pipe)
        self._wakes = wakes
        self._own = Passage(held.own) if held.own else None
        self._shaping = shaping_for(self, held.buffer)
        self._pending = Passage(leftover) if leftover else None
        self.target: LogFile | Sink | None = None
        self._awaited: int | None = None  # the full sink that the poller watches
        self._tap: Tap | None = None
        self.run: int | None = None  # whose output it is; None: as the index says

    # Orders, each at a step boundary: the lane's hop is empty.

    def begin(self, bench: Bench) -> None:
        """Start to log."""
        self.bench = bench
        bench.poller.add(self._pipe, poller.IN, self._readable)
        bench.widths.enter(self._pipe)
        self._open_tap()
        if self.trouble:
            bench.retries.add(self)
            self._listen()
        else:
            self.attempt(self._open)

    def adjust(self, log: Log, held: Held) -> None:
        """Go on with another log, or the same one under other rules. Another relay: another tap."""
        if (log.path, shaping(log)) != (self.log.path, shaping(self.log)):
            self.drain()
        if log.path != self.log.path:
            self._close_target()
        if held.relay is not self.relay:
            self._close_tap()
            self.log = log
            self.relay = held.relay
            self._open_tap()
        self.switch(log, held)
        if self.target is None:
            self.attempt(self._open) if self.trouble is None else self.retry()
        elif isinstance(self.target, LogFile):
            self.target.rotate_as(log.rotation)
        self._listen()

    def switch(self, log: Log, held: Held) -> None:
        """Have other rules from now on."""
        before, self.log = self.log, log
        if held.own is not None and self._own is None:
            self._own = Passage(held.own)
        if shaping(log) != shaping(before):
            if self._shaping:
                self._shaping.forget_timeouts()
                self._shaping.close()
            self._shaping = shaping_for(self, held.buffer, self.limited)

    @property
    def limited(self) -> tuple[int, int]:
        """Bytes and lines that the rate limit left out, since there is one."""
        return self._shaping.limited if self._shaping else (0, 0)

    @property
    def waits(self) -> bool:
        """Whether the worker is left waiting, since its log cannot take anything."""
        barred = self.trouble is not None and self.log.on_full is OnFull.BLOCK
        return barred or self._awaited is not None

    def drain(self) -> None:
        """Move what is in the pipe now; what a busy writer adds meanwhile can wait."""
        self._move_up_to(self.meter.position())
        if self._shaping:
            self._shaping.settle(hurry=True)
            self._shaping.end_second()

    def finish(self) -> None:
        """Drain, and hold nothing back for anybody."""
        self.drain()

    def _move_up_to(self, position: int) -> None:
        while self.meter.taken < position:
            if not self._turn(min(hop.SIZE, position - self.meter.taken)):
                break

    def mark_run(self, run: int, position: int) -> None:
        """What comes from this position on is of `run` (0: of nobody known)."""
        self._move_up_to(position)
        if self._shaping:
            self._shaping.end_run()
        self.run = run
        if isinstance(self.target, LogFile):
            self.target.began(run)

    def end_run(self, run: int, position: int) -> None:
        """What comes from this position on is nobody's, unless another run began already."""
        if self.run == run:
            self.mark_run(0, position)

    def reopen(self) -> None:
        """Open log and tap again by their names."""
        target = self.target
        if isinstance(target, LogFile):
            self.attempt(target.follow_name)
        elif target is not None:
            self.attempt(self._open)
        if self._tap:
            self._tap.check()

    def retry(self) -> None:
        """Try to log again after trouble, and say in the log what was lost."""
        try:
            self._open()
            assert self.target is not None, "it was opened"
            if isinstance(self.target, LogFile):
                self.target.reserve()
            self.target.mark(self._marker())
        except Exception as error:  # noqa: BLE001 -- as in attempt
            self._close_target()
            self.trouble = self._describe(error)
            return
        self.bench.retries.discard(self)
        text, self.trouble = self.trouble or "", None
        self.bench.report(TroubleEnded(self.name, text, *self.losses.now))
        self.losses.forget()
        self._listen()
        self.grew()

    def part(self) -> None:
        """Let go of log and tap, and leave in the pipe what is there: a lane is left."""
        self.bench.poller.remove(self._pipe)
        self.bench.widths.leave(self._pipe)
        self.bench.retries.discard(self)
        if self._shaping:
            self._shaping.forget_timeouts()
        self._close_target()
        self._close_tap()

    def close(self) -> None:
        """Give back the pipe; the last thing done with a stream, even one that never began."""
        os.close(self._pipe)
        self._close_tap()
        if self._shaping:
            self._shaping.close()

    def discard_pending(self) -> None:
        """Nobody will ever write what an unwritable log has left behind, here or in the pipe."""
        if self._pending:
            self.losses.drop(self._pending.read, self._pending.waiting())
            self._pending = None
        if self._shaping:
            self.losses.add(*self._shaping.drop())
        if self.trouble:
            self.losses.drop(self._pipe, pipes.waiting(self._pipe))
            self.bench.report(TroubleEnded(self.name, self.trouble, *self.losses.now))

    # In the course of events.

    def _readable(self, _events: int) -> None:
        for _ in range(_FILLS):
            if self._turn() < widths.DEFAULT:
                break
            self.bench.widths.full(self._pipe)

    def _turn(self, most: int = hop.SIZE) -> int:
        """Move at most one fill of the pipe; answers the bytes that left it, dropped ones too."""
        moved = 0
        try:
            moved = self._move(most)
        except BlockingIOError:
            self.await_room()
        except Exception as error:  # noqa: BLE001 -- as in attempt
            self.fail(error)
        if moved:
            self.grew()
        return moved

    def _move(self, most: int) -> int:
        target = self.target
        if target is None:
            if self.log.on_full is OnFull.BLOCK:
                return 0
            count = self.losses.drop(self._pipe, most)
            self.meter.taken += count
        elif self._shaping:
            fill = partial(self._shaping.fill, self._pipe)
            count = self.meter.fill(fill, min(most, _LOOKED_AT))
            self._shaping.write(target)
        elif isinstance(target, Sink):
            count = target.take(self._pipe)
            self.meter.taken += count
        else:
            passage = self._own or self.bench.passage
            count = self.meter.fill(partial(passage.fill, self.name, self._pipe), most)
            target.append(passage.read, count)
            self.size = target.size
        return count

    def grew(self) -> None:
        """There may be more in the log than before: tell who reads it."""
        if self._tap:
            self._tap.feed()
        for wake in self._wakes.get(self.name, ()):
            wake()

    def attempt(self, act: Callable[[], None]) -> None:
        """Act; whatever goes wrong is trouble of this stream, and never of its worker, of
        another stream or of the thread: a pipe that nobody empties any more stops a worker.
        """
        try:
            act()
        except Exception as error:  # noqa: BLE001
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """The log cannot be written now."""
        first, self.trouble = self.trouble is None, self._describe(error)
        if first:
            self.bench.report(TroubleBegan(self.name, self.trouble))
        self._close_target()
        self.bench.retries.add(self)
        if self._shaping:
            self._shaping.forget_timeouts()
            if self.log.on_full is OnFull.DROP:
                self.losses.add(*self._shaping.drop())
        passage = self._own or self.bench.passage
        if passage.waiting() and self._pending is None:
            if passage is self._own:
                self._pending = passage
            else:
                self.losses.drop(passage.read, passage.waiting())
        self._listen()

    def _open(self) -> None:
        """Open the log, and write first what a hop still has for it."""
        self._close_target()
        target = self.target = self._make_target()
        if self._shaping:
            self._shaping.resume(target, self._pending)
            self._pending = None
        elif self._pending:
            self._write_pending(target, self._pending)
        if isinstance(target, LogFile):
            self.size = target.size
            if self.run is None:
                self.run = target.index.run
            elif self.run != target.index.run:
                target.began(self.run)

    def _write_pending(self, target: LogFile | Sink, pending: Passage) -> None:
        while count := pending.waiting():
            if isinstance(target, LogFile):
                target.append(pending.read, count)
            else:
                target.take(pending.read)
        self._pending = None

    def _make_target(self) -> LogFile | Sink:
        path = self.log.path
        try:
            regular = stat.S_ISREG(os.lstat(path).st_mode)
        except FileNotFoundError:
            regular = True  # once it is made
        if not regular:
            return Sink(path, self.bench.mover)
        return LogFile(path, self.log.rotation, self.bench, self)

    def _close_target(self) -> None:
        target, self.target = self.target, None
        self._forget_awaited()
        if target is not None:
            target.close()

    def _open_tap(self) -> None:
        if self.relay:
            wait, openings, report = self.bench.poller, self.bench.openings, self.bench.report
            self._tap = Tap(self.name, self.log, self.relay, wait, openings, report)

    def _close_tap(self) -> None:
        if self._tap:
            self._tap.close()
            self._tap = None
        if self.relay:
            self.relay.close()
            self.relay = None

    def _listen(self) -> None:
        self.bench.poller.change(self._pipe, 0 if self.waits else poller.IN)

    def await_room(self) -> None:
        """If it is the sink that is full: leave the pipe alone until it is not."""
        sink = self.target
        if isinstance(sink, Sink) and self._awaited is None and self._has_more():
            self._awaited = sink.fd
            self.bench.poller.add(sink.fd, poller.OUT, self._sink_writable)
            if self._shaping:
                self._shaping.forget_timeouts()
            self._listen()

    def _has_more(self) -> bool:
        return bool(pipes.waiting(self._pipe) or (self._shaping and self._shaping.waiting))

    def _sink_writable(self, _events: int) -> None:
        self._forget_awaited()
        self._listen()
        if self._shaping:
            self._shaping.settle()

    def _forget_awaited(self) -> None:
        if self._awaited is not None:
            self.bench.poller.remove(self._awaited)
            self._awaited = None

    def _marker(self) -> bytes:
        text = self.losses.marker(self.trouble or "")
        if not text:
            return b""
        return self._shaping.own_line(text) if self._shaping else f"{text}\n".encode()

    def _describe(self, error: Exception) -> str:
        text = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        return f"cannot write {self.log.path}: {text}"

    def notice(self, text: str) -> None:
        """Something about the log is worth a line, unless it is in trouble: that is told."""
        if self.trouble is None:
            self.bench.report(Noticed(self.name, text))

    def rotated(self) -> None:
        """The log goes on in a fresh file."""
        self.size = 0
        self.bench.report(Rotated(self.name, self.log.path))
