"""Pipes that are made larger for workers that flood their logs, a few at a time."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.linux import pipes
from supervisord_lite.logs.capture import widths
from supervisord_lite.logs.capture.widths import DEFAULT, WIDE, Widths
from supervisord_lite.logs.plane import make_stream_pipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.logs.conftest import Rig

MOST = widths._MOST
OFTEN = widths._PATIENCE


@pytest.fixture
def pipe_of() -> Iterator[list[int]]:
    """One pipe more than may be wide."""
    with ExitStack() as stack:
        made = [make_stream_pipe() for _ in range(MOST + 1)]
        for pipe in made:
            stack.callback(os.close, pipe)
        yield made


def flood(among: Widths, pipe: int) -> None:
    for _ in range(OFTEN):
        among.full(pipe)


def test_a_worker_that_floods_its_log_gets_a_wider_pipe(rig: Rig) -> None:
    """One that writes little keeps what it has; nothing of either is lost or swapped."""
    log = rig.log()
    rig.log("calm")
    data = b""
    while pipes.size(rig.pipes["web"]) == DEFAULT:
        more = rig.lines(32_000)
        data += more
        rig.write(more)
        rig.write(b"a line\n", "calm")
        assert len(data) < 256 * 1024 * 1024, "a pipe that is always full stays as it is"
    rig.flush()
    assert pipes.size(rig.pipes["web"]) == WIDE
    assert pipes.size(rig.pipes["calm"]) == DEFAULT
    assert rig.contents(log) == data


def test_few_are_wide_at_a_time(pipe_of: list[int]) -> None:
    """The one that has not been full for longest gives way."""
    few = Widths()
    for pipe in pipe_of[:MOST]:
        flood(few, pipe)
    flood(few, pipe_of[0])
    flood(few, pipe_of[MOST])
    narrow = [number for number, pipe in enumerate(pipe_of) if pipes.size(pipe) == DEFAULT]
    assert narrow == [1]


def test_a_pipe_that_holds_too_much_to_give_way_keeps_its_size(pipe_of: list[int]) -> None:
    """Then no other one is made wider, and all that is in it is still there."""
    few = Widths()
    for pipe in pipe_of[:MOST]:
        flood(few, pipe)
    filled = os.write(pipe_of[0], bytes(2 * DEFAULT))
    flood(few, pipe_of[MOST])
    assert [pipes.size(pipe_of[0]), pipes.size(pipe_of[MOST])] == [WIDE, DEFAULT]
    assert pipes.waiting(pipe_of[0]) == filled


def test_those_that_an_earlier_data_plane_widened_count(pipe_of: list[int]) -> None:
    """Otherwise each SIGKILL of the manager would leave more of them."""
    before = Widths()
    for pipe in pipe_of[:MOST]:
        flood(before, pipe)
    after = Widths()
    for pipe in pipe_of:
        after.enter(pipe)
    flood(after, pipe_of[MOST])
    assert pipes.size(pipe_of[0]) == DEFAULT
    assert pipes.size(pipe_of[MOST]) == WIDE


def test_one_that_is_not_read_any_more_makes_room(pipe_of: list[int]) -> None:
    """Its number may soon be another pipe's."""
    few = Widths()
    for pipe in pipe_of[:MOST]:
        flood(few, pipe)
    few.leave(pipe_of[0])
    flood(few, pipe_of[MOST])
    assert {pipes.size(pipe) for pipe in pipe_of} == {WIDE}


def test_a_pipe_with_a_size_of_somebody_elses_choice_is_left_alone(pipe_of: list[int]) -> None:
    """For one, the kernel gives two pages to a user beyond the quota."""
    pipes.resize(pipe_of[0], 4096)
    flood(Widths(), pipe_of[0])
    assert pipes.size(pipe_of[0]) == 4096
