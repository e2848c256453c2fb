"""Rotation by the clock: also when nothing is written, and no wake-up where nobody asked for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from supervisord_lite.core.log import Rotation
from supervisord_lite.logs.capture.alarms import Alarms
from supervisord_lite.logs.event import Rotated
from supervisord_lite.logs.files.index import ENTRY, HEADER
from supervisord_lite.logs.files.rotation import index_path, older
from supervisord_lite.logs.poller import Poller

if TYPE_CHECKING:
    from tests.logs.conftest import Rig

SOON = 0.2  # seconds
DAY = 86_400.0


def age(path: str, seconds: float) -> None:
    """Have an index say that all came so much earlier."""
    index = Path(index_path(path))
    content = index.read_bytes()
    entries = [
        ENTRY.pack(offset, when - int(seconds * 1e9), run)
        for offset, when, run in ENTRY.iter_unpack(content[HEADER.size :])
    ]
    index.write_bytes(content[: HEADER.size] + b"".join(entries))


def test_a_quiet_log_is_rotated_when_its_time_has_come(rig: Rig) -> None:
    """Nothing more needs to be written, and it is told."""
    log = rig.log(rotation=Rotation(every=SOON))
    rig.write(b"x\n")
    rig.flush()
    rig.eventually(lambda: older(log.path), "it is rotated")
    rig.eventually(lambda: rig.told(Rotated), "it is told")
    assert Path(f"{log.path}.1").read_bytes() == b"x\n"
    assert Path(log.path).read_bytes() == b""
    assert rig.told(Rotated)[0] == Rotated("web", log.path)


def test_an_empty_log_is_not_rotated(rig: Rig) -> None:
    """Its time begins with its first byte."""
    log = rig.log(rotation=Rotation(every=SOON))
    quiet = rig.log("quiet", rotation=Rotation(every=SOON))
    for number in range(1, 4):
        rig.write(b"x\n")
        rig.eventually(lambda number=number: len(older(log.path)) == number)  # type: ignore[misc]
    assert older(quiet.path) == []
    rig.write(b"x\n", "quiet")
    rig.eventually(lambda: older(quiet.path))


def test_a_line_is_finished_first(rig: Rig) -> None:
    """What comes after its end goes into the next file."""
    log = rig.log(rotation=Rotation(every=SOON))
    other = rig.log("other", rotation=Rotation(every=SOON))
    rig.write(b"the beginning")
    rig.flush()
    rig.write(b"later\n", "other")
    rig.eventually(lambda: older(other.path))  # so the time of the one before has come too
    assert older(log.path) == []
    rig.write(b" and the end\nnext\n")
    rig.eventually(lambda: older(log.path))
    rig.flush()
    assert Path(f"{log.path}.1").read_bytes() == b"the beginning and the end\n"
    assert Path(log.path).read_bytes() == b"next\n"


def test_a_boundary_that_passed_while_nobody_was_there_is_kept(rig: Rig) -> None:
    """The next data plane knows from the index when the file's first byte came."""
    log = rig.log(rotation=Rotation(daily="03:00"))
    rig.write(b"yesterday's\n")
    rig.flush()
    assert rig.plane.stop()
    age(log.path, 2 * DAY)
    rig.renew()
    rig.eventually(lambda: older(log.path), "it is rotated")
    rig.write(b"today's\n")
    rig.flush()
    assert Path(f"{log.path}.1").read_bytes() == b"yesterday's\n"
    assert Path(log.path).read_bytes() == b"today's\n"


def test_files_that_grow_too_old_are_removed_in_silence(rig: Rig) -> None:
    """Also when nothing is written any more."""
    log = rig.log(rotation=Rotation(640, max_age=SOON))
    rig.write(rig.lines(35))
    rig.flush()
    rig.eventually(lambda: not older(log.path), "all older files are gone")
    assert Path(log.path).read_bytes() == rig.lines(5, start=30)


def test_a_reload_sets_the_time_of_files_that_are_there(rig: Rig) -> None:
    """The age that a file has counts."""
    log = rig.log()
    rig.write(b"x\n")
    rig.flush()
    rig.plane.adjust("web", type(log)(log.path, Rotation(every=SOON)))
    rig.eventually(lambda: older(log.path))


def test_without_a_time_to_keep_there_is_no_timer() -> None:
    """A lane whose logs rotate by size has nothing that could wake it."""
    wait = Poller()
    alarms = Alarms(wait)
    alarms.set(1, None, lambda: None)
    assert alarms._alarm is None
    alarms.close()
    wait.close()


def test_alarms_ring_in_order_and_as_set_last() -> None:
    """Each once; those that were taken back do not."""
    wait = Poller()
    alarms = Alarms(wait)
    rung: list[str] = []
    now = time.time()
    alarms.set(1, now + 0.02, lambda: rung.append("second"))
    alarms.set(2, now + 0.01, lambda: rung.append("first"))
    alarms.set(3, now + 0.01, lambda: rung.append("taken back"))
    alarms.set(3, None, lambda: None)
    alarms.set(4, now + 1e6, lambda: rung.append("too early"))
    alarms.set(4, now - 1, lambda: rung.append("at once"))
    while len(rung) < 3:
        ready = wait.wait(20)
        assert ready, "nothing rings"
        for fd, events in ready:
            wait.handle(fd, events)
    assert rung == ["at once", "first", "second"]
    assert wait.wait(0) == []
    alarms.close()
    wait.close()


def test_the_clock_alone_may_rotate(rig: Rig) -> None:
    """With `size` None a file grows until its time has come."""
    log = rig.log(rotation=Rotation(None, every=SOON, keep=100))
    rig.write(rig.lines(100))
    rig.flush()
    rig.eventually(lambda: older(log.path))
    assert os.path.getsize(f"{log.path}.1") == 6400


def test_times_that_are_asked_for_again_and_again_take_no_memory() -> None:
    """A quiet log waits for its time, while a busy one gets another one with every rotation."""
    wait = Poller()
    alarms = Alarms(wait)
    alarms.set("quiet", time.time() + 1000, lambda: None)
    for number in range(10_000):
        alarms.set("busy", time.time() + 2000 + number, lambda: None)
    assert len(alarms._times) < 100
    alarms.close()
    wait.close()


def test_a_clock_that_was_set_back_delays_no_rotation(rig: Rig) -> None:
    """The first byte came in a future that is none any more."""
    log = rig.log(rotation=Rotation(every=SOON))
    assert rig.plane.stop()
    Path(log.path).write_bytes(b"x\n")
    age(log.path, -3650 * DAY)
    rig.renew()
    rig.eventually(lambda: older(log.path), "it is rotated")
