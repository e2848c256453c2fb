"""Taps: a live copy of a log for whoever opens the FIFO, and no harm to anyone else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Log, Rotation
from supervisord_lite.logs.event import Noticed, TapClosed, TapOpened
from supervisord_lite.logs.feeds.relay import Relay, make_relay_parts
from tests.logs.conftest import run_blind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.logs.conftest import Rig


class Reader:
    """One `cat` of the tap, at the pace of the test."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.found = b""

    def read(self) -> bytes:
        """All that came until now."""
        try:
            while data := os.read(self.fd, 65536):
                self.found += data
        except BlockingIOError:
            pass
        return self.found

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


@pytest.fixture
def tap(rig: Rig) -> Iterator[str]:
    """A stream with a tap, and the path of it."""
    path = str(rig.directory / "run" / "web.fifo")
    rig.log(tap=path)
    rig.flush()
    yield path


def opened(rig: Rig, path: str, times: int = 1) -> Reader:
    reader = Reader(path)
    rig.eventually(lambda: len(rig.told(TapOpened)) == times, "the reader is noticed")
    return reader


def test_a_reader_is_noticed_where_the_kernel_has_no_instance_left(tmp_path: Path) -> None:
    """Once a second it is looked for."""
    run_blind("tap", tmp_path)


def test_without_a_reader_nothing_waits(rig: Rig, tap: str) -> None:
    """A tap that nobody reads costs a log nothing."""
    rig.write(rig.lines(5000))
    rig.flush()
    assert rig.contents(rig.logs["web"]) == rig.lines(5000)
    assert stat.S_IMODE(os.stat(tap).st_mode) == 0o640


def test_a_reader_sees_what_comes_from_now_on(rig: Rig, tap: str) -> None:
    """Not what was before."""
    rig.write(b"before\n")
    rig.flush()
    reader = opened(rig, tap)
    rig.write(b"after\n")
    rig.eventually(lambda: reader.read() == b"after\n")
    reader.close()


def test_a_reader_begins_with_a_whole_line(rig: Rig, tap: str) -> None:
    """The line that is being written when it comes is shown from its start."""
    rig.write(b"before\nhalf ")
    rig.flush()
    reader = opened(rig, tap)
    rig.write(b"line\n")
    rig.eventually(lambda: reader.read() == b"half line\n")
    reader.close()


def test_the_next_reader_gets_nothing_of_the_last_ones(rig: Rig, tap: str) -> None:
    """What a reader left behind is thrown away when it goes."""
    first = opened(rig, tap)
    rig.write(b"for the first\n")
    rig.flush()
    first.close()
    rig.eventually(lambda: rig.told(TapClosed), "it is missed")
    second = opened(rig, tap, times=2)
    rig.write(b"for the second\n")
    rig.eventually(lambda: second.read() == b"for the second\n")
    second.close()


def test_a_slow_reader_lags_and_gets_everything(rig: Rig, tap: str) -> None:
    """It stops neither worker nor log, and reads the file when it comes to it."""
    reader = opened(rig, tap)
    data = rig.lines(50_000)
    rig.write(data)
    rig.flush()
    assert rig.contents(rig.logs["web"]) == data
    rig.eventually(lambda: len(reader.read()) >= len(data))
    assert reader.found == data
    reader.close()


def test_what_rotation_takes_from_a_slow_reader_is_counted(rig: Rig) -> None:
    """One marker line stands for it, and whole lines follow."""
    path = str(rig.directory / "web.fifo")
    rig.log(tap=path, rotation=Rotation(64_000, keep=2))
    rig.flush()
    reader = opened(rig, path)
    data = rig.lines(50_000)
    rig.write(data)
    rig.flush()
    rig.eventually(lambda: reader.read().endswith(data[-64:]), "it has caught up")
    before, _, rest = reader.found.partition(b"[supervisord-lite: ")
    missed, _, after = rest.partition(b" bytes lost to rotation]\n")
    assert data.startswith(before)
    assert data.endswith(after)
    assert len(before) + int(missed) + len(after) == len(data)
    reader.close()


def test_another_file_in_the_taps_place_is_left_alone(rig: Rig) -> None:
    """It is told of and never overwritten, and the log does not care."""
    path = rig.directory / "precious"
    path.write_text("data")
    log = rig.log(tap=str(path))
    rig.write(b"x\n")
    rig.flush()
    assert path.read_text() == "data"
    (notice,) = rig.told(Noticed)
    assert isinstance(notice, Noticed)
    assert notice.text == f"cannot make tap {path}: there is something that is not a FIFO"
    assert rig.contents(log) == b"x\n"


def test_a_tap_that_was_replaced_is_found_at_the_next_reopen(rig: Rig, tap: str) -> None:
    """Whoever opens the new FIFO gets a live copy."""
    Path(tap).unlink()
    rig.reopen()
    rig.flush()
    reader = opened(rig, tap)
    rig.write(b"x\n")
    rig.eventually(lambda: reader.read() == b"x\n")
    reader.close()


def loop(path: str) -> None:
    """Put something in the log's place that cannot be opened."""
    os.rename(path, f"{path}.away")
    os.symlink(path, path)


def unloop(path: str) -> None:
    os.unlink(path)
    os.rename(f"{path}.away", path)


def test_a_reader_comes_while_the_log_cannot_be_opened(rig: Rig, tap: str) -> None:
    """It is told of, harms nobody else, and the reader is fed once the log is there and grows."""
    path = rig.logs["web"].path
    loop(path)
    reader = Reader(tap)
    text = f"cannot show what tap {tap} is for: Too many levels of symbolic links"
    rig.eventually(lambda: text in {one.text for one in rig.events if isinstance(one, Noticed)})
    unloop(path)
    rig.write(b"one\n")
    rig.flush()
    rig.write(b"two\n")
    rig.eventually(lambda: reader.read().endswith(b"two\n"))
    reader.close()


def test_a_log_that_cannot_be_opened_any_more_harms_only_its_reader(rig: Rig, tap: str) -> None:
    """Which goes on once that is over; the stream is in trouble, and no thread is."""
    path = rig.logs["web"].path
    reader = opened(rig, tap)
    loop(path)
    rig.write(b"one\n")
    rig.reopen()
    rig.flush()
    unloop(path)
    rig.eventually(lambda: not rig.plane.status("web").trouble)
    rig.write(b"two\n")
    rig.eventually(lambda: reader.read().endswith(b"two\n"))
    reader.close()


def test_a_tap_can_be_added_and_taken_away(rig: Rig) -> None:
    """A reload that changes the tap needs no restart of anything."""
    log = rig.log()
    path = str(rig.directory / "web.fifo")
    rig.plane.adjust("web", Log(log.path, tap=path))
    rig.flush()
    reader = opened(rig, path)
    rig.write(b"x\n")
    rig.eventually(lambda: reader.read() == b"x\n")
    rig.plane.adjust("web", log)
    rig.flush()
    assert os.read(reader.fd, 1) == b""
    reader.close()


def test_a_reader_goes_on_with_the_next_data_plane(rig: Rig, tap: str) -> None:
    """It sees no end, nothing twice and all that came in between, and is no new reader."""
    reader = opened(rig, tap)
    written = b""
    for turn in range(5):
        data = rig.lines(5_000, start=5_000 * turn)  # more than the FIFO has room for
        rig.write(data)
        written += data
        rig.renew()
    rig.eventually(lambda: len(reader.read()) >= len(written), "it has caught up")
    assert reader.found == written
    assert len(rig.told(TapOpened)) == 1
    reader.close()


def test_a_reader_that_goes_between_two_data_planes_leaves_nothing(rig: Rig, tap: str) -> None:
    """The next one begins as every reader does."""
    first = opened(rig, tap)
    rig.write(b"for the first\n")
    rig.flush()
    assert rig.plane.stop(10.0)
    first.close()
    rig.renew()
    rig.flush()
    second = opened(rig, tap, times=2)
    rig.write(b"for the second\n")
    rig.eventually(lambda: second.read() == b"for the second\n")
    second.close()


def test_a_tap_that_was_replaced_meanwhile_is_a_new_one(rig: Rig, tap: str) -> None:
    """The reader of the old FIFO sees its end, that of the new one a live copy."""
    first = opened(rig, tap)
    assert rig.plane.stop(10.0)
    Path(tap).unlink()
    rig.renew()
    rig.flush()
    second = opened(rig, tap, times=2)
    rig.write(b"x\n")
    rig.eventually(lambda: second.read() == b"x\n")
    assert os.read(first.fd, 1) == b""
    first.close()
    second.close()


def test_what_waits_in_a_relay_is_shown_once() -> None:
    """Whoever takes over at any instant between log and FIFO shows each byte once."""
    pipe, page = make_relay_parts()
    read, write = os.pipe()
    held = [pipe, page, read, write]

    def successor() -> Relay:
        return Relay(os.dup(pipe), os.dup(page), None, lambda _: None)

    first = successor()
    assert first.left_at() is None
    first.begin("a:0")
    os.pwrite(page, b"f", 0)  # as `fill` does first
    os.write(pipe, b"one\n")
    second = successor()
    assert (second.left_at(), second.is_empty()) == ("a:0", True)
    second.fill(b"one\n", "a:4")
    third = successor()
    assert (third.left_at(), third.is_empty()) == ("a:4", False)
    third.pass_on(write)
    fourth = successor()
    assert (fourth.left_at(), fourth.is_empty()) == ("a:4", True)
    assert os.read(read, 100) == b"one\n"
    fourth.forget()
    fifth = successor()
    assert fifth.left_at() is None
    for relay in (first, second, third, fourth, fifth):
        relay.close()
    for fd in held:
        os.close(fd)
