"""Following a log by position: across rotation, truncation and renewal."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Rotation
from supervisord_lite.linux import inotify
from supervisord_lite.logs.reading import segments
from supervisord_lite.logs.reading.reader import Follower, tail
from tests.logs.written_log import Log

if TYPE_CHECKING:
    from tests.logs.conftest import Rig


def everything(follower: Follower, count: int = 65536) -> bytes:
    """All that there is to read now."""
    return b"".join(iter(lambda: follower.read(count), b""))


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        (b"", 3, b""),
        (b"a\nb\nc\n", 0, b""),
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"a\nb\nc", 1, b"c"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"\n\n\n", 2, b"\n\n"),
    ],
)
def test_a_tail_is_so_many_lines(rig: Rig, text: bytes, count: int, expected: bytes) -> None:
    """The line that is being written counts as one."""
    log = rig.log()
    rig.write(text)
    rig.flush()
    with closing(Follower(log.path, tail(log.path, count))) as follower:
        assert everything(follower) == expected


def test_a_tail_reaches_into_older_files(rig: Rig) -> None:
    """The last lines are the last lines, wherever rotation has put them."""
    log = rig.log(rotation=Rotation(640, keep=100))
    rig.write(rig.lines(95))
    rig.flush()
    with closing(Follower(log.path, tail=37)) as follower:
        assert everything(follower) == rig.lines(37, start=58)


def test_a_follower_crosses_rotations(rig: Rig) -> None:
    """Reading while files are renamed beneath it, it sees every byte once and in order."""
    log = rig.log(rotation=Rotation(50_000, keep=1000))
    data = rig.lines(30_000)
    found = b""
    with closing(Follower(log.path)) as follower:
        writer = threading.Thread(target=rig.write, args=(data,))
        writer.start()
        try:

            def caught_up() -> bool:
                nonlocal found
                found += everything(follower, 5000)
                return len(found) >= len(data)

            rig.eventually(caught_up, "the follower has caught up")
        finally:
            writer.join()
        assert follower.missed == 0
    assert found == data


def test_a_position_stays_good_across_rotations(rig: Rig) -> None:
    """Another follower goes on where the first one stopped, though the file has another name."""
    log = rig.log(rotation=Rotation(640, keep=1000))
    rig.write(rig.lines(15))
    rig.flush()
    with closing(Follower(log.path, tail=5)) as follower:
        assert follower.read(100) == rig.lines(2, start=10)[:100]
        position = follower.position
    rig.write(rig.lines(100, start=15))
    rig.flush()
    with closing(Follower(log.path, position)) as follower:
        assert everything(follower) == rig.lines(105, start=10)[100:]


def test_a_position_stays_good_across_data_planes(rig: Rig) -> None:
    """The next manager goes on with the index, so that positions mean the same bytes."""
    log = rig.log(rotation=Rotation(640, keep=1000))
    rig.write(rig.lines(25))
    rig.flush()
    position = tail(log.path, 2)
    rig.renew()
    rig.write(rig.lines(50, start=25))
    rig.flush()
    with closing(Follower(log.path, position)) as follower:
        assert everything(follower) == rig.lines(52, start=23)


def test_what_rotation_took_is_one_line_and_a_count(rig: Rig) -> None:
    """A follower that comes too late is told how much it missed, and goes on at a line's start."""
    log = rig.log(rotation=Rotation(640, keep=1))
    rig.write(rig.lines(5))
    rig.flush()
    position = tail(log.path, 5)
    rig.write(rig.lines(100, start=5))
    rig.flush()
    with closing(Follower(log.path, position)) as follower:
        text = everything(follower)
        marker, _, rest = text.partition(b"\n")
        assert marker == b"[supervisord-lite: %d bytes lost to rotation]" % follower.missed
        assert follower.missed + len(rest) == 105 * 64
        assert rig.lines(105).endswith(rest)


def test_a_log_that_is_not_there_yet_is_read_from_its_first_byte(rig: Rig) -> None:
    """A follower may be earlier than the log."""
    with closing(Follower(str(rig.directory / "web.log"))) as follower:
        assert follower.read(100) == b""
        rig.log()
        rig.write(b"first\n")
        rig.flush()
        assert follower.read(100) == b"first\n"


def test_a_truncated_log_is_read_from_its_start(rig: Rig) -> None:
    """A position beyond the end of a log that began again is no reason to be silent."""
    log = rig.log()
    rig.write(rig.lines(10))
    rig.flush()
    with closing(Follower(log.path, tail=1)) as follower:
        everything(follower)
        os.truncate(log.path, 0)
        rig.write(b"again\n")
        rig.flush()
        assert everything(follower) == b"again\n"


def test_a_log_that_was_replaced_is_another_one(rig: Rig) -> None:
    """Its positions are no positions of the old one, whatever inode it got."""
    log = rig.log()
    rig.write(b"old log\n")
    rig.flush()
    position = tail(log.path, 0)
    Path(log.path).unlink()
    rig.reopen()
    rig.write(b"new\n")
    rig.flush()
    with closing(Follower(log.path, position)) as follower:
        assert everything(follower) == b"new\n"


def test_a_file_without_an_index_is_read_too(tmp_path: Path) -> None:
    """What somebody else wrote can be shown."""
    path = tmp_path / "plain.log"
    path.write_bytes(b"a\nb\n")
    with closing(Follower(str(path), tail=1)) as follower:
        assert everything(follower) == b"b\n"
        with path.open("ab") as file:
            file.write(b"c\n")
        assert everything(follower) == b"c\n"


def test_a_truncated_file_without_an_index_is_read_from_its_start(tmp_path: Path) -> None:
    """Tools that copy and truncate do that to direct logs: what was written since is all new."""
    path = tmp_path / "plain.log"
    path.write_bytes(b"old\n" * 100)
    with closing(Follower(str(path))) as follower:
        path.write_bytes(b"new\nand new\n")
        assert everything(follower) == b"new\nand new\n"
        path.write_bytes(b"")
        assert everything(follower) == b""
        path.write_bytes(b"newer\n")
        assert everything(follower) == b"newer\n"


def test_an_index_that_is_begun_anew_shows_nothing_twice(tmp_path: Path) -> None:
    """It may be deleted: the file goes on in another chain, and who is in the middle of it, too."""
    log = Log(tmp_path)
    log.write(b"one\n", at=1)
    with closing(Follower(log.path, tail=1)) as follower:
        assert everything(follower) == b"one\n"
        log.forget()
        log.write(b"two\n", at=2)
        log.rotate()
        log.write(b"three\n", at=3)
        assert everything(follower) == b"two\nthree\n"


def test_a_position_in_a_file_without_an_index_outlives_its_first_index(rig: Rig) -> None:
    """Who came before there was one goes on where it was."""
    path = rig.directory / "web.log"
    path.write_bytes(b"old\n")
    with closing(Follower(str(path))) as before, closing(Follower(str(path))) as live:
        position = before.position
        rig.log()
        rig.write(b"new\n")
        rig.flush()
        assert everything(live) == b"new\n"
    with closing(Follower(str(path), position)) as after:
        assert everything(after) == b"new\n"


def test_a_log_that_is_no_file_is_not_touched(tmp_path: Path) -> None:
    """A writer to a FIFO would take us for its reader, and what it writes would be lost."""
    fifo = tmp_path / "web.log"
    os.mkfifo(fifo)
    with closing(inotify.Inotify()) as witness:
        witness.watch(str(fifo), inotify.IN_OPEN)
        with closing(Follower(str(fifo), tail=1)) as follower:
            assert follower.read(100) == b""
        assert list(witness.changes()) == []


def test_nonsense_is_no_position(tmp_path: Path) -> None:
    """What a client sends is refused in words."""
    with pytest.raises(ValueError, match='cannot read "7" as a position in a log'):
        Follower(str(tmp_path / "web.log"), "7")


def test_the_search_for_a_line_start_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is one endless line is shown from its end, not read back to its beginning."""
    monkeypatch.setattr(segments, "_FAR", 65536)
    path = tmp_path / "web.log"
    path.write_bytes(b"x" * 1_000_000)
    with closing(Follower(str(path), whole_lines=True)) as follower:
        assert everything(follower) == b""
