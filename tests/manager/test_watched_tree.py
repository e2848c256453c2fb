"""Directories that come, go, move and are linked to, at random, while their watcher lags behind."""

import os
import random
import select
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from supervisord_lite.core.spec import Watch
from supervisord_lite.manager.files.watched_tree import WatchedTree, Watches

NAMES = ("a", "b", "src")
DEPTH = 4


@pytest.fixture
def watches() -> Iterator[Watches]:
    found = Watches()
    yield found
    found.close()


class Garden:
    """A place where a tree is disturbed by chance."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self._chance = random.Random(seed)
        # Links lead to directories that stay. A link is not looked at again when something comes or
        # goes on the way to its target.
        self._targets = [directory / "real" / name for name in NAMES]
        for target in self._targets:
            target.mkdir(parents=True)

    def path(self) -> Path:
        depth = self._chance.randint(1, DEPTH)
        return self.directory.joinpath(*self._chance.choices(NAMES, k=depth))

    def disturb(self) -> None:
        """One thing that may or may not be possible just now."""
        one, other = self.path(), self.path()
        with suppress(OSError, shutil.Error):
            match self._chance.choice(
                ("make", "make", "write", "link", "move", "unlink", "remove")
            ):
                case "make":
                    one.mkdir(parents=True)
                case "write":
                    one.write_text("x")
                case "link":
                    os.symlink(self._chance.choice(self._targets), one)
                case "move":
                    os.rename(one, other)
                case "unlink":
                    os.unlink(one)
                case "remove":
                    shutil.rmtree(one)

    def chance(self, share: float) -> bool:
        return self._chance.random() < share


def catch_up(tree: WatchedTree, watches: Watches) -> None:
    """Take all that waits."""
    while select.select([watches.inotify.fd], [], [], 0)[0]:
        for change in watches.inotify.changes():
            for node in watches.of(change):
                if not node.dropped:
                    tree.take(node, change)
        tree.settle()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_it_knows_what_a_fresh_look_finds(
    seed: int, watches: Watches, tmp_path: Path
) -> None:
    """The same directories in the same states of the globs, once all changes were told."""
    garden = Garden(tmp_path, seed)
    watch = Watch((f"{tmp_path}/src", f"{tmp_path}/a/**/b/*", f"{tmp_path}/b/src"))
    tree = WatchedTree(watch, watches, lambda _: None)
    for _ in range(150):
        garden.disturb()
        if garden.chance(0.2):
            catch_up(tree, watches)
    catch_up(tree, watches)
    fresh = WatchedTree(watch, watches, lambda _: None)
    assert set(tree._seen) == set(fresh._seen)
    fresh.close()


@pytest.mark.parametrize("seed", range(10))
def test_what_is_closed_leaves_no_watch(seed: int, watches: Watches, tmp_path: Path) -> None:
    """Whatever has happened before."""
    garden = Garden(tmp_path, seed)
    tree = WatchedTree(Watch((str(tmp_path),)), watches, lambda _: None)
    for _ in range(50):
        garden.disturb()
        if garden.chance(0.2):
            catch_up(tree, watches)
    tree.close()
    assert not watches._nodes
    assert "inotify wd" not in Path(f"/proc/self/fdinfo/{watches.inotify.fd}").read_text()


def is_told(watches: Watches) -> bool:
    return bool(select.select([watches.inotify.fd], [], [], 0)[0])


def test_files_beside_what_leads_on_wake_nobody(watches: Watches, tmp_path: Path) -> None:
    """Neither in the directory of a watched directory nor further up."""
    source = tmp_path / "app" / "src"
    source.mkdir(parents=True)
    others = [tmp_path / "x", tmp_path / "app" / "x"]
    for other in others:
        other.touch()
    tree = WatchedTree(Watch((str(source),)), watches, lambda _: None)
    for other in others:
        other.write_text("x")
    assert not is_told(watches)
    (source / "x").write_text("x")
    assert is_told(watches)
    tree.close()


def test_a_file_in_place_of_a_directory_is_a_change_each_time(
    watches: Watches, tmp_path: Path
) -> None:
    """When it comes, and when it is written later."""
    place = tmp_path / "src"
    place.mkdir()
    tree = WatchedTree(Watch((str(place),)), watches, lambda _: None)
    place.rmdir()
    catch_up(tree, watches)
    for text in ("x", "y"):
        tree.changed.clear()
        place.write_text(text)
        catch_up(tree, watches)
        assert list(tree.changed) == [str(place)]
    tree.close()


def test_two_watches_of_one_directory_do_not_take_from_each_other(
    watches: Watches, tmp_path: Path
) -> None:
    """Whichever came first: one is about a file in it, the other about a directory."""
    (tmp_path / "src").mkdir()
    file = tmp_path / "file"
    file.touch()
    trees = [
        WatchedTree(Watch((str(tmp_path / name),)), watches, lambda _: None)
        for name in ("file", "src")
    ]
    file.write_text("x")
    for change in watches.inotify.changes():
        for node in watches.of(change):
            node.tree.take(node, change)
    assert [list(tree.changed) for tree in trees] == [[str(file)], []]
    for tree in trees:
        tree.close()
