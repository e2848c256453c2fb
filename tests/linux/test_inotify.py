"""What a directory's watcher is told: names, kinds, ends of watches, and limits."""

import errno
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_lite.linux import inotify
from supervisord_lite.linux.inotify import Change, Inotify

CHANGES = (
    inotify.IN_CREATE
    | inotify.IN_CLOSE_WRITE
    | inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_DELETE
    | inotify.IN_DELETE_SELF
)


@pytest.fixture
def watcher() -> Iterator[Inotify]:
    found = Inotify()
    yield found
    found.close()


def told(watcher: Inotify) -> list[Change]:
    """All that waits."""
    found: list[Change] = []
    while select.select([watcher.fd], [], [], 0)[0]:
        found += watcher.changes()
    return found


def test_a_file_that_is_written_is_told_by_name(watcher: Inotify, tmp_path: Path) -> None:
    """Made, and closed after writing."""
    watch = watcher.watch(str(tmp_path), CHANGES)
    (tmp_path / "a file").write_text("x")
    assert told(watcher) == [
        Change(watch, inotify.IN_CREATE, "a file"),
        Change(watch, inotify.IN_CLOSE_WRITE, "a file"),
    ]


def test_a_name_that_is_no_text_comes_back_as_it_was(watcher: Inotify, tmp_path: Path) -> None:
    """File names are bytes."""
    watcher.watch(str(tmp_path), inotify.IN_CREATE)
    name = os.fsdecode(b"\xff\xfe")
    (tmp_path / name).touch()
    assert [change.name for change in told(watcher)] == [name]


def test_a_directory_is_told_from_a_file(watcher: Inotify, tmp_path: Path) -> None:
    """So that it can be watched, too."""
    watcher.watch(str(tmp_path), inotify.IN_CREATE)
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    assert [change.of_directory for change in told(watcher)] == [True, False]


def test_a_watch_ends_with_what_it_watches(watcher: Inotify, tmp_path: Path) -> None:
    """A directory that is removed tells of its end, and that its watch is no more."""
    (tmp_path / "d").mkdir()
    watch = watcher.watch(str(tmp_path / "d"), CHANGES)
    (tmp_path / "d").rmdir()
    end = told(watcher)
    assert [(change.watch, change.name, change.ended) for change in end] == [
        (watch, "", False),
        (watch, "", True),
    ]
    watcher.unwatch(watch)


def test_watching_twice_is_one_watch(watcher: Inotify, tmp_path: Path) -> None:
    """The same directory by another path has the same number."""
    (tmp_path / "link").symlink_to(tmp_path)
    one = watcher.watch(str(tmp_path), CHANGES)
    assert watcher.watch(str(tmp_path / "link"), CHANGES) == one


def test_only_directories_where_only_they_are_wanted(watcher: Inotify, tmp_path: Path) -> None:
    """The error says so, and of what."""
    (tmp_path / "file").touch()
    path = str(tmp_path / "file")
    with pytest.raises(NotADirectoryError) as caught:
        watcher.watch(path, CHANGES | inotify.IN_ONLYDIR)
    assert caught.value.filename == path


def test_lost_changes_are_told(watcher: Inotify, tmp_path: Path) -> None:
    """When more waits than the kernel keeps, the last thing told is that something is missing."""
    watcher.watch(str(tmp_path), inotify.IN_MODIFY | inotify.IN_CLOSE_WRITE)
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with (tmp_path / "a").open("wb", buffering=0) as a, (tmp_path / "b").open("wb", 0) as b:
        for _ in range(most // 2 + 2):  # alike in a row are told as one
            a.write(b"x")
            b.write(b"x")
    found = told(watcher)
    assert (found[-1].watch, found[-1].lost) == (-1, True)
    assert not any(change.lost for change in found[:-1])


OUT_OF_WATCHES = """
import os, sys
from supervisord_lite.linux.inotify import IN_CREATE, Inotify
watcher = Inotify()
try:
    for number in range(10):
        os.mkdir(f"{sys.argv[1]}/{number}")
        watcher.watch(f"{sys.argv[1]}/{number}", IN_CREATE)
except OSError as error:
    print(error.errno, error.filename, error.strerror)
"""


def test_the_limit_on_watches_is_named(tmp_path: Path) -> None:
    """Whoever runs into it is told which limit that is, and where."""
    # That of a user namespace of its own: in /proc/sys/fs it would be the machine's.
    script = 'echo 3 > /proc/sys/user/max_inotify_watches && exec "$@"'
    argv = [sys.executable, "-c", OUT_OF_WATCHES, str(tmp_path)]
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        pytest.skip(f"no user namespaces with limits of their own: {done.stderr}")
    number, path, *text = done.stdout.split()
    assert (int(number), path) == (errno.ENOSPC, str(tmp_path / "3"))
    assert "fs.inotify.max_user_watches" in " ".join(text)
