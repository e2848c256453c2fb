"""The blocking client: how it finds its daemon, and what it makes of what goes wrong."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisord_lite.client import (
    ApiError,
    Broken,
    Client,
    ClientError,
    Denied,
    NoDaemon,
    SeveralDaemons,
    TimedOut,
    find_socket,
    finding,
)
from supervisord_lite.control.connection import Limits
from tests.control.conftest import Daemon


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory of this test's own."""
    monkeypatch.delenv("SUPERVISORD_LITE_SOCKET", raising=False)
    monkeypatch.setattr(finding, "runtime_directories", lambda: [str(tmp_path / "run")])
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_only_live_daemon_is_found(places: Path) -> None:
    """A socket that nobody listens on does not count."""
    listen(places / "dead" / "control.sock").close()
    (places / "empty").mkdir()
    with listen(places / "live" / "control.sock"):
        assert find_socket() == str(places / "live" / "control.sock")


def test_socket_elsewhere_is_found(places: Path, tmp_path: Path) -> None:
    """A daemon whose configuration puts the socket elsewhere says where."""
    (places / "shop").mkdir()
    (places / "shop" / "control.path").write_text(f"{tmp_path}/else/control.sock\n")
    with listen(tmp_path / "else" / "control.sock"):
        assert find_socket() == f"{tmp_path}/else/control.sock"


def test_several_daemons_are_listed(places: Path) -> None:
    """Which one is meant is the user's to say."""
    with (
        listen(places / "a" / "control.sock"),
        listen(places / "b" / "control.sock"),
        pytest.raises(SeveralDaemons) as found,
    ):
        find_socket()
    assert [Path(path).parent.name for path in found.value.sockets] == ["a", "b"]


def test_no_daemon_says_where_it_was_looked_for(places: Path) -> None:
    """The error names the directory and the ways to say which socket."""
    with pytest.raises(NoDaemon, match=rf"below {places} .*SUPERVISORD_LITE_SOCKET"):
        find_socket()


def test_environment_names_the_socket(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable comes before every search, an argument before the variable."""
    monkeypatch.setenv("SUPERVISORD_LITE_SOCKET", "/a")
    assert find_socket() == "/a"
    assert find_socket("/b") == "/b"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of another user")
def test_directory_of_another_user_is_not_trusted(places: Path) -> None:
    """Whoever makes our directory in /tmp before us does not become our daemon."""
    with listen(places / "fake" / "control.sock"):
        os.chown(places, 65534, 65534)
        with pytest.raises(NoDaemon):
            find_socket()


def test_nobody_listens(tmp_path: Path) -> None:
    """A socket without a daemon is no daemon."""
    listen(tmp_path / "s").close()
    with pytest.raises(NoDaemon, match=r"cannot reach a daemon at .*: Connection refused"):
        Client(str(tmp_path / "s")).version()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_forbidden_socket_is_denied(daemon: Daemon) -> None:
    """What the file's mode forbids is not taken for an absent daemon."""
    os.chmod(daemon.path, 0o600)
    try:
        os.seteuid(65534)
        with pytest.raises(Denied):
            Client(daemon.path).version()
    finally:
        os.seteuid(0)


def test_long_paths_are_reached(tmp_path: Path) -> None:
    """The client reaches a socket whose path is longer than an address."""
    place = tmp_path / ("d" * 120)
    place.mkdir()
    daemon = Daemon(place, Limits())
    try:
        assert Client(daemon.path).version()["version"] == "0"
    finally:
        daemon.close()


def test_errors_carry_status_and_problems(daemon: Daemon) -> None:
    """The daemon's words and every problem of a configuration reach the caller."""
    daemon.fleet.problems = ["a.yaml:1:1: cannot"]
    with pytest.raises(ApiError, match="cannot use the configuration") as refused:
        Client(daemon.path).plan()
    assert (refused.value.status, refused.value.problems) == (422, ("a.yaml:1:1: cannot",))


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A listener that answers each connection with the next of some bytes, then closes it."""
    threads: list[threading.Thread] = []

    def serve(*answers: bytes) -> str:
        listener = listen(tmp_path / "scripted.sock")

        def run() -> None:
            with listener:
                for answer in answers:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return str(tmp_path / "scripted.sock")

    yield serve
    for thread in threads:
        thread.join(20)


GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"version":"1"}'


@pytest.mark.parametrize("cut", [0, 5, 20, 50])
def test_query_is_asked_again(scripted: Callable[..., str], cut: int) -> None:
    """A manager that dies with our question leaves it to the next one."""
    path = scripted(GOOD[:cut], GOOD)
    assert Client(path).version() == {"version": "1"}


def test_order_is_not_given_again(scripted: Callable[..., str]) -> None:
    """What could happen twice is an error, since nobody knows whether it was obeyed."""
    path = scripted(b"")
    with pytest.raises(Broken, match="the connection ended before an answer came"):
        Client(path).restart(["web"])


@pytest.mark.parametrize("garbage", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", GOOD[:-9]])
def test_answers_that_make_no_sense_are_errors(
    scripted: Callable[..., str], garbage: bytes
) -> None:
    """Whatever comes back, it is a `ClientError`."""
    with pytest.raises(ClientError):
        Client(scripted(garbage)).shutdown()


def test_waiting_for_the_end_has_an_end(daemon: Daemon) -> None:
    """Waiting for a daemon that stays, though it was asked to go, is a timeout."""
    with pytest.raises(TimedOut, match="still runs"):
        Client(daemon.path).shutdown(wait=0.1)
