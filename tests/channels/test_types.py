"""Each type of channel: what is made, and what it does."""

import array
import os
import socket
import stat
import struct
from pathlib import Path

import pytest

from supervisord_lite.channels import wire
from supervisord_lite.core.channel import (
    Access,
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


def test_a_pipe_carries_bytes_between_its_ends(place: Place) -> None:
    """What is written into the write end is read from the read end."""
    place.declare(lines=Pipe()).open_writers("lines")
    os.write(place.held["channel/lines/write"], b"through")
    assert os.read(place.held["channel/lines/read"], 100) == b"through"


def test_a_pipe_ends_when_its_writers_are_closed_and_can_be_written_to_again(place: Place) -> None:
    """The read end sees the end of file between two times with a writer, and loses nothing."""
    room = place.declare(lines=Pipe())
    room.open_writers("lines")
    os.write(place.held["channel/lines/write"], b"last")
    room.close_writers("lines")
    reader = place.held["channel/lines/read"]
    assert (os.read(reader, 100), os.read(reader, 100)) == (b"last", b"")
    room.open_writers("lines")
    os.write(place.held["channel/lines/write"], b"first")
    assert os.read(reader, 100) == b"first"


def test_a_fifo_has_its_mode_and_never_ends(place: Place, tmp_path: Path) -> None:
    """Writers from outside come and go, and the reader does not see that."""
    path = tmp_path / "sub" / "jobs"
    room = place.declare(jobs=Fifo(str(path), Access(0o620), 8192))
    room.close_writers("jobs")
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    with path.open("wb") as outside:
        outside.write(b"job\n")
    reader = place.held["channel/jobs/read"]
    assert os.read(reader, 100) == b"job\n"
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 100)


def test_the_ends_of_a_fifo_allow_what_they_are_called(place: Place, tmp_path: Path) -> None:
    """A reader cannot write, and a writer cannot read."""
    place.declare(jobs=Fifo(str(tmp_path / "jobs")))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(place.held["channel/jobs/read"], b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(place.held["channel/jobs/write"], 1)
    os.write(place.held["channel/jobs/both"], b"x")
    assert os.read(place.held["channel/jobs/both"], 1) == b"x"


@pytest.mark.parametrize(
    ("host", "family"),
    [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("localhost", socket.AF_INET)],
)
def test_a_tcp_socket_listens(place: Place, host: str, family: int) -> None:
    """A client gets through before anybody has accepted it."""
    place.declare(web=Socket(Transport.TCP, host, 0))
    listener = socket.socket(fileno=os.dup(place.held["channel/web/socket"]))
    with listener, socket.socket(family) as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.close()


def test_an_empty_host_is_every_address(place: Place) -> None:
    """A client of IPv4 reaches the socket of both families."""
    place.declare(web=Socket(Transport.TCP))
    listener = socket.socket(fileno=os.dup(place.held["channel/web/socket"]))
    with listener, socket.socket() as client:
        client.connect(("127.0.0.1", listener.getsockname()[1]))


def test_a_host_name_is_not_looked_up(place: Place) -> None:
    """A name is a trouble at once, not a question to the network."""
    room = place.declare(web=Socket(Transport.TCP, "example.invalid", 80))
    assert "it is no address" in room.troubles["web"]


def test_a_udp_socket_takes_datagrams(place: Place) -> None:
    """What is sent to its address arrives."""
    place.declare(dns=Socket(Transport.UDP, "127.0.0.1", 0))
    bound = socket.socket(fileno=os.dup(place.held["channel/dns/socket"]))
    with bound, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"query", bound.getsockname())
        assert bound.recv(100) == b"query"


@pytest.mark.parametrize(
    ("transport", "kind"),
    [
        (Transport.STREAM, socket.SOCK_STREAM),
        (Transport.DATAGRAM, socket.SOCK_DGRAM),
        (Transport.SEQPACKET, socket.SOCK_SEQPACKET),
    ],
)
@pytest.mark.parametrize("abstract", [True, False])
def test_a_unix_socket_is_there(
    place: Place, tmp_path: Path, transport: Transport, kind: socket.SocketKind, abstract: bool
) -> None:
    """Of each kind, at a path with its mode or at an abstract name."""
    path = f"@{tmp_path}" if abstract else str(tmp_path / "s")
    place.declare(s=Socket(transport, path=path, access=Access(0o610)))
    if not abstract:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o610
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(path.replace("@", "\0", 1))


def test_two_sockets_share_a_port_where_that_is_asked_for(place: Place) -> None:
    """With `reuse_port`, a second one can be bound beside the first."""
    place.declare(one=Socket(Transport.TCP, "127.0.0.1", 0, reuse_port=True))
    with socket.socket(fileno=os.dup(place.held["channel/one/socket"])) as first:
        port = first.getsockname()[1]
    room = place.declare(
        one=Socket(Transport.TCP, "127.0.0.1", 0, reuse_port=True),
        two=Socket(Transport.TCP, "127.0.0.1", port, reuse_port=True),
    )
    assert not room.troubles


def test_the_ends_of_a_pair_talk_to_each_other(place: Place) -> None:
    """Both ways."""
    place.declare(duo=SocketPair())
    a, b = place.held["channel/duo/a"], place.held["channel/duo/b"]
    os.write(a, b"ping")
    assert os.read(b, 100) == b"ping"
    os.write(b, b"pong")
    assert os.read(a, 100) == b"pong"


def test_a_queue_keeps_messages_whole(place: Place) -> None:
    """One put is one get."""
    place.declare(work=Queue())
    for text in (b"bone", b"btwo"):
        os.write(place.held["channel/work/in"], text)
    assert [os.read(place.held["channel/work/out"], 100) for _ in "12"] == [b"bone", b"btwo"]


def test_a_queue_has_room_for_its_capacity(place: Place) -> None:
    """The kernel's bound on bytes does not come before the bound on small messages."""
    place.declare(work=Queue(capacity=150))
    os.set_blocking(place.held["channel/work/in"], False)
    for _ in range(150):
        os.write(place.held["channel/work/in"], b"b")


def test_the_page_of_a_queue_says_its_capacity(place: Place) -> None:
    """In the layout that the workers know."""
    place.declare(work=Queue(capacity=7))
    page = os.pread(place.held["channel/work/page"], wire.PAGE_SIZE * 2, 0)
    assert len(page) == wire.PAGE_SIZE
    assert wire.PAGE.unpack_from(page) == (wire.MAGIC, 7, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("code", "initial"), [("q", -7), ("d", 1.5), ("B", 255), ("c", 65), ("u", 0x20AC)]
)
def test_a_value_begins_as_it_was_said(place: Place, code: str, initial: float) -> None:
    """In the machine's layout, with exactly its size."""
    place.declare(total=Value(code, initial=(initial,)))
    data = os.pread(place.held["channel/total/memory"], 100, 0)
    if code == "u":
        assert data.decode("utf-32-le") == chr(int(initial))
    else:
        found = struct.unpack(code, data)[0]
        assert found == (bytes([int(initial)]) if code == "c" else initial)


def test_an_array_is_filled_up_with_zeros(place: Place) -> None:
    """What `initial` does not say is zero."""
    place.declare(grid=Value("d", 4, (1.5, 2)))
    found = array.array("d", os.pread(place.held["channel/grid/memory"], 100, 0))
    assert list(found) == [1.5, 2.0, 0.0, 0.0]


def test_nobody_can_make_shared_memory_shorter(place: Place) -> None:
    """Else whoever maps it would die of it."""
    place.declare(grid=Value("d", 4))
    with pytest.raises(PermissionError):
        os.ftruncate(place.held["channel/grid/memory"], 1)


def test_a_value_out_of_range_is_a_trouble(place: Place) -> None:
    """And nothing else suffers from it."""
    room = place.declare(total=Value("B", initial=(256,)), lines=Pipe())
    assert "does not fit the type B" in room.troubles["total"]
    assert "channel/lines/read" in place.held


def test_a_lock_is_free_again_when_its_holder_is_gone(place: Place) -> None:
    """Each who opens it again has locks of his own, and they end with him."""
    place.declare(guard=Lock())
    one, other = (pipes.reopen(place.held["channel/guard/memory"], os.O_RDWR) for _ in "12")
    try:
        assert locks.lock(one, 0, 1)
        assert not locks.lock(other, 0, 1)
        os.close(one)
        assert locks.lock(other, 0, 1)
    finally:
        os.close(other)


def test_a_semaphore_has_as_many_places_as_it_says(place: Place) -> None:
    """One byte a place."""
    place.declare(slots=Semaphore(3))
    assert os.fstat(place.held["channel/slots/memory"]).st_size == 3
