"""Readiness by a line of output: a real data plane, real logs, their rotation and their indexes."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
import re2

from supervisord_lite.core.event import BecameReady, Finding
from supervisord_lite.core.log import Log, Rotation
from supervisord_lite.core.probe import LogProbe, Readiness
from supervisord_lite.core.spec import InstanceSpec, Program, Route, Stream
from supervisord_lite.core.state import Instance, Readying
from supervisord_lite.logs.files.run_start import run_start
from supervisord_lite.manager.probes.active_probes import Subject
from supervisord_lite.manager.probes.ready_lines import Lines, _Scan, until_line
from tests.logs.conftest import Rig

DEADLINE = 60.0
OUT, ERR = "web:0/stdout", "web:0/stderr"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        yield made
    finally:
        made.close()


def begin(rig: Rig, run: int = 1, **rules: object) -> InstanceSpec:
    """Attach the instance's log, in which a run begins."""
    log = rig.log(OUT, path=str(rig.directory / "web.log"), **rules)
    mark(rig, run)
    return waiting_for("^listening on [0-9]+$", log)


def mark(rig: Rig, run: int, stream: str = OUT) -> None:
    """What is written from now on is the run's."""
    rig.plane.began(stream, run)
    rig.flush()


def waiting_for(pattern: str, log: Log, errors: Log | None = None) -> InstanceSpec:
    stderr = Stream(Route.LOG if errors else Route.JOINED)
    program = Program(("x",), "/", stdout=Stream(Route.LOG), stderr=stderr)
    ready = Readiness(LogProbe(pattern))
    return InstanceSpec("web:0", "web", 0, program, stdout_log=log, stderr_log=errors, ready=ready)


class Search:
    """One manager's search for the line, until the block ends."""

    def __init__(self, rig: Rig, spec: InstanceSpec, run: int = 1) -> None:
        now = time.monotonic()
        instance = Instance(spec, Readying(run, os.getpid(), now, now + DEADLINE))
        self.events: list[Finding] = []
        self.work = until_line(
            Subject(instance), _pattern(spec), rig.plane.watch, self.events.append
        )

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.work)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def found(self) -> list[Finding]:
        """Wait for the end of the search."""
        await asyncio.wait_for(asyncio.shield(self.task), DEADLINE)
        return self.events


def _pattern(spec: InstanceSpec) -> str:
    assert spec.ready is not None
    assert isinstance(spec.ready.probe, LogProbe)
    return spec.ready.probe.pattern


def find(rig: Rig, spec: InstanceSpec, run: int = 1) -> list[Finding]:
    """Search until the line is there."""

    async def story() -> list[Finding]:
        async with Search(rig, spec, run) as search:
            return await search.found()

    return asyncio.run(story())


def is_found(rig: Rig, spec: InstanceSpec, run: int = 1) -> bool:
    """Whether it is in what is there now."""
    rig.flush()
    assert spec.stdout_log is not None
    scan = _Scan(spec.stdout_log.path, run, 0.0, re2.compile(_pattern(spec)).search)
    with closing(scan):
        return asyncio.run(scan.finds())


def test_a_line_that_matches_is_ready(rig: Rig) -> None:
    """Written while it is looked for."""
    spec = begin(rig)

    async def story() -> list[Finding]:
        async with Search(rig, spec) as search:
            rig.write(b"starting\nlisten", OUT)
            rig.flush()
            rig.write(b"ing on 80\n", OUT)
            return await search.found()

    assert asyncio.run(story()) == [BecameReady("web:0", 1)]


def test_a_line_that_was_there_before_is_found(rig: Rig) -> None:
    """Nothing is missed for having been written early: a manager may have died meanwhile."""
    spec = begin(rig)
    rig.write(b"starting\nlistening on 80\nworking\n" * 5, OUT)
    rig.flush()
    assert find(rig, spec) == [BecameReady("web:0", 1)]


def test_a_line_without_its_end_is_none(rig: Rig) -> None:
    """It may go on otherwise."""
    spec = begin(rig)
    rig.write(b"listening on 80", OUT)
    rig.flush()
    assert not is_found(rig, spec)


def test_an_earlier_run_does_not_count(rig: Rig) -> None:
    """Its line is in the same file, and is not this run's."""
    spec = begin(rig)
    rig.write(b"listening on 80\n", OUT)
    rig.plane.ended(OUT, 1)
    mark(rig, 2)
    rig.write(b"starting\n", OUT)
    assert not is_found(rig, spec, run=2)
    rig.write(b"listening on 80\n", OUT)
    assert find(rig, spec, run=2) == [BecameReady("web:0", 2)]


def test_what_is_left_in_the_pipe_by_an_earlier_run_does_not_count(rig: Rig) -> None:
    """It is logged before the run's mark is made."""
    spec = begin(rig)
    rig.write(b"listening on 80\n", OUT)
    mark(rig, 2)
    assert not is_found(rig, spec, run=2)


def test_a_line_that_rotation_took_away_is_found(rig: Rig) -> None:
    """From the beginning of the run, through all files of the log."""
    spec = begin(rig, rotation=Rotation(100_000, keep=9))
    rig.write(Rig.lines(100) + b"listening on 80\n", OUT)
    rig.write(Rig.lines(8000), OUT)
    rig.flush()
    assert (rig.directory / "web.log.3").exists()
    assert find(rig, spec) == [BecameReady("web:0", 1)]


def test_a_rotation_while_it_is_looked_for_loses_nothing(rig: Rig) -> None:
    """The search goes on in the next file."""
    spec = begin(rig, rotation=Rotation(100_000, keep=9))

    async def story() -> list[Finding]:
        async with Search(rig, spec) as search:
            for _ in range(10):
                rig.write(Rig.lines(800), OUT)
                await asyncio.sleep(0)
            rig.write(b"listening on 80\n", OUT)
            return await search.found()

    assert asyncio.run(story()) == [BecameReady("web:0", 1)]


def test_stderr_of_its_own_is_looked_at_too(rig: Rig) -> None:
    """A worker says it where it likes."""
    log = rig.log(OUT, path=str(rig.directory / "web.log"))
    errors = rig.log(ERR, path=str(rig.directory / "web.err.log"))
    for stream in (OUT, ERR):
        mark(rig, 1, stream)
    rig.write(b"ready\n", ERR)
    assert find(rig, waiting_for("^ready$", log, errors)) == [BecameReady("web:0", 1)]


def test_a_number_that_was_used_before_is_told_apart(rig: Rig) -> None:
    """Run 1 of a daemon before this one wrote it, long ago, and nobody saw its end."""
    spec = begin(rig)
    rig.write(b"listening on 80\n", OUT)
    rig.flush()
    assert spec.stdout_log is not None
    path = spec.stdout_log.path
    time.sleep(0.05)
    later = time.time()
    mark(rig, 1)
    rig.write(b"starting\n", OUT)
    rig.flush()
    begins = run_start(path, 1, 0.0)
    assert begins is not None
    assert begins.endswith(":0")
    assert run_start(path, 1, later) == begins.replace(":0", ":16")


def test_without_an_index_nothing_is_known(rig: Rig) -> None:
    """Then no position is made up."""
    spec = begin(rig)
    rig.flush()
    assert spec.stdout_log is not None
    assert run_start(spec.stdout_log.path, 7, 0.0) is None
    assert run_start(str(rig.directory / "other.log"), 1, 0.0) is None


def test_without_an_index_it_is_looked_for_in_what_comes(rig: Rig) -> None:
    """A log whose index cannot be written is read from its end on."""
    log = rig.log(OUT, path=str(rig.directory / "web.log"))
    rig.write(b"listening on 80\n", OUT)
    rig.flush()
    spec = waiting_for("^listening on [0-9]+$", log)

    async def story() -> list[Finding]:
        async with Search(rig, spec, run=5) as search:
            await asyncio.sleep(0.2)
            assert search.events == []
            rig.write(b"listening on 80\n", OUT)
            return await search.found()

    assert asyncio.run(story()) == [BecameReady("web:0", 5)]


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_do_not_depend_on_the_pieces(size: int) -> None:
    """However the bytes come."""
    text = b"one\r\ntwo\n\nthree\nno end"
    lines, found = Lines(), []
    for start in range(0, len(text), size):
        found += lines.feed(text[start : start + size])
    assert found == [b"one", b"two", b"", b"three"]


@pytest.mark.parametrize("size", [1000, 65536, 65537, 300_000])
def test_of_a_long_line_only_the_beginning_is_looked_at(size: int) -> None:
    """Its first 64 KiB, once; its rest is no line."""
    text = b"a" * 100_000 + b"b\nnext\n"
    lines, found = Lines(), []
    for start in range(0, len(text), size):
        found += lines.feed(text[start : start + size])
    assert found == [b"a" * 65536, b"next"]
