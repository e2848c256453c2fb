"""The link between keeper and manager."""

import fcntl
import os
import socket
from collections.abc import Iterator

import pytest

from supervisord_lite.keeper.protocol import BrokenLink, Link, pair

Links = tuple[Link, Link]


@pytest.fixture
def links() -> Iterator[Links]:
    ours, theirs = pair()
    both = Link(ours), Link(theirs)
    yield both
    for link in both:
        link.close()


def test_packet_arrives(links: Links) -> None:
    """What is sent is received, as it was."""
    links[0].send({"orders": [{"do": "é\n"}]})
    ((packet, descriptors),) = links[1].receive()
    assert (packet["orders"], descriptors) == ([{"do": "é\n"}], [])


def test_nothing_to_receive(links: Links) -> None:
    """Receiving never blocks."""
    assert list(links[1].receive()) == []


def test_big_packet(links: Links) -> None:
    """A packet of megabytes arrives whole, in a descriptor that is closed again."""
    before = set(os.listdir("/proc/self/fd"))
    links[0].send({"text": "x" * 3_000_000})
    ((packet, descriptors),) = links[1].receive()
    assert (len(packet["text"]), descriptors) == (3_000_000, [])
    assert set(os.listdir("/proc/self/fd")) == before


def test_descriptors_of_a_big_packet(links: Links) -> None:
    """Descriptors that come along with a big packet are the right ones."""
    read_end, write_end = os.pipe()
    links[0].send({"text": "x" * 100_000}, [write_end])
    ((_, (received,)),) = links[1].receive()
    os.write(received, b"through")
    assert os.read(read_end, 10) == b"through"
    for descriptor in (read_end, write_end, received):
        os.close(descriptor)


def test_descriptors_are_closed_at_exec(links: Links) -> None:
    """No received descriptor can leak into a child."""
    with open(os.devnull, "rb") as null:
        links[0].send({}, [null.fileno()] * 3)
    ((_, descriptors),) = links[1].receive()
    assert all(fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for number in descriptors)
    for number in descriptors:
        os.close(number)


def test_order_is_kept_while_the_socket_is_full(links: Links) -> None:
    """Sending never blocks; what the kernel does not take is sent later, nothing overtaken."""
    sender, receiver = links
    count = 0
    while sender.send({"number": count, "text": "x" * 50_000}):
        count += 1
    for number in range(count + 1, count + 50):
        assert not sender.send({"number": number})
    assert sender.pending
    received: list[int] = []
    while len(received) < count + 50:
        received += [packet["number"] for packet, _ in receiver.receive()]
        sender.flush()
    assert received == list(range(count + 50))
    assert not sender.pending


def test_descriptors_may_be_closed_after_sending(links: Links) -> None:
    """A descriptor belongs to its packet even while that waits for room."""
    sender, receiver = links
    while sender.send({"text": "x" * 50_000}):
        pass
    read_end, write_end = os.pipe()
    sender.send({"last": True}, [write_end])
    os.close(write_end)
    found: list[int] = []
    while not found:
        for _, descriptors in receiver.receive():
            found += descriptors
        sender.flush()
    os.write(found[0], b"alive")
    assert os.read(read_end, 10) == b"alive"
    os.close(found[0])
    assert os.read(read_end, 10) == b""  # and nobody else keeps it
    os.close(read_end)


def test_end_of_the_stream_comes_last(links: Links) -> None:
    """What was sent before a death is received; only then the link is broken."""
    links[0].send({"last": "words"})
    links[0].close()
    received = links[1].receive()
    assert next(received)[0]["last"] == "words"
    with pytest.raises(BrokenLink):
        next(received)


def test_sending_to_the_dead(links: Links) -> None:
    """Sending to nobody says so."""
    links[1].close()
    with pytest.raises(BrokenLink):
        links[0].send({})


def test_later_language_is_refused(links: Links) -> None:
    """A packet that wants a newer version than ours is not misunderstood."""
    links[0].socket.send(b'{"v": 9, "min": 9}')
    with pytest.raises(BrokenLink, match="version 9"):
        list(links[1].receive())


def test_unknown_keys_are_ignored(links: Links) -> None:
    """A newer side may say more than we know."""
    links[0].socket.send(b'{"v": 9, "min": 1, "orders": [], "new": 1}')
    ((packet, _),) = links[1].receive()
    assert packet["orders"] == []


def test_pair_is_closed_at_exec() -> None:
    """Neither end reaches a child by itself."""
    for end in pair():
        assert isinstance(end, socket.socket)
        assert not end.get_inheritable()
        end.close()
