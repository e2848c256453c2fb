"""What an operator wanted, across boots: files, and nothing else."""

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from supervisord_lite.core.spec import InstanceSpec, Program
from supervisord_lite.core.state import Exit, Exited, Instance, Running, Stopped
from supervisord_lite.manager.lasting import Lasting

UP = Running(1, 1, 0.0, 0.0)


def instance(name: str, *, wanted: bool, autostart: bool = True, remember: bool = True) -> Instance:
    spec = InstanceSpec(
        name, "web", 0, Program(("serve",), "/"), autostart=autostart, remember=remember
    )
    return Instance(spec, UP if wanted else Stopped(), wanted=wanted)


class Boot:
    """One daemon's life, as far as wishes go."""

    def __init__(self, directory: Path) -> None:
        self.ending = False
        self.said: list[str] = []
        self.lasting = Lasting(lambda: self.ending, self.said.append)
        self.lasting.keep_in(str(directory))
        self.follow = self.lasting.follow
        self.wishes = dict(self.lasting.wishes())


Story = Callable[[Boot], object]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state/shop"


@pytest.fixture
def boot(place: Path) -> Callable[[Story], Boot]:
    """Have one boot after the other; all is on the disk when the next begins."""

    def act(story: Story) -> Boot:
        async def life() -> Boot:
            daemon = Boot(place)
            result = story(daemon)
            if isinstance(result, Awaitable):
                await result
            await daemon.lasting.settled()
            return daemon

        return asyncio.run(life())

    return act


Boots = Callable[[Story], Boot]


def quiet(_: Boot) -> None:
    """Nothing happens in this life."""


def test_what_was_stopped_is_known_at_the_next_boot(boot: Boots) -> None:
    """An instance that starts by itself and was stopped by hand."""
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    assert boot(quiet).wishes == {"web:0": False}


def test_what_was_started_is_known_at_the_next_boot(boot: Boots) -> None:
    """One that does not start by itself and was started by hand."""
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=True, autostart=False)))
    assert boot(quiet).wishes == {"web:0": True}


def test_a_wish_that_is_taken_back_is_forgotten(boot: Boots) -> None:
    """It is as its file says again."""

    def story(daemon: Boot) -> None:
        daemon.follow(instance("web:0", wanted=False))
        daemon.follow(instance("web:0", wanted=True))

    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    boot(story)
    assert boot(quiet).wishes == {}


def test_the_last_of_many_wishes_counts(boot: Boots) -> None:
    """However fast they come while one is being written."""

    async def story(daemon: Boot) -> None:
        for number in range(200):
            daemon.follow(instance("web:0", wanted=number % 2 == 0))
            await asyncio.sleep(0)
        daemon.follow(instance("web:1", wanted=False))

    boot(story)
    assert boot(quiet).wishes == {"web:0": False, "web:1": False}


def test_without_remember_nothing_is_written(boot: Boots, place: Path) -> None:
    """Not even a directory is made."""
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False, remember=False)))
    assert not place.exists()


def test_a_shutdown_is_no_wish(boot: Boots) -> None:
    """All instances go down by it, and all that were up come back."""

    def story(daemon: Boot) -> None:
        daemon.follow(instance("web:0", wanted=True))
        daemon.follow(instance("web:1", wanted=False))
        daemon.ending = True
        daemon.follow(instance("web:0", wanted=False))

    boot(story)
    assert boot(quiet).wishes == {"web:1": False}


def test_a_manager_that_takes_over_in_a_shutdown_keeps_what_was_written(boot: Boots) -> None:
    """It sees instances that are down since everything ends, some of which nobody remembers."""

    def story(daemon: Boot) -> None:
        daemon.ending = True
        daemon.follow(instance("web:0", wanted=False))
        daemon.follow(instance("other:0", wanted=False, remember=False))

    boot(lambda daemon: daemon.follow(instance("web:1", wanted=False)))
    boot(story)
    assert boot(quiet).wishes == {"web:1": False}


def test_one_that_has_done_its_work_was_not_stopped(boot: Boots) -> None:
    """It wants nothing more, which is not for lack of an operator's wish."""
    done = Instance(
        instance("web:0", wanted=False).spec, Exited(1, Exit(code=0), 0.0), wanted=False
    )
    boot(lambda daemon: daemon.follow(done))
    assert boot(quiet).wishes == {}


def test_a_wish_outlives_the_work_that_was_wished_for(boot: Boots) -> None:
    """Also where a new manager finds the work done."""
    started = instance("web:0", wanted=True, autostart=False)
    done = Instance(started.spec, Exited(1, Exit(code=0), 0.0), wanted=False)
    boot(lambda daemon: daemon.follow(started))
    boot(lambda daemon: daemon.follow(done))
    assert boot(quiet).wishes == {"web:0": True}


def test_a_retiring_instance_is_forgotten(boot: Boots) -> None:
    """It goes down since the configuration has it no more."""

    def story(daemon: Boot) -> None:
        stopped = instance("web:0", wanted=False)
        daemon.follow(stopped)
        daemon.follow(Instance(stopped.spec, stopped.state, wanted=False, retiring=True))

    boot(story)
    assert boot(quiet).wishes == {}


def test_a_removed_instance_is_forgotten(boot: Boots) -> None:
    """Nothing of it is told at the next boot."""

    def story(daemon: Boot) -> None:
        daemon.follow(instance("web:0", wanted=False))
        daemon.lasting.forget("web:0")

    boot(story)
    assert boot(quiet).wishes == {}


def test_one_that_was_removed_between_boots_is_forgotten(boot: Boots) -> None:
    """What the configuration of this boot does not have leaves the file."""
    boot(lambda daemon: daemon.follow(instance("old:0", wanted=False)))
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    assert boot(quiet).wishes == {"web:0": False}


def test_one_that_is_not_to_be_remembered_any_more_is_forgotten(boot: Boots) -> None:
    """Though it is still in the configuration, and still down."""
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False, remember=False)))
    assert boot(quiet).wishes == {}


def test_nothing_is_lost_before_the_configuration_is_applied(boot: Boots) -> None:
    """A boot that ends before it has followed anybody leaves the file as it was."""
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    boot(quiet)
    assert boot(quiet).wishes == {"web:0": False}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"version": 1, "wanted": {"web',
        b'{"version": 2, "wanted": {}}',
        b'{"version": 1, "wanted": [1]}',
        b'{"version": 1, "wanted": {"web:0": "yes"}}',
    ],
)
def test_a_file_without_sense_is_put_aside(boot: Boots, place: Path, content: bytes) -> None:
    """The boot goes on, somebody is told, and nothing is thrown away."""
    place.mkdir(parents=True)
    (place / "wishes.json").write_bytes(content)
    daemon = boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    assert daemon.wishes == {}
    assert "wishes.json" in daemon.said[0]
    assert (place / "wishes.json.corrupt").read_bytes() == content
    assert boot(quiet).wishes == {"web:0": False}


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With its path, once for each wish that cannot be kept, and the daemon goes on."""
    (tmp_path / "file").touch()

    async def story() -> list[str]:
        said: list[str] = []
        lasting = Lasting(lambda: False, said.append)
        lasting.keep_in(str(tmp_path / "file/state"))
        said.clear()  # nor can it be read
        for _ in range(3):
            lasting.follow(instance("web:0", wanted=False))
            await lasting.settled()
        return said

    (said,) = asyncio.run(story())
    assert str(tmp_path / "file") in said


def test_what_is_kept_is_for_its_owner_only(boot: Boots, place: Path) -> None:
    """The directory is made with mode 0700, the file with 0600."""
    boot(lambda daemon: daemon.follow(instance("web:0", wanted=False)))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "wishes.json").stat().st_mode) == 0o600
    assert os.listdir(place) == ["wishes.json"]


def test_what_is_kept_moves_with_its_directory(boot: Boots, place: Path) -> None:
    """A reload that names another one has all wishes written there."""

    def story(daemon: Boot) -> None:
        daemon.follow(instance("web:0", wanted=False))
        daemon.lasting.keep_in(str(place / "elsewhere"))

    boot(story)
    document = json.loads((place / "elsewhere/wishes.json").read_text())
    assert document == {"version": 1, "wanted": {"web:0": False}}
