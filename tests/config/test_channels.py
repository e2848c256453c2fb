"""`channels`: each type with its keys, and what a type does not know."""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.channel import (
    Access,
    Fifo,
    Kind,
    Lock,
    Pipe,
    Queue,
    Semaphore,
    Socket,
    SocketPair,
    Transport,
    Value,
)

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def kind_of(compiled: Compiled, name: str = "x") -> Kind:
    """What a channel of the file is."""
    return {one.name: one.kind for one in compiled.configuration.channels}[name]


def file_with(*channels: str) -> str:
    return "\n".join(("channels:", *(f"  {one}" for one in channels), "workers: {}"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{type: pipe, size: 1MiB}", Pipe(1 << 20)),
        ("{type: socketpair}", SocketPair()),
        ("{type: queue, capacity: 100, size: 4MiB}", Queue(100, 4 << 20)),
        ("{type: lock}", Lock()),
        ("{type: semaphore, count: 4}", Semaphore(4)),
        ("{type: value, code: q}", Value("q")),
        ("{type: array, code: d, length: 9, initial: [1.5, 2]}", Value("d", 9, (1.5, 2.0))),
        ("{type: array, code: B, length: 2, initial: 255}", Value("B", 2, (255.0,))),
    ],
)
def test_each_type_has_its_properties(compiled: Compile, text: str, kind: Kind) -> None:
    """What the file says is what the value says, sizes in bytes."""
    assert kind_of(compiled(file_with(f"x: {text}"))) == kind


def test_a_fifo_lies_beside_its_file(compiled: Compile, tmp_path: Path) -> None:
    """Its path is absolute, its mode what was said, its owner left alone."""
    found = kind_of(compiled(file_with('x: {type: fifo, path: run/j, mode: "0620"}')))
    assert found == Fifo(str(tmp_path / "run/j"), Access(0o620))


def test_an_owner_is_a_user_and_a_group(compiled: Compile) -> None:
    """Both are looked up, once, by name or number; either alone will do."""
    root = kind_of(compiled(file_with('x: {type: fifo, path: j, owner: "0:0"}')))
    group = kind_of(compiled(file_with('x: {type: fifo, path: j, owner: ":0"}')))
    assert isinstance(root, Fifo)
    assert root.access == Access(0o660, 0, 0)
    assert isinstance(group, Fifo)
    assert group.access == Access(0o660, None, 0)


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ("tcp://127.0.0.1:80", Socket(Transport.TCP, "127.0.0.1", 80)),
        ("tcp://[::1]:80", Socket(Transport.TCP, "::1", 80)),
        ("tcp://:80", Socket(Transport.TCP, "", 80)),
        ("udp://[0:0::1]:53", Socket(Transport.UDP, "::1", 53)),
        ("unix:@abstract", Socket(Transport.STREAM, path="@abstract")),
        ("unix-seqpacket:/x", Socket(Transport.SEQPACKET, path="/x")),
        ("unix-datagram:/x", Socket(Transport.DATAGRAM, path="/x")),
    ],
)
def test_where_a_socket_listens(compiled: Compile, text: str, socket: Socket) -> None:
    """Addresses are normal forms, paths that are absolute stay."""
    assert kind_of(compiled(file_with(f'x: {{type: socket, listen: "{text}"}}'))) == socket


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{type: pype}", 'type: cannot read "pype" here (did you mean "pipe"?)'),
        ("{type: fifo}", "cannot be without path"),
        ("{type: array, code: d}", "cannot be without length"),
        ("{type: lock, size: 1}", "size: cannot use size on a lock (it is a key of type pipe"),
        ("{type: value, code: z}", 'code: cannot read "z" here'),
        ("{type: value, code: b, initial: 128}", "cannot use 128 as an initial value of code b"),
        ("{type: value, code: i, initial: 1.5}", "cannot use 1.5 as an initial value of code i"),
        ("{type: value, code: q, initial: [1, 2]}", "cannot hold 2 values: it has one value"),
        ("{type: value, code: q, initial: 9007199254740993}", "cannot keep 9007199254740993"),
        ("{type: value, code: q, initial: some}", 'cannot read "some" as a number'),
        ("{type: value, code: q, lock: x}", "lock: cannot be guarded by x: it is a value, no lock"),
        ("{type: value, code: q, lock: y}", 'lock: cannot find a lock named "y"'),
        ("{type: socket, listen: here}", 'cannot read "here" as a place to listen'),
        ('{type: socket, listen: "tcp://localhost:1"}', 'cannot listen at "localhost"'),
        ('{type: socket, listen: "tcp://:0"}', "cannot use 0 as a port"),
        ('{type: socket, listen: "tcp://::1:80"}', "as a place to listen"),
        ('{type: socket, listen: "unix:"}', "it has no path"),
        ('{type: socket, listen: "udp://:1", backlog: 1}', "backlog: cannot have a backlog"),
        ('{type: socket, listen: "tcp://:1", mode: 0600}', "cannot set the mode of a socket"),
        ('{type: socket, listen: "unix:x", reuse_port: true}', "cannot reuse the port"),
        ("{type: fifo, path: p, owner: nobodyatall}", "owner: cannot find a user with the name"),
        ('{type: fifo, path: p, owner: ":"}', 'owner: cannot read ":" as an owner'),
    ],
)
def test_what_a_type_cannot_be(refused: Refuse, text: str, problem: str) -> None:
    """Each mistake is said at the place of its key, once."""
    (line,) = refused(file_with(f"x: {text}"))
    assert line.startswith("t.yaml:2:")
    assert problem in line


def test_a_path_that_is_too_long(refused: Refuse) -> None:
    """The kernel's bound for the path of a socket is known before anything is bound."""
    (line,) = refused(file_with(f'x: {{type: socket, listen: "unix:/{"x" * 108}"}}'))
    assert "a socket's path at most 107" in line


def test_two_channels_at_one_address(refused: Refuse, compiled: Compile) -> None:
    """Only with `reuse_port` can both have it; a path has one owner in any case."""
    plain = "{type: socket, listen: 'tcp://:80'}"
    shared = "{type: socket, listen: 'tcp://:80', reuse_port: yes}"
    (line,) = refused(file_with(f"x: {plain}", f"y: {shared}"))
    assert "channels.y.listen: cannot listen where channels.x does" in line
    (line,) = refused(file_with("x: {type: fifo, path: p}", "y: {type: socket, listen: 'unix:p'}"))
    assert "channels.y.listen: cannot write to" in line
    assert compiled(file_with(f"x: {shared}", f"y: {shared}"))


def test_all_mistakes_at_once(refused: Refuse) -> None:
    """One wrong channel hides no other, and who is bound to it is not blamed."""
    text = """
    channels: {a: {type: lock, count: 1}, b: {type: semaphore}, c: {type: nothing}}
    workers: {w: {command: x, channels: [a, b, c, d]}}
    """
    lines = refused(text)
    assert len(lines) == 4
    assert 'workers.w.channels.d: cannot find a channel named "d"' in lines[-1]
