"""What the daemon makes and tells of its channels is what the library understands."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.channels.room import Channels as Room
from supervisord_lite.core.channel import (
    Binding,
    Channel,
    Fifo,
    Kind,
    Lock,
    Pipe,
    Queue,
    Semaphore,
    Socket,
    SocketPair,
    Transport,
    Use,
    Value,
)
from supervisord_lite.worker.named import Channels


class Keeper:
    """Holds what the room wants held, under its names."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def hold(self, name: str, fd: int) -> None:
        self.drop(name)
        self.held[name] = os.dup(fd)

    def drop(self, name: str) -> None:
        if name in self.held:
            os.close(self.held.pop(name))


@pytest.fixture
def channels(tmp_path: Path) -> Iterator[Channels]:
    """Those of a worker that has one of each type; the numbers are those of this process."""
    keeper = Keeper()
    room = Room({}, keeper.hold, keeper.drop, lambda *_: None, lambda *_: None)
    kinds: dict[str, Kind] = {
        "lines": Pipe(),
        "jobs": Fifo(str(tmp_path / "fifo")),
        "web": Socket(Transport.TCP, "127.0.0.1"),
        "duo": SocketPair(),
        "bounded": Queue(capacity=2),
        "work": Queue(),
        "guard": Lock(),
        "slots": Semaphore(2),
        "total": Value("q", initial=(5,), lock="guard"),
        "own": Value("d", initial=(1.5,)),
        "grid": Value("i", length=3, initial=(1, 2), lock="guard"),
        "name": Value("c", length=4),
    }
    room.declare(Channel(name, kind) for name, kind in kinds.items())
    uses = {"lines": Use.READ, "jobs": Use.BOTH, "duo": Use.A, "bounded": Use.BOTH}
    given = room.handover(
        Binding(name, uses.get(name, Use.SHARE)) for name in kinds if name != "guard"
    )
    told = json.loads(dict(given.environment)["SUPERVISORD_LITE_CHANNELS"])
    here = {int(n): keeper.held[name.removeprefix("held:")] for n, name in given.extra.items()}
    yield Channels({name: numbered(one, here) for name, one in told.items()})
    room.close()
    for fd in keeper.held.values():
        os.close(fd)


def numbered(told: dict[str, Any], here: dict[int, int]) -> dict[str, Any]:
    numbers = {key: here[told[key]] for key in ("fd", "in", "out", "page", "bell") if key in told}
    return told | numbers


def test_a_worker_has_what_it_asked_for(channels: Channels) -> None:
    """The lock came along only for what it guards."""
    assert "guard" not in list(channels)
    assert len(channels) == 11


@pytest.mark.parametrize("name", ["work", "bounded"])
def test_queues(channels: Channels, name: str) -> None:
    """With a capacity and without."""
    queue = channels[name]
    queue.put([1])
    queue.put(b"x" * 50_000)
    assert queue.full() is (name == "bounded")
    assert queue.qsize() == 2
    assert queue.get() == [1]
    assert queue.get() == b"x" * 50_000


def test_locks(channels: Channels) -> None:
    """And semaphores."""
    with channels["guard"], channels["slots"]:
        assert channels["slots"].get_value() == 1
        channels["total"].value += 1
    assert channels["slots"].get_value() == 2


def test_values(channels: Channels) -> None:
    """With their initial values, guarded by what was named."""
    assert channels["total"].value == 5
    assert channels["own"].value == 1.5
    assert channels["grid"][:] == [1, 2, 0]
    assert channels["name"].raw == bytes(4)
    assert channels["total"].get_lock() is channels["guard"]
    assert channels["grid"].get_lock() is channels["guard"]
    assert channels["own"].get_lock() is not channels["guard"]


def test_streams_and_sockets(channels: Channels) -> None:
    """A pipe to read, a fifo for both, a socket that listens, an end of a pair."""
    assert channels["lines"].readable()
    assert not channels["lines"].writable()
    channels["jobs"].write(b"one\n")
    assert channels["jobs"].readline() == b"one\n"
    with channels["web"] as web:
        assert web.getsockname()[0] == "127.0.0.1"
    with channels["duo"] as duo:
        assert not duo.poll()
