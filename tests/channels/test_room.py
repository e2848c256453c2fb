"""The room: what a reload, a fresh manager and trouble make of channels."""

import json
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from supervisord_lite.channels import wire
from supervisord_lite.core.channel import (
    Access,
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
from supervisord_lite.linux import sealed
from tests.channels.conftest import Place

KINDS: dict[str, Kind] = {
    "lines": Pipe(),
    "web": Socket(Transport.TCP, "127.0.0.1"),
    "duo": SocketPair(),
    "work": Queue(10),
    "guard": Lock(),
    "slots": Semaphore(2),
    "total": Value("q", lock="guard"),
}


_KINDS = {Transport.TCP: socket.SOCK_STREAM, Transport.UDP: socket.SOCK_DGRAM}


def free_port() -> int:
    """One that nobody had a moment ago, with either transport."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_channel_that_stays_the_same_is_not_touched(place: Place) -> None:
    """A reload keeps the descriptors, and with them what is inside."""
    place.declare(**KINDS)
    before = dict(place.held)
    place.declare(**KINDS)
    assert place.held == before


def test_a_fresh_manager_finds_everything(place: Place) -> None:
    """By name; nothing is made again, and nothing is let go of."""
    place.declare(**KINDS)
    os.write(place.held["channel/work/in"], b"bwaits")
    before = dict(place.held)
    place.replace_manager()
    place.declare(**KINDS)
    assert place.held == before
    assert os.read(place.held["channel/work/out"], 100) == b"bwaits"


def test_what_changed_while_nobody_looked_is_replaced(place: Place) -> None:
    """A fresh manager compares with what the channel was made as, not with what it was told."""
    place.declare(total=Value("q"))
    before = place.inode("total/memory")
    place.replace_manager()
    place.declare(total=Value("d"))
    assert place.inode("total/memory") != before


def test_a_half_made_channel_is_made_anew(place: Place) -> None:
    """A manager that died between two of its parts has left nothing that counts."""
    place.declare(work=Queue())
    place.drop("channel/work/definition")
    place.drop("channel/work/page")
    before = place.inode("work/in")
    place.replace_manager()
    room = place.declare(work=Queue())
    assert not room.troubles
    assert place.inode("work/in") != before
    assert "channel/work/page" in place.held


def test_a_channel_found_without_its_definition_is_taken_as_it_is(place: Place) -> None:
    """A keeper that found it in a worker knows no more; it blocks again, as it did."""
    place.declare(lines=Pipe())
    place.drop("channel/lines/definition")
    os.set_blocking(place.held["channel/lines/read"], False)
    before = place.inode("lines/read")
    place.replace_manager()
    place.declare(lines=Pipe())
    assert place.inode("lines/read") == before
    assert os.get_blocking(place.held["channel/lines/read"])
    assert "channel/lines/definition" in place.held


def test_a_closed_pipe_stays_closed_for_a_fresh_manager(place: Place) -> None:
    """Nobody gets a write end before a writer comes."""
    room = place.declare(lines=Pipe())
    room.open_writers("lines")
    room.close_writers("lines")
    room = place.replace_manager()
    place.declare(lines=Pipe())
    assert "channel/lines/write" not in place.held
    room.open_writers("lines")
    assert "channel/lines/write" in place.held


def test_a_pipe_that_nobody_has_written_to_has_no_end(place: Place) -> None:
    """Though no writer is up, and a fresh manager says so: the first one is yet to come."""
    place.declare(lines=Pipe()).close_writers("lines")
    place.replace_manager()
    room = place.declare(lines=Pipe())
    room.close_writers("lines")
    reader = place.held["channel/lines/read"]
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    room.open_writers("lines")
    room.close_writers("lines")
    assert os.read(reader, 1) == b""


def kept_by_an_earlier_version(place: Place) -> None:
    """A pipe as it was before its write end had two names, and its note a generation."""
    place.declare(lines=Pipe())
    held = place.held
    held["channel/lines/write"] = held.pop("channel/lines/unwritten")
    fields = json.loads(os.pread(held["channel/lines/definition"], 4096, 0))
    del fields["generation"]
    note = sealed.make("definition of lines", json.dumps(fields).encode())
    place.hold("channel/lines/definition", note)
    os.close(note)


def made_by_an_earlier_version(place: Place) -> None:
    """What this version has made of that."""
    kept_by_an_earlier_version(place)
    place.replace_manager()
    place.declare(lines=Pipe())


def test_a_pipe_of_an_earlier_version_stays_as_its_reader_wants_it(place: Place) -> None:
    """That it never waits is said of the open file, which the reader shares."""
    kept_by_an_earlier_version(place)
    reader = place.held["channel/lines/read"]
    os.set_blocking(reader, False)
    place.replace_manager()
    place.declare(lines=Pipe())
    assert not os.get_blocking(reader)


@pytest.mark.parametrize("has_writer", [True, False])
def test_a_pipe_of_an_earlier_version_ends_with_its_writers_only(
    place: Place, *, has_writer: bool
) -> None:
    """An upgrade shows no reader an end that is none, and takes none away; nor does the next."""
    made_by_an_earlier_version(place)
    for _ in range(2):
        if has_writer:
            place.room.open_writers("lines")
        else:
            place.room.close_writers("lines")
        reader = place.held["channel/lines/read"]
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        place.replace_manager()
        place.declare(lines=Pipe())
    place.room.open_writers("lines")
    place.room.close_writers("lines")
    assert os.read(reader, 1) == b""


@pytest.mark.parametrize("a_writer_comes", [True, False])
def test_a_manager_that_died_opening_a_write_end_leaves_one(
    place: Place, *, a_writer_comes: bool
) -> None:
    """Between holding the one and dropping the other; then the readers would never see the end."""
    room = place.declare(lines=Pipe())
    unwritten = os.dup(place.held["channel/lines/unwritten"])
    room.open_writers("lines")
    place.hold("channel/lines/unwritten", unwritten)
    os.close(unwritten)
    place.replace_manager()
    room = place.declare(lines=Pipe())
    if a_writer_comes:
        room.open_writers("lines")
    room.close_writers("lines")
    reader = place.held["channel/lines/read"]
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b""


def test_what_is_not_declared_any_more_is_let_go_of(place: Place) -> None:
    """All of it."""
    place.declare(**KINDS)
    place.declare()
    assert not place.held
    assert not place.room.to_pass_on()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Pipe(), SocketPair()),
        (Queue(10), Queue(9)),
        (Queue(10), Queue()),
        (Semaphore(2), Semaphore(3)),
        (Value("q"), Value("d")),
        (Value("q", 2), Value("q", 3)),
        (Socket(Transport.TCP, "127.0.0.1"), Socket(Transport.UDP, "127.0.0.1")),
    ],
)
def test_what_cannot_be_changed_is_replaced(place: Place, old: Kind, new: Kind) -> None:
    """The new channel is another one, and none of the old is left."""
    place.declare(it=old)
    before = {os.fstat(fd).st_ino for name, fd in place.held.items() if "bell" not in name}
    room = place.declare(it=new)
    after = {os.fstat(fd).st_ino for name, fd in place.held.items() if "bell" not in name}
    assert not room.troubles
    assert not before & after


def test_another_generation_is_another_channel(place: Place) -> None:
    """Though it is defined as the last one; a fresh manager knows which one there is."""
    place.declare(work=Queue())
    before = place.inode("work/in")
    second = Channel("work", Queue(), 1)
    place.replace_manager()
    place.room.declare((second,))
    after = place.inode("work/in")
    assert after != before
    place.replace_manager()
    place.room.declare((second,))
    assert place.inode("work/in") == after


def test_what_has_an_address_stays_the_same_under_another_name(
    place: Place, tmp_path: Path
) -> None:
    """A socket with its connections, a FIFO with its bytes; for a fresh manager, too."""
    port = free_port()
    kinds = Socket(Transport.TCP, "127.0.0.1", port), Fifo(str(tmp_path / "jobs"))
    place.declare(web=kinds[0], jobs=kinds[1])
    os.write(place.held["channel/jobs/write"], b"waits")
    with socket.create_connection(("127.0.0.1", port)):
        before = place.inode("web/socket")
        place.declare(http=kinds[0], work=replace(kinds[1], access=Access(0o666)))
        assert place.inode("http/socket") == before
        place.replace_manager()
        room = place.declare(www=replace(kinds[0], backlog=5), tasks=kinds[1])
        assert not room.troubles
        assert place.inode("www/socket") == before
        assert {name.split("/")[1] for name in place.held} == {"www", "tasks"}
        assert os.read(place.held["channel/tasks/read"], 100) == b"waits"


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
def test_a_socket_is_replaced_by_one_at_its_port(place: Place, transport: Transport) -> None:
    """Its workers have the old one yet, and nobody is refused: both are bound meanwhile."""
    port = free_port()
    old, new = (Socket(transport, host, port) for host in ("127.0.0.1", ""))
    place.declare(web=old)
    workers = os.dup(place.held["channel/web/socket"])
    try:
        room = place.declare(web=new)
        assert not room.troubles
        assert not room.missing()
    finally:
        os.close(workers)
    with socket.socket(socket.AF_INET, _KINDS[transport]) as client:
        client.connect(("127.0.0.1", port))
        if transport is Transport.UDP:
            client.send(b"hello")
        heard = socket.socket(fileno=os.dup(place.held["channel/web/socket"]))
        with heard:
            heard.settimeout(5.0)
            if transport is Transport.UDP:
                assert heard.recv(10) == b"hello"
            else:
                heard.accept()[0].close()


def test_whether_others_may_have_its_port_is_changed_in_place(place: Place) -> None:
    """And a second channel may have it then."""
    kind = Socket(Transport.TCP, "127.0.0.1", free_port())
    place.declare(web=kind)
    before = place.inode("web/socket")
    shared = replace(kind, reuse_port=True)
    room = place.declare(web=shared, other=shared)
    assert not room.troubles
    assert place.inode("web/socket") == before


def test_sizes_and_capacity_are_changed_in_place(place: Place) -> None:
    """What is in the queue stays, and its workers read the new capacity."""
    place.declare(work=Queue(10))
    os.write(place.held["channel/work/in"], b"b")
    before = place.inode("work/in")
    place.declare(work=Queue(20, 100_000))
    page = os.pread(place.held["channel/work/page"], wire.PAGE.size, 0)
    assert place.inode("work/in") == before
    assert wire.PAGE.unpack(page)[1] == 20


def test_access_is_changed_in_place(place: Place, tmp_path: Path) -> None:
    """Of a FIFO and of a socket, without a moment without them."""
    fifo, sock = str(tmp_path / "fifo"), str(tmp_path / "sock")
    kinds = Fifo(fifo), Socket(Transport.STREAM, path=sock, access=Access(0o600))
    place.declare(jobs=kinds[0], web=kinds[1])
    before = place.inode("web/socket"), os.stat(fifo).st_ino, os.stat(sock).st_ino
    open_to_all = Access(0o666)
    place.declare(
        jobs=replace(kinds[0], access=open_to_all), web=replace(kinds[1], access=open_to_all)
    )
    assert (place.inode("web/socket"), os.stat(fifo).st_ino, os.stat(sock).st_ino) == before
    assert stat.S_IMODE(os.stat(fifo).st_mode) == stat.S_IMODE(os.stat(sock).st_mode) == 0o666


def test_something_else_at_the_path_of_a_fifo_is_left_alone(place: Place, tmp_path: Path) -> None:
    """It is a trouble, said once, until the path is free."""
    path = tmp_path / "jobs"
    path.write_text("precious")
    room = place.declare(jobs=Fifo(str(path)))
    place.retry()
    assert path.read_text() == "precious"
    assert "not a FIFO" in room.troubles["jobs"]
    assert len(place.said) == 1
    path.unlink()
    place.retry()
    assert not room.troubles
    assert place.said[-1] == ("jobs", None)
    assert not place.due


def test_a_fifo_that_is_there_is_used(place: Place, tmp_path: Path) -> None:
    """With what is in it, if somebody has it open."""
    path = str(tmp_path / "jobs")
    os.mkfifo(path)
    outside = os.open(path, os.O_RDWR)
    try:
        os.write(outside, b"early")
        place.declare(jobs=Fifo(path))
        assert os.read(place.held["channel/jobs/read"], 100) == b"early"
    finally:
        os.close(outside)


@pytest.mark.parametrize("kind", [Fifo, partial(Socket, Transport.STREAM, "", 0)])
def test_a_path_that_leads_elsewhere_is_noticed(
    place: Place, tmp_path: Path, kind: Callable[[str], Kind]
) -> None:
    """By whoever looks; what is there works on. Another generation is made at the path."""
    path = tmp_path / "there"
    wanted = kind(str(path))
    room = place.declare(it=wanted)
    hidden = path.rename(tmp_path / "elsewhere")
    assert room.lost() == ["it"]
    assert not room.troubles
    room.look_again(["it"])
    assert "No such file" in room.troubles["it"]
    assert not room.missing()
    assert room.handover((Binding("it"),)).extra
    hidden.rename(path)
    place.retry()
    assert not room.troubles
    path.unlink()
    path.write_text("precious")
    room.look_again(["it"])
    assert "something else" in room.troubles["it"]
    path.unlink()
    room.declare((Channel("it", wanted, 1),))
    assert not room.troubles
    assert not room.lost()


def test_only_a_socket_is_given_its_owner_and_mode(place: Place, tmp_path: Path) -> None:
    """Who may write to its directory cannot have another file changed for him."""
    path, precious = tmp_path / "sock", tmp_path / "precious"
    precious.write_text("")
    precious.chmod(0o600)
    kind = Socket(Transport.STREAM, path=str(path))
    place.declare(web=kind)
    path.unlink()
    path.symlink_to(precious)
    room = place.declare(web=replace(kind, access=Access(0o666)))
    assert "something else than a socket" in room.troubles["web"]
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


def test_a_directory_at_the_path_of_a_socket_is_left_alone(place: Place, tmp_path: Path) -> None:
    """A worker cannot be given what is missing; one that has it now may."""
    path = tmp_path / "sock"
    path.mkdir()
    room = place.declare(web=Socket(Transport.STREAM, path=str(path)))
    assert room.missing().keys() == {"web"}
    assert path.is_dir()
    path.rmdir()
    room.try_again()
    assert not room.missing()


def test_a_stale_socket_is_replaced(place: Place, tmp_path: Path) -> None:
    """Nobody answers there."""
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(path)
    room = place.declare(web=Socket(Transport.STREAM, path=path))
    assert not room.troubles
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


@pytest.mark.parametrize("transport", [Transport.STREAM, Transport.DATAGRAM])
def test_a_live_socket_is_refused(place: Place, tmp_path: Path, transport: Transport) -> None:
    """Of whichever kind; it goes on as before."""
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(path)
        other.listen()
        room = place.declare(web=Socket(transport, path=path))
        assert "another process listens there" in room.troubles["web"]
        client.connect(path)


def test_an_address_in_use_is_tried_again(place: Place) -> None:
    """Each second, and a worker that needs it does so at once."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        kind = Socket(Transport.TCP, "127.0.0.1", other.getsockname()[1])
        room = place.declare(web=kind)
        assert "Address already in use" in room.troubles["web"]
        with pytest.raises(OSError, match="in use"):
            room.handover((Binding("web"),))
    assert room.handover((Binding("web"),)).extra == {"3": "held:channel/web/socket"}
    assert not room.troubles


def test_a_worker_is_given_numbers_and_variables(place: Place) -> None:
    """The sockets first, whatever the order; a lock comes along with what it guards."""
    room = place.declare(**KINDS)
    given = room.handover(
        (Binding("lines", Use.WRITE, fd=9), Binding("total"), Binding("web"), Binding("duo", Use.B))
    )
    assert given.extra == {
        "3": "held:channel/web/socket",
        "4": "held:channel/total/memory",
        "5": "held:channel/duo/b",
        "6": "held:channel/guard/memory",
        "9": "held:channel/lines/write",
    }
    variables = dict(given.environment)
    assert (variables["LISTEN_FDS"], variables["LISTEN_FDNAMES"]) == ("1", "web")
    assert variables["CHANNEL_LINES"] == "9"


def test_a_pipe_that_was_closed_is_open_for_its_next_writer(place: Place) -> None:
    """A handover with a write end makes sure that there is one."""
    room = place.declare(lines=Pipe())
    room.open_writers("lines")
    room.close_writers("lines")
    room.handover((Binding("lines", Use.WRITE),))
    assert "channel/lines/write" in place.held


def test_a_channel_that_is_not_declared_is_refused(place: Place) -> None:
    """As one whose number is taken, it is an error of that start and of nothing else."""
    room = place.declare(lines=Pipe())
    with pytest.raises(OSError, match="channel gone: not declared"):
        room.handover((Binding("gone"),))
    with pytest.raises(OSError, match="cannot use descriptor 5"):
        room.handover((Binding("lines", Use.READ, fd=5),), taken={5})


def test_a_change_that_fails_leaves_a_channel_that_works(place: Place, tmp_path: Path) -> None:
    """It is a trouble until it can be made, and workers go on meanwhile."""
    path = tmp_path / "sock"
    kind = Socket(Transport.STREAM, path=str(path))
    place.declare(web=kind)
    hidden = path.rename(tmp_path / "elsewhere")
    room = place.declare(web=replace(kind, access=Access(0o600)))
    assert "No such file" in room.troubles["web"]
    assert room.handover((Binding("web"),)).extra
    hidden.rename(path)
    place.retry()
    assert not room.troubles
