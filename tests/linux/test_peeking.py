"""Looking into a socket without taking anything out, whatever is in it."""

import socket
from collections.abc import Iterator

import pytest

from supervisord_lite.linux import peeking


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    into, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with into, out:
        yield into, out


def test_everything_is_seen_and_stays(pair: tuple[socket.socket, socket.socket]) -> None:
    """Twice, and in its order."""
    into, out = pair
    for message in (b"one", b"two", b"three"):
        into.send(message)
    assert list(peeking.messages(out, 16)) == [b"one", b"two", b"three"]
    assert peeking.count(out, 16) == 3
    assert out.recv(16) == b"one"


def test_a_message_without_a_byte_hides_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    """The kernel shows it once and then passes it by: what is behind it counts each time."""
    into, out = pair
    for message in (b"one", b"", b"", b"two", b"three"):
        into.send(message)
    assert [peeking.count(out, 16) for _ in range(3)] == [3, 3, 3]
    assert list(peeking.messages(out, 16)) == [b"one", b"two", b"three"]


def test_a_socket_that_was_shut_down_comes_to_an_end(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It has messages without a byte for ever."""
    into, out = pair
    into.send(b"one")
    into.shutdown(socket.SHUT_WR)
    assert list(peeking.messages(out, 16)) == [b"one"]
