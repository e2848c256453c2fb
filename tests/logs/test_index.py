"""The index: when bytes came, and of which run; a help that may be missing or torn."""

from __future__ import annotations

import os
import time
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Rotation
from supervisord_lite.logs.event import Noticed
from supervisord_lite.logs.files.index import ENTRY, HEADER, identity
from supervisord_lite.logs.files.rotation import hidden_path, index_path

if TYPE_CHECKING:
    from tests.logs.conftest import Rig

Entry = tuple[int, int, int]


def entries(path: str) -> list[Entry]:
    """Offset, time and run of every entry."""
    return list(ENTRY.iter_unpack(Path(index_path(path)).read_bytes()[HEADER.size :]))


def test_each_run_is_marked_where_it_begins_and_ends(rig: Rig) -> None:
    """What comes between the end of one run and the start of the next is of nobody known."""
    log = rig.log()
    rig.plane.began("web", 7)
    rig.flush()
    rig.write(b"of seven\n")
    rig.plane.ended("web", 7)
    rig.flush()
    rig.write(b"of a grandchild\n")
    rig.plane.began("web", 8)
    rig.flush()
    rig.write(b"of eight\n")
    rig.flush()
    runs = {run: offset for offset, _, run in reversed(entries(log.path))}
    assert runs[7] == 0
    assert runs[8] == len(b"of seven\nof a grandchild\n")
    last_of_seven = max(offset for offset, _, run in entries(log.path) if run == 7)
    ended = [offset for offset, _, run in entries(log.path) if run == 0 and offset > last_of_seven]
    assert ended[0] == len(b"of seven\n")


def test_an_end_that_is_told_late_does_not_touch_the_next_run(rig: Rig) -> None:
    """A restart does not wait for the last words of the run before."""
    log = rig.log()
    rig.plane.began("web", 1)
    rig.plane.began("web", 2)
    rig.plane.ended("web", 1)
    rig.flush()
    rig.write(b"of two\n")
    rig.flush()
    assert entries(log.path)[-1][2] == 2


def test_offsets_and_times_never_go_down(rig: Rig) -> None:
    """And there are few entries, however many writes."""
    log = rig.log(rotation=Rotation(None))
    began = time.monotonic()
    for number in range(3000):
        rig.write(b"%d\n" % number)
    rig.flush()
    found = entries(log.path)
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(found))
    assert len(found) <= 3 + (time.monotonic() - began) / 0.010


def test_the_run_is_known_to_the_next_data_plane(rig: Rig) -> None:
    """A manager that takes over need not tell which run is writing."""
    log = rig.log()
    rig.plane.began("web", 5)
    rig.write(b"x\n")
    rig.renew()
    rig.write(b"y\n")
    rig.flush()
    rig.plane.ended("web", 5)
    rig.flush()
    runs = [run for run, _ in groupby(run for _, _, run in entries(log.path))]
    assert runs[-2:] == [5, 0]


def test_what_a_run_says_at_once_is_its_own(rig: Rig) -> None:
    """A run may write before the data plane's thread has come to hear of it."""
    log = rig.log()
    rig.write(b"old\n")
    rig.flush()
    for run in range(1, 20):
        rig.plane.began("web", run)
        rig.write(b"new\n")
    rig.flush()
    marks = [(offset, run) for offset, _, run in entries(log.path) if run]
    assert [run for _, run in marks] == [*range(1, 20)]
    assert all(offset <= 4 * run for offset, run in marks)


def test_rotation_starts_an_index_that_goes_on_counting(rig: Rig) -> None:
    """The base of each file is where the one before it ended."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.write(rig.lines(25))
    rig.flush()
    headers = [
        HEADER.unpack(Path(index_path(path)).read_bytes()[: HEADER.size])
        for path in (f"{log.path}.2", f"{log.path}.1", log.path)
    ]
    assert [base for *_, base in headers] == [0, 640, 1280]
    assert len({chain for _, chain, _, _ in headers}) == 1
    assert [inode for _, _, inode, _ in headers] == [
        os.stat(path).st_ino for path in (f"{log.path}.2", f"{log.path}.1", log.path)
    ]


def test_a_torn_entry_is_cut_off(rig: Rig) -> None:
    """A crash in the middle of an entry spoils none that follow."""
    log = rig.log()
    rig.write(b"x\n")
    rig.flush()
    assert rig.plane.stop()
    with Path(index_path(log.path)).open("ab") as file:
        file.write(b"torn")
    rig.renew()
    rig.plane.began("web", 3)
    rig.flush()
    assert entries(log.path)[-1][::2] == (2, 3)


def test_a_crash_between_the_renames_of_index_and_file_is_mended(rig: Rig) -> None:
    """The index that went ahead comes back to its file."""
    log = rig.log()
    rig.write(b"x\n")
    rig.flush()
    assert rig.plane.stop()
    known = Path(index_path(log.path)).read_bytes()
    Path(index_path(log.path)).rename(index_path(f"{log.path}.1"))
    rig.renew()
    rig.flush()
    assert Path(index_path(log.path)).read_bytes().startswith(known)


@pytest.mark.parametrize("torn", [0, HEADER.size - 1, HEADER.size, HEADER.size + ENTRY.size])
def test_a_crash_before_the_fresh_file_has_its_name_is_mended(rig: Rig, torn: int) -> None:
    """The chain goes on, however much of the fresh file's index was written."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.write(rig.lines(10))
    rig.flush()
    rig.write(rig.lines(1))
    rig.flush()
    known = identity(log.path, os.stat(log.path).st_ino)
    assert rig.plane.stop()
    os.truncate(log.path, 0)
    os.truncate(index_path(log.path), torn)
    os.rename(log.path, hidden_path(log.path, "new"))
    rig.renew()
    rig.flush()
    assert known is not None
    assert known.base == 640
    assert identity(log.path, os.stat(log.path).st_ino) == known


def test_an_index_that_cannot_be_written_is_told_once(rig: Rig) -> None:
    """The log goes on without it."""
    Path(index_path(str(rig.directory / "web.log"))).mkdir()
    log = rig.log()
    for _ in range(5):
        rig.write(b"x\n")
        rig.flush()
    (notice,) = rig.told(Noticed)
    assert isinstance(notice, Noticed)
    assert notice.text == f"cannot write {index_path(log.path)}: Is a directory"
    assert rig.contents(log) == b"x\n" * 5


def test_entries_are_10_ms_apart_though_the_clock_was_set_back(rig: Rig) -> None:
    """The last entry is of a time that has not come yet."""
    log = rig.log()
    assert rig.plane.stop()
    index = Path(index_path(log.path))
    content = index.read_bytes()
    later = [
        ENTRY.pack(offset, when + 3600 * 10**9, run)
        for offset, when, run in ENTRY.iter_unpack(content[HEADER.size :])
    ]
    index.write_bytes(content[: HEADER.size] + b"".join(later))
    rig.renew()
    begun = time.monotonic()
    for _ in range(1000):
        rig.write(b"x\n")
        rig.flush()
    most = (time.monotonic() - begun) / 0.01 + 3
    assert (index.stat().st_size - HEADER.size) / ENTRY.size <= most
