"""Roll-outs with real processes: never fewer than promised, and back from what fails."""

import socket
from typing import Any

import pytest

from supervisord_lite.client import ApiError
from tests.daemon.conftest import Daemon

SERVER = """
import os, socket, sys, time
port, version = int(sys.argv[1]), sys.argv[2]
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
one.bind(("127.0.0.1", port))
one.listen(100)
os.write(3, b"\\n")
while True:
    connection, _ = one.accept()
    connection.sendall(version.encode())
    connection.close()
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def server(daemon: Daemon, port: int, version: str, **more: Any) -> dict[str, Any]:
    script = daemon.directory / "server.py"
    script.write_text(SERVER)
    command = f"python3 -S {script} {port} {version}"
    return {"command": command, "ready": {"fd": 3, "timeout": "20s"}, "stop": "KILL", **more}


def sleeper(version: str, **more: Any) -> dict[str, Any]:
    """Ready as soon as its version is allowed to be; each version is another program."""
    wait = f"while [ ! -e good-{version} ]; do sleep 0.05; done"
    command = ["sh", "-c", f"{wait}; echo >&3; exec sleep 100000"]
    return {"command": command, "ready": {"fd": 3, "timeout": "30s"}, "stop": "KILL", **more}


def running(daemon: Daemon, name: str) -> int:
    return sum(row["state"] == "RUNNING" for row in daemon.client.workers(name))


def progress(daemon: Daemon) -> str:
    rollouts = daemon.client.rollouts()
    return str(rollouts[0]["progress"]) if rollouts else ""


def versions(daemon: Daemon, name: str) -> set[str]:
    found = set()
    for row in daemon.client.workers(name):
        with open(f"/proc/{row['pid']}/environ", encoding="utf-8") as stream:
            found.add(dict(x.split("=", 1) for x in stream.read().split("\0") if x)["VERSION"])
    return found


def test_start_first_leaves_no_gap(daemon: Daemon) -> None:
    """With a single instance somebody listens all the time, and the spare leaves at the end."""
    port, start_first = free_port(), {"update": "start-first"}
    spare_log = {"stdout": "logs/{name}.{instance}.log"}
    daemon.run({"web": server(daemon, port, "1", **start_first, **spare_log)})
    daemon.pid("web")
    daemon.configure({"web": server(daemon, port, "2", **start_first, **spare_log)})
    daemon.client.reload(wait=False)
    answers: list[bytes] = []

    def is_new() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            answers.append(one.recv(10))
        return progress(daemon) == "done"

    daemon.until(is_new)
    assert b"1" in answers[:1]
    daemon.until(lambda: [row["name"] for row in daemon.client.workers()] == ["web:0"])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        assert one.recv(10) == b"2"


def test_start_first_is_taken_back_while_its_spare_starts(daemon: Daemon) -> None:
    """A spare that does not become ready leaves, and nobody else is touched."""
    (daemon.directory / "good-1").touch()
    more: dict[str, Any] = {"update": "start-first", "stdout": "logs/{name}.{instance}.log"}
    daemon.run({"web": sleeper("1", **more)})
    pid = daemon.pid("web:0")
    daemon.configure({"web": sleeper("2", **more)})
    daemon.client.reload(wait=False)
    daemon.await_state("web:1", "STARTING")
    daemon.client.rollout_undo(["web"])
    daemon.until(lambda: [row["name"] for row in daemon.client.workers()] == ["web:0"])
    assert daemon.pid("web:0") == pid
    assert progress(daemon) == "done"


def test_a_roll_out_survives_every_death(daemon: Daemon) -> None:
    """The manager is killed at each turn, and so is the keeper: the floor holds, all get there."""
    more: dict[str, Any] = {"instances": 3, "update": "rolling"}
    for version in ("1", "2"):
        (daemon.directory / f"good-{version}").touch()
    first = sleeper("1", environment={"VERSION": "1"}, **more)
    daemon.run({"web": first})
    daemon.until(lambda: running(daemon, "web") == 3)
    (daemon.directory / "good-2").unlink()
    daemon.configure({"web": sleeper("2", environment={"VERSION": "2"}, **more)})
    daemon.client.reload(wait=False)
    daemon.until(lambda: running(daemon, "web") == 2)
    daemon.kill_manager()
    daemon.kill_keeper()
    daemon.until(lambda: running(daemon, "web") == 2)
    (daemon.directory / "good-2").touch()
    daemon.kill_manager()
    daemon.until(lambda: progress(daemon) == "done")
    daemon.until(lambda: running(daemon, "web") == 3)
    assert versions(daemon, "web") == {"2"}


def test_going_back_survives_the_manager(daemon: Daemon) -> None:
    """A bad version with more instances than before: what was is again, whoever dies meanwhile, and
    there is nothing left to undo.
    """
    (daemon.directory / "good-1").touch()
    more: dict[str, Any] = {"update": "rolling", "environment": {"VERSION": "1"}}
    daemon.run({"web": sleeper("1", instances=2, **more)})
    daemon.until(lambda: running(daemon, "web") == 2)
    bad = {"command": "sh -c 'sleep 0.3; exit 3'", "ready": {"fd": 3}, "update": "rolling"}
    daemon.configure({"web": {**bad, "instances": 4, "environment": {"VERSION": "bad"}}})
    daemon.client.reload(wait=False)
    daemon.kill_manager()
    daemon.until(lambda: progress(daemon) == "went back")
    daemon.until(lambda: len(daemon.client.workers("web")) == 2 == running(daemon, "web"))
    assert versions(daemon, "web") == {"1"}
    with pytest.raises(ApiError, match="cannot undo a roll-out of web: it went back by itself"):
        daemon.client.rollout_undo(["web"])
