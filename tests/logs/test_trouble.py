"""Logs that cannot be written: a full disk, a stalled one, a reader that does not read."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time
import tty
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Format, OnFull, RateLimit, Rotation
from supervisord_lite.linux import pipes
from supervisord_lite.logs.event import (
    Noticed,
    StallBegan,
    StallEnded,
    TroubleBegan,
    TroubleEnded,
)
from supervisord_lite.logs.files.index import identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.logs.conftest import Rig

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
MEBIBYTE = 1024 * 1024
EXT4_IOC_SHUTDOWN = 0x8004587D  # linux/fs.h: _IOR('X', 125, __u32)


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
@pytest.mark.parametrize("on_full", OnFull)
@pytest.mark.parametrize("copied", [True, False])
def test_what_a_full_disk_takes_from_a_stream_that_leaves_is_told(
    rig: Rig, small_disk: Path, on_full: OnFull, *, copied: bool
) -> None:
    """Nobody will write it any more, and nobody else could say how much it was."""
    path = small_disk / "web.log"
    rig.log(path=str(path), rotation=Rotation(None), on_full=on_full, channel=copied)
    with (small_disk / "obstacle").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    data = rig.lines(1000)
    rig.write(data)
    rig.eventually(lambda: rig.told(TroubleBegan), "the disk is full")
    rig.plane.detach("web")
    rig.eventually(lambda: rig.told(TroubleEnded), "it is told")
    kept = path.read_bytes()
    assert kept == data[: len(kept)]
    lost = len(data) - len(kept), 1000 - kept.count(b"\n")
    why = f"cannot write {path}: No space left on device"
    assert rig.told(TroubleEnded) == [TroubleEnded("web", why, *lost)]


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


@needs_root
@pytest.mark.parametrize("format_", [Format.TIMESTAMPED, Format.JSON])
def test_a_full_disk_cuts_no_line_of_a_format(rig: Rig, small_disk: Path, format_: Format) -> None:
    """What is written is whole, what is lost is counted, and the marker is a line like others."""
    log = rig.log(path=str(small_disk / "web.log"), rotation=Rotation(None), format=format_)
    obstacle = fill_up(rig, small_disk)
    rig.flush()
    status = rig.plane.status("web")
    assert status.trouble == f"cannot write {log.path}: No space left on device"
    obstacle.unlink()
    rig.eventually(lambda: rig.told(TroubleEnded), "there is room again")
    lines = Path(log.path).read_bytes().splitlines(keepends=True)
    assert all(line.endswith((b"\n", b"}\n")) for line in lines)
    assert b"lost: No space left on device]" in lines[-1]
    assert (len(lines) - 1) * 64 + status.dropped_bytes == 3 * MEBIBYTE
    if format_ is Format.JSON:
        assert json.loads(lines[-1])["worker"] == "web"


@needs_root
def test_a_full_disk_lets_the_worker_of_a_format_wait(rig: Rig, small_disk: Path) -> None:
    """`on_full: block` loses no line in its buffer either, whoever takes over."""
    log = rig.log(
        path=str(small_disk / "web.log"),
        rotation=Rotation(None),
        on_full=OnFull.BLOCK,
        format=Format.TIMESTAMPED,
    )
    data = rig.lines(3 * MEBIBYTE // 64)
    with (small_disk / "obstacle").open("wb", buffering=0) as file:
        file.write(bytes(MEBIBYTE))
    worker = threading.Thread(target=rig.write, args=(data,))
    worker.start()
    try:
        rig.eventually(lambda: rig.told(TroubleBegan), "the disk is full")
        rig.renew()
        rig.eventually(lambda: rig.plane.status("web").trouble, "the disk is still full")
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    finally:
        worker.join(20)
    rig.eventually(lambda: rig.told(TroubleEnded), "there is room again")
    rig.flush()
    lines = Path(log.path).read_bytes().splitlines(keepends=True)
    assert b"".join(line.split(b" ", 1)[1] for line in lines) == data
    assert rig.plane.status("web").dropped_bytes == 0


@needs_root
@pytest.mark.parametrize("format_", [Format.RAW, Format.JSON])
def test_an_input_output_error_is_trouble_and_ends(
    rig: Rig, tmp_path: Path, format_: Format
) -> None:
    """A file system that was shut down fails every write; mounted anew it is written again."""
    image = tmp_path / "image"
    image.write_bytes(b"")
    os.truncate(image, 16 * MEBIBYTE)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    place = tmp_path / "broken"
    with mounted(place, "-o", "loop", str(image)):
        log = rig.log(path=str(place / "web.log"), format=format_)
        rig.write(b"before\n")
        rig.flush()
        directory = os.open(place, os.O_RDONLY)
        try:
            os.sync()
            fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", 1))
        finally:
            os.close(directory)
        rig.write(b"during\n")
        rig.eventually(lambda: rig.plane.status("web").dropped_bytes, "output is dropped")
        trouble = rig.plane.status("web").trouble
        assert trouble == f"cannot write {log.path}: Input/output error"
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
        rig.eventually(lambda: rig.told(TroubleEnded), "the log is written")
        rig.write(b"after\n")
        rig.flush()
        contents = Path(log.path).read_bytes()
        assert b"before" in contents
        assert b"7 bytes in 1 lines lost: Input/output error" in contents
        assert b"after" in contents
        rig.plane.detach("web")
        rig.flush()


def test_a_directory_that_is_gone_is_made_again(rig: Rig) -> None:
    """Removing logs with everything around them stops no worker and loses nothing that comes."""
    log = rig.log(path=str(rig.directory / "logs" / "deep" / "web.log"))
    rig.write(b"before\n")
    rig.flush()
    shutil.rmtree(rig.directory / "logs")
    rig.write(b"after\n")
    rig.eventually(lambda: Path(log.path).exists(), "the log is there again")
    rig.flush()
    rig.eventually(lambda: rig.plane.status("web").trouble is None, "all is well")
    rig.write(b"later\n")
    rig.flush()
    assert Path(log.path).read_bytes().endswith(b"later\n")


@needs_root
def test_a_directory_that_forbids_it_is_trouble_and_ends(rig: Rig) -> None:
    """A log that was removed where nothing may be made is made once it may."""
    place = Path(tempfile.mkdtemp(prefix="supervisord-lite-"))
    log = None
    try:
        place.chmod(0o777)
        with as_nobody():  # the lane's thread inherits it
            log = rig.log(path=str(place / "web.log"))
        rig.write(b"before\n")
        rig.flush()
        Path(log.path).unlink()
        place.chmod(0o555)
        rig.write(b"during\n")
        rig.eventually(lambda: rig.plane.status("web").dropped_bytes, "output is dropped")
        assert rig.plane.status("web").trouble == f"cannot write {log.path}: Permission denied"
        place.chmod(0o777)
        rig.eventually(lambda: rig.told(TroubleEnded), "the log is written")
        assert b"7 bytes in 1 lines lost: Permission denied" in Path(log.path).read_bytes()
    finally:
        shutil.rmtree(place)


@contextmanager
def as_nobody() -> Iterator[None]:
    """What this thread, and those that it starts, may do with files: what nobody may."""
    libc = ctypes.CDLL(None)
    libc.setfsuid(65534)
    try:
        yield
    finally:
        libc.setfsuid(0)


def test_a_file_size_limit_is_trouble_of_its_log(rig: Rig) -> None:
    """A write that is cut short leaves no half line in a log that has a format."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = rig.log(format=Format.JSON, rotation=Rotation(None))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        rig.write(rig.lines(1024))
        rig.eventually(lambda: rig.told(TroubleBegan), "the limit is reached")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    rig.eventually(lambda: rig.told(TroubleEnded), "the log is written")
    assert all(json.loads(line) for line in Path(log.path).read_bytes().splitlines())


@needs_root
def test_a_disk_that_is_full_from_the_start_is_told_once(rig: Rig, small_disk: Path) -> None:
    """However often it is tried again, and whatever of the log it keeps from being written."""
    obstacle = small_disk / "obstacle"
    with suppress(OSError), obstacle.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    log = rig.log(path=str(small_disk / "web.log"))
    rig.write(b"hello\n")
    rig.eventually(lambda: rig.told(TroubleBegan), "the disk is full")
    tried = time.monotonic() + 2.5  # seconds: two attempts
    rig.eventually(lambda: time.monotonic() > tried)
    obstacle.unlink()
    rig.eventually(lambda: rig.told(TroubleEnded), "there is room again")
    assert len(rig.told(Noticed)) <= 1
    assert Path(log.path).read_bytes().startswith(b"[supervisord-lite: 6 bytes in 1 lines lost")


@needs_root
def test_a_limit_is_kept_where_little_room_is_left(rig: Rig, small_disk: Path) -> None:
    """The line that says what was left out needs no more room than it takes."""
    with (small_disk / "obstacle").open("wb", buffering=0) as file:
        file.write(bytes(2 * MEBIBYTE - 128 * 1024))
    log = rig.log(path=str(small_disk / "web.log"), rate_limit=RateLimit(lines=1))
    rig.flush()
    rig.write(b"one\ntwo\n")
    rig.eventually(lambda: b"1 lines (4 bytes) over the rate" in Path(log.path).read_bytes())
    assert rig.told(TroubleBegan) == []


@needs_root
def test_a_full_disk_breaks_no_chain(rig: Rig, small_disk: Path) -> None:
    """The index of the fresh file cannot be begun, and is once there is room: positions stay."""
    log = rig.log(path=str(small_disk / "web.log"), rotation=Rotation(6400))
    rig.write(rig.lines(100))
    rig.flush()
    before = identity(log.path, os.stat(log.path).st_ino)
    obstacle = small_disk / "obstacle"
    with suppress(OSError), obstacle.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    rig.write(rig.lines(100))
    rig.eventually(lambda: rig.told(TroubleBegan), "the disk is full")
    rig.flush()
    obstacle.unlink()
    rig.eventually(lambda: rig.told(TroubleEnded), "there is room again")
    after = identity(log.path, os.stat(log.path).st_ino)
    assert before is not None
    assert after is not None
    assert after.chain == before.chain
    assert after.base == 6400


@needs_root
def test_an_index_stays_with_a_log_that_cannot_be_renamed(rig: Rig, tmp_path: Path) -> None:
    """One that is a mount point of its own, as in a container; it is told once."""
    outside, place = tmp_path / "outside", tmp_path / "web.log"
    outside.touch()
    place.touch()
    if subprocess.run(["mount", "--bind", str(outside), str(place)], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        log = rig.log(rotation=Rotation(640))
        rig.flush()
        known = identity(log.path, os.stat(log.path).st_ino)
        written = 0

        def tried_again() -> bool:
            nonlocal written
            rig.write(rig.lines(1, written))
            rig.flush()
            written += 1
            return written > 20 and time.monotonic() > begun + 1.5

        begun = time.monotonic()
        rig.eventually(tried_again)
        assert known is not None
        assert identity(log.path, os.stat(log.path).st_ino) == known
        assert place.read_bytes() == rig.lines(written)
        (notice,) = rig.told(Noticed)
        assert notice == Noticed("web", f"cannot rotate {log.path}: Device or resource busy")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
