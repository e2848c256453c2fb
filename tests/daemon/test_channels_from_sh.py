"""Channels without Python: scripts for sh, with what every system has."""

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import Daemon

QUICK = {"delay": "0s", "limit": "none"}
PUT = """
from supervisord_lite.worker import channels
import time

def put(count):
    for number in range(count):
        channels["jobs"].put(str(number).encode())
    time.sleep(100000)
"""


def script(daemon: Daemon, text: str, **more: Any) -> dict[str, Any]:
    place = str(daemon.directory)
    return {"command": text, "shell": True, "working_dir": place, "restart": QUICK, **more}


def said(daemon: Daemon, name: str) -> list[str]:
    return daemon.log(name).splitlines()


def test_pipe_from_sh(daemon: Daemon) -> None:
    """The variable says which descriptor it is."""
    daemon.run(
        {
            "write": script(
                daemon,
                "echo one >&$CHANNEL_LINES; echo two >/dev/fd/$CHANNEL_LINES; exec sleep 100000",
                channels={"lines": "write"},
            ),
            "read": script(
                daemon,
                'while read -r line; do echo "$line"; done <&$CHANNEL_LINES',
                channels={"lines": "read"},
            ),
        },
        channels={"lines": {"type": "pipe"}},
    )
    until(lambda: said(daemon, "read:0") == ["one", "two"])


def test_fifo_from_sh(daemon: Daemon) -> None:
    """By its path, for programs that nobody has started with a descriptor."""
    path = daemon.directory / "jobs.fifo"
    daemon.run(
        {
            "read": script(
                daemon, 'while read -r line; do echo "$line"; done', stdin={"channel": "jobs"}
            )
        },
        channels={"jobs": {"type": "fifo", "path": str(path)}},
    )
    daemon.pid("read")
    subprocess.run(["sh", "-c", f"echo job > {path}"], check=True, timeout=DEADLINE)
    until(lambda: said(daemon, "read:0") == ["job"])


def test_queue_from_sh(daemon: Daemon) -> None:
    """A write(2) is a message, and so is a read(2): `dd` reads one."""
    get = "set -- $CHANNEL_JOBS; while dd bs=65536 count=1 status=none <&$2 | cut -c 2-; do :; done"
    put = "set -- $CHANNEL_JOBS; for n in 0 1 2; do printf b$n >&$1; done; exec sleep 100000"
    daemon.run(
        {
            "put": script(daemon, put, channels={"jobs": "put"}),
            "get": script(daemon, get, channels={"jobs": "get"}),
        },
        channels={"jobs": {"type": "queue"}},
    )
    until(lambda: "".join(said(daemon, "get:0")) == "012")


def test_queue_with_capacity_from_sh(daemon: Daemon) -> None:
    """Who does not count is counted by those who do: they neither lose nor wait for ever."""
    get = "set -- $CHANNEL_JOBS; while dd bs=65536 count=1 status=none <&$2 | cut -c 2-; do :; done"
    (daemon.directory / "functions.py").write_text(PUT)
    daemon.run(
        {
            "put": {
                "python": "functions:put",
                "args": [30],
                "working_dir": str(daemon.directory),
                "channels": {"jobs": "put"},
            },
            "get": script(daemon, get, channels={"jobs": "get"}),
        },
        channels={"jobs": {"type": "queue", "capacity": 3}},
    )
    until(lambda: "".join(said(daemon, "get:0")) == "".join(map(str, range(30))))


def test_memory_from_sh(daemon: Daemon) -> None:
    """`od` reads what `dd` has written: shared memory is a file that has no name."""
    write = (
        "printf '\\001\\002' | dd of=/dev/fd/$CHANNEL_GRID bs=1 seek=2 conv=notrunc status=none;"
        " od -An -tu1 /dev/fd/$CHANNEL_GRID; exec sleep 100000"
    )
    daemon.run(
        {"write": script(daemon, write, channels=["grid"])},
        channels={"grid": {"type": "array", "code": "B", "length": 4, "initial": [9, 8]}},
    )
    until(lambda: daemon.log("write:0").split() == ["9", "8", "1", "2"])


def test_lock_from_sh(daemon: Daemon) -> None:
    """Where flock(1) can do it (util-linux 2.41), `flock --fcntl` takes a lock channel."""
    usage = subprocess.run(["flock", "--help"], capture_output=True, text=True, check=False)
    if "--fcntl" not in usage.stdout:
        pytest.skip("flock(1) knows flock(2) only")
    add = (
        "for n in 1 2 3 4 5; do flock --fcntl /dev/fd/$CHANNEL_GUARD"
        " sh -c 'echo $(($(cat sum || echo 0) + 1)) > new; mv new sum'; done; exec sleep 100000"
    )
    daemon.run(
        {"add": script(daemon, add, channels=["guard"], instances=3)},
        channels={"guard": {"type": "lock"}},
    )
    path = daemon.directory / "sum"
    until(lambda: path.exists() and path.read_text() == "15\n")


def test_datagrams_from_sh(daemon: Daemon) -> None:
    """A datagram is one read(2), too."""
    read = "while dd bs=65536 count=1 status=none <&{channel.notes}; do echo; done"
    daemon.run(
        {"read": script(daemon, read, channels=["notes"])},
        channels={"notes": {"type": "socket", "listen": "unix-datagram:notes.sock"}},
    )
    daemon.pid("read")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        for text in (b"one", b"two"):
            client.sendto(text, str(daemon.directory / "notes.sock"))
    until(lambda: said(daemon, "read:0") == ["one", "two"])


def test_socketpair_from_sh(daemon: Daemon) -> None:
    """Two scripts talk both ways over one descriptor each."""
    ask = "echo how much? >&3; read -r answer <&3; echo $answer; exec sleep 100000"
    answer = 'while read -r question <&3; do echo "$question 42" >&3; done'
    daemon.run(
        {
            "ask": script(daemon, ask, channels={"duo": {"use": "a", "fd": 3}}),
            "answer": script(daemon, answer, channels={"duo": {"use": "b", "fd": 3}}),
        },
        channels={"duo": {"type": "socketpair"}},
    )
    until(lambda: said(daemon, "ask:0") == ["how much? 42"])


def test_examples_of_the_documentation(daemon: Daemon) -> None:
    """What docs/channels.md shows for a shell runs there as it stands."""
    page = (Path(__file__).parents[2] / "docs/channels.md").read_text()
    section = page.partition("## In a shell")[2].partition("\n## ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    commands = [re.split(r"  +", line)[0] for line in lines if not line.startswith(" ")]
    runnable = [one for one in commands if "…" not in one and "flock" not in one]
    assert len(runnable) == 6
    command = "set -e; " + "; ".join(runnable) + "; exec sleep 100000"
    use = {"lines": "write", "work": "both", "grid": {}}
    daemon.run(
        {
            "example": script(daemon, command, channels=use),
            "read": script(daemon, "exec cat", stdin={"channel": "lines"}),
        },
        channels={
            "lines": {"type": "pipe"},
            "work": {"type": "queue"},
            "grid": {"type": "array", "code": "d", "length": 3, "initial": [1.5, 2]},
        },
    )
    until(lambda: daemon.log("read:0") == "hello\n" * 2)
    until(lambda: daemon.log("example:0").split() == ["bhello", "1.5", "2", "0"])
