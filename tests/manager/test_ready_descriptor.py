"""Readiness by a newline on a descriptor, as s6 has it."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.core.event import BecameReady
from supervisord_lite.core.probe import DescriptorProbe, Readiness
from supervisord_lite.core.spec import InstanceSpec
from tests.manager.conftest import NAME, Play, Shell, readable, spec


def script(text: str, number: int = 3) -> InstanceSpec:
    return spec("sh", "-c", text, ready=Readiness(DescriptorProbe(number)))


@pytest.mark.parametrize("said", ["\\n", "listening\\n", "a\\nb"])
def test_a_newline_is_ready(play: Play[Any], said: str) -> None:
    """Whatever comes before or after it."""

    async def story(shell: Shell) -> None:
        what = script(f"printf '{said}' >&3; exec sleep 100000")
        shell.readying(what, await shell.start(what))
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_the_number_is_the_one_asked_for(play: Play[Any]) -> None:
    """And what lies between is closed."""

    async def story(shell: Shell) -> None:
        what = spec(
            sys.executable,
            "-c",
            "import os, time; os.write(11, b'%d\\n' % sum(map(int, os.listdir('/proc/self/fd'))));"
            "time.sleep(100000)",
            ready=Readiness(DescriptorProbe(11)),
        )
        pid = await shell.start(what)
        shell.readying(what, pid)
        assert await shell.event() == BecameReady(NAME, 1)
        assert sorted(os.listdir(f"/proc/{pid}/fd"), key=int) == ["0", "1", "2", "11"]

    play(story)


def test_text_without_a_newline_is_nothing_yet(play: Play[Any], tmp_path: Path) -> None:
    """It comes in pieces, and the newline makes it ready."""
    go = tmp_path / "go"
    os.mkfifo(go)

    async def story(shell: Shell) -> None:
        what = script(f"printf almost >&3; read x < {go}; echo >&3; exec sleep 100000")
        shell.readying(what, await shell.start(what))
        pipe = shell.prober._descriptors._pipes[NAME]
        await shell.until(lambda: Path(f"/proc/self/fd/{pipe.read}").exists())
        assert shell.events == []
        go.write_text("\n")
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_an_end_of_file_is_not_ready(play: Play[Any]) -> None:
    """The worker alone has the write end; its closing says nothing and wakes nobody again."""

    async def story(shell: Shell) -> None:
        what = script("printf nothing >&3; exec 3>&-; exec sleep 100000")
        shell.readying(what, await shell.start(what))
        pipe = shell.prober._descriptors._pipes[NAME]
        await shell.until(lambda: pipe.ended)
        assert shell.events == []
        assert readable(pipe.read)

    play(story)


def test_the_pipe_goes_when_it_is_ready(play: Play[Any]) -> None:
    """Neither we nor the keeper keep an end of it."""

    async def story(shell: Shell) -> None:
        what = script("echo >&3; exec sleep 100000")
        pid = await shell.start(what)
        shell.readying(what, pid)
        await shell.event()
        shell.running(what, pid)
        assert shell.prober._descriptors._pipes == {}

    async def next_one(shell: Shell) -> None:
        assert not [name for name in shell.given.held if name.startswith("ready")]
        assert shell.prober._descriptors._left == {}

    play(story)
    play(next_one)


def test_a_newline_that_came_while_nobody_read_is_found(play: Play[Any], tmp_path: Path) -> None:
    """The keeper holds the read end for the next manager."""
    go = tmp_path / "go"
    os.mkfifo(go)
    pids: list[int] = []
    what = script(f"read x < {go}; echo >&3; touch {tmp_path}/said; exec sleep 100000")

    async def first(shell: Shell) -> None:
        pids.append(await shell.start(what))
        shell.readying(what, pids[0])

    async def second(shell: Shell) -> None:
        await shell.until((tmp_path / "said").exists)
        shell.readying(what, pids[0])
        shell.prober.settle()
        assert await shell.event() == BecameReady(NAME, 1)

    play(first)
    go.write_text("\n")
    play(second)


def test_a_newline_is_taken_only_when_it_was_told(play: Play[Any]) -> None:
    """A manager that dies with it in its hands loses nothing."""
    pids: list[int] = []
    what = script("echo >&3; exec sleep 100000")

    async def first(shell: Shell) -> None:
        pids.append(await shell.start(what))
        shell.readying(what, pids[0])
        await shell.event()

    async def second(shell: Shell) -> None:
        shell.readying(what, pids[0])
        assert await shell.event() == BecameReady(NAME, 1)

    play(first)
    play(second)


def test_a_run_ordered_again_keeps_its_pipe(play: Play[Any]) -> None:
    """The spawn that a dead manager ordered may have come off."""
    what = script("echo >&3; exec sleep 100000")
    pids: list[int] = []

    async def first(shell: Shell) -> None:
        pids.append(await shell.start(what))

    async def second(shell: Shell) -> None:
        shell.order_run(what, 1)
        shell.readying(what, pids[0])
        assert await shell.event() == BecameReady(NAME, 1)

    play(first)
    play(second)
