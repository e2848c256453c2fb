"""What a client can take from the daemon: bounded in count, bytes and time, and at the cost of
nobody else. Connections are raw, so that they can be as wrong as a client can be.
"""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_lite.client import Client
from supervisord_lite.control.connection import Limits
from supervisord_lite.control.server import serve
from supervisord_lite.linux import unix_socket
from tests.control.conftest import Daemon, FileLogs, MemoryFleet, body_of, read_all

GET = b"GET /v1/version HTTP/1.1\r\nHost: d\r\n\r\n"
STOP_SLOWLY = b'{"names": ["web"], "timeout": 3600}'


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def read_one(connection: socket.socket) -> bytes:
    """One whole answer with a Content-Length, and not a byte more."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, "the connection ended"
        answer += piece
    lines = answer.lower().split(b"\r\n")
    size = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while size:
        piece = connection.recv(size)
        size -= len(piece)
        answer += piece
    return answer


def works(daemon: Daemon) -> bool:
    """Whether somebody else is still served."""
    return bool(Client(daemon.path).version()["version"] == "0")


def test_connections_are_kept_alive(daemon: Daemon) -> None:
    """Several requests go over one connection, one after the other."""
    with daemon.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert status_of(read_one(connection)) == 200


def test_pipelined_requests_are_answered_in_order(daemon: Daemon) -> None:
    """Requests that come ahead of an answer wait for their turn."""
    with daemon.connect() as connection:
        paths = [b"/v1/workers/web:0", b"/v1/workers/nope", b"/v1/workers/db:0"] * 50
        connection.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: d\r\n\r\n" % path for path in paths))
        statuses = [status_of(read_one(connection)) for _ in paths]
    assert statuses == [200, 404, 200] * 50


def test_http_1_0_is_answered_and_closed(daemon: Daemon) -> None:
    """An old client gets its answer and the end of the connection."""
    answer = daemon.talk(b"GET /v1/version HTTP/1.0\r\n\r\n")
    assert status_of(answer) == 200
    assert body_of(answer)["version"] == "0"


def test_half_closed_client_gets_its_answer(daemon: Daemon) -> None:
    """A client that ends its sending after the request is not taken for gone."""
    with daemon.connect() as connection:
        connection.sendall(GET)
        connection.shutdown(socket.SHUT_WR)
        assert status_of(read_all(connection)) == 200


def test_head_requests_have_no_body(daemon: Daemon) -> None:
    """HEAD answers as GET does, without the content, and keeps the connection in order."""
    with daemon.connect() as connection:
        connection.sendall(
            GET.replace(b"GET", b"HEAD") + GET.replace(b"Host", b"Connection: close\r\nHost")
        )
        heads, _, rest = read_all(connection).partition(b"\r\n\r\n")
    assert status_of(heads) == 200
    assert rest.startswith(b"HTTP/1.1 200 ")


def test_chunked_body_is_read(daemon: Daemon) -> None:
    """A body without a Content-Length is a body."""
    with daemon.connect() as connection:
        connection.sendall(
            b"POST /v1/workers/stop HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'10\r\n{"names": ["web"\r\n2\r\n]}\r\n0\r\n\r\n'
        )
        assert status_of(read_one(connection)) == 200
    assert not daemon.fleet.up["web:0"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\n",
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET /v1/version HTTP/2.0\r\nHost: d\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\n\r\n",
        b"GET http://d/v1/version HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/version HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_malformed_requests_are_4xx(daemon: Daemon, request_bytes: bytes) -> None:
    """What is no HTTP gets an error in JSON, and the connection ends."""
    answer = daemon.talk(request_bytes)
    assert 400 <= status_of(answer) < 506
    assert body_of(answer)["error"].startswith("cannot ")
    assert works(daemon)


def test_long_heads_are_refused(daemon: Daemon) -> None:
    """A head above the limit is an error, not memory."""
    answer = daemon.talk(b"GET /v1/version HTTP/1.1\r\nHost: d\r\nX: " + b"x" * 20_000)
    assert status_of(answer) == 431


def head_of(size: int) -> bytes:
    """A whole head of so many bytes."""
    start, end = b"GET /v1/version HTTP/1.1\r\nHost: d\r\nConnection: close\r\nX: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("pieces", [1, 2, 20])
@pytest.mark.parametrize(("size", "status"), [(16_384, 200), (16_385, 431), (200_000, 431)])
def test_whole_long_heads_are_refused(daemon: Daemon, size: int, status: int, pieces: int) -> None:
    """The limit of a head is the same whether it comes at once or in pieces."""
    head, step = head_of(size), -(-size // pieces)
    with daemon.connect() as connection:
        with contextlib.suppress(BrokenPipeError):  # refused unread; the reason can be read
            for start in range(0, size, step):
                connection.sendall(head[start : start + step])
        assert status_of(read_all(connection)) == status


def test_long_heads_behind_another_request_are_refused(daemon: Daemon) -> None:
    """A head is measured by itself, not with what came before it on the connection."""
    with daemon.connect() as connection:
        connection.sendall(GET * 3 + head_of(16_385))
        assert [status_of(read_one(connection)) for _ in range(3)] == [200] * 3
        assert status_of(read_all(connection)) == 431


def test_many_short_heads_at_once_are_no_long_one(daemon: Daemon) -> None:
    """Requests that together exceed the limit of a head are each answered."""
    with daemon.connect() as connection:
        connection.sendall(GET * 800)
        assert {status_of(read_one(connection)) for _ in range(800)} == {200}


def test_announced_long_body_is_refused_unread(daemon: Daemon) -> None:
    """A body above the limit is refused before it is sent."""
    answer = daemon.talk(
        b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999\r\n\r\n"
    )
    assert status_of(answer) == 413


def test_unannounced_long_body_is_refused(daemon: Daemon) -> None:
    """A chunked body above the limit ends the connection; the client can still read why."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = daemon.talk(
        b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 17
    )
    assert status_of(answer) == 413


class TestDeadlines:
    """With deadlines that a test can wait for."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(
            head_deadline=0.2, body_deadline=0.2, idle=0.2, linger=0.2, write_deadline=0.5
        )

    def test_slow_heads_are_ended(self, daemon: Daemon) -> None:
        """A head that does not end in time is a 408."""
        answer = daemon.talk(b"GET /v1/version HT")
        assert status_of(answer) == 408

    def test_slow_bodies_are_ended(self, daemon: Daemon) -> None:
        """A body that does not come in time is a 408."""
        answer = daemon.talk(b"POST /v1/reload HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\n{")
        assert status_of(answer) == 408

    def test_silent_clients_are_ended(self, daemon: Daemon) -> None:
        """A client that connects and says nothing does not stay."""
        assert status_of(daemon.talk(b"")) == 408

    def test_idle_connections_are_ended(self, daemon: Daemon) -> None:
        """After an answer the connection waits for the next request, not for ever."""
        with daemon.connect() as connection:
            connection.sendall(GET)
            assert status_of(read_one(connection)) == 200
            assert read_all(connection) == b""

    def test_waiting_answers_have_no_deadline(self, daemon: Daemon) -> None:
        """A request that is being answered outlives every reading deadline."""
        with daemon.connect() as connection:
            connection.sendall(post("/v1/workers/stop", STOP_SLOWLY))
            assert daemon.fleet.waiting.wait(20)
            connection.settimeout(1.0)
            with pytest.raises(TimeoutError):
                connection.recv(1)

    def test_client_that_never_reads_loses_its_connection(self, daemon: Daemon) -> None:
        """Output for a client that takes none is bounded in bytes and in time."""
        with daemon.connect() as deaf, daemon.connect() as other:
            deaf.sendall(b"GET /v1/logs?name=web&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
            other.sendall(GET)
            read_one(other)
            daemon.logs.grow("web:0", b"x" * 4_000_000)
            daemon.until(lambda: not daemon.server._connections)  # the other one was idle
            assert len(read_all(deaf)) < 4_000_000
        assert works(daemon)


def test_client_that_leaves_cancels_its_handler(daemon: Daemon) -> None:
    """Nobody waits on behalf of a client that is gone."""
    with daemon.connect() as connection:
        connection.sendall(post("/v1/workers/stop", STOP_SLOWLY))
        assert daemon.fleet.waiting.wait(20)
    assert daemon.fleet.cancelled.wait(20)
    assert works(daemon)


def test_server_that_closes_says_so_to_waiting_clients(daemon: Daemon) -> None:
    """A client whose wait is cut short gets an answer, not a broken connection."""
    with daemon.connect() as connection:
        connection.sendall(post("/v1/workers/stop", STOP_SLOWLY))
        assert daemon.fleet.waiting.wait(20)
        daemon.end()
        answer = read_all(connection)
    daemon.begin()
    assert status_of(answer) == 503
    assert "the daemon goes away or is replaced" in body_of(answer)["error"]


def test_clients_wait_while_nobody_serves(daemon: Daemon) -> None:
    """A client that connects between two managers is answered by the second."""
    daemon.end()
    with daemon.connect() as connection:
        connection.sendall(GET)
        daemon.begin()
        assert status_of(read_one(connection)) == 200


def test_socket_that_is_made_again_is_served(daemon: Daemon) -> None:
    """After the path was removed and made again, new clients and old ones are served."""
    with daemon.connect() as old:
        os.unlink(daemon.path)
        daemon.make_socket_again()
        assert works(daemon)
        old.sendall(GET)
        assert status_of(read_one(old)) == 200


class TestCounts:
    """With few connections allowed."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(connections=4, per_user=4)

    @pytest.fixture
    def busy(self, daemon: Daemon) -> Iterator[list[socket.socket]]:
        """As many connections as are allowed, each in the middle of a request."""
        with ExitStack() as stack:
            connections = [stack.enter_context(daemon.connect()) for _ in range(4)]
            for connection in connections:
                connection.sendall(GET)
                read_one(connection)
                connection.sendall(GET[:10])
            for connection in connections:  # a round trip: the server has seen them all
                connection.sendall(GET[10:])
                read_one(connection)
                connection.sendall(b"GET /v1/logs?name=web&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
                assert connection.recv(10)
            yield connections

    def test_too_many_clients_are_told(self, daemon: Daemon, busy: list[socket.socket]) -> None:
        """One more than allowed gets a 503 at once."""
        answer = daemon.talk(b"")
        assert status_of(answer) == 503
        assert "too many are connected" in body_of(answer)["error"]

    def test_place_of_a_client_that_left_is_free(
        self, daemon: Daemon, busy: list[socket.socket]
    ) -> None:
        """The count goes down when a client leaves."""
        busy.pop().close()
        once = GET.replace(b"Host", b"Connection: close\r\nHost")
        daemon.until(lambda: status_of(daemon.talk(once)) == 200)

    def test_idle_connections_give_way(self, daemon: Daemon) -> None:
        """A connection between requests is closed for one that has something to ask."""
        with ExitStack() as stack:
            for _ in range(4):
                connection = stack.enter_context(daemon.connect())
                connection.sendall(GET)
                read_one(connection)
            assert works(daemon)


def test_shortage_of_descriptors_passes(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """While no descriptor is free clients wait; they are served when one is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with daemon.connect() as first, socket.socket(socket.AF_UNIX) as waiting:
        waiting.settimeout(20)
        first.sendall(GET)
        read_one(first)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        fillers = [os.dup(0) for _ in range(highest)]  # no gap is left below the limit
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1, hard))
            waiting.connect(daemon.path)
            waiting.sendall(GET)
            first.sendall(GET)
            assert status_of(read_one(first)) == 200  # those who are in are served
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in fillers:
                os.close(fd)
        assert status_of(read_one(waiting)) == 200
    assert "cannot accept a client now: Too many open files" in caplog.text


WORDS = (
    *(b"GET ", b"POST ", b"/v1/workers", b"/v1/logs?", b" HTTP/1.1", b"\r\n", b"\r\n\r\n"),
    *(b"Host: d", b"Content-Length: ", b"Transfer-Encoding: chunked", b"0", b"ffffffff", b"%00"),
    *(b"{", b": ", b"Expect: 100-continue", b"Connection: close", b"Last-Event-ID: @"),
)
FRAGMENTS = st.sampled_from(WORDS)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(FRAGMENTS | st.binary(max_size=30), max_size=20))
def test_garbage_is_survived(daemon: Daemon, fragments: list[bytes]) -> None:
    """Whatever bytes come, the answer is HTTP or nothing, and others are served."""
    with daemon.connect() as connection:
        connection.sendall(b"".join(fragments))
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    with daemon.connect() as connection:
        connection.sendall(GET)
        assert status_of(read_one(connection)) == 200


def test_a_client_that_just_arrives_does_not_disturb_the_end(tmp_path: Path) -> None:
    """A server that closes in the moment of an accept ends that connection, too."""

    async def live() -> bytes:
        listener = unix_socket.bind(str(tmp_path / "s"), 0o600)
        server = await serve(listener, MemoryFleet(), FileLogs(tmp_path))
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(tmp_path / "s"))
        server._accept()
        await server.close()
        client.setblocking(False)
        with client:
            return client.recv(1)

    assert asyncio.run(live()) == b""
