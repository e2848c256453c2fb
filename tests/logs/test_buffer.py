"""The buffer: what was taken in is there until it is crossed out, whoever opens it."""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from supervisord_lite.linux import pipes
from supervisord_lite.logs.capture.buffer import SIZE, Batch, Buffer, holds_bytes, make_buffer

LONGEST = 1000


@pytest.fixture
def memory() -> Iterator[int]:
    fd = make_buffer()
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = pipes.make()
    os.set_blocking(read, False)
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


def take(buffer: Buffer, pipe: tuple[int, int], data: bytes) -> int:
    os.write(pipe[1], data)
    return buffer.fill(pipe[0], SIZE)


def test_bytes_come_and_go_in_order(memory: int, pipe: tuple[int, int]) -> None:
    """Those that are crossed out are the first."""
    with closing(Buffer(memory, LONGEST)) as buffer:
        assert take(buffer, pipe, b"one\ntwo") == 7
        buffer.consume(4)
        take(buffer, pipe, b"\n")
        assert buffer.look() == b"two\n"
        assert len(buffer) == 4


def test_an_empty_pipe_is_told_from_a_full_buffer(memory: int, pipe: tuple[int, int]) -> None:
    """The one raises; the other takes nothing, and loses nothing."""
    with closing(Buffer(memory, LONGEST)) as buffer:
        with pytest.raises(BlockingIOError):
            buffer.fill(pipe[0], SIZE)
        taken = 60_000
        while taken % 60_000 == 0:
            taken = len(buffer) + take(buffer, pipe, b"x" * 60_000)
        assert len(buffer) == taken >= SIZE
        assert buffer.fill(pipe[0], SIZE) == 0
        assert len(buffer) + pipes.waiting(pipe[0]) == taken - taken % 60_000 + 60_000


def test_what_is_left_moves_to_the_front(memory: int, pipe: tuple[int, int]) -> None:
    """However much passes, with a rest that is never nothing, the memory stays bounded."""
    written, gone = b"", 0
    with closing(Buffer(memory, LONGEST)) as buffer:
        for number in range(200):
            data = b"%05d" % number * 4000
            written += data
            take(buffer, pipe, data)
            assert buffer.look() == written[gone : gone + len(buffer)]
            gone += len(buffer) - 777
            buffer.consume(len(buffer) - 777)
    assert gone > 2 * SIZE
    assert os.fstat(memory).st_size < 2 * SIZE


def test_whoever_opens_it_next_finds_all_of_it(memory: int, pipe: tuple[int, int]) -> None:
    """The bytes, and the batch that was on its way."""
    batch = Batch(4, 12, 34, 56, 78, 1, 2)
    with closing(Buffer(memory, LONGEST)) as buffer:
        take(buffer, pipe, b"gone\none\ntwo")
        buffer.consume(5)
        buffer.note(batch)
    assert holds_bytes(memory)
    with closing(Buffer(memory, LONGEST)) as buffer:
        assert buffer.batch == batch
        assert buffer.look() == b"one\ntwo"
        buffer.consume(4)
        take(buffer, pipe, b"\n")
    with closing(Buffer(memory, LONGEST)) as buffer:
        assert buffer.batch.size == 0
        assert buffer.look() == b"two\n"


def test_an_empty_one_gives_its_memory_back(memory: int, pipe: tuple[int, int]) -> None:
    """A page stays, for the note."""
    with closing(Buffer(memory, LONGEST)) as buffer:
        take(buffer, pipe, b"x" * 60_000)
        buffer.consume(60_000)
        take(buffer, pipe, b"y")
        buffer.consume(1)
    assert os.fstat(memory).st_size == os.sysconf("SC_PAGE_SIZE")
    assert not holds_bytes(memory)


def test_one_that_is_fuller_than_allowed_now_takes_nothing(
    memory: int, pipe: tuple[int, int]
) -> None:
    """`max_line` was lowered while the log could not be written."""
    pipes.resize(pipe[1], SIZE)
    with closing(Buffer(memory, SIZE)) as buffer:
        while take(buffer, pipe, b"x" * 65536):
            pass
        held = len(buffer)
    with closing(Buffer(memory, LONGEST)) as buffer:
        assert buffer.fill(pipe[0], SIZE) == 0
        buffer.consume(held - LONGEST)
        assert buffer.fill(pipe[0], SIZE) == 65536
