"""What workers are told of their channels, and at which numbers they have them."""

import json
import struct
from typing import Any

import pytest

from supervisord_lite.channels import wire
from supervisord_lite.core.channel import (
    Access,
    Binding,
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
from supervisord_lite.core.handing import hand_over, replaces, variable_of

KINDS: dict[str, Kind] = {
    "lines": Pipe(),
    "jobs": Fifo("/run/jobs"),
    "web": Socket(Transport.TCP, "::1", 80),
    "api": Socket(Transport.STREAM, path="/run/api"),
    "duo": SocketPair(),
    "work": Queue(100),
    "guard": Lock(),
    "slots": Semaphore(4),
    "total": Value("q", lock="guard"),
    "grid": Value("d", 3),
}


def told(*bindings: Binding) -> dict[str, Any]:
    variables = wire.environment(hand_over(bindings, KINDS), KINDS)
    whole: dict[str, Any] = json.loads(variables[wire.ENVIRONMENT])
    return whole


@pytest.mark.parametrize(
    ("binding", "description"),
    [
        (Binding("lines", Use.READ), {"type": "pipe", "use": "read", "fd": 3}),
        (Binding("jobs", Use.BOTH), {"type": "fifo", "use": "both", "fd": 3, "path": "/run/jobs"}),
        (Binding("web"), {"type": "socket", "fd": 3, "address": "tcp://[::1]:80"}),
        (Binding("api"), {"type": "socket", "fd": 3, "address": "unix:/run/api"}),
        (Binding("duo", Use.A), {"type": "socketpair", "use": "a", "fd": 3}),
        (Binding("guard"), {"type": "lock", "fd": 3}),
        (Binding("slots"), {"type": "semaphore", "fd": 3, "count": 4}),
        (
            Binding("grid"),
            {"type": "array", "fd": 3, "code": "d", "length": 3, "lock": None},
        ),
        (
            Binding("work", Use.PUT),
            {"type": "queue", "use": "put", "in": 3, "out": 4, "page": 5, "bell": 6}
            | {"capacity": 100},
        ),
    ],
)
def test_each_type_is_described(binding: Binding, description: dict[str, Any]) -> None:
    """With all that a library needs to use it."""
    assert told(binding) == {binding.channel: description}


def test_a_value_brings_its_lock_along() -> None:
    """Marked as one that the worker did not ask for."""
    found = told(Binding("total"))
    assert found["total"] == {"type": "value", "fd": 3, "code": "q", "lock": "guard"}
    assert found["guard"] == {"type": "lock", "fd": 4, "guards": True}


def test_a_lock_that_is_there_anyway_is_there_once() -> None:
    """Its own binding counts."""
    assert told(Binding("guard", fd=8), Binding("total"))["guard"] == {"type": "lock", "fd": 8}


def test_sockets_come_first_and_without_a_gap() -> None:
    """As sd_listen_fds(3) finds them, named in the same order."""
    bindings = (Binding("work"), Binding("api"), Binding("lines", Use.READ, 5), Binding("web"))
    variables = wire.environment(hand_over(bindings, KINDS), KINDS)
    assert variables["LISTEN_FDS"] == "2"
    assert variables["LISTEN_FDNAMES"] == "api:web"
    assert "LISTEN_PID" in variables
    assert variables["CHANNEL_WORK"] == "6 7 8 9"


def test_a_socket_elsewhere_is_not_for_listen_fds() -> None:
    """One that asked for another number is found by its own variable."""
    variables = wire.environment(hand_over((Binding("web", fd=7),), KINDS), KINDS)
    assert "LISTEN_FDS" not in variables
    assert variables["CHANNEL_WEB"] == "7"


def test_without_channels_there_are_no_variables() -> None:
    """Not even empty ones."""
    assert wire.environment(hand_over((), KINDS), KINDS) == {}


def test_names_become_variables() -> None:
    """Upper case, and everything that no shell takes is an underscore."""
    assert variable_of("my-jobs.1") == "CHANNEL_MY_JOBS_1"


@pytest.mark.parametrize(
    "bindings",
    [
        (Binding("lines", Use.READ, 5), Binding("duo", Use.A, 5)),
        (Binding("work", fd=5), Binding("duo", Use.A, 8)),
        (Binding("lines", Use.READ, 3), Binding("web")),
        (Binding("lines", Use.READ, 1),),
    ],
)
def test_numbers_that_clash_are_refused(bindings: tuple[Binding, ...]) -> None:
    """Also a socket's with what is in its way."""
    with pytest.raises(ValueError, match="cannot"):
        hand_over(bindings, KINDS)


def test_a_number_that_is_used_otherwise_is_passed_over() -> None:
    """And refused if a channel asks for it."""
    (handed,) = hand_over((Binding("lines", Use.READ),), KINDS, taken={3})
    assert handed.number == 4
    with pytest.raises(ValueError, match="descriptor 3"):
        hand_over((Binding("lines", Use.READ, 3),), KINDS, taken={3})


@pytest.mark.parametrize(("use", "number"), [(Use.PUT, 3), (Use.GET, 4), (Use.BOTH, 3)])
def test_the_number_of_a_queue_is_the_end_that_is_used(use: Use, number: int) -> None:
    """For `{channel.work}` in a command."""
    (handed,) = hand_over((Binding("work", use),), KINDS)
    assert handed.number == number


def test_a_use_that_makes_no_sense_is_refused() -> None:
    """A pipe cannot be put into."""
    with pytest.raises(ValueError, match="cannot put a pipe"):
        hand_over((Binding("lines", Use.PUT),), KINDS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Pipe(), Pipe(65536)),
        (Fifo("/a"), Fifo("/a", Access(0o600), 65536)),
        (Socket(Transport.TCP, port=1), Socket(Transport.TCP, port=1, backlog=5)),
        (Queue(5), Queue(6, 100)),
        (Queue(), Queue(size=100)),
        (Lock(), Lock()),
    ],
)
def test_what_can_be_changed_in_use_is_no_replacement(old: Kind, new: Kind) -> None:
    """Sizes, access, the backlog, a greater capacity."""
    assert not replaces(old, new)


def test_the_page_has_the_offsets_that_are_documented() -> None:
    """The layout is the one of the constants."""
    page = wire.PAGE.pack(wire.MAGIC, 1, 2, 3, 4, 5, 6)
    offsets = wire.CAPACITY, wire.PUTS_DIRTY, wire.GETS_DIRTY, wire.PUTS, wire.GETS, wire.WAITING
    assert [struct.unpack_from("=Q", page, one)[0] for one in offsets] == [1, 2, 3, 4, 5, 6]
