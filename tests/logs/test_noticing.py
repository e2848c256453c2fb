"""What others do to a log while it is written: it goes on, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from supervisord_lite.core.log import Rotation
from supervisord_lite.logs.event import TroubleBegan
from supervisord_lite.logs.files.index import identity
from supervisord_lite.logs.reading.reader import Follower

if TYPE_CHECKING:
    from tests.logs.conftest import Rig


def write_until(rig: Rig, path: Path) -> int:
    """Write numbered lines until one of them is in the file of this name; how many it took."""
    written = 0

    def arrived() -> bool:
        nonlocal written
        rig.write(rig.lines(1, start=written))
        written += 1
        rig.flush()
        return path.exists() and path.stat().st_size > 0

    rig.eventually(arrived, f"{path} is written to")
    return written


def test_a_log_that_was_moved_away_is_made_anew(rig: Rig) -> None:
    """What was in it stays there, what comes goes into the new one, without being asked to."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    moved = rig.directory / "archived"
    os.rename(log.path, moved)
    written = write_until(rig, Path(log.path))
    assert moved.read_bytes() + Path(log.path).read_bytes() == b"before\n" + rig.lines(written)


def test_a_reader_follows_a_log_that_was_moved_away(rig: Rig) -> None:
    """By the position that it has, without a missing or doubled byte."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    follower = Follower(log.path, tail=1)
    os.rename(log.path, f"{log.path}.1")
    written = write_until(rig, Path(log.path))
    found = b""
    while data := follower.read(65536):
        found += data
    follower.close()
    assert found == b"before\n" + rig.lines(written)


def test_the_index_goes_with_a_log_that_was_rotated_from_outside(rig: Rig) -> None:
    """As `logrotate` does it: its older file is one of ours then."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    known = identity(log.path, os.stat(log.path).st_ino)
    os.rename(log.path, f"{log.path}.1")
    write_until(rig, Path(log.path))
    older = f"{log.path}.1"
    assert known is not None
    assert identity(older, os.stat(older).st_ino) == known
    fresh = identity(log.path, os.stat(log.path).st_ino)
    assert fresh is not None
    assert (fresh.chain, fresh.base) == (known.chain, os.stat(older).st_size)


def test_a_file_in_its_place_is_gone_on_with(rig: Rig) -> None:
    """An editor writes a new file and renames it: what it has written stays."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    edited = rig.directory / "edited"
    edited.write_bytes(b"edited\n")
    os.rename(log.path, rig.directory / "backup")
    os.rename(edited, log.path)

    def arrived() -> bool:
        rig.write(b"after\n")
        rig.flush()
        return Path(log.path).read_bytes().startswith(b"edited\nafter\n")

    rig.eventually(arrived)


def test_reopening_does_it_at_once(rig: Rig) -> None:
    """For those who tell us, as `postrotate` of logrotate does."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    os.rename(log.path, f"{log.path}.1")
    rig.reopen()
    rig.write(b"after\n")
    rig.flush()
    assert Path(log.path).read_bytes() == b"after\n"
    assert Path(f"{log.path}.1").read_bytes() == b"before\n"


def test_a_directory_that_was_removed_is_made_again(rig: Rig) -> None:
    """With all that was in it; what comes later is logged."""
    log = rig.log(path=str(rig.directory / "logs" / "web.log"))
    rig.write(b"before\n")
    rig.flush()
    shutil.rmtree(rig.directory / "logs")
    written = write_until(rig, Path(log.path))
    assert Path(log.path).read_bytes().endswith(rig.lines(1, start=written - 1))


def test_a_directory_in_its_place_is_trouble(rig: Rig) -> None:
    """It is said, and over when it is gone."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    os.rename(log.path, rig.directory / "archived")
    os.mkdir(log.path)

    def told() -> bool:
        rig.write(b"x\n")
        rig.flush()
        return bool(rig.told(TroubleBegan))

    rig.eventually(told)
    os.rmdir(log.path)
    rig.eventually(lambda: rig.plane.status("web").trouble is None)
    rig.write(b"after\n")
    rig.flush()
    assert Path(log.path).read_bytes().endswith(b"after\n")


def test_what_was_on_its_way_into_a_truncated_log_begins_it(rig: Rig) -> None:
    """As after `copytruncate` under load: no file begins with a hole where the old bytes were."""
    log = rig.log(rotation=Rotation(None))
    rig.flush()
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            rig.write(rig.lines(4096))

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        for _ in range(150):
            rig.eventually(lambda: os.path.getsize(log.path) > 2_000_000, "it grows")
            os.truncate(log.path, 0)
    finally:
        over.set()
        writer.join()
    rig.write(rig.lines(1))  # the last truncation may have come after all else
    rig.flush()
    with open(log.path, "rb") as file:
        assert b"\0" not in file.read(1_000_000)
    assert os.path.getsize(log.path) == rig.plane.status("web").bytes
