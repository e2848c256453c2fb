"""A control server on a real socket, in a thread of its own, over a fleet of two that is kept in
memory: what HTTP does with a `Service` is tested here, what the manager does is tested elsewhere.
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.control.connection import Limits
from supervisord_lite.control.server import Server, serve
from supervisord_lite.core.plan import Action, Change, Entry, Plan
from supervisord_lite.core.selector import selector
from supervisord_lite.core.state import Exit
from supervisord_lite.linux import unix_socket
from supervisord_lite.logs.line import Source
from supervisord_lite.manager.insight import Insight
from supervisord_lite.manager.naming import Choice
from supervisord_lite.manager.output.lines import LineView
from supervisord_lite.manager.output.wanted import Opened, Reading
from supervisord_lite.manager.service import (
    BadConfiguration,
    Outcome,
    Refused,
    Service,
    UnknownNames,
)

TIERS = {"web": "front", "db": "back"}


class MemoryInsight(Insight):
    """What can be seen of a `MemoryFleet`."""

    def __init__(self, fleet: "MemoryFleet") -> None:
        self._memory = fleet

    def instances(self, names: Sequence[str]) -> bytes:
        if self._memory.fault:
            raise self._memory.fault
        return json.dumps([self._row(name) for name in names]).encode()

    def _row(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "worker": name.partition(":")[0],
            "number": int(name.partition(":")[2]),
            "state": "RUNNING" if self._memory.up[name] else "STOPPED",
            "wanted": self._memory.up[name],
            "run": 1,
            "pid": 100,
            "since": 1.5,
            "restarts": 0,
            "last_exit": None,
            "next": None,
            "why": "",
            "logs": {"stdout": {"path": "/l", "size": 0, "dropped": 0, "trouble": None}},
        }

    async def explanations(self, names: Sequence[str]) -> list[dict[str, Any]]:
        causes = [{"depth": 0, "text": "is RUNNING"}]
        return [
            {"instance": name, "state": "RUNNING", "causes": causes, "changes": []}
            for name in names
        ]

    def history(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return [{"name": name, "run": 1} for name in names]

    def rollouts(self, names: Sequence[str], *, all_of_them: bool) -> list[dict[str, Any]]:
        return [{"worker": "web", "progress": "done"}] if all_of_them else []


class MemoryFleet(Service):
    """Instances are up or down in a dictionary. Orders for "slow" wait until released."""

    def __init__(self, size: int = 2) -> None:
        self.up = {"web:0": True, "db:0": False, **{f"more:{n}": True for n in range(size - 2)}}
        self.signals: list[tuple[str, int]] = []
        self.cancelled = threading.Event()
        self.waiting = threading.Event()
        self.ending = False
        self.left = False
        self.reopened = 0
        self.problems: list[str] = []
        self.fault: Exception | None = None
        self.counts: dict[str, int] = {}
        self.rolled: list[tuple[str, bool]] = []
        self.insight = MemoryInsight(self)

    def resolve(self, choice: Choice) -> tuple[str, ...]:
        unknown = [name for name in choice.names if not self._matching(name)]
        if unknown:
            raise UnknownNames(f"cannot find an instance of {', '.join(unknown)}")
        found = dict.fromkeys(n for name in choice.names for n in self._matching(name))
        holds = selector(choice.selector) if choice.selector is not None else lambda _: True
        return tuple(name for name in found if holds({"tier": TIERS.get(name[:-2], "none")}))

    def _matching(self, pattern: str) -> list[str]:
        return [
            name for name in self.up if pattern in {"all", name, name.partition(":")[0], "slow"}
        ]

    async def start(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        return self._turn(names, up=True)

    async def stop(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        if timeout == 3600:
            try:
                self.waiting.set()
                await asyncio.sleep(timeout)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return self._turn(names, up=False)

    async def restart(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        return self._turn(names, up=True)

    async def run(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        failed = Exit(code=3)
        return [
            Outcome(name, ok=False, state="EXITED", pid=None, message="exit code 3", exit=failed)
            for name in names
        ]

    def reload_workers(self, names: Sequence[str]) -> list[Outcome]:
        return self.signal(names, 1)

    async def roll_out(
        self, names: Sequence[str], *, undo: bool, wait: bool, timeout: float
    ) -> list[Outcome]:
        workers = dict.fromkeys(name.partition(":")[0] for name in names)
        self.rolled += [(worker, undo) for worker in workers]
        return [Outcome(one, ok=True, state="done", pid=None, message="done") for one in workers]

    async def scale(
        self, counts: Mapping[str, int], *, wait: bool, timeout: float
    ) -> tuple[Plan, list[Outcome]]:
        self.counts = dict(counts)
        return Plan((Entry("web:1", Action.START, (), "added to the configuration"),)), []

    def _turn(self, names: Sequence[str], *, up: bool) -> list[Outcome]:
        if self.ending:
            raise Refused("cannot start or stop workers: a shutdown is under way")
        self.up.update(dict.fromkeys(names, up))
        return [Outcome(name, ok=True, state="RUNNING", pid=1, message="") for name in names]

    def signal(self, names: Sequence[str], signal: int) -> list[Outcome]:
        self.signals += [(name, signal) for name in names]
        return [
            Outcome(name, ok=self.up[name], state="RUNNING", pid=1, message="") for name in names
        ]

    async def plan(self) -> Plan:
        if self.problems:
            raise BadConfiguration(self.problems)
        change = Change("program.umask", "none", "18")
        return Plan((Entry("web:0", Action.RESTART, (change,), "program.umask changed"),))

    async def reload(self, *, wait: bool, timeout: float) -> tuple[Plan, list[Outcome]]:
        return await self.plan(), []

    def shutdown(self) -> None:
        self.ending = True

    def leave(self) -> None:
        self.left = True

    async def reopen_logs(self) -> None:
        self.reopened += 1

    def about(self) -> dict[str, Any]:
        return {"name": "test", "version": "0", "keeper": 1, "manager": 2, "held": False}

    def listing(self) -> list[dict[str, Any]]:
        return [{"path": "workers.web.command", "value": "sleep 1", "origin": "a.yaml:3"}]


class FileTail:
    """A reader of one file that is never rotated."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(offset)

    @property
    def position(self) -> str:
        return str(self._file.tell())

    def read(self, most: int) -> bytes:
        return self._file.read(most)

    def close(self) -> None:
        self._file.close()


class FileLogs:
    """Logs in a directory; `grow` writes and wakes as the data plane does, from its own thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.watchers: list[Callable[[], None]] = []
        self.place = "here"
        for name in ("web:0", "db:0"):
            self._path(name).write_bytes(b"")

    def _path(self, instance: str) -> Path:
        return self.directory / f"{instance}.log"

    def grow(self, instance: str, data: bytes) -> None:
        with self._path(instance).open("ab") as log:
            log.write(data)
        for wake in list(self.watchers):
            wake()

    def streams(self, instance: str) -> Sequence[str]:
        return ("stdout",)

    def log(self, instance: str, stream: str) -> tuple[str, str] | None:
        return self.place, "raw"

    def open(self, instance: str, stream: str, *, lines: int, position: str | None) -> FileTail:
        if position is not None:
            return FileTail(self._path(instance), int(position))
        content = self._path(instance).read_bytes()
        shown = b"".join(content.splitlines(keepends=True)[-lines:]) if lines else b""
        return FileTail(self._path(instance), len(content) - len(shown))

    def lines(self, wanted: Sequence[tuple[str, str, str | None]], reading: Reading) -> LineView:
        return LineView([self._opened(*one) for one in wanted], reading)

    def _opened(self, instance: str, stream: str, position: str | None) -> Opened:
        worker, _, number = instance.partition(":")
        source = Source(worker, int(number), stream)
        return Opened(f"{instance}/{stream}", source, str(self._path(instance)), position)

    def feeds(self) -> list[dict[str, Any]]:
        return [{"name": "all", "kind": "tap", "lag": {"bytes": 7, "seconds": 0.5}}]

    def watch(self, instance: str, stream: str, wake: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(wake)
        return lambda: self.watchers.remove(wake)


class Daemon:
    """A server in a thread with a loop of its own."""

    def __init__(self, directory: Path, limits: Limits, size: int = 2) -> None:
        self.path = str(directory / "control.sock")
        self.fleet = MemoryFleet(size)
        self.logs = FileLogs(directory)
        self._limits = limits
        self._listener = unix_socket.bind(self.path, 0o666)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.server: Server
        self.begin()

    def begin(self) -> None:
        """Serve, as a manager does that was handed the listening socket."""
        self.server = self._run(serve(self._listener.dup(), self.fleet, self.logs, self._limits))

    def make_socket_again(self) -> None:
        """Listen at the path anew, as a manager does whose socket was removed."""
        self._listener.close()
        self._listener = unix_socket.bind(self.path, 0o666)
        replacement = self._listener.dup()

        async def listen() -> None:
            self.server.listen(replacement)

        self._run(listen())

    def end(self) -> None:
        """Stop serving; the listening socket stays."""
        self._run(self.server.close())

    def close(self) -> None:
        self.end()
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._listener.close()

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition, with a deadline."""
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.01)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(self.path)
        return connection

    def talk(self, data: bytes) -> bytes:
        """All that the server says to these bytes until it ends the connection."""
        with self.connect() as connection:
            with contextlib.suppress(BrokenPipeError):  # refused unread; the reason can be read
                connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection, however it ends."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


@pytest.fixture
def limits() -> Limits:
    """Tests that need shorter ones override this."""
    return Limits()


@pytest.fixture
def daemon(tmp_path: Path, limits: Limits) -> Iterator[Daemon]:
    running = Daemon(tmp_path, limits)
    yield running
    running.close()


def body_of(answer: bytes) -> Mapping[str, Any]:
    """The JSON body of a raw answer."""
    value: Mapping[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return value
