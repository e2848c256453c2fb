"""Queues, locks and shared memory between workers that die, and a daemon that dies."""

import os
import signal
from typing import Any

import pytest

from tests.cli.conftest import until
from tests.daemon.conftest import Daemon, alive

MODULE = """
import os, time
from pathlib import Path
from queue import Empty, Full
from supervisord_lite.worker import channels

def produce(count, size=0):
    for number in range(count):
        channels["jobs"].put((number, b"x" * size) if size else number)
        print(number)
    time.sleep(100000)

def consume():
    while True:
        item = channels["jobs"].get()
        print(item if isinstance(item, int) else (item[0], len(item[1])))

def full():
    jobs = channels["jobs"]
    try:
        while True:
            jobs.put("x", block=False)
    except Full:
        print("full", jobs.qsize(), jobs.full())
    jobs.put("waited")
    print("went on")
    time.sleep(100000)

def one_by_one():
    for _ in iter(int, 1):
        Path("wanted").exists() and (Path("wanted").unlink(), print(channels["jobs"].get()))
        time.sleep(0.01)

def hold(name):
    with channels[name]:
        print("held")
        time.sleep(100000)

def count(times):
    for _ in range(times):
        with channels["guard"]:
            channels["total"].value += 1
    print("counted")
    time.sleep(100000)

def show():
    grid, total = channels["grid"], channels["total"]
    print(total.value, grid[:], len(grid))
    grid[1] = 9.5
    total.value += 1
    time.sleep(100000)

def talk():
    channels["duo"].send({"question": 42})
    print(channels["duo"].recv())
    time.sleep(100000)

def answer():
    question = channels["duo"].recv()["question"]
    channels["duo"].send(question + 1)
    time.sleep(100000)
"""
QUICK = {"delay": "0s", "limit": "none"}


def function(daemon: Daemon, name: str, *args: Any, **more: Any) -> dict[str, Any]:
    (daemon.directory / "functions.py").write_text(MODULE)
    common = {"working_dir": str(daemon.directory), "restart": QUICK, "args": list(args)}
    return {"python": f"functions:{name}", **common, **more}


def said(daemon: Daemon, name: str) -> list[str]:
    return daemon.log(name).splitlines()


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_each_message_is_got_once(daemon: Daemon) -> None:
    """Of one producer's messages, several consumers get each once, each of them in order."""
    daemon.run(
        {
            "make": function(daemon, "produce", 300, channels={"jobs": "put"}),
            "take": function(daemon, "consume", channels={"jobs": "get"}, instances=3),
        },
        channels={"jobs": {"type": "queue"}},
    )

    def got() -> list[list[int]]:
        return [[int(line) for line in said(daemon, f"take:{n}")] for n in range(3)]

    until(lambda: sum(map(len, got())) == 300)
    assert sorted(number for one in got() for number in one) == list(range(300))
    assert all(one == sorted(one) for one in got())


@pytest.mark.parametrize("part", ["manager", "keeper"])
def test_content_outlives_everybody(daemon: Daemon, part: str) -> None:
    """Its producer and half of the daemon: what was put is got by who comes later."""
    daemon.run(
        {
            "make": function(daemon, "produce", 50, channels={"jobs": "put"}, restart="never"),
            "take": function(daemon, "consume", channels={"jobs": "get"}, autostart=False),
        },
        channels={"jobs": {"type": "queue", "capacity": 100}},
    )
    until(lambda: said(daemon, "make:0") == numbers(50))
    producer = daemon.pid("make")
    os.kill(producer, signal.SIGKILL)
    until(lambda: not alive(producer))
    daemon.kill_manager() if part == "manager" else daemon.kill_keeper()
    daemon.client.start(["take"])
    until(lambda: said(daemon, "take:0") == numbers(50))


def test_large_messages(daemon: Daemon) -> None:
    """Messages larger than any buffer arrive whole."""
    size = 3_000_000
    daemon.run(
        {
            "make": function(daemon, "produce", 5, size, channels={"jobs": "put"}),
            "take": function(daemon, "consume", channels={"jobs": "get"}),
        },
        channels={"jobs": {"type": "queue"}},
    )
    until(lambda: said(daemon, "take:0") == [str((number, size)) for number in range(5)])


def test_capacity(daemon: Daemon) -> None:
    """So many messages fit, then a producer waits until there is room."""
    daemon.run(
        {
            "fill": function(daemon, "full", channels={"jobs": "put"}),
            "take": function(daemon, "one_by_one", channels={"jobs": "get"}),
        },
        channels={"jobs": {"type": "queue", "capacity": 7}},
    )
    until(lambda: said(daemon, "fill:0") == ["full 7 True"])
    (daemon.directory / "wanted").touch()
    until(lambda: said(daemon, "fill:0") == ["full 7 True", "went on"])


def test_greater_capacity(daemon: Daemon) -> None:
    """A reload that only allows more is felt by who waits, without a restart."""
    workers = {"fill": function(daemon, "full", channels=["jobs"])}
    daemon.run(workers, channels={"jobs": {"type": "queue", "capacity": 3}})
    until(lambda: said(daemon, "fill:0") == ["full 3 True"])
    before = daemon.pid("fill")
    daemon.configure(workers, channels={"jobs": {"type": "queue", "capacity": 5}})
    daemon.client.reload()
    until(lambda: said(daemon, "fill:0") == ["full 3 True", "went on"])
    assert daemon.pid("fill") == before


def test_lock_of_the_dead_is_free(daemon: Daemon) -> None:
    """Who holds a lock and is killed holds it no more; the next one has it."""
    daemon.run(
        {"hold": function(daemon, "hold", "guard", channels=["guard"], instances=2)},
        channels={"guard": {"type": "lock"}},
    )
    names = ["hold:0", "hold:1"]
    until(lambda: any(said(daemon, name) for name in names))
    first = next(name for name in names if said(daemon, name))
    second = next(name for name in names if name != first)
    daemon.pid(second)
    assert said(daemon, second) == []
    daemon.client.stop([first])
    until(lambda: said(daemon, second) == ["held"])


def test_semaphore(daemon: Daemon) -> None:
    """So many hold it at a time; the death of one lets another in."""
    daemon.run(
        {"hold": function(daemon, "hold", "slots", channels=["slots"], instances=3)},
        channels={"slots": {"type": "semaphore", "count": 2}},
    )

    def holders() -> set[str]:
        return {f"hold:{n}" for n in range(3) if said(daemon, f"hold:{n}")}

    until(lambda: len(holders()) == 2)
    (waiting,) = {f"hold:{n}" for n in range(3)} - holders()
    daemon.pid(waiting)
    daemon.client.stop([min(holders())])
    until(lambda: said(daemon, waiting) == ["held"])


def test_shared_value(daemon: Daemon) -> None:
    """Several add to one value under its lock, and none of it is lost."""
    daemon.run(
        {"add": function(daemon, "count", 500, channels=["guard", "total"], instances=4)},
        channels={
            "guard": {"type": "lock"},
            "total": {"type": "value", "code": "q", "initial": 1000, "lock": "guard"},
        },
    )
    until(lambda: all(said(daemon, f"add:{n}") == ["counted"] for n in range(4)))
    daemon.configure(
        {"show": function(daemon, "show", channels=["grid", "total"])},
        channels={
            "guard": {"type": "lock"},
            "total": {"type": "value", "code": "q", "initial": 1000, "lock": "guard"},
            "grid": {"type": "array", "code": "d", "length": 3, "initial": [1.5, 2]},
        },
    )
    daemon.client.reload()
    until(lambda: said(daemon, "show:0") == ["3000 [1.5, 2.0, 0.0] 3"])
    os.kill(daemon.pid("show"), signal.SIGKILL)
    until(lambda: said(daemon, "show:0")[1:] == ["3001 [1.5, 9.5, 0.0] 3"])


def test_another_value(daemon: Daemon) -> None:
    """A changed type is another object: who uses it is restarted and finds it new."""
    workers = {"show": function(daemon, "show", channels=["grid", "total"])}
    grid = {"type": "array", "code": "d", "length": 2}
    daemon.run(workers, channels={"grid": grid, "total": {"type": "value", "code": "i"}})
    until(lambda: said(daemon, "show:0") == ["0 [0.0, 0.0] 2"])
    other = {**grid, "length": 3, "initial": 4}
    daemon.configure(workers, channels={"grid": other, "total": {"type": "value", "code": "i"}})
    daemon.client.reload()
    until(lambda: said(daemon, "show:0")[1:] == ["1 [4.0, 0.0, 0.0] 3"])


def test_socketpair(daemon: Daemon) -> None:
    """Two workers talk in objects, the first of the file at end a, the second at b."""
    daemon.run(
        {
            "talk": function(daemon, "talk", channels=["duo"]),
            "answer": function(daemon, "answer", channels=["duo"]),
        },
        channels={"duo": {"type": "socketpair"}},
    )
    until(lambda: said(daemon, "talk:0") == ["43"])


def test_smaller_capacity_is_another_queue(daemon: Daemon) -> None:
    """What cannot be changed in place is replaced, with its users."""
    workers = {"fill": function(daemon, "full", channels=["jobs"])}
    daemon.run(workers, channels={"jobs": {"type": "queue", "capacity": 4}})
    until(lambda: said(daemon, "fill:0") == ["full 4 True"])
    before = daemon.pid("fill")
    daemon.configure(workers, channels={"jobs": {"type": "queue", "capacity": 2}})
    daemon.client.reload()
    until(lambda: said(daemon, "fill:0")[1:] == ["full 2 True"])
    assert daemon.pid("fill") != before
