"""Logs that cannot be written: a full disk, a stalled one, a reader that does not read."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
import threading
import tty
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import OnFull, Rotation
from supervisord_lite.linux import pipes
from supervisord_lite.logs.event import StallBegan, StallEnded, TroubleBegan, TroubleEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.logs.conftest import Rig

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
MEBIBYTE = 1024 * 1024


@contextmanager
def mounted(place: Path, *how: str) -> Iterator[Path]:
    """A file system of our own, gone afterwards."""
    place.mkdir()
    done = subprocess.run(["mount", *how, str(place)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as place:
        yield place


def fill_up(rig: Rig, place: Path) -> Path:
    """Write more than the disk has room for; answers the file that is in the way."""
    obstacle = place / "obstacle"
    with obstacle.open("wb", buffering=0) as file:
        file.write(bytes(MEBIBYTE))
    rig.write(rig.lines(3 * MEBIBYTE // 64))
    return obstacle


@needs_root
def test_a_full_disk_loses_output_and_resumes(rig: Rig, small_disk: Path) -> None:
    """The worker never waits; what is lost is counted, told once, and said in the log."""
    log = rig.log(path=str(small_disk / "web.log"), rotation=Rotation(None))
    obstacle = fill_up(rig, small_disk)
    rig.flush()
    status = rig.plane.status("web")
    assert status.trouble == f"cannot write {log.path}: No space left on device"
    assert status.dropped_bytes > MEBIBYTE
    kept = Path(log.path).read_bytes()
    assert kept == rig.lines(3 * MEBIBYTE // 64)[: len(kept)]
    assert len(kept) + status.dropped_bytes == 3 * MEBIBYTE
    obstacle.unlink()
    rig.eventually(lambda: rig.told(TroubleEnded), "there is room again")
    rig.write(b"here again\n")
    rig.flush()
    marker = rb"\n?\[supervisord-lite: (\d+) bytes in (\d+) lines lost: No space left on device\]\n"
    found = re.fullmatch(marker + rb"here again\n", Path(log.path).read_bytes()[len(kept) :])
    assert found
    assert int(found[1]) == status.dropped_bytes
    assert len(rig.told(TroubleBegan)) == len(rig.told(TroubleEnded)) == 1
    assert rig.plane.status("web").trouble is None


@needs_root
def test_a_full_disk_may_let_the_worker_wait(rig: Rig, small_disk: Path) -> None:
    """`on_full: block` loses nothing, not even what was under way, and goes on by itself."""
    log = rig.log(path=str(small_disk / "web.log"), rotation=Rotation(None), on_full=OnFull.BLOCK)
    data = rig.lines(3 * MEBIBYTE // 64)
    place = small_disk / "obstacle"
    with place.open("wb", buffering=0) as file:
        file.write(bytes(MEBIBYTE))
    worker = threading.Thread(target=rig.write, args=(data,))
    worker.start()
    try:
        rig.eventually(lambda: rig.told(TroubleBegan), "the disk is full")
        assert worker.is_alive()
        rig.renew()  # nor does it matter who takes over then
        rig.eventually(lambda: rig.plane.status("web").trouble, "the disk is still full")
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    finally:
        worker.join(20)
    rig.flush()
    assert Path(log.path).read_bytes() == data
    assert rig.plane.status("web").dropped_bytes == 0


@needs_root
def test_a_full_disk_does_not_touch_the_logs_of_another(rig: Rig, small_disk: Path) -> None:
    """Trouble is one stream's, not the thread's."""
    rig.log(path=str(small_disk / "web.log"), rotation=Rotation(None), on_full=OnFull.DROP)
    other = rig.log("db")
    fill_up(rig, small_disk)
    rig.write(b"well\n", "db")
    rig.flush()
    assert rig.contents(other) == b"well\n"


@needs_root
def test_a_read_only_file_system_is_trouble_and_ends(rig: Rig, small_disk: Path) -> None:
    """A log on it cannot be opened, and is, once it can."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    log = rig.log(path=str(small_disk / "web.log"))
    rig.write(b"lost\n")
    rig.eventually(lambda: rig.plane.status("web").dropped_bytes, "output is dropped")
    assert rig.plane.status("web").trouble == f"cannot write {log.path}: Read-only file system"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    rig.eventually(lambda: rig.told(TroubleEnded), "the log is written")
    assert b"5 bytes in 1 lines lost: Read-only file system" in Path(log.path).read_bytes()


@needs_root
def test_a_stalled_disk_holds_up_its_own_logs_only(rig: Rig, tmp_path: Path) -> None:
    """A frozen file system is noticed and told, and every byte is there when it thaws."""
    image = tmp_path / "image"
    image.write_bytes(b"")
    os.truncate(image, 16 * MEBIBYTE)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(tmp_path / "frozen", "-o", "loop", str(image)) as place:
        log = rig.log(path=str(place / "web.log"))
        other = rig.log("db")
        rig.write(b"before\n")
        rig.flush()
        subprocess.run(["fsfreeze", "--freeze", str(place)], check=True)
        try:
            rig.write(b"during\n")
            rig.eventually(lambda: rig.told(StallBegan), "the stall is noticed")
            assert rig.plane.status("web").stalled_since
            rig.write(b"not concerned\n", "db")
            rig.eventually(lambda: rig.plane.status("db").bytes == 14, "others go on")
            assert not rig.plane.flush(0.1)
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(place)], check=True)
        rig.flush()
        rig.eventually(lambda: rig.told(StallEnded), "its end is noticed")
        assert rig.contents(log) == b"before\nduring\n"
        assert rig.contents(other) == b"not concerned\n"
        rig.plane.detach("web")
        rig.flush()


def test_a_fifo_as_a_log_is_written_without_rotation(rig: Rig) -> None:
    """Its reader gets the bytes; nothing is renamed and nothing is laid beside it."""
    path = rig.directory / "web.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        rig.log(rotation=Rotation(100))
        rig.write(rig.lines(10))
        rig.flush()
        assert os.read(reader, 65536) == rig.lines(10)
        assert os.listdir(rig.directory) == ["web.log"]
    finally:
        os.close(reader)


def test_a_full_fifo_lets_its_worker_wait_and_nobody_else(rig: Rig) -> None:
    """A reader that does not read holds up one stream; when it reads, all is there."""
    path = rig.directory / "web.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    data = rig.lines(20_000)
    worker = threading.Thread(target=rig.write, args=(data,))
    try:
        rig.log()
        other = rig.log("db")
        worker.start()
        rig.eventually(lambda: pipes.waiting(reader) == 65536, "the reader lags")
        rig.write(b"well\n", "db")
        rig.eventually(lambda: rig.plane.status("db").bytes == 5, "the other goes on")
        assert rig.contents(other) == b"well\n"
        found = b""
        os.set_blocking(reader, True)
        while len(found) < len(data):
            found += os.read(reader, 65536)
        assert found == data
    finally:
        os.close(reader)
        worker.join()


def test_a_target_that_refuses_splice_is_written_all_the_same(rig: Rig) -> None:
    """A terminal takes bytes by write(2) only."""
    master, slave = pty.openpty()
    try:
        tty.setraw(slave, termios.TCSANOW)
        link = rig.directory / "web.log"
        link.symlink_to(os.ttyname(slave))
        rig.log()
        rig.write(b"hello\n")
        assert os.read(master, 100) == b"hello\n"
    finally:
        os.close(slave)
        os.close(master)
