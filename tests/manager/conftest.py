"""A real keeper, and a manager's shell without a core: the test says what state an instance is in,
and sees what the shell finds out about it.
"""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from supervisord_lite.core.event import Finding
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import InstanceSpec, Program, Route, Stream
from supervisord_lite.core.state import Instance, Readying, Running, Starting, Stopped
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.linux.descriptors import receive_with
from supervisord_lite.linux.process_table import ProcessTable
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink, Order
from supervisord_lite.manager.probes.prober import Prober
from tests.cli.conftest import DEADLINE, environment

TESTS = Path(__file__).parent.parent
T = TypeVar("T")
NAME = "web:0"
LIMIT = 3600.0 if os.environ.get("SOAK") == "1" else 2 * DEADLINE  # of one story


class Seat:
    """A keeper whose manager is this process: the puppet in the seat hands its link over."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(directory / "managers"))
        self._listener.listen()
        self._listener.settimeout(DEADLINE)
        self._puppet = 0
        with (directory / "keeper.txt").open("ab") as output:
            self._keeper = subprocess.Popen(
                [
                    sys.executable,
                    str(TESTS / "keeper/keeper_process.py"),
                    str(directory),
                    sys.executable,
                    "-I",
                    "-S",
                    str(TESTS / "keeper/manager_process.py"),
                    str(directory / "managers"),
                ],
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def take(self) -> tuple[KeeperLink, Inheritance]:
        """Sit down: the link, and all that the keeper has."""
        with self._listener.accept()[0] as connection:
            payload, (end,) = receive_with(connection, 32)
        self._puppet = int(payload)
        link = KeeperLink(socket.socket(fileno=end))
        return link, link.inherit()

    def vacate(self) -> None:
        """Die, as far as the keeper can see; which may have seen that the link is gone already, and
        ended the puppet by itself.
        """
        with suppress(ProcessLookupError):
            os.kill(self._puppet, signal.SIGKILL)

    def close(self) -> None:
        """End the keeper and all that it started, at one stroke."""
        self._listener.close()
        if self._keeper.poll() is None:
            os.kill(self._keeper.pid, signal.SIGSTOP)
        for entry in ProcessTable().with_descendants([self._keeper.pid]):
            with suppress(ProcessLookupError):  # dead with its parent, and reaped by init
                os.kill(entry.pid, signal.SIGKILL)
        self._keeper.wait()


class Shell:
    """What of a manager the prober sees. Lives inside an event loop."""

    def __init__(self, link: KeeperLink, given: Inheritance, directory: Path) -> None:
        self.events: list[Finding] = []
        self.said: list[str] = []
        self.facts: list[Packet] = []
        self.given = given
        self.link = link
        self._held: list[tuple[str, int]] = []
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self.prober = Prober(
            link, given, self._hold, self._watch, self.events.append, self.said.append
        )
        self.prober.use_directory(str(directory))
        for fact in given.facts:
            self._take(fact)
        link.attach(asyncio.get_running_loop(), self._take, lambda: None)

    def _take(self, fact: Packet) -> None:
        self.facts += self.prober.sift(fact)

    def _hold(self, name: str, descriptor: int) -> None:
        self._held.append((name, os.dup(descriptor)))

    def _watch(self, stream: str, wake: Callable[[], None]) -> Callable[[], None]:
        self._watchers.setdefault(stream, []).append(wake)
        return lambda: self._watchers[stream].remove(wake)

    def grew(self, stream: str) -> None:
        """What the data plane says of a log."""
        for wake in self._watchers.get(stream, ()):
            wake()

    def order_run(self, spec: InstanceSpec, run: int) -> None:
        """Have the run spawned, as an executor does."""
        self.prober.follow(Instance(spec, Starting(run, time.monotonic())))
        given = self.prober.prepare(spec, run)
        program = to_plain(spec.program, compact=True)
        program["environment"] = [*program.get("environment", ()), *given.environment]
        holds: list[Order] = [{"do": "hold", "name": name} for name, _ in self._held]
        spawn = {
            "do": "spawn",
            "instance": spec.name,
            "run": run,
            "program": program,
            "streams": ["null", "daemon:1", "daemon:2"],
            "extra": given.extra,
        }
        descriptors = [descriptor for _, descriptor in self._held]
        self.link.order([*holds, spawn], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._held.clear()

    async def start(self, spec: InstanceSpec, run: int = 1) -> int:
        """Have it spawned and wait for its pid."""
        self.order_run(spec, run)
        return int((await self.fact("spawned", run))["pid"])

    async def fact(self, tell: str, run: int = 1) -> Packet:
        """The first fact of this kind about a run of the instance."""

        def found() -> list[Packet]:
            return [fact for fact in self.facts if (fact["tell"], fact["run"]) == (tell, run)]

        await self.until(found)
        return found()[0]

    def readying(self, spec: InstanceSpec, pid: int, run: int = 1, within: float = 60.0) -> None:
        now = time.monotonic()
        self.prober.follow(Instance(spec, Readying(run, pid, now, now + within)))

    def running(self, spec: InstanceSpec, pid: int, run: int = 1, **more: Any) -> None:
        now = time.monotonic()
        self.prober.follow(Instance(spec, Running(run, pid, now, now, **more)))

    def over(self, spec: InstanceSpec) -> None:
        self.prober.follow(Instance(spec, Stopped()))

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for a condition, with a deadline."""
        deadline = time.monotonic() + DEADLINE
        while not holds():
            assert time.monotonic() < deadline, "the condition did not come true"
            await asyncio.sleep(0.01)

    async def event(self) -> Finding:
        """The next thing that is found."""
        await self.until(lambda: self.events)
        return self.events.pop(0)

    def die(self) -> None:
        """Let go of everything without another word, as the kernel does for a killed process."""
        self.link.order = lambda *_: None  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.link._link.fileno())
        self.link._link.close()
        for case in self.prober._cases.values():
            case.close()
        for line in self.prober._notify._lines.values():
            loop.remove_reader(line.socket.fileno())
            line.socket.close()
            if line.heartbeat is not None:
                line.heartbeat.stop()
        for pipe in self.prober._descriptors._pipes.values():
            loop.remove_reader(pipe.read)
            os.close(pipe.read)
        for descriptor in self.given.held.values():
            os.close(descriptor)


Story = Callable[[Shell], Awaitable[T]]
Play = Callable[[Story[T]], T]


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    place = Seat(tmp_path)
    yield place
    place.close()


@pytest.fixture
def play(seat: Seat, tmp_path: Path) -> Play[Any]:
    """Have a story acted by a manager's shell, one manager a story: the one before has died."""
    played: list[object] = []

    def act(story: Story[T]) -> T:
        async def stage() -> T:
            shell = Shell(*seat.take(), tmp_path)
            try:
                return await asyncio.wait_for(story(shell), LIMIT)
            finally:
                shell.die()

        if played:
            seat.vacate()
        played.append(story)
        return asyncio.run(stage())

    return act


def spec(*argv: str, **more: Any) -> InstanceSpec:
    """An instance that runs this command."""
    program = Program(
        argv or ("sleep", "100000"),
        "/",
        stdout=Stream(Route.INHERIT),
        stderr=Stream(Route.INHERIT),
        **more.pop("program", {}),
    )
    return replace(InstanceSpec(NAME, "web", 0, program), **more)


def python(code: str) -> tuple[str, ...]:
    """A worker in Python, whose standard library serves its socket."""
    return (sys.executable, "-c", code)


def readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])
