"""What the keeper does about channels: hands them over, and finds them again after its death."""

import os
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.channels.room import Channels
from supervisord_lite.channels.showing import Look
from supervisord_lite.core.channel import (
    Binding,
    Channel,
    Fifo,
    Kind,
    Pipe,
    Queue,
    Socket,
    Transport,
    Use,
    Value,
)
from tests.cli.conftest import until
from tests.keeper.conftest import Manager, Stage, spawn, stage
from tests.keeper.test_spawning import NOBODY, needs_root

__all__ = ["stage"]  # a fixture

NAME = "web:0"
# Popen alone, and by way of a program that can do more.
WAYS = pytest.mark.parametrize("way", [{}, {"nice": 1}], ids=["plain", "outfit"])


def room_of(manager: Manager, **kinds: Kind) -> Channels:
    """A room whose channels this keeper holds."""

    def hold(name: str, descriptor: int) -> None:
        manager.order({"do": "hold", "name": name}, descriptors=[descriptor])

    def drop(name: str) -> None:
        manager.order({"do": "drop", "names": [name]})

    held, manager.held = manager.held, {}
    room = Channels(held, hold, drop, lambda _seconds, _call: None, lambda _name, _text: None)
    room.declare(Channel(name, kind) for name, kind in kinds.items())
    assert not room.troubles
    return room


def start(manager: Manager, room: Channels, script: str, *bindings: Binding, **program: Any) -> int:
    """Start a worker with these channels; its pid."""
    given = room.handover(bindings)
    environment = [*program.pop("environment", ()), *map(list, given.environment)]
    order = spawn(NAME, 1, "/bin/sh", "-c", script, environment=environment, **program)
    manager.order({**order, "extra": given.extra})
    return int(manager.fact("spawned", NAME)["pid"])


def read(room: Channels, channel: str, part: str = "read") -> bytes:
    """What comes out of a channel next."""
    parts = room.duplicates(channel)
    try:
        return os.read(parts[part], 1000)
    finally:
        for descriptor in parts.values():
            os.close(descriptor)


@WAYS
def test_a_worker_with_sockets_is_told_its_own_pid(stage: Stage, way: Any) -> None:
    """As sd_listen_fds(3) asks: LISTEN_PID is the process that has them."""
    manager = stage.open()
    room = room_of(manager, web=Socket(Transport.TCP, "127.0.0.1"), out=Pipe())
    script = 'echo "$LISTEN_PID $$ $LISTEN_FDS $LISTEN_FDNAMES $CHANNEL_OUT" >&4'
    pid = start(manager, room, script, Binding("out", Use.WRITE), Binding("web"), **way)
    assert read(room, "out") == f"{pid} {pid} 1 web 4\n".encode()
    room.close()


def test_a_worker_without_sockets_is_told_nothing_of_them(stage: Stage) -> None:
    """Not even by a daemon that was itself told of some."""
    manager = stage.open(LISTEN_PID="1", LISTEN_FDS="1")
    room = room_of(manager, out=Pipe())
    script = 'echo "[$LISTEN_PID$LISTEN_FDS$LISTEN_FDNAMES]" >&3'
    start(manager, room, script, Binding("out", Use.WRITE))
    assert read(room, "out") == b"[]\n"
    room.close()


@needs_root
@pytest.mark.parametrize("streams", [(), ("held:channel/jobs/read", "null", "null")])
def test_the_owner_of_a_fifo_stays(stage: Stage, tmp_path: Path, streams: tuple[str, ...]) -> None:
    """A worker's user does not become that of a FIFO that it is given, in whatever way."""
    path = tmp_path / "jobs"
    manager = stage.open()
    room = room_of(manager, jobs=Fifo(str(path)))
    pid = start(manager, room, "exit 0", Binding("jobs"), identity=NOBODY, streams=streams)
    assert pid
    assert path.stat().st_uid == os.geteuid()
    room.close()


KINDS: dict[str, Kind] = {
    "lines": Pipe(),
    "work": Queue(10),
    "total": Value("q", initial=(7,)),
    "web": Socket(Transport.TCP, "127.0.0.1"),
}


def inodes(room: Channels) -> dict[str, int]:
    """What the parts of the channels are, but for eventfds, which are all one."""
    found: dict[str, int] = {}
    for name in KINDS:
        for part, descriptor in room.duplicates(name).items():
            found[f"{name}/{part}"] = os.fstat(descriptor).st_ino
            os.close(descriptor)
    del found["work/bell"]
    return found


def test_what_a_worker_has_open_is_found_after_the_death_of_all(stage: Stage) -> None:
    """Keeper and manager are killed; the next ones get a queue, both ends of a pipe, memory and a
    listening socket from the worker that lives on.
    """
    manager = stage.open()
    room = room_of(manager, **KINDS)
    bindings = (Binding("lines", Use.WRITE), Binding("work"), Binding("total"), Binding("web"))
    script = "echo waits >&4; printf bmessage >&5; exec sleep 100000"
    pid = start(manager, room, script, *bindings)
    before = inodes(room)
    until(lambda: Look(room, ("work",)).views()[0].facts["depth"] == 1)
    room.close()
    stage.crash()
    manager = stage.open()
    room = room_of(manager, **KINDS)
    assert inodes(room) == before
    assert (read(room, "lines"), read(room, "work", "out")) == (b"waits\n", b"bmessage")
    room.close()
    stage.end_left_behind(pid)


def test_what_was_found_again_blocks(stage: Stage) -> None:
    """A fresh keeper opens what it finds so that it cannot hang; the workers never see that."""
    manager = stage.open()
    room = room_of(manager, lines=Pipe())
    pid = start(manager, room, "exec sleep 100000", Binding("lines", Use.READ))
    room.close()
    stage.crash()
    room = room_of(stage.open(), lines=Pipe())
    parts = room.duplicates("lines")
    assert all(os.get_blocking(descriptor) for descriptor in parts.values())
    for descriptor in parts.values():
        os.close(descriptor)
    room.close()
    stage.end_left_behind(pid)


def test_a_channel_that_nobody_had_open_is_made_anew(stage: Stage) -> None:
    """Without a service manager's store it is lost with its keeper."""
    manager = stage.open()
    room = room_of(manager, **KINDS)
    before = inodes(room)
    manager.order({"do": "remember", "name": "configuration", "value": "x"})
    manager.order(spawn(NAME, 1, "sleep", "100000"))
    pid = int(manager.fact("spawned", NAME)["pid"])
    room.close()
    stage.crash()
    room = room_of(stage.open(), **KINDS)
    assert not set(inodes(room).values()) & set(before.values())
    room.close()
    stage.end_left_behind(pid)
