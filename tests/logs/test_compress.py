"""Compressing older files: what the helper leaves behind, and how that takes its place."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Compression, Rotation
from supervisord_lite.linux import locks
from supervisord_lite.logs.files import compress, retention, rotation
from supervisord_lite.logs.files.index import ENTRY, HEADER, identity
from supervisord_lite.logs.files.packed import Packed
from supervisord_lite.logs.files.rotation import index_path, packing_paths
from supervisord_lite.logs.files.run_start import run_start

if TYPE_CHECKING:
    from tests.logs.conftest import Rig


def pack_all(path: str) -> None:
    for _, inode in retention.unpacked(path):
        assert compress.compress(path, inode, Compression.GZIP)
        assert rotation.settle(path, inode, ".gz")


def helper(path: Path, inode: int, **how: object) -> subprocess.CompletedProcess[str]:
    """The program itself, as the keeper spawns it."""
    module = "supervisord_lite.logs.files.compress"
    argv = [sys.executable, "-P", "-m", module, str(path), str(inode), "gzip"]
    return subprocess.run(argv, check=False, capture_output=True, text=True, **how)  # type: ignore[call-overload,no-any-return]


def test_the_packed_file_replaces_the_plain_one(rig: Rig) -> None:
    """Same number, same bytes, its index beside it, and nothing else is left."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.write(rig.lines(25))
    rig.flush()
    pack_all(log.path)
    names = ("web.log", "web.log.1.gz", "web.log.2.gz")
    assert sorted(os.listdir(rig.directory)) == sorted(
        [*names, *(f".{name}.idx" for name in names)]
    )
    with Packed(f"{log.path}.2.gz") as packed:
        assert packed.pread(1000, 0) == rig.lines(10)


def test_packed_files_are_rotated_like_plain_ones(rig: Rig) -> None:
    """They move on with their indexes, and the oldest goes."""
    log = rig.log(rotation=Rotation(640, keep=3))
    rig.write(rig.lines(25))
    rig.flush()
    pack_all(log.path)
    rig.write(rig.lines(20, start=25))
    rig.flush()
    files = rotation.older(log.path)
    assert [(one.number, one.packed) for one in files] == [(1, False), (2, False), (3, True)]
    with Packed(files[-1].path) as packed:
        assert packed.pread(1000, 0) == rig.lines(10, start=10)
        who = identity(files[-1].path, packed.inode)
    assert who is not None
    assert who.base == 640


def test_the_index_of_a_packed_file_says_the_same(rig: Rig) -> None:
    """Offsets and times are those of the plain file; only the owner is another."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.plane.began("web", 7)
    rig.write(rig.lines(15))
    rig.flush()
    before = Path(index_path(f"{log.path}.1")).read_bytes()
    pack_all(log.path)
    after = Path(index_path(f"{log.path}.1.gz")).read_bytes()
    assert after[HEADER.size :] == before[HEADER.size :]
    assert HEADER.unpack_from(after)[2] == os.stat(f"{log.path}.1.gz").st_ino
    assert len(after) > HEADER.size + ENTRY.size


def test_where_a_run_began_is_found_in_packed_files(rig: Rig) -> None:
    """Its output may have been rotated and compressed since."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.plane.began("web", 1)
    rig.write(rig.lines(3))
    rig.flush()
    rig.plane.began("web", 2)
    rig.write(rig.lines(22, start=3))
    rig.flush()
    before = run_start(log.path, 2, 0.0)
    pack_all(log.path)
    assert before is not None
    assert before.endswith(f":{3 * 64}")
    assert run_start(log.path, 2, 0.0) == before


def test_the_time_of_the_last_byte_stays(rig: Rig) -> None:
    """By it the oldest files are known."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.write(rig.lines(15))
    rig.flush()
    os.utime(f"{log.path}.1", (1_000_000, 1_000_000))
    os.chmod(f"{log.path}.1", 0o604)
    pack_all(log.path)
    status = os.stat(f"{log.path}.1.gz")
    assert (status.st_mtime, status.st_mode & 0o777) == (1_000_000, 0o604)


def test_a_log_that_goes_on_after_a_packed_one_keeps_its_positions(rig: Rig) -> None:
    """Also when the present file is lost with the index of it: the chain is known from the rest."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.write(rig.lines(15))
    rig.flush()
    pack_all(log.path)
    known = identity(log.path, os.stat(log.path).st_ino)
    assert rig.plane.stop()
    os.unlink(log.path)
    os.unlink(index_path(log.path))
    rig.renew()
    rig.flush()
    assert known is not None
    assert identity(log.path, os.stat(log.path).st_ino) == known


def test_a_file_that_rotated_meanwhile_gets_its_new_number(rig: Rig) -> None:
    """It is known by its inode."""
    log = rig.log(rotation=Rotation(640, keep=10))
    rig.write(rig.lines(15))
    rig.flush()
    inode = os.stat(f"{log.path}.1").st_ino
    assert compress.compress(log.path, inode, Compression.GZIP)
    rig.write(rig.lines(10, start=15))
    rig.flush()
    assert rotation.settle(log.path, inode, ".gz")
    assert [(one.number, one.packed) for one in rotation.older(log.path)] == [(1, False), (2, True)]


def test_a_file_that_was_removed_meanwhile_leaves_nothing(rig: Rig) -> None:
    """What was packed of it goes too."""
    log = rig.log(rotation=Rotation(640, keep=1))
    rig.write(rig.lines(15))
    rig.flush()
    inode = os.stat(f"{log.path}.1").st_ino
    assert compress.compress(log.path, inode, Compression.GZIP)
    rig.write(rig.lines(10, start=15))
    rig.flush()
    assert not rotation.settle(log.path, inode, ".gz")
    assert sorted(os.listdir(rig.directory)) == sorted(
        ["web.log", "web.log.1", ".web.log.idx", ".web.log.1.idx"]
    )


def test_a_file_that_is_written_to_is_left_alone(tmp_path: Path) -> None:
    """Somebody has renamed it, and its writer has not noticed yet: it holds the lock."""
    path = tmp_path / "web.log"
    older = Path(f"{path}.1")
    older.write_bytes(b"x\n")
    with older.open("r+b") as stream:
        assert locks.lock(stream.fileno())
        assert not compress.compress(str(path), older.stat().st_ino, Compression.GZIP)
    assert os.listdir(tmp_path) == ["web.log.1"]


def test_the_program_says_by_its_exit_code_what_became_of_it(tmp_path: Path) -> None:
    """0: packed; 3: nothing to do."""
    path = tmp_path / "web.log"
    older = Path(f"{path}.1")
    older.write_bytes(b"x\n" * 1000)
    assert helper(path, 1).returncode == compress.NOTHING
    done = helper(path, older.stat().st_ino)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Packed(packing_paths(str(path))[0]) as packed:
        assert packed.pread(10_000, 0) == b"x\n" * 1000


def test_without_room_the_program_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """The plain file stays as it was."""
    path = tmp_path / "web.log"
    older = Path(f"{path}.1")
    older.write_bytes(os.urandom(100_000))

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = helper(path, older.stat().st_ino, preexec_fn=few)
    assert done.returncode == 1
    assert done.stderr == f"cannot compress an older file of {path}: File too large\n"
    assert os.listdir(tmp_path) == ["web.log.1"]


def test_what_a_killed_one_left_is_replaced(tmp_path: Path) -> None:
    """The next one begins from nothing."""
    path = tmp_path / "web.log"
    older = Path(f"{path}.1")
    older.write_bytes(b"x\n")
    hidden, hidden_index = packing_paths(str(path))
    Path(hidden).write_bytes(b"half")
    Path(hidden_index).write_bytes(b"torn")
    assert compress.compress(str(path), older.stat().st_ino, Compression.GZIP)
    with Packed(hidden) as packed:
        assert packed.pread(10, 0) == b"x\n"
    assert not os.path.exists(hidden_index)


@pytest.mark.parametrize("whole", [True, False])
def test_of_a_plain_file_and_its_packed_twin_one_stays(tmp_path: Path, *, whole: bool) -> None:
    """A crash came before the plain one was removed; unless the other is not what it should be."""
    path = tmp_path / "web.log"
    older = Path(f"{path}.1")
    older.write_bytes(b"x\n" * 100)
    assert compress.compress(str(path), older.stat().st_ino, Compression.GZIP)
    packed = Path(f"{older}.gz")
    Path(packing_paths(str(path))[0]).rename(packed)
    if not whole:
        packed.write_bytes(b"somebody else's")
    rotation.tidy(str(path))
    expected = ["web.log.1.gz"] if whole else ["web.log.1", "web.log.1.gz"]
    assert sorted(os.listdir(tmp_path)) == expected
