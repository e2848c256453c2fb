"""Bytes from a worker's pipe into its file: all of them, once, in order, whoever takes over."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.core.log import Log, Rotation
from supervisord_lite.logs.capture.hop import Passage
from supervisord_lite.logs.capture.stream import Held, Stream
from supervisord_lite.logs.event import TroubleBegan, TroubleEnded

if TYPE_CHECKING:
    from tests.logs.conftest import Rig


def test_what_a_worker_writes_is_in_its_file(rig: Rig) -> None:
    """Bytes arrive unchanged, whether or not they are text or end a line."""
    log = rig.log()
    rig.write(b"hello\n\x00\xff\xfe no line end")
    rig.flush()
    assert rig.contents(log) == b"hello\n\x00\xff\xfe no line end"


def test_more_than_a_pipe_holds_arrives_in_order(rig: Rig) -> None:
    """A writer that is faster than the data plane waits, and nothing is lost or swapped."""
    log = rig.log()
    data = rig.lines(40_000)
    rig.write(data)
    rig.flush()
    assert rig.contents(log) == data


def test_a_log_and_its_directories_are_made_for_owner_and_group(rig: Rig) -> None:
    """Missing parents are 0750, the file 0640."""
    log = rig.log(path=str(rig.directory / "deep" / "er" / "web.log"))
    rig.flush()
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o640
    assert stat.S_IMODE((rig.directory / "deep").stat().st_mode) == 0o750


def test_a_log_is_continued_by_the_next_data_plane(rig: Rig) -> None:
    """Stopping at a step boundary and starting again shows nowhere in the file."""
    log = rig.log()
    rig.write(b"before\n")
    rig.renew()
    rig.write(b"after\n")
    rig.flush()
    assert rig.contents(log) == b"before\nafter\n"


def test_a_hop_with_bytes_in_it_is_emptied_into_its_owner_first(rig: Rig) -> None:
    """What a killed data plane had taken out of the pipe comes before what it had not."""
    log = rig.log()
    rig.log("db")
    assert rig.plane.stop()
    rig.write(b"first\n")
    Passage(next(iter(rig.hops.made.values()))).fill("web", rig.pipes["web"])
    rig.write(b"second\n")
    rig.write(b"other\n", "db")
    rig.renew()
    rig.flush()
    assert rig.contents(log) == b"first\nsecond\n"
    assert rig.contents(rig.logs["db"]) == b"other\n"


def test_a_hop_of_a_stream_that_comes_later_is_kept_for_it(rig: Rig) -> None:
    """Other streams do not wait for the owner of the bytes, nor do they get them."""
    log = rig.log()
    other = rig.log("db")
    assert rig.plane.stop()
    rig.write(b"mine\n")
    Passage(next(iter(rig.hops.made.values()))).fill("web", rig.pipes["web"])
    del rig.logs["web"]
    rig.write(b"other\n", "db")
    rig.renew()
    rig.flush()
    assert rig.contents(other) == b"other\n"
    rig.plane.attach("web", rig.pipes["web"], log)
    rig.flush()
    assert rig.contents(log) == b"mine\n"


def test_detaching_logs_what_is_in_the_pipe(rig: Rig) -> None:
    """The last words of a worker that leaves the configuration are kept."""
    log = rig.log()
    rig.write(b"last words\n")
    rig.plane.detach("web")
    rig.flush()
    assert rig.contents(log) == b"last words\n"


def test_two_logs_of_one_name_are_one_too_many(rig: Rig) -> None:
    """A second opening of the same file is kept out by the lock, and said."""
    log = rig.log()
    rig.log("db", path=log.path)
    rig.eventually(lambda: rig.told(TroubleBegan), "the lock is told of")
    assert rig.plane.status("db").trouble == (
        f"cannot write {log.path}: another process is writing it"
    )
    assert rig.plane.status("web").trouble is None


def test_a_log_that_cannot_be_opened_loses_output_and_says_how_much(rig: Rig) -> None:
    """A directory in the log's place stops no worker; once it is gone, a marker line counts."""
    path = rig.directory / "web.log"
    path.mkdir()
    log = rig.log(path=str(path))
    rig.write(b"one\ntwo\n")
    rig.eventually(lambda: rig.plane.status("web").dropped_bytes == 8, "the output is dropped")
    path.rmdir()
    rig.eventually(lambda: rig.told(TroubleEnded), "the log is written again")
    rig.write(b"three\n")
    rig.flush()
    assert rig.contents(log) == (
        b"[supervisord-lite: 8 bytes in 2 lines lost: Is a directory]\nthree\n"
    )
    assert [event.dropped_lines for event in rig.told(TroubleEnded)] == [2]  # type: ignore[union-attr]


def test_another_path_is_taken_at_once_and_nothing_is_lost_between(rig: Rig) -> None:
    """What was written before the change is in the old file, what comes after in the new one."""
    log = rig.log()
    rig.write(b"old\n")
    new = Log(str(rig.directory / "new.log"))
    rig.plane.adjust("web", new)
    rig.flush()
    rig.write(b"new\n")
    rig.flush()
    assert rig.contents(log) == b"old\n"
    assert rig.contents(new) == b"new\n"


def test_a_log_may_move_to_another_file_system(rig: Rig) -> None:
    """Its lane changes with it, and both files together hold every byte in order."""
    log = rig.log()
    new = Log(f"/dev/shm/supervisord-lite-test-{os.getpid()}.log")
    data = rig.lines(20_000)
    writer = threading.Thread(target=rig.write, args=(data,))
    try:
        writer.start()
        rig.plane.adjust("web", new)
        rig.plane.began("web", 2)
        writer.join()
        rig.flush()
        assert Path(log.path).read_bytes() + Path(new.path).read_bytes() == data
    finally:
        writer.join()
        rig.plane.detach("web")
        rig.flush()
        for file in Path("/dev/shm").glob(f"*supervisord-lite-test-{os.getpid()}.log*"):
            file.unlink()


def test_a_log_may_move_away_from_a_disk_that_hangs_and_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is told for the one lane is never done in the other's thread."""
    there = f"/dev/shm/supervisord-lite-test-{os.getpid()}"
    rig.log("here")
    rig.log("there", path=f"{there}.there.log")
    rig.log()
    hung = {name: Hung() for name in ("here", "there")}
    done: list[int] = []
    adjust = Stream.adjust

    def adjusted(stream: Stream, log: Log, held: Held) -> None:
        done.append(threading.get_ident())
        adjust(stream, log, held)

    monkeypatch.setattr(Stream, "adjust", adjusted)
    try:
        for name, one in hung.items():
            rig.plane.watch(name, one.wake)
            rig.write(b"x\n", name)
            assert one.hangs.wait(20.0)
        rig.plane.adjust("web", Log(f"{there}.web.log"))
        rig.plane.adjust("web", Log(str(rig.directory / "back.log")))
        hung["here"].goes_on.set()
        rig.write(b"y\n", "here")
        rig.eventually(lambda: hung["here"].times == 2, "what was ordered before is done")
        hung["there"].goes_on.set()
        rig.flush()
        rig.write(b"z\n")
        rig.flush()
        assert (rig.directory / "back.log").read_bytes() == b"z\n"
        assert done == [hung["there"].thread, hung["here"].thread]
    finally:
        for one in hung.values():
            one.goes_on.set()
        for name in ("web", "there"):
            rig.plane.detach(name)
        rig.flush()
        for file in Path("/dev/shm").glob(f"*supervisord-lite-test-{os.getpid()}*"):
            file.unlink()


class Hung:
    """Holds up a lane, as a disk does that does not answer."""

    def __init__(self) -> None:
        self.hangs, self.goes_on = threading.Event(), threading.Event()
        self.times = 0
        self.thread = 0

    def wake(self) -> None:
        self.thread = threading.get_ident()
        self.hangs.set()
        self.goes_on.wait(20.0)
        self.times += 1


def test_reopening_follows_a_log_that_was_renamed_from_outside(rig: Rig) -> None:
    """Logrotate renames and signals; from then on the file of the name is written."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    moved = Path(log.path).rename(rig.directory / "elsewhere")
    rig.reopen()
    rig.flush()
    rig.write(b"after\n")
    rig.flush()
    assert moved.read_bytes() == b"before\n"
    assert Path(log.path).read_bytes() == b"after\n"


def test_a_log_truncated_from_outside_begins_at_its_start(rig: Rig) -> None:
    """No hole of zeros grows where the old bytes were."""
    log = rig.log()
    rig.write(b"before\n")
    rig.flush()
    os.truncate(log.path, 0)
    rig.write(b"after\n")
    rig.flush()
    assert Path(log.path).read_bytes() == b"after\n"


def test_a_log_removed_from_outside_is_made_again(rig: Rig) -> None:
    """Bytes do not go into a file that nobody can find."""
    log = rig.log()
    rig.flush()
    Path(log.path).unlink()
    rig.write(b"after\n")
    rig.flush()
    assert Path(log.path).read_bytes() == b"after\n"


def test_many_streams_share_a_lane_and_a_flood_starves_none(rig: Rig) -> None:
    """While one worker floods, the line of another is in its file within the deadline."""
    rig.log("flood")
    quiet = rig.log("quiet")
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            os.write(rig.pipes["flood"], b"x" * 65536)

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        rig.write(b"heard\n", "quiet")
        rig.eventually(lambda: rig.plane.status("quiet").bytes == len(b"heard\n"), "it is heard")
        assert rig.contents(quiet) == b"heard\n"
    finally:
        over.set()
        writer.join()


def test_watchers_are_woken_when_the_log_grew(rig: Rig) -> None:
    """And no more after they have cancelled."""
    rig.log()
    woken = threading.Event()
    cancel = rig.plane.watch("web", woken.set)
    rig.write(b"x\n")
    assert woken.wait(20)
    cancel()
    rig.flush()
    woken.clear()
    rig.write(b"y\n")
    rig.flush()
    assert not woken.is_set()


def test_two_descriptors_a_stream(rig: Rig) -> None:
    """An idle stream costs this process its pipe's read side and its file."""
    rig.log("first")
    rig.flush()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        rig.log(f"w{number}")
    rig.flush()
    ours = 20  # the caller's own descriptor of each pipe
    indexes = 20  # of those written last, at most 64 are kept open
    assert len(os.listdir("/proc/self/fd")) - before <= 2 * 20 + ours + indexes


def test_idle_means_no_wake_ups(rig: Rig) -> None:
    """With nothing to move, no thread of the data plane runs."""
    for number in range(5):
        rig.log(f"w{number}")
    rig.write(b"x\n", "w0")
    rig.flush()
    rig.eventually(_a_second_without_a_switch, "a second passes without a wake-up")


def _a_second_without_a_switch() -> bool:
    before = _switches()
    time.sleep(1.0)  # the measure itself
    return _switches() == before


def _switches() -> list[str]:
    """The context switch counts of all threads of the data plane."""
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("logs")]
    return [
        line
        for thread in ours
        for line in Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines()
        if "ctxt_switches" in line
    ]


def test_a_giant_line_needs_no_memory(rig: Rig) -> None:
    """200 MB without a line end, rotation included, pass in a few megabytes."""
    rig.log(rotation=Rotation(10_000_000, keep=1))
    rig.write(b"x" * 1_000_000)
    rig.flush()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here: proc(5)
    before = _peak()
    portion = b"x" * 1_000_000
    for _ in range(200):
        rig.write(portion)
    rig.flush()
    assert rig.plane.status("web").dropped_bytes == 0
    assert _peak() - before < 8 * 1024


def _peak() -> int:
    """The largest resident set so far, in KiB."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1])
