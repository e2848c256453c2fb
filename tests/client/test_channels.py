"""Channels by the API: put into, taken out of, looked at, and opened in another process."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.channels import wire
from supervisord_lite.client import ApiError
from supervisord_lite.worker.named import Channels
from tests.cli.conftest import until
from tests.daemon.conftest import SLEEP, Daemon

SO_PEEK_OFF = 42  # asm-generic/socket.h


@contextmanager
def opened(daemon: Daemon, name: str, use: str | None = None) -> Iterator[dict[str, Any]]:
    """A channel opened here."""
    told = daemon.client.channel(name, use)
    try:
        yield told
    finally:
        for one in told.values():
            for place in ("fd", "in", "out", "page", "bell"):
                if place in one:
                    os.close(one[place])


@contextmanager
def waiting(daemon: Daemon, target: str) -> Iterator[None]:
    """A client that has asked for this, and leaves at the end without an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon.socket)
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())
        yield


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def descriptors_of(daemon: Daemon) -> int:
    """How many the manager has."""
    return len(list(Path(f"/proc/{daemon.manager}/fd").iterdir()))


def row(daemon: Daemon, name: str) -> dict[str, Any]:
    return daemon.client.channels(name)[0]


def test_rows_say_who_has_a_channel_and_what_is_in_it(daemon: Daemon) -> None:
    """Each has its type, its depth, and the processes that have it open, by their runs."""
    daemon.client.put("work", b"one")
    rows = {one["name"]: one for one in daemon.client.channels()}
    assert list(rows) == ["work", "free", "lines", "guard", "grid"]
    work = rows["work"]
    assert (work["type"], work["depth"], work["capacity"]) == ("queue", 1, 3)
    assert [(one["name"], one["pid"]) for one in work["holders"]] == [
        ("holder:0", daemon.pid("holder"))
    ]
    assert rows["lines"]["holders"] == []


@pytest.mark.parametrize("name", ["work", "free", "lines"])
@pytest.mark.parametrize("data", [b"one\n", b"\xff\x00"])
def test_what_is_put_in_comes_out(daemon: Daemon, name: str, data: bytes) -> None:
    """A message is text where it can be, else Base64, and is there once."""
    assert daemon.client.put(name, data) == {"ok": True, "bytes": len(data)}
    message = daemon.client.get(name)
    assert (message["format"], message["size"]) == ("bytes", len(data))
    assert message["text" if data.isascii() else "base64"] == (
        "one\n" if data.isascii() else "/wA="
    )
    assert daemon.client.get(name) is None


def test_a_long_message_is_whole(daemon: Daemon) -> None:
    """What does not fit into the socket goes beside it."""
    text = "line\n" * 50_000
    assert daemon.client.put("work", text.encode())["ok"]
    assert daemon.client.peek("work") == {"messages": [{"format": "bytes", "size": len(text)}]}
    assert daemon.client.get("work")["text"] == text


def test_a_get_waits_for_a_put(daemon: Daemon) -> None:
    """Who waits is answered when something has come."""
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(daemon.client.get("work", wait=60)))
    waiter.start()
    daemon.client.put("work", b"late")
    waiter.join()
    assert found[0]["text"] == "late"


def test_a_full_queue_takes_nothing(daemon: Daemon) -> None:
    """A message that there is no room for is refused, and one that waits goes in later."""
    for number in range(3):
        assert daemon.client.put("work", b"%d" % number)["ok"]
    assert daemon.client.put("work", b"3") == {"ok": False, "bytes": 0}
    answers: list[Any] = []
    waiter = threading.Thread(target=lambda: answers.append(daemon.client.put("work", b"4", 60)))
    waiter.start()
    taken = [daemon.client.get("work", wait=60)["text"] for _ in range(4)]
    waiter.join()
    assert answers == [{"ok": True, "bytes": 1}]
    assert taken == ["0", "1", "2", "4"]


def test_a_peek_takes_nothing(daemon: Daemon) -> None:
    """What was looked at is still there, in its order."""
    for number in range(3):
        daemon.client.put("work", b"%d" % number)
    assert [one["text"] for one in daemon.client.peek("work", 2)["messages"]] == ["0", "1"]
    assert [daemon.client.get("work")["text"] for _ in range(3)] == ["0", "1", "2"]


def test_a_peek_shows_shared_memory(daemon: Daemon) -> None:
    """The values of an array are numbers."""
    assert daemon.client.peek("grid") == {"values": [1.5, 2.0, 0.0]}


def test_a_process_that_opened_a_queue_is_as_good_as_a_worker(daemon: Daemon) -> None:
    """Any Python object goes in and comes out by the worker library."""
    with opened(daemon, "work") as told:
        queue = Channels(told)["work"]
        queue.put({"a": [1]})
        assert row(daemon, "work")["depth"] == 1
        assert daemon.client.peek("work")["messages"][0]["format"] == "pickle"
        assert queue.get() == {"a": [1]}
        daemon.client.put("work", b"raw")
        assert queue.get() == b"raw"
        queue.close()


def test_shared_memory_comes_with_its_lock(daemon: Daemon) -> None:
    """An array that a lock guards is of no use without it."""
    with opened(daemon, "grid") as told:
        assert told["guard"]["guards"]
        assert list(Channels(told)["grid"]) == [1.5, 2.0, 0.0]


def test_descriptors_do_not_leak(daemon: Daemon) -> None:
    """They are close-on-exec here, and neither side keeps one of a call that is over."""
    with opened(daemon, "work") as told:
        assert not any(os.get_inheritable(told["work"][part]) for part in ("in", "out", "page"))
    theirs = Path(f"/proc/{daemon.manager}/fd")
    here, there = open_files(), len(list(theirs.iterdir()))
    for _ in range(20):
        with opened(daemon, "work"):
            pass
        with pytest.raises(ApiError):
            daemon.client.channel("work", "read")
    assert open_files() == here
    daemon.until(lambda: len(list(theirs.iterdir())) <= there)


def test_each_end_of_a_pipe_is_opened_by_itself(daemon: Daemon) -> None:
    """Whoever opens a pipe says what for."""
    with opened(daemon, "lines", "write") as there, opened(daemon, "lines", "read") as here:
        os.write(there["lines"]["fd"], b"through")
        assert os.read(here["lines"]["fd"], 100) == b"through"
    with pytest.raises(ApiError, match="use"):
        daemon.client.channel("lines")


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("channels nope", 404),
        ("channels work/peek", 404),
        ("channel nope", 404),
        ("get nope", 404),
        ("get guard", 409),
    ],
)
def test_what_cannot_be_is_said(daemon: Daemon, call: str, status: int) -> None:
    """A channel that is not there is not found, one of another type refused."""
    verb, name = call.split()
    with pytest.raises(ApiError) as refused:
        getattr(daemon.client, verb)(name)
    assert refused.value.status == status


def test_nothing_is_handed_over_without_an_upgrade(daemon: Daemon) -> None:
    """A client that does not ask for another protocol gets an answer in this one."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(daemon.socket)
        connection.sendall(b"GET /v1/channels/work/open HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_producer_that_was_killed_costs_no_room(daemon: Daemon) -> None:
    """A message that was sent and not counted is found by the next put."""
    with opened(daemon, "work") as told:
        parts = told["work"]
        with socket.socket(fileno=os.dup(parts["in"])) as end:
            end.send(b"buncounted")
        os.pwrite(parts["page"], b"\x01", wire.PUTS_DIRTY)
        assert daemon.client.put("work", b"second", wait=60)["ok"]
        assert (row(daemon, "work")["puts"], row(daemon, "work")["gets"]) == (2, 0)
    assert [daemon.client.get("work")["text"] for _ in range(2)] == ["uncounted", "second"]


@pytest.mark.parametrize("name", ["work", "free"])
@pytest.mark.parametrize(
    ("message", "comes_as"),
    [
        (b"Bnonsense", {"format": "bytes", "size": 9, "text": "Bnonsense"}),
        (b"B-5", {"format": "bytes", "size": 3, "text": "B-5"}),
        (b"P7", {"format": "pickle", "size": 7}),
    ],
)
def test_a_message_that_is_none_stops_nobody(
    daemon: Daemon, name: str, message: bytes, comes_as: dict[str, Any]
) -> None:
    """Whatever somebody has sent is shown as it is, goes, and what is behind it comes."""
    read, write = os.pipe()  # in place of the memfd that P means: to read it would take for ever
    with opened(daemon, name) as told, socket.socket(fileno=os.dup(told[name]["in"])) as end:
        socket.send_fds(end, [message], [read])
    os.close(read)
    daemon.client.put(name, b"next")
    assert daemon.client.peek(name)["messages"] == [comes_as]
    assert daemon.client.get(name) == comes_as
    assert daemon.client.get(name)["text"] == "next"
    os.close(write)


def test_who_waits_for_bytes_does_not_hold_up_the_end(daemon: Daemon) -> None:
    """The reader of a pipe sees its end while a client waits to take something out of it."""
    daemon.configure(
        {
            "write": {"command": SLEEP, "stdout": {"channel": "lines"}},
            "read": {
                "command": "cat; echo end; exec sleep 100000",
                "shell": True,
                "stdin": {"channel": "lines"},
            },
        },
        channels={"lines": {"type": "pipe"}},
    )
    daemon.client.reload()
    daemon.pid("write")
    daemon.pid("read")
    before = descriptors_of(daemon)
    with waiting(daemon, "/v1/channels/lines/get?wait=3600"):
        daemon.until(lambda: descriptors_of(daemon) > before + 1)
        daemon.client.stop(["write"])
        until(lambda: daemon.log("read:0") == "end\n")


def test_who_leaves_takes_nothing_along(daemon: Daemon) -> None:
    """What is put in after clients that waited have gone is got by those who are there."""
    before = descriptors_of(daemon)
    with ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(waiting(daemon, "/v1/channels/free/get?wait=3600"))
        daemon.until(lambda: descriptors_of(daemon) > before + 20)
    daemon.until(lambda: descriptors_of(daemon) <= before)
    daemon.client.put("free", b"mine")
    assert daemon.client.get("free")["text"] == "mine"


def test_many_who_wait_get_a_message_each(daemon: Daemon) -> None:
    """Each message goes to one of them, and each is answered."""
    found: list[str] = []
    waiters = [
        threading.Thread(target=lambda: found.append(daemon.client.get("work", wait=3600)["text"]))
        for _ in range(30)
    ]
    for one in waiters:
        one.start()
    for number in range(30):
        assert daemon.client.put("work", b"%d" % number, wait=60)["ok"]
    for one in waiters:
        one.join()
    assert sorted(found, key=int) == [str(number) for number in range(30)]
    assert row(daemon, "work")["depth"] == 0


def test_who_was_killed_while_he_looked_leaves_nothing_hidden(daemon: Daemon) -> None:
    """The place up to which somebody has looked into a queue hides nothing from a get."""
    daemon.client.put("free", b"there")
    with opened(daemon, "free") as told, socket.socket(fileno=os.dup(told["free"]["out"])) as end:
        end.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 6)
    assert daemon.client.get("free")["text"] == "there"


def test_rows_name_the_run_of_a_child(daemon: Daemon) -> None:
    """Of whatever a worker has started and that has the channel open, it is said whose it is."""
    twice = {"command": "sleep 100000 & wait", "shell": True, "channels": ["free"]}
    daemon.configure(
        {"twice": twice},
        channels={"free": {"type": "queue"}},
    )
    daemon.client.reload()
    daemon.pid("twice")
    daemon.until(lambda: len(row(daemon, "free")["holders"]) == 2)
    holders = row(daemon, "free")["holders"]
    assert [(one["name"], one["run"]) for one in holders] == [("twice:0", 1)] * 2
    assert sorted(one["main"] for one in holders) == [False, True]
