"""Channels without Python: a program in C that does what docs/channels.md says."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import Daemon, alive

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
SOURCE = Path(__file__).with_name("any.c")
QUICK = {"delay": "0s", "limit": "none"}
FUNCTIONS = """
import time
from supervisord_lite.worker import channels

def put(count, size=0):
    for number in range(count):
        channels["jobs"].put(b"x" * size if size else str(number).encode())
    time.sleep(100000)

def get():
    while True:
        print(channels["jobs"].get().decode())

def add(times):
    for _ in range(times):
        with channels["guard"]:
            channels["total"].value += 1
    print("added")
    time.sleep(100000)

def show():
    print(channels["total"].value)
    time.sleep(100000)
"""
EXAMPLE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    static char room[65536];
    int in, out;
    if (sscanf(getenv("CHANNEL_JOBS"), "%d %d", &in, &out) != 2)
        return 2;
EXAMPLE
    printf("%s %lld\\n", room, *total);
    fflush(stdout);
    pause();
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program in C."""
    if COMPILER is None:
        pytest.skip("there is no C compiler here")
    built = tmp_path_factory.mktemp("built") / "any"
    words = [COMPILER, "-Wall", "-Wextra", "-Werror", "-O1", "-o", str(built), str(SOURCE)]
    subprocess.run(words, check=True, timeout=DEADLINE)
    return str(built)


def function(daemon: Daemon, name: str, *args: Any, **more: Any) -> dict[str, Any]:
    (daemon.directory / "functions.py").write_text(FUNCTIONS)
    place = str(daemon.directory)
    return {"python": f"functions:{name}", "args": list(args), "working_dir": place, **more}


def said(daemon: Daemon, name: str) -> list[str]:
    return daemon.log(name).splitlines()


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


@pytest.mark.parametrize("kind", [{"type": "queue"}, {"type": "queue", "capacity": 10}])
def test_queue_from_c_to_c(daemon: Daemon, program: str, kind: dict[str, Any]) -> None:
    """Messages pass between two programs in C, with and without a capacity."""
    daemon.run(
        {
            "put": {"command": [program, "put", "500"], "channels": ["jobs"]},
            "get": {"command": [program, "get"], "channels": ["jobs"]},
        },
        channels={"jobs": kind},
    )
    until(lambda: said(daemon, "get:0") == numbers(500))


def test_queue_from_c_to_python(daemon: Daemon, program: str) -> None:
    """What C has put Python gets, in order, as bytes."""
    daemon.run(
        {
            "put": {"command": [program, "put", "500"], "channels": {"jobs": "put"}},
            "get": function(daemon, "get", channels={"jobs": "get"}),
        },
        channels={"jobs": {"type": "queue", "capacity": 10}},
    )
    until(lambda: said(daemon, "get:0") == numbers(500))


def test_queue_from_python_to_c(daemon: Daemon, program: str) -> None:
    """What Python has put C gets; the two sides wait for each other as the capacity wants."""
    daemon.run(
        {
            "put": function(daemon, "put", 500, channels={"jobs": "put"}),
            "get": {"command": [program, "get"], "channels": {"jobs": "get"}},
        },
        channels={"jobs": {"type": "queue", "capacity": 10}},
    )
    until(lambda: said(daemon, "get:0") == numbers(500))


def test_large_message_to_c(daemon: Daemon, program: str) -> None:
    """A large message comes as a memfd, whose length the message says."""
    daemon.run(
        {
            "put": function(daemon, "put", 2, 1_000_000, channels={"jobs": "put"}),
            "get": {"command": [program, "get"], "channels": {"jobs": "get"}},
        },
        channels={"jobs": {"type": "queue"}},
    )
    until(lambda: said(daemon, "get:0") == ["1000000 bytes, 1000000 in a memfd"] * 2)


def test_lock_and_memory_from_c_and_python(daemon: Daemon, program: str) -> None:
    """Programs in both languages add to one value under one lock, and the sum is exact."""
    shared = ["guard", "total"]
    adding = {
        "c": {"command": [program, "add", "20000"], "channels": shared, "instances": 2},
        "python": function(daemon, "add", 1000, channels=shared, instances=2),
    }
    show = function(daemon, "show", channels=shared, autostart=False)
    daemon.run(
        {**adding, "show": show},
        channels={
            "guard": {"type": "lock"},
            "total": {"type": "value", "code": "q", "lock": "guard"},
        },
    )
    names = ("c:0", "c:1", "python:0", "python:1")
    until(lambda: all(said(daemon, name) == ["added"] for name in names))
    daemon.client.start(["show"])
    until(lambda: said(daemon, "show:0") == ["42000"])


def test_semaphore_from_c(daemon: Daemon, program: str) -> None:
    """Of three, two hold it; the death of one lets the third in."""
    daemon.run(
        {"hold": {"command": [program, "hold"], "channels": ["slots"], "instances": 3}},
        channels={"slots": {"type": "semaphore", "count": 2}},
    )

    def holders() -> set[str]:
        return {f"hold:{n}" for n in range(3) if said(daemon, f"hold:{n}")}

    until(lambda: len(holders()) == 2)
    (waiting,) = {f"hold:{n}" for n in range(3)} - holders()
    daemon.client.stop([min(holders())])
    until(lambda: said(daemon, waiting) == ["held"])


@pytest.mark.parametrize("type_", ["pipe", "fifo"])
def test_pipe_from_c(daemon: Daemon, program: str, type_: str) -> None:
    """A program in C writes to a descriptor, another one reads from one."""
    kind = {"type": type_} | ({"path": "lines.fifo"} if type_ == "fifo" else {})
    daemon.run(
        {
            "write": {"command": [program, "write", "300"], "channels": {"lines": "write"}},
            "read": {"command": [program, "read"], "channels": {"lines": "read"}},
        },
        channels={"lines": kind},
    )
    until(lambda: said(daemon, "read:0") == numbers(300))


def test_socket_from_c(daemon: Daemon, program: str) -> None:
    """A server in C finds its socket by sd_listen_fds(3), again after it was killed."""
    daemon.run(
        {"serve": {"command": [program, "serve"], "channels": ["web"], "restart": QUICK}},
        channels={"web": {"type": "socket", "listen": "unix:web.sock"}},
    )
    first = daemon.pid("serve")
    assert ask(daemon) == first
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first))  # until then it may take a connection along
    assert ask(daemon) != first


def ask(daemon: Daemon) -> int:
    """Which process answers at the socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(daemon.directory / "web.sock"))
        return int(client.recv(64))


def test_example_of_the_documentation(daemon: Daemon, tmp_path: Path) -> None:
    """What docs/channels.md shows in C compiles without a warning, and does what it says."""
    if COMPILER is None:
        pytest.skip("there is no C compiler here")
    page = Path(__file__).parents[2] / "docs/channels.md"
    example = page.read_text().partition("```c\n")[2].partition("```")[0]
    source = tmp_path / "example.c"
    source.write_text(EXAMPLE.replace("EXAMPLE", example))
    built = str(tmp_path / "example")
    words = [COMPILER, "-Wall", "-Wextra", "-Werror", "-O1", "-o", built, str(source)]
    subprocess.run(words, check=True, timeout=DEADLINE)
    use = {"guard": {"fd": 8}, "total": {"fd": 9}, "jobs": "both"}
    daemon.run(
        {"example": {"command": [built], "channels": use}},
        channels={
            "guard": {"type": "lock"},
            "total": {"type": "value", "code": "q", "lock": "guard", "initial": 7},
            "jobs": {"type": "queue"},
        },
    )
    until(lambda: said(daemon, "example:0") == ["bhello 7"])
    assert daemon.client.channels("guard")[0]["depth"] == 1  # it is held until the program ends
