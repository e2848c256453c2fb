"""Queues of a worker, beyond what the standard library's own tests ask of them."""

import gc
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, Full
from typing import Any

import pytest

from supervisord_lite.worker.queue import Queue
from tests.worker.made import Made

DEADLINE = 30.0


@pytest.fixture(params=[0, 3], ids=["by bytes", "by count"])
def queue(made: Made, request: pytest.FixtureRequest) -> Any:
    made.queue("jobs", request.param)
    return made.channels()["jobs"]


def waiting(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "item",
    [b"", b"raw", b"x" * 100_000, "text", None, [1, {"a": 2.5}], "y" * 100_000, bytearray(b"z")],
)
def test_what_is_put_is_got(queue: Any, item: Any) -> None:
    """Bytes and what can be pickled, short and long, of the same type."""
    queue.put(item)
    got = queue.get()
    assert got == item
    assert type(got) is type(item)


def test_bytes_go_as_they_are(queue: Any, made: Made) -> None:
    """Behind a `b`, for programs in other languages."""
    queue.put(b"raw")
    assert os.read(made.told["jobs"]["out"], 100) == b"braw"


def test_a_long_message_is_a_sealed_file(queue: Any, made: Made) -> None:
    """Its length in decimal, the bytes in a memfd that comes along and can not change."""
    queue.put(b"x" * 50_000)
    with socket.socket(fileno=os.dup(made.told["jobs"]["out"])) as end:
        message, [(_, kind, data)], _, _ = end.recvmsg(100, 100)
    [fd] = struct.unpack("i", data)
    assert (message, kind) == (b"B50000", socket.SCM_RIGHTS)
    assert os.pread(fd, 60_000, 0) == b"x" * 50_000
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"y", 0)
    os.close(fd)


def test_a_message_for_a_small_socket(made: Made) -> None:
    """One that the kernel would never take at once goes as a file."""
    made.queue("jobs", size=1024)
    queue = made.channels()["jobs"]
    queue.put(b"x" * 30_000)
    assert queue.get() == b"x" * 30_000


def test_no_descriptor_is_left(queue: Any) -> None:
    """Of the files of long messages, none stays open."""
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        queue.put(b"x" * 50_000)
        queue.get()
    with pytest.raises(Full):
        for _ in range(100_000):
            queue.put(b"x" * 50_000, block=False)
    while not queue.empty():
        queue.get()
    assert os.listdir("/proc/self/fd") == before


def test_a_queue_is_full_of_bytes(made: Made) -> None:
    """Without a capacity the kernel's room is the bound."""
    made.queue("jobs", size=4096)
    queue, put = made.channels()["jobs"], 0
    with pytest.raises(Full):
        for put in range(100_000):  # noqa: B007 how many it was
            queue.put_nowait(b"x" * 100)
    assert queue.full()
    assert queue.qsize() == put
    with pytest.raises(Full):
        queue.put(b"x" * 100, timeout=0.06)


@pytest.mark.parametrize("capacity", [0, 3])
def test_put_waits_for_room(made: Made, capacity: int) -> None:
    """Of bytes and of messages, until a consumer makes some."""
    made.queue("jobs", capacity, size=4096)
    queue = made.channels()["jobs"]
    for _ in range(2):
        inside = 0
        while not queue.full():
            queue.put(inside)
            inside += 1
        thread = waiting(lambda: queue.put("last"))
        while (item := queue.get(timeout=DEADLINE)) != "last":
            assert item < inside
        thread.join()


def test_get_waits_for_a_message(queue: Any) -> None:
    """As long as it takes."""
    got: list[Any] = []
    thread = waiting(lambda: got.append(queue.get()))
    queue.put(1)
    thread.join()
    assert got == [1]


def test_a_worker_that_only_puts(made: Made) -> None:
    """Can not get; nor the other way round."""
    made.queue("jobs", 3)
    made.told["jobs"]["use"] = "put"
    putter = made.channels()["jobs"]
    made.told["jobs"]["use"] = "get"
    getter = made.channels()["jobs"]
    putter.put(1)
    assert putter.qsize() == 1
    with pytest.raises(ValueError, match="cannot get"):
        putter.get()
    with pytest.raises(ValueError, match="cannot put"):
        getter.put(1)
    assert getter.get() == 1


def test_a_closed_queue(made: Made, queue: Any) -> None:
    """Can not be used, and the queue itself lives on."""
    queue.put(1)
    queue.close()
    queue.close()
    for use in (lambda: queue.put(1), queue.get, queue.qsize, queue.empty, queue.full):
        with pytest.raises(ValueError, match="is closed"):
            use()
    assert made.channels()["jobs"].get() == 1


def test_what_can_not_be_pickled(queue: Any) -> None:
    """Is the error of who puts it."""
    with pytest.raises(Exception, match="pickle"):
        queue.put(lambda: None)
    assert queue.empty()


def test_a_foreign_message(made: Made, queue: Any) -> None:
    """One that is none is an error of `get`, and the next one is got."""
    os.write(made.told["jobs"]["in"], b"?")
    queue.put(1)
    with pytest.raises(ValueError, match="cannot read a message"):
        queue.get()
    assert queue.get() == 1


def sent(made: Made, message: bytes, *fds: int) -> None:
    """By somebody else, with descriptors."""
    with socket.socket(fileno=os.dup(made.told["jobs"]["in"])) as end:
        socket.send_fds(end, [message], list(fds))


@pytest.mark.parametrize("message", [b"B9999999999999", b"B-1", b"Bx", b"B", b"P"])
def test_a_file_that_has_not_what_it_should(made: Made, queue: Any, message: bytes) -> None:
    """Is an error that says so, and the next one is got."""
    fd = os.memfd_create("empty")
    sent(made, message, fd)
    os.close(fd)
    queue.put(1)
    with pytest.raises(ValueError, match="cannot read a message"):
        queue.get()
    assert queue.get() == 1


AT_ITS_LIMIT = """
import os, resource
from supervisord_lite.worker import channels
queue = channels["jobs"]
lowest = os.dup(0)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
try:
    queue.get()
except ValueError as error:
    print(error)
print(queue.get())
"""


def test_a_message_whose_file_does_not_come(made: Made, queue: Any) -> None:
    """To a process that may open no more: that is said."""
    queue.put(b"x" * 50_000)
    queue.put(2)
    said = made.start(["-c", AT_ITS_LIMIT], stdout=-1).communicate()[0].decode().splitlines()
    assert said[0].startswith("cannot read a message of 50000 bytes")
    assert said[0].endswith("(too many open files?)")
    assert said[1:] == ["2"]


def test_a_socket_that_tells_of_credentials(made: Made, queue: Any) -> None:
    """As somebody who shares it has asked for: they are not taken for descriptors."""
    with socket.socket(fileno=os.dup(made.told["jobs"]["out"])) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    before = os.listdir("/proc/self/fd")
    for item in (b"near", b"far" * 20_000):
        queue.put(item)
        assert queue.get() == item
    assert os.listdir("/proc/self/fd") == before


def test_a_queue_that_becomes_smaller(made: Made) -> None:
    """Takes what it would have taken before, in another way."""
    made.queue("jobs")
    queue = made.channels()["jobs"]
    with socket.socket(fileno=os.dup(made.told["jobs"]["in"])) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    queue.put(b"x" * 30_000)
    assert queue.get() == b"x" * 30_000


@pytest.mark.parametrize("many", [1, 2])
def test_an_empty_message(made: Made, many: int) -> None:
    """Of somebody else: what is behind it is counted all the same."""
    made.queue("jobs")
    queue = made.channels()["jobs"]
    queue.put(1)
    for _ in range(many):
        sent(made, b"")
    queue.put(2)
    queue.put(3)
    assert [queue.qsize(), queue.qsize()] == [3, 3]


def test_a_page_that_is_none(made: Made) -> None:
    """Is refused, and what was opened for it is closed once."""
    made.queue("jobs")
    os.pwrite(made.told["jobs"]["page"], b"no queue", 0)
    gc.collect()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="as the page of a queue"):
        made.channels()["jobs"]
    gc.collect()  # what is closed twice is a warning, and that an error
    assert os.listdir("/proc/self/fd") == before


def test_a_consumer_that_does_not_count(made: Made) -> None:
    """A program that only receives makes room all the same."""
    made.queue("jobs", 2)
    queue = made.channels()["jobs"]
    queue.put(1)
    queue.put(2)
    os.read(made.told["jobs"]["out"], 100)
    queue.put(3, timeout=DEADLINE)
    assert queue.qsize() == 2
    assert [queue.get(), queue.get()] == [2, 3]


# The words of the page, as `supervisord_lite.channels.wire` has them.
PUTTING, GETTING, PUTS, GETS = 2, 3, 4, 5


def page(made: Made, *changes: tuple[int, int]) -> None:
    for word, value in changes:
        os.pwrite(made.told["jobs"]["page"], struct.pack("=Q", value), word * 8)


@pytest.mark.parametrize("sent", [False, True])
def test_a_producer_died_at_it(made: Made, sent: bool) -> None:
    """Before it sent, or after it and before it had counted: the next one counts."""
    made.queue("jobs", 2)
    queue = made.channels()["jobs"]
    if sent:
        os.write(made.told["jobs"]["in"], b"bx")
    page(made, (PUTTING, 1))
    queue.put_nowait(1)
    assert queue.qsize() == 1 + sent
    assert queue.full() is sent


@pytest.mark.parametrize("received", [False, True])
def test_a_consumer_died_at_it(made: Made, received: bool) -> None:
    """Who is told that a full queue has room at once, and who gets, know better than the page."""
    made.queue("jobs", 2)
    queue = made.channels()["jobs"]
    queue.put(1)
    queue.put(2)
    if received:
        os.read(made.told["jobs"]["out"], 100)
        page(made, (GETTING, 1))
        queue.put_nowait(3)
    else:
        page(made, (GETTING, 1))
        with pytest.raises(Full):
            queue.put_nowait(3)
        assert queue.get() == 1
    assert queue.get() == 2
    assert queue.qsize() == received


def test_a_queue_that_nobody_has_any_more(made: Made) -> None:
    """Is gone at once: a collector might close its sockets before it, and again with it."""
    made.queue("jobs", 2)
    gone = weakref.ref(made.channels()["jobs"])
    assert gone() is None


def test_counting_has_a_share_of_the_time(made: Made) -> None:
    """Of who waits for room: all others stand still meanwhile, and long queues take long."""
    made.queue("jobs", 2)
    queue = made.channels()["jobs"]
    queue.put(1)
    page(made, (PUTS, 2))
    began = time.monotonic()
    assert queue._look_again(None) is not None
    assert queue.qsize() == 1
    assert queue._may_count > began
    queue._may_count = began + 3600
    page(made, (PUTS, 2), (GETS, 0))
    assert queue._look_again(None) is None
    assert queue.qsize() == 2


def test_a_capacity_may_grow(made: Made) -> None:
    """Who uses the queue finds it in the page."""
    made.queue("jobs", 1)
    queue = made.channels()["jobs"]
    queue.put(1)
    page(made, (1, 2))
    queue.put_nowait(2)
    assert queue.full()


def test_the_default_timeout_of_sockets_is_no_matter(made: Made) -> None:
    """Others that share the socket are not made to wait in another manner by it."""
    made.queue("jobs")
    socket.setdefaulttimeout(0.001)
    try:
        queue = made.channels()["jobs"]
    finally:
        socket.setdefaulttimeout(None)
    assert os.get_blocking(made.told["jobs"]["out"])
    assert os.get_blocking(made.told["jobs"]["in"])
    with pytest.raises(Empty):
        queue.get(timeout=0.01)


def test_it_is_what_the_mapping_makes(queue: Any) -> None:
    """A `Queue`."""
    assert type(queue) is Queue
