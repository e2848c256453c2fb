"""One stream in the data plane: its pipe, its log, and what becomes of its bytes in trouble.

Made by the caller's thread, used by its lane's alone from `begin` to `close`; the plain
attributes that `status` reads are the exception.
"""

import os
import stat
import threading
from collections.abc import Callable, Mapping

from supervisord_lite.core.log import Log, OnFull
from supervisord_lite.linux import pipes
from supervisord_lite.logs import hop, poller
from supervisord_lite.logs.bench import Bench
from supervisord_lite.logs.event import Noticed, TroubleBegan, TroubleEnded
from supervisord_lite.logs.file import LogFile
from supervisord_lite.logs.hop import Hop, Passage
from supervisord_lite.logs.mover import discard
from supervisord_lite.logs.relay import Relay
from supervisord_lite.logs.sink import Sink
from supervisord_lite.logs.tap import Tap

_FULL = 64 * 1024  # bytes that a pipe of the default size holds
_FILLS = 4  # that a flooding stream may move before others have their turn

Wakes = Mapping[str, tuple[Callable[[], None], ...]]


class Stream:
    """`own` is a hop of its own, which a stream has whose worker shall wait while its log cannot
    be written; `leftover` is one that a killed data plane left with bytes of this stream. `relay`,
    which a stream with a tap has, becomes the stream's own.
    """

    def __init__(
        self,
        name: str,
        pipe: int,
        log: Log,
        wakes: Wakes,
        own: Hop | None,
        leftover: Hop | None,
        relay: Relay | None,
    ) -> None:
        self.name = name
        self.log = log
        self.relay = relay
        self.trouble: str | None = None
        self.dropped = (0, 0)  # bytes and lines, ever
        self.size = 0
        self._taken = 0  # bytes that have left the pipe
        self._counting = threading.Lock()  # while some leave it, and are not counted yet
        self.deferred: list[Callable[[], None]] = []  # orders that came before `begin`
        self._pipe = pipes.reopen(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self._wakes = wakes
        self._own = Passage(own) if own else None
        self._pending = Passage(leftover) if leftover else None
        self._lost = (0, 0)  # bytes and lines, in the present trouble
        self._target: LogFile | Sink | None = None
        self._awaited: int | None = None  # the full sink that the poller watches
        self._tap: Tap | None = None
        self.run: int | None = None  # whose output it is; None: as the index says

    # Orders, each at a step boundary: the lane's hop is empty.

    def begin(self, bench: Bench) -> None:
        """Start to log."""
        self._bench = bench
        bench.poller.add(self._pipe, poller.IN, self._readable)
        self._open_tap()
        if self.trouble:
            bench.retries.add(self)
            self._listen()
        else:
            self._try(self._open)

    def adjust(self, log: Log, own: Hop | None, relay: Relay | None) -> None:
        """Go on with another log, or the same one under other rules. Another relay: another tap."""
        if log.path != self.log.path:
            self.drain()
            self._close_target()
        self.log = log
        if own is not None and self._own is None:
            self._own = Passage(own)
        if relay is not self.relay:
            self._close_tap()
            self.relay = relay
            self._open_tap()
        if self._target is None:
            self._try(self._open) if self.trouble is None else self.retry()
        elif isinstance(self._target, LogFile):
            self._target.rotating = log.rotation
            self._try(self._target.prune)
        self._listen()

    @property
    def waits(self) -> bool:
        """Whether the worker is left waiting, since its log cannot take anything."""
        barred = self.trouble is not None and self.log.on_full is OnFull.BLOCK
        return barred or self._awaited is not None

    def drain(self) -> None:
        """Move what is in the pipe now; what a busy writer adds meanwhile can wait."""
        self._move_up_to(self.position())

    def position(self) -> int:
        """How many bytes have come out of the pipe or are in it; in any thread, and no disk can
        hold it up. It may be too low, but only for bytes that go into no file.
        """
        with self._counting:
            return self._taken + pipes.waiting(self._pipe)

    def _move_up_to(self, position: int) -> None:
        while self._taken < position and self._turn(min(hop.SIZE, position - self._taken)):
            pass

    def mark_run(self, run: int, position: int) -> None:
        """What comes from this position on is of `run` (0: of nobody known)."""
        self._move_up_to(position)
        self.run = run
        if isinstance(self._target, LogFile):
            self._target.began(run)

    def end_run(self, run: int, position: int) -> None:
        """What comes from this position on is nobody's, unless another run began already."""
        if self.run == run:
            self.mark_run(0, position)

    def reopen(self) -> None:
        """Open log and tap again by their names."""
        target = self._target
        if isinstance(target, Sink) or (target is not None and not target.is_current()):
            self._try(self._open)
        if self._tap:
            self._tap.check()

    def retry(self) -> None:
        """Try to log again after trouble, and say in the log what was lost."""
        try:
            self._open()
            assert self._target is not None, "it was opened"
            self._target.mark(self._marker())
        except Exception as error:  # noqa: BLE001 -- as in _try
            self._close_target()
            self.trouble = self._describe(error)
            return
        self._bench.retries.discard(self)
        text, self.trouble = self.trouble or "", None
        self._bench.report(TroubleEnded(self.name, text, *self._lost))
        self._lost = (0, 0)
        self._listen()
        self._grew()

    def part(self) -> None:
        """Let go of log and tap, and leave in the pipe what is there: a lane is left."""
        self._bench.poller.remove(self._pipe)
        self._bench.retries.discard(self)
        self._close_target()
        self._close_tap()

    def close(self) -> None:
        """Give back the pipe; the last thing done with a stream, even one that never began."""
        os.close(self._pipe)
        self._close_tap()

    def discard_pending(self) -> None:
        """Nobody will ever write what an unwritable log left in this stream's own hop."""
        if self._pending:
            self._drop(self._pending.read, self._pending.waiting())
            self._pending = None

    # In the course of events.

    def _readable(self, _events: int) -> None:
        for _ in range(_FILLS):
            if self._turn() < _FULL:
                break

    def _turn(self, most: int = hop.SIZE) -> int:
        """Move at most one fill of the pipe; answers the bytes that left it, dropped ones too."""
        moved = 0
        try:
            moved = self._move(most)
        except BlockingIOError:
            if isinstance(self._target, Sink) and pipes.waiting(self._pipe):
                self._await_sink(self._target)
        except Exception as error:  # noqa: BLE001 -- as in _try
            self._fail(error)
        if moved:
            self._grew()
        return moved

    def _move(self, most: int) -> int:
        target = self._target
        if target is None:
            if self.log.on_full is OnFull.BLOCK:
                return 0
            count = self._drop(self._pipe, most)
            self._taken += count
        elif isinstance(target, Sink):
            count = target.take(self._pipe)
            self._taken += count
        else:
            passage = self._own or self._bench.passage
            with self._counting:  # for as long as it takes from pipe to pipe
                count = passage.fill(self.name, self._pipe, most)
                self._taken += count
            target.append(passage.read, count)
            self.size = target.size
        return count

    def _grew(self) -> None:
        if self._tap:
            self._tap.feed()
        for wake in self._wakes.get(self.name, ()):
            wake()

    def _try(self, act: Callable[[], None]) -> None:
        """Act; whatever goes wrong is trouble of this stream, and never of its worker, of
        another stream or of the thread: a pipe that nobody empties any more stops a worker.
        """
        try:
            act()
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        first, self.trouble = self.trouble is None, self._describe(error)
        if first:
            self._bench.report(TroubleBegan(self.name, self.trouble))
        self._close_target()
        self._bench.retries.add(self)
        passage = self._own or self._bench.passage
        if passage.waiting() and self._pending is None:
            if passage is self._own:
                self._pending = passage
            else:
                self._drop(passage.read, passage.waiting())
        self._listen()

    def _open(self) -> None:
        """Open the log, and write first what a hop still has for it."""
        self._close_target()
        target = self._target = self._make_target()
        if self._pending:
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
            return Sink(path, self._bench.mover)
        bench = self._bench
        return LogFile(path, self.log.rotation, bench.mover, bench.indexes, self._notice)

    def _close_target(self) -> None:
        target, self._target = self._target, None
        self._forget_awaited()
        if target is not None:
            target.close()

    def _open_tap(self) -> None:
        if self.relay:
            wait, openings, report = self._bench.poller, self._bench.openings, self._bench.report
            self._tap = Tap(self.name, self.log, self.relay, wait, openings, report)

    def _close_tap(self) -> None:
        if self._tap:
            self._tap.close()
            self._tap = None
        if self.relay:
            self.relay.close()
            self.relay = None

    def _listen(self) -> None:
        self._bench.poller.change(self._pipe, 0 if self.waits else poller.IN)

    def _await_sink(self, sink: Sink) -> None:
        """The sink is full: leave the pipe alone until it is not."""
        if self._awaited is None:
            self._awaited = sink.fd
            self._bench.poller.add(sink.fd, poller.OUT, self._sink_writable)
            self._listen()

    def _sink_writable(self, _events: int) -> None:
        self._forget_awaited()
        self._listen()

    def _forget_awaited(self) -> None:
        if self._awaited is not None:
            self._bench.poller.remove(self._awaited)
            self._awaited = None

    def _drop(self, source: int, count: int) -> int:
        total, lines = discard(source, count)
        self.dropped = (self.dropped[0] + total, self.dropped[1] + lines)
        self._lost = (self._lost[0] + total, self._lost[1] + lines)
        return total

    def _marker(self) -> bytes:
        total, lines = self._lost
        if not total:
            return b""
        why = (self.trouble or "").rpartition(": ")[2]
        return f"[supervisord-lite: {total} bytes in {lines} lines lost: {why}]\n".encode()

    def _describe(self, error: Exception) -> str:
        text = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        return f"cannot write {self.log.path}: {text}"

    def _notice(self, text: str) -> None:
        self._bench.report(Noticed(self.name, text))
