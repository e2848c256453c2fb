"""One try of each kind of probe, on real servers, files and commands."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.core.probe import (
    ActiveProbe,
    ExecProbe,
    FileProbe,
    HttpProbe,
    TcpProbe,
    UnixProbe,
)
from supervisord_lite.manager.probes.bystander import Bystander
from supervisord_lite.manager.probes.probe_tries import Answer, Tries
from tests.manager.conftest import Play, Shell, spec
from tests.manager.servers import free_port, serving


def attempt(probe: ActiveProbe, timeout: float = 30.0, began: float = 0.0) -> Answer:
    """One try that needs no keeper."""
    tries = Tries(None, lambda: began)  # type: ignore[arg-type] # for commands only
    return asyncio.run(tries.carry_out(probe, spec(), timeout))


# ---------------------------------------------------------------- tcp


def test_tcp_succeeds_where_somebody_listens() -> None:
    """A connection that the kernel accepts is a success."""
    with serving() as server:
        assert attempt(TcpProbe("127.0.0.1", server.port)).good


def test_tcp_fails_where_nobody_listens() -> None:
    """The answer names the address and the reason."""
    port = free_port()
    answer = attempt(TcpProbe("127.0.0.1", port))
    assert not answer.good
    assert answer.detail == f"127.0.0.1 port {port}: Connection refused"


def test_tcp_looks_up_names() -> None:
    """A name may have several addresses, and one that accepts is enough."""
    with serving() as server:
        assert attempt(TcpProbe("localhost", server.port)).good


def test_tcp_says_that_a_name_is_unknown() -> None:
    """A name that means nothing is a failure like any other."""
    answer = attempt(TcpProbe("no-such-host.invalid", 80))
    assert not answer.good
    assert answer.detail.startswith("no-such-host.invalid: ")


def test_tcp_speaks_ipv6() -> None:
    """An address in IPv6 is one."""
    with serving(host="::1", family=socket.AF_INET6) as server:
        assert attempt(TcpProbe("::1", server.port)).good


# ---------------------------------------------------------------- http

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


def url(port: int, path: str = "/") -> str:
    return f"http://127.0.0.1:{port}{path}"


def get(answer: bytes | None, path: str = "/", timeout: float = 30.0, **wanted: Any) -> Answer:
    with serving(answer) as server:
        return attempt(HttpProbe(url(server.port, path), **wanted), timeout)


def status(code: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {code} So So\r\nContent-Length: 0\r\n{more}\r\n".encode()


@pytest.mark.parametrize("code", [200, 204, 301, 302])
def test_http_takes_2xx_and_3xx_for_good(code: int) -> None:
    """A redirect is an answer, and is not followed."""
    assert get(status(code, "Location: http://127.0.0.1:1/\r\n")).good


@pytest.mark.parametrize("code", [404, 500, 503])
def test_http_takes_errors_for_bad(code: int) -> None:
    """The answer says which status it was."""
    answer = get(status(code))
    assert (answer.good, answer.detail) == (False, f"status {code}")


def test_http_takes_the_statuses_that_are_named() -> None:
    """Where statuses are named, no other will do."""
    assert get(status(401), status=(401, 403)).good
    assert not get(OK, status=(401, 403)).good


def test_http_passes_over_what_is_only_informational() -> None:
    """The answer is the one after it."""
    assert get(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK).good


def test_http_compares_headers() -> None:
    """Names in any case, the value exactly."""
    assert get(OK, headers=(("content-type", "text/plain"),)).good
    answer = get(OK, headers=(("content-type", "text/html"),))
    assert (answer.good, answer.detail) == (False, "no header content-type: text/html")


def test_http_looks_for_text_in_the_body() -> None:
    """Anywhere in it."""
    assert get(OK, body="ell").good
    answer = get(OK, body="bye")
    assert (answer.good, answer.detail) == (False, 'no "bye" in the body')


def test_http_puts_chunks_together() -> None:
    """A text that is spread over chunks is found."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert get(head + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", body="hello").good


def test_http_reads_a_bounded_part_of_the_body() -> None:
    """A body without an end is no trap: beyond its beginning nothing is looked for."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000005\r\n\r\n"
    assert not get(head + b"x" * 1_000_000 + b"hello", body="hello").good


def test_http_refuses_what_is_not_http() -> None:
    """Any bytes can come: they are a bad answer."""
    answer = get(b"220 mail.example.org ESMTP\r\n\r\n")
    assert not answer.good
    assert answer.detail.startswith("cannot understand the answer: ")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nConte"])
def test_http_refuses_an_answer_that_breaks_off(answer: bytes) -> None:
    """Closed without an answer, or in the middle of one."""
    assert not get(answer).good


def test_http_refuses_a_head_without_end() -> None:
    """Headers beyond a bound are a bad answer."""
    assert not get(b"HTTP/1.1 200 OK\r\n" + b"X-Much: y\r\n" * 20_000).good


def test_http_asks_as_a_client_should() -> None:
    """With a Host header, and to be let go after the one answer."""
    with serving(OK) as server:
        probe = HttpProbe(url(server.port, "/healthz?deep=1"))
        assert attempt(probe).good
        lines = server.requests[0].decode().split("\r\n")
        assert lines[0] == "GET /healthz?deep=1 HTTP/1.1"
        assert f"Host: 127.0.0.1:{server.port}" in lines
        assert "Connection: close" in lines


def test_http_brackets_ipv6_in_the_host_header() -> None:
    """As in the address."""
    with serving(OK, host="::1", family=socket.AF_INET6) as server:
        assert attempt(HttpProbe(f"http://[::1]:{server.port}/")).good
        assert f"Host: [::1]:{server.port}\r\n".encode() in server.requests[0]


def test_http_gives_up_after_its_timeout() -> None:
    """A server that says nothing is a failure when the time is over."""
    answer = get(None, timeout=0.3)
    assert (answer.good, answer.detail) == (False, "no answer within 300ms")


# ---------------------------------------------------------------- unix, file


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "sock"))
        yield made


def test_unix_succeeds_where_somebody_listens(listener: socket.socket) -> None:
    """A connection that the kernel accepts is a success."""
    listener.listen()
    assert attempt(UnixProbe(listener.getsockname())).good


def test_unix_fails_where_nobody_listens(listener: socket.socket, tmp_path: Path) -> None:
    """A socket without a listener, or no socket at all."""
    assert "refused" in attempt(UnixProbe(listener.getsockname())).detail
    assert "No such file" in attempt(UnixProbe(str(tmp_path / "nothing"))).detail


def test_unix_takes_a_full_backlog_for_nobody(listener: socket.socket) -> None:
    """Where nobody accepts and no more fit, that is no answer."""
    listener.listen(0)
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(listener.getsockname())
        assert not attempt(UnixProbe(listener.getsockname()), timeout=0.3).good


def test_file_succeeds_once_it_was_made(tmp_path: Path) -> None:
    """Made since the run began."""
    began = time.time() - 1
    path = tmp_path / "ready"
    assert not attempt(FileProbe(str(path)), began=began).good
    path.touch()
    assert attempt(FileProbe(str(path)), began=began).good


def test_file_of_an_earlier_run_is_none(tmp_path: Path) -> None:
    """What was there before the run says nothing about it, until it is touched."""
    path = tmp_path / "ready"
    path.touch()
    began = path.stat().st_mtime + 0.5
    answer = attempt(FileProbe(str(path)), began=began)
    assert (answer.good, answer.detail) == (False, f"{path} is older than the run")
    os.utime(path, (began + 1, began + 1))
    assert attempt(FileProbe(str(path)), began=began).good


def test_a_hanging_call_holds_up_nobody() -> None:
    """It fails in time; the next one does not run beside it, but after it."""
    release, running = threading.Event(), []

    def hang() -> int:
        running.append(threading.current_thread())
        release.wait()
        return len(running)

    async def story() -> None:
        bystander = Bystander()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(bystander.call(hang), 0.05)
        assert len(running) == 1
        release.set()
        assert await asyncio.wait_for(bystander.call(hang), 30.0) == 2

    asyncio.run(story())
    for thread in running:
        thread.join()


# ---------------------------------------------------------------- exec


def run_command(play: Play[Any], *argv: str, timeout: float = 60.0, **program: Any) -> Answer:
    async def story(shell: Shell) -> Answer:
        tries = Tries(shell.prober._helpers, lambda: 0.0)
        return await tries.carry_out(ExecProbe(argv), spec(program=program), timeout)

    answer: Answer = play(story)
    return answer


def test_exec_succeeds_with_exit_code_0(play: Play[Any]) -> None:
    """And says so."""
    assert run_command(play, "true") == Answer(good=True, detail="exit code 0")


def test_exec_fails_with_another_exit_code(play: Play[Any]) -> None:
    """The answer has the code and the first line of what the command said, made harmless."""
    answer = run_command(play, "printf", "no\\033[2J disk\\nmore")
    assert answer.good
    answer = run_command(play, "sh", "-c", "printf 'no\\033[2J disk\\nmore'; exit 2")
    assert answer == Answer(good=False, detail="exit code 2: no\\x1b[2J disk")


def test_exec_that_is_killed_says_so(play: Play[Any]) -> None:
    """A death by a signal is a failure."""
    answer = run_command(play, "sh", "-c", "kill -9 $$")
    assert answer == Answer(good=False, detail="killed by signal 9")


def test_exec_has_the_environment_of_the_worker(play: Play[Any]) -> None:
    """What the configuration adds, the command has, too."""
    command = ("sh", "-c", 'test "$COLOUR" = red')
    assert run_command(play, *command, environment=(("COLOUR", "red"),)).good


def test_exec_that_hangs_fails_in_time(play: Play[Any]) -> None:
    """It is killed after its time."""
    answer = run_command(play, "sleep", "100000", timeout=0.3)
    assert answer == Answer(good=False, detail="no answer within 300ms")


def test_exec_that_cannot_be_run_says_why(play: Play[Any]) -> None:
    """A command that is not there."""
    answer = run_command(play, "/nowhere/to/be/found")
    assert not answer.good
    assert answer.detail.startswith("cannot run /nowhere/to/be/found: ")
