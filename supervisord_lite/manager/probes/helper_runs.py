"""Commands that the manager itself wants run: the keeper spawns them, like all else.

A helper's name begins with a prefix, such as `@probe/`, its runs are numbered by the clock, and of
one name there is never more than one. What is left of it when it has ended, or has had its time, is
killed as a whole tree and buried; so is what an earlier manager has left behind. Nothing here
decides what a helper's end means.

Output comes through a pipe of which only the beginning is kept: a file in memory would grow for
as long as the helper likes to write. The keeper holds the write end until the spawn is answered.
"""

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink, Order

PREFIX = "@probe/"
_AT_ONCE = 32
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a helper: the wait status (None: unknown, or there is none), or that it had to
    be killed after its time, or why it could not be started.
    """

    status: int | None = None
    output: bytes = b""
    timed_out: bool = False
    failure: str = ""


class _Output:
    """The read end of a helper's output: its first bytes are kept, the rest is thrown away."""

    def __init__(self, most: int) -> None:
        self.kept = b""
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._read, self.write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read, False)
        self._loop.add_reader(self._read, self._take)

    def _take(self) -> bool:
        try:
            data = os.read(self._read, _BLOCK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._read)
        self.kept += data[: self._most - len(self.kept)]
        return bool(data)

    def finish(self) -> bytes:
        """What was kept, with all that waits in the pipe."""
        while len(self.kept) < self._most and self._take():
            pass
        self._loop.remove_reader(self._read)
        os.close(self._read)
        return self.kept


@dataclass(slots=True, eq=False)
class _Helper:
    """One run. `over` is set when somebody may be told, long before it may be buried perhaps."""

    name: str
    run: int
    over: "asyncio.Future[Outcome] | None" = None  # None: an earlier manager's
    output: _Output | None = None
    doomed: bool = False

    @property
    def who(self) -> Order:
        return {"instance": self.name, "run": self.run}

    def finish(self, outcome: Outcome) -> None:
        if self.over is not None and not self.over.done():
            self.over.set_result(outcome)

    def last_output(self) -> bytes:
        output, self.output = self.output, None
        return output.finish() if output else b""


class HelperRuns:
    """Runs helpers of one prefix, so many at once, and cleans up after those that nobody claims."""

    def __init__(self, link: KeeperLink, given: Inheritance, prefix: str = PREFIX) -> None:
        self._link = link
        self._prefix = prefix
        self._latest = 0
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._helpers: dict[tuple[str, int], _Helper] = {}
        # Names of unburied runs, those of an earlier manager among them.
        self._taken: dict[str, asyncio.Event] = {}
        for name in given.greeting.get("helpers", ()):
            if name.startswith(self._prefix):
                self._taken[name] = asyncio.Event()
        for name in [name for name in given.held if name.startswith(self._prefix)]:
            os.close(given.held.pop(name))
            link.order([{"do": "drop", "names": [name]}])

    async def run(
        self, name: str, program: dict[str, Any], timeout: float, capture: int
    ) -> Outcome:
        """Run `program` and wait for its end, at most `timeout` seconds from its start. The first
        `capture` bytes that it writes are in the outcome.
        """
        async with self._places:
            deadline = time.monotonic() + timeout
            if not await self.free(name, timeout):
                return Outcome(timed_out=True, failure="the one before it cannot be ended")
            helper = self._spawn(name, program, capture)
            assert helper.over is not None, "it is ours"
            timer = asyncio.get_running_loop().call_at(deadline, self._expire, helper)
            try:
                return await helper.over
            finally:
                timer.cancel()
                if not helper.over.done() or helper.over.cancelled():
                    self._doom(helper)

    def take(self, fact: Packet) -> bool:
        """Take a fact if it is about a helper."""
        name = fact.get("instance", "")
        if not name.startswith(self._prefix):
            return False
        helper = self._helpers.get((name, fact["run"])) or self._found(name, fact["run"])
        match fact["tell"]:
            case "spawned":
                self._link.order([{"do": "drop", "names": [name]}])
                if helper.doomed:
                    self._kill(helper)
            case "failed":
                helper.finish(Outcome(failure=f"{fact['stage']}: {fact['message']}"))
                self._bury(helper)
            case "exited":
                helper.finish(Outcome(fact["status"], helper.last_output()))
                if fact["emptied"]:
                    self._bury(helper)
                else:
                    self._kill(helper)
            case "emptied":
                self._bury(helper)
        return True

    async def free(self, name: str, patience: float) -> bool:
        """Wait until nothing is left of the last run of this name; False if that takes long."""
        deadline = time.monotonic() + patience
        while (taken := self._taken.get(name)) is not None:
            try:
                await asyncio.wait_for(taken.wait(), deadline - time.monotonic())
            except TimeoutError:
                return False
        return True

    def _spawn(self, name: str, program: dict[str, Any], capture: int) -> _Helper:
        # Numbered by the clock: a number must only never be used twice, by any manager.
        self._latest = max(time.monotonic_ns() // 1_000_000, self._latest + 1)
        output = _Output(capture) if capture else None
        over: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        helper = _Helper(name, self._latest, over, output)
        self._helpers[name, helper.run] = helper
        self._taken[name] = asyncio.Event()
        stream = f"held:{name}" if output else "null"
        spawn = {
            "do": "spawn",
            **helper.who,
            "program": program,
            "streams": ["null", stream, stream],
        }
        if output is None:
            self._link.order([spawn])
        else:
            self._link.order([{"do": "hold", "name": name}, spawn], (output.write,))
            os.close(output.write)
        return helper

    def _found(self, name: str, run: int) -> _Helper:
        """One that nobody here has ordered: it is of no use to anybody."""
        helper = self._helpers[name, run] = _Helper(name, run, doomed=True)
        self._taken.setdefault(name, asyncio.Event())
        return helper

    def _expire(self, helper: _Helper) -> None:
        if helper.over is not None and not helper.over.done():
            helper.finish(Outcome(output=helper.last_output(), timed_out=True))
            self._doom(helper)

    def _doom(self, helper: _Helper) -> None:
        """Nobody waits for it any more. If it is still being spawned, its answer comes later."""
        helper.last_output()
        helper.doomed = True
        self._kill(helper)

    def _kill(self, helper: _Helper) -> None:
        kill = {"do": "signal", **helper.who, "signal": int(signal.SIGKILL), "to": "tree"}
        self._link.order([kill, {"do": "sweep", **helper.who}])

    def _bury(self, helper: _Helper) -> None:
        helper.last_output()
        del self._helpers[helper.name, helper.run]
        drop = {"do": "drop", "names": [helper.name]}
        self._link.order([{"do": "bury", **helper.who}, drop])
        if (taken := self._taken.pop(helper.name, None)) is not None:
            taken.set()
