"""Channels under a real systemd, which keeps their descriptors when nobody else is left to."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import DEADLINE, until
from tests.systemd.conftest import SLEEPER, UNIT, Machine


def channels(place: Path) -> dict[str, Any]:
    return {
        "work": {"type": "queue", "capacity": 10},
        "jobs": {"type": "fifo", "path": f"{place}/jobs.fifo"},
        "lines": {"type": "pipe"},
        "web": {"type": "socket", "listen": f"unix:{place}/web.sock"},
        "guard": {"type": "lock"},
        "total": {"type": "value", "code": "q", "lock": "guard", "initial": [7]},
    }


def slctl(machine: Machine, *arguments: str) -> str:
    done = machine.run("slctl", "channel", *arguments)
    assert done.returncode == 0, f"{done.stderr}\n{machine.output()}"
    return done.stdout


def kill_all(machine: Machine) -> None:
    """SIGKILL whatever the service has, workers and all; return when it is up again."""
    machine.systemctl("kill", "--signal=KILL", "--kill-whom=all", UNIT)
    until(lambda: machine.show("NRestarts") != "0" and machine.show("ActiveState") == "active")


def kill_both(machine: Machine) -> None:
    machine.kill_both()


def leave(machine: Machine) -> None:
    machine.systemctl("restart", UNIT)


@pytest.mark.parametrize("end", [kill_all, kill_both, leave])
def test_what_is_in_channels_outlives_the_daemon(machine: Machine, end: Any) -> None:
    """Though no process has them open but systemd: messages, bytes, a connection, a value."""
    place = machine.directory
    machine.start({"web": SLEEPER}, channels=channels(place))
    worker = machine.pids()
    for text in ("first", "second"):
        slctl(machine, "put", "work", text)
    slctl(machine, "put", "jobs", "bytes")
    slctl(machine, "put", "lines", "said")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(f"{place}/web.sock")
        end(machine)
        assert (machine.pids() == worker) is (end is not kill_all)
        rows = {row["name"]: row for row in json.loads(slctl(machine, "ls", "--json"))["channels"]}
        assert not [row for row in rows.values() if row["trouble"]]
        assert (rows["work"]["depth"], rows["work"]["puts"]) == (2, 2)
        assert slctl(machine, "get", "work").startswith("first")
        assert slctl(machine, "get", "jobs").startswith("bytes")
        assert slctl(machine, "get", "lines").startswith("said")
        assert "7" in slctl(machine, "peek", "total")
        code = "import socket; print(socket.socket(fileno=3).accept()[0].send(b'late'), flush=True)"
        server = {"command": ["python3", "-c", code], "type": "task", "channels": ["web"]}
        machine.configure({"web": SLEEPER, "serve": server}, channels=channels(place))
        machine.systemctl("reload", UNIT)
        assert client.recv(10) == b"late"
