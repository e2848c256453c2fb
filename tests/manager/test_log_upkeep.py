"""What a manager does about older logs, with a real keeper and a real data plane."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from supervisord_lite.core.log import Compression, Log, Outlets, Rotation
from supervisord_lite.core.spec import Configuration, Control, Program, Route, Stream
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.logs.event import LogEvent, Rotated
from supervisord_lite.logs.files.rotation import older, packing_paths
from supervisord_lite.logs.plane import DataPlane, make_stream_pipe
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.output.upkeep import LogUpkeep
from tests.logs.conftest import Hops, Relays
from tests.manager.conftest import LIMIT, Seat, spec

STREAM = "web:0/stdout"
PACKED = Rotation(640, keep=50, compress=Compression.GZIP)
GIBIBYTE = 1024**3


class Stage:
    """A manager's shell with one logged stream. Lives inside an event loop."""

    def __init__(self, link: KeeperLink, given: Inheritance, directory: Path) -> None:
        self.path = str(directory / "web.log")
        self.said: list[str] = []
        self.complained: list[str] = []
        self.facts: list[Packet] = []
        self._loop = asyncio.get_running_loop()
        self._hops, self._relays = Hops(), Relays()
        self.plane = DataPlane(self._hops, self._relays, self._report)
        say, complain = self.said.append, self.complained.append
        self.upkeep = LogUpkeep(link, given, self.plane, say, complain)
        for fact in given.facts:
            self._take(fact)
        link.attach(self._loop, self._take, lambda: None)
        self._pipe = make_stream_pipe()

    def begin(self, rules: Rotation, max_total: int | None = None) -> None:
        """Log under these rules."""
        self.plane.attach(STREAM, self._pipe, Log(self.path, rules))
        self.plane.start()
        self.configure(rules, max_total)

    def configure(self, rules: Rotation, max_total: int | None = None) -> None:
        program = Program(("sleep", "1"), "/", stdout=Stream(Route.LOG))
        one = replace(spec(), program=program, stdout_log=Log(self.path, rules))
        outlets = Outlets(max_total=max_total)
        control = Control(socket="/nowhere")
        self.upkeep.configure(
            Configuration("shop", control, "/nowhere", instances=(one,), outlets=outlets)
        )

    def write(self, lines: int) -> None:
        os.write(self._pipe, b"".join(b"%063d\n" % number for number in range(lines)))

    async def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT
        while not holds():
            assert time.monotonic() < deadline, "the condition did not come true"
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self.upkeep.close()
        await asyncio.to_thread(self.plane.stop)
        os.close(self._pipe)
        self._hops.close()
        self._relays.close()

    def all_packed(self) -> bool:
        files = older(self.path)
        return bool(files) and all(one.packed for one in files)

    def _take(self, fact: Packet) -> None:
        self.facts.append(fact)
        assert self.upkeep.take(fact), fact

    def _report(self, event: LogEvent) -> None:
        if isinstance(event, Rotated):
            self._loop.call_soon_threadsafe(self.upkeep.rotated, event)


Act = Callable[[Callable[[Stage], Awaitable[None]]], None]


@pytest.fixture
def act(seat: Seat, tmp_path: Path) -> Act:
    """Have a story acted on such a stage."""

    def play(story: Callable[[Stage], Awaitable[None]]) -> None:
        async def performance() -> None:
            link, given = seat.take()
            stage = Stage(link, given, tmp_path)
            try:
                await story(stage)
            finally:
                await stage.close()
                asyncio.get_running_loop().remove_reader(link._link.fileno())
                link._link.close()

        asyncio.run(performance())

    return play


def test_a_rotated_log_is_packed(act: Act) -> None:
    """One file after another, by helpers that are buried."""

    async def story(stage: Stage) -> None:
        stage.begin(PACKED)
        stage.write(35)
        await stage.until(lambda: len(older(stage.path)) == 3 and stage.all_packed())
        assert {fact["instance"] for fact in stage.facts} == {"@compress/log"}
        assert stage.complained == []

    act(story)


def test_what_fails_is_said_once_and_tried_again(act: Act) -> None:
    """After the next rotation, when nothing is in the way any more."""

    async def story(stage: Stage) -> None:
        stage.begin(Rotation(640, keep=50))
        stage.write(15)
        await stage.until(lambda: older(stage.path))
        obstacle = packing_paths(stage.path)[0]
        os.mkdir(obstacle)
        for _ in range(2):
            failed = len([fact for fact in stage.facts if fact["tell"] == "exited"])
            stage.configure(PACKED)
            await stage.until(
                lambda failed=failed: (
                    len([f for f in stage.facts if f["tell"] == "exited"]) > failed  # type: ignore[misc]
                    or stage.complained
                )
            )
        os.rmdir(obstacle)
        stage.configure(PACKED)
        await stage.until(stage.all_packed)
        assert len(stage.complained) == 1
        assert stage.path in stage.complained[0]

    act(story)


def test_what_a_killed_manager_left_is_cleared_away(act: Act, tmp_path: Path) -> None:
    """Also where nothing is compressed any more."""
    hidden, hidden_index = packing_paths(str(tmp_path / "web.log"))
    for name in (hidden, hidden_index):
        Path(name).write_bytes(b"half")

    async def story(stage: Stage) -> None:
        stage.begin(Rotation(640), max_total=GIBIBYTE)
        await stage.until(lambda: not any(map(os.path.exists, (hidden, hidden_index))))

    act(story)


def test_the_budget_is_kept_after_each_rotation(act: Act) -> None:
    """The oldest files go, and it is said."""

    async def story(stage: Stage) -> None:
        stage.begin(Rotation(640, keep=50), max_total=2000)
        stage.write(75)
        await stage.until(lambda: len(older(stage.path)) <= 2 and stage.said)
        assert "to keep logs.max_total (2000 bytes)" in stage.said[0]
        assert stage.complained == []

    act(story)


def test_present_files_beyond_the_budget_are_told_of_once(act: Act, tmp_path: Path) -> None:
    """They are never removed."""
    (tmp_path / "web.log").write_bytes(b"x" * 5000 + b"\n")

    async def story(stage: Stage) -> None:
        stage.begin(Rotation(10_000, keep=50), max_total=2000)
        await stage.until(lambda: stage.complained)
        stage.configure(Rotation(10_000, keep=50), max_total=2001)
        stage.write(100)
        await stage.until(lambda: stage.said)  # for what was the present file is an older one now
        (complaint,) = stage.complained
        assert complaint.startswith("cannot keep logs.max_total (2000 bytes): ")

    act(story)


def test_the_end_ends_a_compression(act: Act, tmp_path: Path) -> None:
    """Nothing is left of the helper, and the file is as it was."""
    big = tmp_path / "web.log.1"
    big.touch()
    os.truncate(big, 8 * GIBIBYTE)

    async def story(stage: Stage) -> None:
        stage.begin(PACKED)
        await stage.until(lambda: os.path.exists(packing_paths(stage.path)[0]))
        await stage.upkeep.close()
        assert stage.facts[-1]["tell"] in ("exited", "emptied")
        assert [one.packed for one in older(stage.path)] == [False]

    act(story)


def test_where_nothing_is_asked_for_nothing_is_done(act: Act) -> None:
    """No task, no helper, no look at a disk."""

    async def story(stage: Stage) -> None:
        stage.begin(Rotation(640))
        assert stage.upkeep._task is None

    act(story)


def test_files_that_others_removed_count_no_more(act: Act, tmp_path: Path) -> None:
    """Those of a direct log, say: nothing else is removed in their place."""
    other = tmp_path / "other.log"
    theirs = tmp_path / "other.log.1"
    theirs.write_bytes(bytes(2000))
    os.utime(theirs, (time.time() + 3600,) * 2)  # the youngest of all

    async def story(stage: Stage) -> None:
        program = Program(("sleep", "1"), "/", stdout=Stream(Route.LOG))
        web = replace(spec(), program=program, stdout_log=Log(stage.path, Rotation(640, keep=50)))
        direct = replace(web, name="other:0", stdout_log=Log(str(other), direct=True))
        outlets = Outlets(max_total=4000)
        control = Control(socket="/nowhere")
        stage.upkeep.configure(
            Configuration("shop", control, "/nowhere", instances=(web, direct), outlets=outlets)
        )
        await stage.until(lambda: stage.upkeep._task and stage.upkeep._task.done())
        theirs.unlink()
        stage.plane.attach(STREAM, stage._pipe, Log(stage.path, Rotation(640, keep=50)))
        stage.plane.start()
        stage.write(45)  # the older files alone are too much with what was removed
        await stage.until(lambda: len(older(stage.path)) == 4)
        await stage.until(lambda: stage.upkeep._task and stage.upkeep._task.done())
        assert stage.said == []
        assert len(older(stage.path)) == 4

    act(story)
