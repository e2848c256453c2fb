"""What is shown of channels: depth, holders, owners."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisord_lite.channels import wire
from supervisord_lite.channels.parts import Facts
from supervisord_lite.channels.showing import Look, View
from supervisord_lite.core.channel import (
    Fifo,
    Lock,
    Pipe,
    Queue,
    Semaphore,
    Socket,
    SocketPair,
    Transport,
    Value,
)
from supervisord_lite.linux import locks, pipes
from tests.channels.conftest import Place

LOCKS = """
import fcntl, os, struct, sys
own = os.open(f"/proc/self/fd/{sys.argv[1]}", os.O_RDWR)
fcntl.fcntl(own, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(program: str, *descriptors: int) -> Iterator[int]:
    """A process with these descriptors, once it has said something; its pid."""
    argv = [sys.executable, "-c", program, *map(str, descriptors)]
    with subprocess.Popen(
        argv, pass_fds=descriptors, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def view(place: Place, name: str) -> View:
    (found,) = Look(place.room, (name,)).views(but={os.getpid()})
    return found


def facts(place: Place, name: str) -> Facts:
    return view(place, name).facts


def test_the_depth_of_a_pipe_is_its_bytes(place: Place) -> None:
    """And one sees whether it is closed."""
    room = place.declare(lines=Pipe())
    assert facts(place, "lines")["open"] is True
    room.open_writers("lines")
    os.write(place.held["channel/lines/write"], b"12345")
    assert facts(place, "lines") == {"depth": 5, "unit": "bytes", "open": True}
    room.close_writers("lines")
    assert facts(place, "lines")["open"] is False


def test_the_depth_of_a_queue_is_its_messages(place: Place) -> None:
    """Counted without taking them out; looking twice sees the same."""
    place.declare(work=Queue())
    for size in (1, 30_000, 5):
        os.write(place.held["channel/work/in"], b"b" * size)
    assert [facts(place, "work")["depth"] for _ in "12"] == [3, 3]
    assert os.read(place.held["channel/work/out"], 100) == b"b"
    assert facts(place, "work")["depth"] == 2


def test_a_queue_tells_what_its_workers_have_counted(place: Place) -> None:
    """Where it has a capacity."""
    place.declare(work=Queue(9))
    os.pwrite(place.held["channel/work/page"], (5).to_bytes(8, sys.byteorder), wire.PUTS)
    found = facts(place, "work")
    assert (found["capacity"], found["puts"], found["gets"]) == (9, 5, 0)


def test_the_depth_of_a_listener_is_who_waits(place: Place) -> None:
    """Connections that nobody has accepted."""
    place.declare(web=Socket(Transport.TCP, "127.0.0.1"))
    with socket.socket(fileno=os.dup(place.held["channel/web/socket"])) as listener:
        address = listener.getsockname()
    with socket.create_connection(address), socket.create_connection(address):
        assert facts(place, "web") == {"depth": 2, "unit": "connections"}


def test_a_pair_shows_both_ways(place: Place) -> None:
    """What waits for each of its ends."""
    place.declare(duo=SocketPair())
    os.write(place.held["channel/duo/a"], b"123")
    assert facts(place, "duo") == {"depth": 3, "unit": "bytes", "to_a": 0, "to_b": 3}


def test_every_other_type_can_be_looked_at(place: Place, tmp_path: Path) -> None:
    """Each says what there is to say."""
    path = str(tmp_path / "x")
    place.declare(
        jobs=Fifo(f"{path}.fifo"),
        dns=Socket(Transport.UDP, "127.0.0.1"),
        unix=Socket(Transport.STREAM, path=f"{path}.sock"),
        total=Value("q"),
    )
    shown = {one.name: one for one in Look(place.room, place.room.names()).views()}
    assert shown["jobs"].where == f"{path}.fifo"
    assert shown["unix"].where == f"unix:{path}.sock"
    assert shown["dns"].facts == {"depth": 0, "unit": "bytes"}
    assert shown["total"].facts == {"size": 8}


def test_the_holder_of_a_lock_is_known(place: Place) -> None:
    """Of all that have it, the one that has locked it."""
    place.declare(guard=Lock())
    memory = place.held["channel/guard/memory"]
    with worker(LOCKS, memory) as pid, worker("print(flush=True); input()", memory) as other:
        found = view(place, "guard")
        assert found.owners == (pid,)
        assert found.holders == {pid: ("memory",), other: ("memory",)}
        assert found.facts == {"depth": 1, "unit": "holders", "free": 0}


def test_a_semaphore_shows_what_is_free(place: Place) -> None:
    """Two of three places are left."""
    place.declare(slots=Semaphore(3))
    own = pipes.reopen(place.held["channel/slots/memory"], os.O_RDWR)
    try:
        locks.lock(own, 1, 1)
        assert facts(place, "slots") == {"depth": 1, "unit": "holders", "free": 2}
    finally:
        os.close(own)


def test_who_reads_and_who_writes_a_pipe_is_told(place: Place) -> None:
    """Though both ends are one inode."""
    place.declare(lines=Pipe()).open_writers("lines")
    reader, writer = (place.held[f"channel/lines/{end}"] for end in ("read", "write"))
    program = "print(flush=True); input()"
    with worker(program, reader) as one, worker(program, reader, writer) as two:
        assert view(place, "lines").holders == {one: ("read",), two: ("read", "write")}


def test_a_channel_in_trouble_says_so(place: Place, tmp_path: Path) -> None:
    """And nothing else about itself."""
    place.declare(jobs=Fifo(str(tmp_path)))
    found = view(place, "jobs")
    assert found.trouble is not None
    assert found.facts == {}
