"""Channels by the API: put into, taken out of, looked at, and opened in another process."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.channels import wire
from supervisord_lite.client import ApiError
from supervisord_lite.worker.named import Channels
from tests.daemon.conftest import Daemon


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


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


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
    [("channels nope", 404), ("channel nope", 404), ("get nope", 404), ("get guard", 409)],
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
