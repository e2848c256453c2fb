"""Sockets that the daemon holds: handed to workers, and open to clients while those restart."""

import contextlib
import json
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import SLEEP, Daemon

# Answers each connection with the pid of the process; `listen` as sd_listen_fds(3) says it.
SERVER = """
import os, socket, sys
number = int(sys.argv[1]) if sys.argv[1:] else 3
if not sys.argv[1:]:
    assert os.environ["LISTEN_PID"] == str(os.getpid())
listening = socket.socket(fileno=number)
print("listening", flush=True)
while True:
    connection, _ = listening.accept()
    with connection:
        connection.recv(16)
        connection.sendall(b"%d" % os.getpid())
"""
ECHO = """
import socket
end = socket.socket(fileno=3)
while True:
    data, sender = end.recvfrom(65536)
    if sender:
        end.sendto(data.upper(), sender)
    print(data.decode(), flush=True)
"""
TELL = """
import json, os, stat, time
names = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "SUPERVISORD_LITE_CHANNELS")
kept = {name: os.environ.get(name) for name in names}
kept["pid"] = str(os.getpid())
kept["open"] = [fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")]
print(json.dumps(kept), flush=True)
time.sleep(100000)
"""
QUICK = {"delay": "0s", "limit": "none"}


def python(code: str, *arguments: str, **more: Any) -> dict[str, Any]:
    return {"command": [sys.executable, "-c", code, *arguments], "restart": QUICK, **more}


@contextlib.contextmanager
def free_port(kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> Iterator[int]:
    """A port that nobody listens at."""
    with socket.socket(family, kind) as one:
        one.bind(("", 0))
        port = int(one.getsockname()[1])
    yield port


def ask(address: Any, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> int:
    """Which process answers there."""
    with socket.socket(family, kind) as client:
        client.settimeout(DEADLINE)
        client.connect(address)
        client.sendall(b"who")
        return int(client.recv(64))


def answers(address: Any, family: int = socket.AF_INET) -> bool:
    try:
        return bool(ask(address, family))
    except OSError:
        return False


def told(daemon: Daemon, name: str = "web:0") -> dict[str, Any]:
    until(lambda: daemon.log(name).endswith("\n"))
    found: dict[str, Any] = json.loads(daemon.log(name))
    return found


def test_as_systemd_hands_them_over(daemon: Daemon) -> None:
    """Sockets are from 3 on in the order of the file, named, and meant for the very process."""
    listen = {"type": "socket", "listen": "unix:a.sock"}
    daemon.run(
        {"web": python(TELL, channels=["first", "words", "second"])},
        channels={
            "words": {"type": "lock"},
            "second": {"type": "socket", "listen": "unix:b.sock"},
            "first": listen,
        },
    )
    found = told(daemon)
    assert found["LISTEN_FDS"] == "2"
    assert found["LISTEN_FDNAMES"] == "first:second"
    assert found["LISTEN_PID"] == found["pid"]
    channels = json.loads(found["SUPERVISORD_LITE_CHANNELS"])
    assert [channels[name]["fd"] for name in ("first", "second", "words")] == [3, 4, 5]
    assert found["open"] == [3, 4, 5]


def test_without_sockets(daemon: Daemon) -> None:
    """A worker without channels is told of none and has no descriptor."""
    daemon.run(
        {"web": python(TELL), "other": python(SERVER, channels=["http"])},
        channels={"http": {"type": "socket", "listen": "unix:a.sock"}},
    )
    found = told(daemon)
    assert found["LISTEN_FDS"] is found["LISTEN_PID"] is None
    assert found["SUPERVISORD_LITE_CHANNELS"] is None
    assert found["open"] == []


def test_number_in_the_command(daemon: Daemon) -> None:
    """The number that was asked for is the one in the command, and the socket is there."""
    with free_port() as port:
        daemon.run(
            {"web": python(SERVER, "{channel.http}", channels={"http": {"fd": 7}})},
            channels={"http": {"type": "socket", "listen": f"tcp://127.0.0.1:{port}"}},
        )
    assert ask(("127.0.0.1", port)) == daemon.pid("web")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_every_address(daemon: Daemon, family: int) -> None:
    """Without a host it is every address of both families, where the machine has both."""
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    if family == socket.AF_INET6 and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with free_port() as port:
        daemon.run(
            {"web": python(SERVER, channels=["http"])},
            channels={"http": {"type": "socket", "listen": f"tcp://:{port}"}},
        )
    assert ask((host, port), family) == daemon.pid("web")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_datagrams(daemon: Daemon) -> None:
    """Of udp, the socket is bound; what came while no worker was there is read by the next."""
    with free_port(socket.SOCK_DGRAM) as port:
        daemon.run(
            {"web": python(ECHO, channels=["notes"])},
            channels={"notes": {"type": "socket", "listen": f"udp://127.0.0.1:{port}"}},
        )
    daemon.pid("web")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", port))
        client.send(b"one")
        assert client.recv(16) == b"ONE"
        daemon.client.stop(["web"])
        client.send(b"two")
        daemon.client.start(["web"])
        assert client.recv(16) == b"TWO"


@pytest.mark.parametrize("word", ["unix", "unix-seqpacket"])
def test_path(daemon: Daemon, word: str) -> None:
    """A Unix socket has the mode that was asked for, and connections of its kind."""
    path = daemon.directory / "web.sock"
    daemon.run(
        {"web": python(SERVER, channels=["http"])},
        channels={"http": {"type": "socket", "listen": f"{word}:{path}", "mode": "0620"}},
    )
    until(path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    kind = socket.SOCK_STREAM if word == "unix" else socket.SOCK_SEQPACKET
    assert ask(str(path), socket.AF_UNIX, kind) == daemon.pid("web")


def test_unix_datagrams(daemon: Daemon) -> None:
    """A socket for datagrams has a path, too."""
    path = daemon.directory / "notes.sock"
    daemon.run(
        {"web": python(ECHO, channels=["notes"])},
        channels={"notes": {"type": "socket", "listen": f"unix-datagram:{path}"}},
    )
    daemon.pid("web")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", str(path))
    until(lambda: daemon.log("web:0") == "hello\n")


def test_stale_path(daemon: Daemon) -> None:
    """What nobody answers at is replaced."""
    path = daemon.directory / "web.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    daemon.run(
        {"web": python(SERVER, channels=["http"])},
        channels={"http": {"type": "socket", "listen": f"unix:{path}"}},
    )
    until(lambda: answers(str(path), socket.AF_UNIX))
    assert ask(str(path), socket.AF_UNIX) == daemon.pid("web")


def test_path_of_somebody_else(daemon: Daemon) -> None:
    """What lives is not touched; once it is gone, the worker gets its socket."""
    path = daemon.directory / "web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        daemon.run(
            {"web": python(SERVER, channels=["http"])},
            channels={"http": {"type": "socket", "listen": f"unix:{path}"}},
        )
        until(lambda: str(path) in daemon.output())
        assert daemon.row("web")["pid"] is None
    until(lambda: answers(str(path), socket.AF_UNIX))
    assert ask(str(path), socket.AF_UNIX) == daemon.pid("web")


def test_port_of_somebody_else(daemon: Daemon) -> None:
    """A port that is taken is a trouble of its channel, said and tried again until it is free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = other.getsockname()
        daemon.run(
            {"web": python(SERVER, channels=["http"]), "api": {"command": SLEEP}},
            channels={"http": {"type": "socket", "listen": f"tcp://127.0.0.1:{address[1]}"}},
        )
        daemon.pid("api")
        until(lambda: "http" in daemon.output())
        assert daemon.row("web")["pid"] is None
    assert daemon.pid("web") == ask(address)


class Clients:
    """Threads that connect and ask as fast as they can, and keep what went wrong."""

    def __init__(self, address: Any, count: int = 4) -> None:
        self.answered = 0
        self.refused: list[str] = []
        self.pids: set[int] = set()
        self._address = address
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        while not self._end.is_set():
            with socket.socket() as client:
                client.settimeout(DEADLINE)
                try:
                    client.connect(self._address)
                except OSError as error:
                    self.refused.append(str(error))
                    continue
                # Whoever has accepted may be killed before it has answered: that is no refusal.
                with contextlib.suppress(OSError, ValueError):
                    client.sendall(b"who")
                    self.pids.add(int(client.recv(64)))
                    self.answered += 1

    def await_answers(self, known: Collection[int] = ()) -> None:
        """Wait for some more, and for one of a process that is not among these."""
        enough = self.answered + 20
        until(lambda: self.answered > enough and not self.pids <= set(known))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_no_connection_is_refused(daemon: Daemon) -> None:
    """Under load, workers are restarted, all of them at once are killed, and so is the manager."""
    with free_port() as port:
        daemon.run(
            {"web": python(SERVER, channels=["http"], instances=2)},
            channels={"http": {"type": "socket", "listen": f"tcp://127.0.0.1:{port}"}},
        )
    for number in range(2):
        daemon.pid(f"web:{number}")
    with Clients(("127.0.0.1", port)) as clients:
        for turn in range(5):
            known = set(clients.pids)
            if turn % 2:
                daemon.client.restart(["web"])
            else:
                kill_all(daemon)
            clients.await_answers(known)
        daemon.kill_manager()
        clients.await_answers()
    assert clients.refused == []


def kill_all(daemon: Daemon) -> None:
    for row in daemon.client.workers("web"):
        if row["pid"] is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(row["pid"], signal.SIGKILL)


def test_clients_wait_while_nobody_serves(daemon: Daemon) -> None:
    """Who connects while the worker is stopped is answered once it is back."""
    with free_port() as port:
        daemon.run(
            {"web": python(SERVER, channels=["http"])},
            channels={"http": {"type": "socket", "listen": f"tcp://127.0.0.1:{port}"}},
        )
    daemon.pid("web")
    daemon.client.stop(["web"])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(b"who")
        daemon.client.start(["web"])
        assert int(client.recv(64)) == daemon.pid("web")


def test_removed_socket_is_closed(daemon: Daemon) -> None:
    """A channel that the file no longer has is let go of, its path and all."""
    path = daemon.directory / "web.sock"
    daemon.run(
        {"web": python(SERVER, channels=["http"]), "other": {"command": SLEEP}},
        channels={"http": {"type": "socket", "listen": f"unix:{path}"}},
    )
    until(lambda: answers(str(path), socket.AF_UNIX))
    daemon.configure({"other": {"command": SLEEP}})
    daemon.client.reload()
    until(lambda: not answers(str(path), socket.AF_UNIX))


def test_other_address_is_another_socket(daemon: Daemon) -> None:
    """A changed address restarts who uses it, and nobody else; the plan says so before."""

    def sections(name: str) -> dict[str, Any]:
        return {"channels": {"http": {"type": "socket", "listen": f"unix:{name}"}}}

    workers = {"web": python(SERVER, channels=["http"]), "other": {"command": SLEEP}}
    daemon.run(workers, **sections("a.sock"))
    web, other = daemon.pid("web"), daemon.pid("other")
    daemon.configure(workers, **sections("b.sock"))
    assert "http" in json.dumps(daemon.client.plan())
    daemon.client.reload()
    place = str(Path(daemon.directory, "b.sock"))
    until(lambda: answers(place, socket.AF_UNIX))
    assert daemon.pid("web") != web
    assert daemon.pid("other") == other
