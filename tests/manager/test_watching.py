"""What follows from files that change: real files, and an instance whose state the test tells."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.core.event import Event, ReloadRequested, RolloutRequested, RunCondemned
from supervisord_lite.core.spec import InstanceSpec, Program, Strategy, UpdatePolicy, Watch
from supervisord_lite.core.state import Backoff, Instance, Readying, Running, Starting, Stopped
from supervisord_lite.manager.files.watching import FileWatch
from tests.cli.conftest import DEADLINE, environment

ROLLING = UpdatePolicy(Strategy.ROLLING)
Story = Callable[["Place"], Awaitable[None]]


async def until_true(holds: Callable[[], object]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


class Place:
    """A directory, a watch on it, and what came of that."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self._told: set[str] = set()
        self.watch = FileWatch(self.events.put_nowait, self.said.put_nowait)

    def instance(
        self,
        state: Any,
        *paths: str,
        name: str = "web:0",
        ignore: tuple[str, ...] = (),
        **more: Any,
    ) -> Instance:
        watched = tuple(str(self.directory / path) for path in paths or ("",))
        spec = InstanceSpec(
            name,
            "web",
            0,
            Program(("serve",), str(self.directory)),
            watch=Watch(watched, ignore, debounce=more.pop("debounce", 0.1)),
            **more,
        )
        return Instance(spec, state, wanted=True)

    async def follow(self, *instances: Instance) -> None:
        """Return when their files are observed."""
        for instance in instances:
            self.watch.follow(instance)
        await self.observed()

    async def running(self, *paths: str, **more: Any) -> None:
        await self.follow(self.instance(running(), *paths, **more))

    async def observed(self) -> None:
        await until_true(self._is_observed)

    def _is_observed(self) -> bool:
        observer = self.watch._observer
        return observer is not None and (
            {*observer._trees, *observer._polled} == set(self.watch._watched)
        )

    async def event(self) -> Event:
        return await asyncio.wait_for(self.events.get(), DEADLINE)

    async def why(self) -> str:
        """Why the next run is condemned."""
        event = await self.event()
        assert isinstance(event, RunCondemned)
        assert not event.failure
        return event.why

    async def told_of(self, path: str) -> None:
        """The next change is of this path and no other. One that was told of before may be told
        of again: it was noticed before it was closed.
        """
        expected = f"changed: {path}"
        while (why := await self.why()) != expected:
            assert why in self._told
        self._told.add(why)

    def write(self, path: str, text: str = "x") -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def running(run: int = 1) -> Running:
    now = time.monotonic()
    return Running(run, 1, now, now)


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    """Have a story acted in a directory of its own."""

    def act(story: Story) -> None:
        async def stage() -> None:
            place = Place(tmp_path)
            try:
                await asyncio.wait_for(story(place), DEADLINE)
            finally:
                place.watch.close()

        asyncio.run(stage())

    return act


Play = Callable[[Story], None]

# ------------------------------------------------------------------ which files


def test_a_file_that_is_written_condemns_the_run(play: Play) -> None:
    """The run that was live, by name of the file below the working directory."""

    async def story(place: Place) -> None:
        place.write("src/app.py")
        await place.running("src")
        place.write("src/app.py", "more")
        event = await place.event()
        assert event == RunCondemned("web:0", 1, "changed: src/app.py", failure=False)

    play(story)


def test_a_storm_of_changes_is_one(play: Play) -> None:
    """However many files, and however often each."""

    async def story(place: Place) -> None:
        await place.running(debounce=1.0)
        for number in range(300):
            place.write(f"src/{number % 100}.py")
        assert (await place.why()).endswith(" and 99 more")
        assert place.events.empty()

    play(story)


def test_changes_without_a_pause_are_dealt_with_in_the_end(play: Play) -> None:
    """Some seconds after the first, though the debounce is never over."""

    async def story(place: Place) -> None:
        await place.running(debounce=0.5)
        writing = asyncio.ensure_future(write_on(place))
        try:
            await place.told_of("never-done")
        finally:
            writing.cancel()

    async def write_on(place: Place) -> None:
        while True:
            place.write("never-done")
            await asyncio.sleep(0.05)

    play(story)


def test_a_save_by_rename_is_a_change_of_the_file(play: Play) -> None:
    """What an editor does: a copy aside, a new file with another name, and the rename."""

    async def story(place: Place) -> None:
        place.write("app.py")
        await place.running("app.py")
        os.link(place.directory / "app.py", place.directory / "app.py~")
        place.write(".app.py.new")
        os.replace(place.directory / ".app.py.new", place.directory / "app.py")
        await place.told_of("app.py")

    play(story)


def test_a_file_that_goes_is_a_change(play: Play) -> None:
    """Removed, or moved away."""

    async def story(place: Place) -> None:
        place.write("a.py")
        await place.running("*.py")
        os.unlink(place.directory / "a.py")
        await place.told_of("a.py")

    play(story)


def test_what_is_ignored_or_not_meant_is_no_change(play: Play) -> None:
    """Of all that is written, one file counts."""

    async def story(place: Place) -> None:
        await place.running("**/*.py", ignore=("generated",), debounce=1.0)
        for path in ("a.txt", ".git/a.py", "__pycache__/a.py", "x/generated/a.py", "x/a.py"):
            place.write(path)
        await place.told_of("x/a.py")

    play(story)


def test_a_new_directory_is_watched_with_all_in_it(play: Play) -> None:
    """What was in it before anybody could look, and what comes later."""

    async def story(place: Place) -> None:
        await place.running("**/*.py")
        place.write("elsewhere.d/b/c/deep.py")
        await place.told_of("elsewhere.d/b/c/deep.py")
        place.write("elsewhere.d/b/c/later.py")
        await place.told_of("elsewhere.d/b/c/later.py")

    play(story)


def test_a_root_that_is_not_there_yet_is_awaited(play: Play) -> None:
    """With the directories above it."""

    async def story(place: Place) -> None:
        await place.running("a/b/src")
        place.write("a/b/other")
        place.write("a/b/src/app.py")
        await place.told_of("a/b/src/app.py")

    play(story)


def test_a_root_that_is_removed_and_made_again_is_watched_again(play: Play) -> None:
    """As a checkout or a build does it."""

    async def story(place: Place) -> None:
        place.write("src/app.py")
        await place.running("src")
        shutil.rmtree(place.directory / "src")
        await place.told_of("src/app.py")
        for text in ("first", "second"):
            place.write("src/app.py", text)
            await place.told_of("src/app.py")

    play(story)


def test_a_directory_that_is_moved_away_is_watched_no_more(play: Play) -> None:
    """Its going is a change; what happens to it elsewhere is none."""

    async def story(place: Place) -> None:
        place.write("a/src/app.py")
        await place.running("a/src")
        os.rename(place.directory / "a", place.directory / "b")
        await place.told_of("a")
        place.write("b/src/app.py", "elsewhere")
        place.write("a/src/new.py")
        await place.told_of("a/src/new.py")

    play(story)


def test_a_link_that_is_swapped_is_a_change(play: Play) -> None:
    """As a deployment does it: `current` leads to another release, which is watched then."""

    async def story(place: Place) -> None:
        for release in ("1", "2"):
            place.write(f"releases/{release}/app.py")
        os.symlink("releases/1", place.directory / "current")
        await place.running("current/**/*.py")
        os.symlink("releases/2", place.directory / "next")
        os.replace(place.directory / "next", place.directory / "current")
        assert "current" in await place.why()
        place.write("releases/1/app.py", "old")
        place.write("releases/2/new.py")
        await place.told_of("current/new.py")

    play(story)


def test_links_that_lead_in_circles_are_no_harm(play: Play) -> None:
    """Each directory is entered once, by whatever path, and again when that path goes."""

    async def story(place: Place) -> None:
        place.write("src/a/app.py")
        for number in range(20):
            os.symlink("..", place.directory / f"src/a/up{number}")
        os.symlink("a", place.directory / "src/b")
        await place.running("src")
        place.write("src/a/app.py", "more")
        assert await place.why() in ("changed: src/a/app.py", "changed: src/b/app.py")
        # Whichever of the two it is, it may go, and the files are reached by the other.
        os.rename(place.directory / "src/a", place.directory / "kept")
        os.unlink(place.directory / "src/b")
        os.symlink("../kept", place.directory / "src/b")
        assert "src/" in await place.why()
        place.write("kept/app.py", "again")
        await place.told_of("src/b/app.py")

    play(story)


def test_the_second_path_to_a_directory_serves_when_the_first_goes(play: Play) -> None:
    """Two links to one directory are one inotify watch, for as long as either is there."""

    async def story(place: Place) -> None:
        place.write("real/app.py")
        for name in ("one", "two"):
            (place.directory / "src").mkdir(exist_ok=True)
            os.symlink("../real", place.directory / f"src/{name}")
        await place.running("src")
        place.write("real/app.py", "more")
        first = (await place.why()).split("/")[1]
        os.unlink(place.directory / "src" / first)
        await place.told_of(f"src/{first}")
        place.write("real/app.py", "again")
        await place.told_of(f"src/{'two' if first == 'one' else 'one'}/app.py")

    play(story)


def test_sockets_and_empty_directories_are_no_change(play: Play) -> None:
    """A worker that makes its own does not restart itself by it."""

    async def story(place: Place) -> None:
        await place.running(debounce=1.0)
        (place.directory / "empty").mkdir()
        os.mkfifo(place.directory / "fifo")
        os.chdir(place.directory)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("socket")
        place.write("file")
        await place.told_of("file")

    before = os.getcwd()
    try:
        play(story)
    finally:
        os.chdir(before)


def test_a_name_cannot_command_a_terminal(play: Play) -> None:
    """Whoever may write a file chooses its name."""

    async def story(place: Place) -> None:
        await place.running()
        place.write("a\x1b[2J\nb")
        assert await place.why() == "changed: a\\x1b[2J\\nb"

    play(story)


def test_more_changes_than_the_kernel_keeps_are_a_change(play: Play) -> None:
    """After an overflow all directories are looked at anew."""

    async def story(place: Place) -> None:
        place.write("src/sub/app.py")
        await place.running("src")
        observer = place.watch._observer
        assert observer is not None
        observer._start_over()  # as at IN_Q_OVERFLOW, which 16384 changes at once would bring
        assert await place.why() == "changed: more files than could be told"
        place.write("src/sub/app.py", "more")
        await place.told_of("src/sub/app.py")

    play(story)


# ------------------------------------------------------------------ which runs


def test_all_who_share_a_watch_are_concerned(play: Play) -> None:
    """Instances of one worker, by one observation."""

    async def story(place: Place) -> None:
        names = ("web:0", "web:1", "web:2")
        await place.follow(*(place.instance(running(), name=name) for name in names))
        assert len(place.watch._watched) == 1
        place.write("app.py")
        found = [await place.event() for _ in names]
        assert [event.instance for event in found if isinstance(event, RunCondemned)] == [*names]

    play(story)


def test_a_run_that_is_starting_is_dealt_with_once_it_is_running(play: Play) -> None:
    """It may have read the file as it was before."""

    async def story(place: Place) -> None:
        await place.follow(place.instance(Starting(4, time.monotonic())))
        place.write("app.py")
        await until_settled(place)
        now = time.monotonic()
        place.watch.follow(place.instance(Readying(4, 1, now, now + 60)))
        assert place.events.empty()
        place.watch.follow(place.instance(running(4)))
        assert place.events.empty()  # not while it is being told
        assert await place.event() == RunCondemned("web:0", 4, "changed: app.py", failure=False)

    play(story)


async def until_settled(place: Place) -> None:
    """Wait until a change has been dealt with that condemns nobody yet."""
    await until_true(lambda: place.watch._pending)


def test_another_run_than_that_which_was_starting_is_left_alone(play: Play) -> None:
    """It has begun after the change."""

    async def story(place: Place) -> None:
        await place.follow(place.instance(Starting(4, time.monotonic())))
        place.write("app.py")
        await until_settled(place)
        place.watch.follow(place.instance(Backoff(0.0, "exit code 1")))
        place.watch.follow(place.instance(running(5)))
        await asyncio.sleep(0)
        assert place.events.empty()
        place.write("later.py")
        assert await place.event() == RunCondemned("web:0", 5, "changed: later.py", failure=False)

    play(story)


def test_a_run_that_began_after_the_change_is_left_alone(play: Play) -> None:
    """Though the debounce was still going on then."""

    async def story(place: Place) -> None:
        await place.running(debounce=1.0)
        place.write("app.py")
        (watched,) = place.watch._watched.values()
        await until_true(lambda: watched.timer is not None)
        place.watch.follow(place.instance(running(2), debounce=1.0))
        await until_true(lambda: watched.timer is None)
        assert place.events.empty()

    play(story)


def test_one_that_can_reload_is_told_to(play: Play) -> None:
    """All such instances at once, without a restart, whatever their update policy is."""

    async def story(place: Place) -> None:
        names = ("web:0", "web:1")
        await place.follow(
            *(
                place.instance(running(), name=name, reload_signal=1, update=ROLLING)
                for name in names
            )
        )
        place.write("app.conf")
        assert await place.event() == ReloadRequested(names)

    play(story)


def test_a_worker_that_is_updated_one_by_one_is_rolled_out(play: Play) -> None:
    """Once, with all its instances."""

    async def story(place: Place) -> None:
        names = ("web:0", "web:1")
        await place.follow(
            *(place.instance(running(), name=name, update=ROLLING) for name in names)
        )
        place.write("app.py")
        assert await place.event() == RolloutRequested(("web",), "changed: app.py")
        assert place.events.empty()

    play(story)


def test_files_of_one_instance_roll_out_nobody_else(play: Play) -> None:
    """Where each instance has a directory of its own."""

    async def story(place: Place) -> None:
        names = ("web:0", "web:1")
        await place.follow(
            *(place.instance(running(), name, name=name, update=ROLLING) for name in names)
        )
        place.write("web:1/app.py")
        event = await place.event()
        assert isinstance(event, RunCondemned)
        assert event.instance == "web:1"

    play(story)


def test_nothing_is_observed_for_those_that_are_down(play: Play) -> None:
    """The thread ends with the last of them, and comes back with the next."""

    async def story(place: Place) -> None:
        await place.running()
        first = place.watch._observer
        assert first is not None
        down = place.instance(Stopped())
        place.watch.follow(Instance(down.spec, Stopped(), wanted=False))
        await asyncio.to_thread(first._thread.join, DEADLINE)
        assert not first._thread.is_alive()
        place.write("app.py")
        await place.running()
        place.write("later.py")
        await place.told_of("later.py")

    play(story)


def test_a_restart_does_not_walk_again(play: Play) -> None:
    """An instance that is wanted keeps its watch from run to run."""

    async def story(place: Place) -> None:
        await place.running()
        observer = place.watch._observer
        assert observer is not None
        (tree,) = observer._trees.values()
        place.watch.follow(place.instance(Backoff(0.0, "exit code 1")))
        await place.running()
        (same,) = observer._trees.values()
        assert same is tree

    play(story)


def test_a_thousand_beginnings_and_ends_leave_nothing(play: Play) -> None:
    """No descriptor, no inotify watch, no thread."""

    async def story(place: Place) -> None:
        await place.running()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(300):
            place.watch.forget("web:0")
            await asyncio.sleep(0)
            place.watch.follow(place.instance(running()))
            await asyncio.sleep(0)
        await place.observed()
        await until_true(lambda: len(os.listdir("/proc/self/fd")) <= before)

    play(story)


# ------------------------------------------------------------------ what we are denied

_FEW_WATCHES = 'echo 12 > /proc/sys/user/max_inotify_watches && exec "$@"'
_WATCHER = """
import asyncio, sys, time
from pathlib import Path
from supervisord_lite.core.spec import *
from supervisord_lite.core.state import *
from supervisord_lite.manager.files.watching import FileWatch

async def main():
    told = asyncio.Queue()
    watch = FileWatch(told.put_nowait, told.put_nowait)
    program = Program(("serve",), sys.argv[1])
    spec = InstanceSpec("web:0", "web", 0, program, watch=Watch((sys.argv[1],), debounce=0.1))
    now = time.monotonic()
    watch.follow(Instance(spec, Running(1, 1, now, now), wanted=True))
    print(await told.get(), flush=True)
    Path(sys.argv[1], "19/new.py").write_text("x")
    print((await told.get()).why, flush=True)
    watch.close()

asyncio.run(main())
"""


def denied(directory: Path, *prefix: str) -> tuple[str, str]:
    """What a watcher in a user namespace of its own says first, and what it finds changed."""
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _WATCHER, str(directory)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, why = done.stdout.splitlines()
    return said, why


def test_without_watches_files_are_compared_from_time_to_time(tmp_path: Path) -> None:
    """Somebody is told how to raise the limit, and nothing else is worse."""
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    few = ("unshare", "--user", "--map-root-user", "sh", "-c", _FEW_WATCHES, "sh")
    said, why = denied(tmp_path, *few)
    assert "max_user_watches" in said
    assert str(tmp_path) in said
    assert why == "changed: 19/new.py"


def test_a_directory_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """By its path, and all others are watched."""
    (tmp_path / "19").mkdir()
    secret = tmp_path / "secret"
    secret.mkdir(mode=0)
    try:
        said, why = denied(tmp_path, "unshare", "--user")  # where not even root may read it
    finally:
        secret.chmod(0o700)
    assert said == f"cannot watch {secret}: Permission denied"
    assert why == "changed: 19/new.py"
