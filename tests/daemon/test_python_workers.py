"""Python functions as workers: what they are called with, and how they end."""

import os
import signal
from typing import Any

import pytest

from tests.cli.conftest import until
from tests.daemon.conftest import Daemon

MODULE = """
import asyncio, os, sys, time
from supervisord_lite import worker

def told(*args, **kwargs):
    print(repr(args), repr(sorted(kwargs.items())))

def returned(what):
    return {"none": None, "true": True, "false": False, "seven": 7, "text": "x"}[what]

def raises():
    raise LookupError("there is no such thing")

def leaves():
    sys.exit(9)

async def waits():
    await asyncio.sleep(0.01)
    print("waited")
    return 3

def flagged():
    stop = worker.stopping()
    worker.ready()
    print("ready")
    stop.wait()
    print("asked to stop", bool(stop))
    return 5

def hears():
    worker.on_signal("HUP", lambda: print("reading again"))
    print("listening")
    with worker.stopping() as stop:
        stop.wait()

async def hears_too():
    heard = asyncio.Event()
    worker.on_signal("USR1", heard.set)
    print("listening")
    await heard.wait()
    return 4
"""


def function(daemon: Daemon, name: str, **more: Any) -> dict[str, Any]:
    (daemon.directory / "functions.py").write_text(MODULE)
    place = str(daemon.directory)
    return {"python": f"functions:{name}", "working_dir": place, "restart": "never", **more}


def ended(daemon: Daemon, name: str = "work") -> int:
    """Its exit code, as soon as it has one."""
    daemon.until(lambda: daemon.row(name)["last_exit"] is not None)
    return int(daemon.row(name)["last_exit"]["code"])


def test_arguments(daemon: Daemon) -> None:
    """Numbers, truth and nothing arrive as what they are, text as text, names filled in."""
    args = [1, 2.5, True, None, "{name}:{instance}", [1, {"a": "b"}]]
    work = function(daemon, "told", type="task", args=args, kwargs={"key": "value"})
    daemon.run({"work": work})
    assert ended(daemon) == 0
    said = "(1, 2.5, True, None, 'work:0', [1, {'a': 'b'}]) [('key', 'value')]\n"
    until(lambda: daemon.log("work:0") == said)


@pytest.mark.parametrize(
    ("what", "code"), [("none", 0), ("true", 0), ("false", 1), ("seven", 7), ("text", 0)]
)
def test_returned_value(daemon: Daemon, what: str, code: int) -> None:
    """What it returns is its exit code."""
    daemon.run({"work": function(daemon, "returned", type="task", args=[what])})
    assert ended(daemon) == code


def test_exception(daemon: Daemon) -> None:
    """The traceback is in the log, the exit code is 1."""
    daemon.run({"work": function(daemon, "raises", type="task")})
    assert ended(daemon) == 1
    until(lambda: "LookupError: there is no such thing" in daemon.log("work:0"))
    assert "Traceback" in daemon.log("work:0")


def test_exit(daemon: Daemon) -> None:
    """`sys.exit` means what it says."""
    daemon.run({"work": function(daemon, "leaves", type="task")})
    assert ended(daemon) == 9


def test_coroutine(daemon: Daemon) -> None:
    """An async function is run to its end."""
    daemon.run({"work": function(daemon, "waits", type="task")})
    assert ended(daemon) == 3
    until(lambda: daemon.log("work:0") == "waited\n")


def test_missing_function(daemon: Daemon) -> None:
    """What cannot be found is said in the log."""
    daemon.run({"work": function(daemon, "nowhere", type="task")})
    assert ended(daemon) == 1
    until(lambda: "nowhere" in daemon.log("work:0"))


def test_stopping(daemon: Daemon) -> None:
    """SIGTERM is a flag that it sees; it says for itself when it is ready."""
    ready = {"notify": "systemd"}
    daemon.run({"work": function(daemon, "flagged", ready=ready)})
    daemon.pid("work")
    until(lambda: daemon.log("work:0") == "ready\n")
    daemon.client.stop(["work"])
    assert daemon.row("work")["last_exit"]["code"] == 5
    until(lambda: daemon.log("work:0").endswith("asked to stop True\n"))


def test_signal(daemon: Daemon) -> None:
    """A function of the worker's is called at a signal, and its work goes on."""
    daemon.run({"work": function(daemon, "hears")})
    until(lambda: "listening" in daemon.log("work:0"))
    daemon.client.signal(["work"], "HUP")
    until(lambda: "reading again" in daemon.log("work:0"))
    assert daemon.state("work") == "RUNNING"
    daemon.client.stop(["work"])
    assert daemon.row("work")["last_exit"]["code"] == 0


def test_signal_in_a_loop(daemon: Daemon) -> None:
    """In an async function it is a callback of the loop."""
    daemon.run({"work": function(daemon, "hears_too")})
    until(lambda: "listening" in daemon.log("work:0"))
    daemon.client.signal(["work"], "USR1")
    assert ended(daemon) == 4


def test_killed(daemon: Daemon) -> None:
    """It is restarted by its policy, as any worker is."""
    daemon.run({"work": function(daemon, "hears", restart={"delay": "0s", "limit": "none"})})
    before = daemon.pid("work")
    os.kill(before, signal.SIGKILL)
    daemon.until(lambda: daemon.pid("work") != before)
