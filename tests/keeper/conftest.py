"""A real keeper whose managers are puppets: the test holds the other end of the link.

A puppet is a process like any manager, started by the keeper and killed by the test; but the test
says what it sends, and reads what it is told. So orders can end at any point that a death could
choose.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.keeper.protocol import Link, Packet
from supervisord_lite.linux.descriptors import receive_with
from supervisord_lite.linux.process_table import ProcessTable, read_entry
from tests.cli.conftest import DEADLINE, environment, until

HERE = Path(__file__).parent


class Manager:
    """A puppet in the seat: its pid, its link, and what it was given at the start."""

    def __init__(self, pid: int, link: Link) -> None:
        self.pid = pid
        self._process = os.pidfd_open(pid)
        self.link = link
        self.facts: list[Packet] = []
        self.records: dict[str, str] = {}
        self.held: dict[str, int] = {}
        self.welcome: Packet = {}
        self._seen = 0

    def inherit(self) -> "Manager":
        """Take all that the keeper has."""
        while not self._take_one():
            pass
        self.acknowledge()
        return self

    def _take_one(self) -> bool:
        packet, descriptors = self._next()
        match packet["tell"]:
            case "welcome":
                self.welcome = packet
            case "records":
                self.records = packet["records"]
            case "held":
                self.held.update(zip(packet["names"], descriptors, strict=True))
            case "restored":
                return True
            case _:
                self.facts.append(packet)
        return False

    def _next(self) -> tuple[Packet, list[int]]:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            select.select([self.link], [], [], 1.0)
            for packet, descriptors in self.link.receive(most=1):
                self._seen = packet["n"]
                return packet, descriptors
        raise AssertionError("the keeper says nothing")

    def acknowledge(self) -> None:
        self.link.send({"ack": self._seen})

    def order(self, *orders: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one packet of orders, without acknowledging anything."""
        self.link.send({"orders": list(orders)}, descriptors)

    def fact(self, tell: str, instance: str | None = None) -> Packet:
        """The first fact of this kind about the instance (or about none), told already or to be
        told.
        """
        while True:
            for fact in self.facts:
                if (fact["tell"], fact.get("instance")) == (tell, instance):
                    return fact
            packet, _ = self._next()
            self.facts.append(packet)

    def answer(self, instance: str) -> Packet:
        """Whether the spawn came off: the first of `spawned` and `failed`."""
        while True:
            for fact in self.facts:
                if fact.get("instance") == instance and fact["tell"] in ("spawned", "failed"):
                    return fact
            packet, _ = self._next()
            self.facts.append(packet)

    def end(self) -> None:
        """End the process, which may have outlived its keeper."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        os.close(self._process)

    def kill(self) -> None:
        """Die now. What was sent is sent."""
        os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        self.link.close()
        for descriptor in self.held.values():
            os.close(descriptor)
        self.held.clear()


class Stage:
    """One keeper, and the place where its managers announce themselves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(directory / "managers"))
        self._listener.listen()
        self._listener.settimeout(DEADLINE)
        self._managers: list[Manager] = []
        self._left_behind: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def open(self, prefix: Sequence[str] = (), **variables: str) -> Manager:
        """Start the keeper; its first manager."""
        puppet = [sys.executable, "-I", "-S", str(HERE / "manager_process.py")]
        keeper = [sys.executable, str(HERE / "keeper_process.py"), str(self.directory)]
        with (self.directory / "keeper.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [*prefix, *keeper, *puppet, str(self.directory / "managers")],
                cwd=self.directory,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self.next_manager()

    def next_manager(self) -> Manager:
        """The manager that the keeper has started next, with everything that it was given."""
        with self._listener.accept()[0] as connection:
            payload, (end,) = receive_with(connection, 32)
        manager = Manager(int(payload), Link(socket.socket(fileno=end)))
        self._managers.append(manager)
        return manager.inherit()

    def crash(self) -> None:
        """Kill the keeper and all managers. Workers live; `open` starts the next keeper."""
        os.kill(self.pid, signal.SIGSTOP)
        for entry in ProcessTable().with_descendants([self.pid]):
            with suppress(ProcessLookupError):
                self._left_behind.append(os.pidfd_open(entry.pid))
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        for manager in self._managers:
            manager.close()
            manager.end()
        self._managers.clear()

    def end_left_behind(self, pid: int) -> None:
        """Kill a process that lives on after a crash, and wait until it is gone."""
        os.kill(pid, signal.SIGKILL)
        until(lambda: read_entry(pid) is None)

    def unborn(self) -> list[int]:
        """The keeper's children that are not yet programs of their own."""
        children = ProcessTable().children(self.pid)
        return [pid for pid in children if _command(pid) == _command(self.pid)]

    def kill_manager(self) -> None:
        self._managers[-1].kill()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def close(self) -> None:
        """End the keeper and all that it started, at one stroke."""
        self._listener.close()
        for manager in self._managers:
            manager.close()
            manager.end()
        for process in self._left_behind:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            os.close(process)
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGSTOP)
        found = list(ProcessTable().with_descendants([self.pid]))
        for entry in found:
            with suppress(ProcessLookupError):  # dead with its parent, and reaped by init
                os.kill(entry.pid, signal.SIGKILL)
        self.process.wait()


def _command(pid: int) -> bytes:
    """The command line of a process; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def spawn(instance: str, run: int, *argv: str, streams: Sequence[str] = (), **more: Any) -> Any:
    """The order to spawn a run."""
    program = {"argv": argv, "working_dir": "/", **more}
    where = list(streams) or ["null", "null", "null"]
    order = {"do": "spawn", "instance": instance, "run": run}
    return {**order, "program": program, "streams": where}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    place = Stage(tmp_path)
    yield place
    place.close()
