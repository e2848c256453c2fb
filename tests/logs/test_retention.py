"""When logs are rotated by the clock, and which older files stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.log import Rotation
from supervisord_lite.logs.files import rotation
from supervisord_lite.logs.files.budget import Budget
from supervisord_lite.logs.files.retention import boundary, trim
from supervisord_lite.logs.files.rotation import index_path, numbered

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("began", "due"),
    [
        ("2026-06-01 02:59:59", "2026-06-01 03:00"),
        ("2026-06-01 03:00", "2026-06-02 03:00"),
        ("2026-12-31 23:00", "2027-01-01 03:00"),
        ("2026-03-28 12:00", "2026-03-29 03:00"),  # the night of 23 hours
        ("2026-10-24 12:00", "2026-10-25 03:00"),  # the night of 25
    ],
)
def test_daily_is_a_time_of_the_local_clock(berlin: None, began: str, due: str) -> None:
    """The first one after the file's first byte, whatever the clock does that night."""
    assert boundary(Rotation(daily="03:00"), at(began)) == at(due)


def test_a_time_that_is_left_out_in_spring_comes_nevertheless(berlin: None) -> None:
    """Within the hour that is missing, once."""
    due = boundary(Rotation(daily="02:30"), at("2026-03-28 12:00"))
    assert due is not None
    assert at("2026-03-29 01:00") < due < at("2026-03-29 04:00")


@given(began=st.floats(0, 4e9), every=st.floats(1, 1e7))
def test_the_earlier_of_two_boundaries_counts(began: float, every: float) -> None:
    """It is always after the first byte, and within a day and some of it."""
    due = boundary(Rotation(daily="12:00", every=every), began)
    assert due is not None
    assert began < due <= began + min(every, 26 * 3600)


def test_without_a_clock_there_is_no_boundary() -> None:
    """Size alone rotates by default."""
    assert boundary(Rotation(), 0.0) is None


def files(directory: Path, name: str, *ages: int, size: int = 100, now: float = 1e9) -> str:
    """A log with older files whose last bytes came so many seconds ago, the youngest first."""
    path = str(directory / name)
    Path(path).write_bytes(bytes(size))
    for number, age in enumerate(ages, 1):
        older = Path(numbered(path, number))
        older.write_bytes(bytes(size))
        Path(index_path(str(older))).write_bytes(b"index")
        os.utime(older, (now - age, now - age))
    return path


def numbers(path: str) -> list[int]:
    return [one.number for one in rotation.older(path)]


def test_only_so_many_bytes_of_older_files_stay(tmp_path: Path) -> None:
    """The oldest go, with their indexes; the present file does not count."""
    path = files(tmp_path, "web.log", 10, 20, 30, 40)
    assert trim(path, Rotation(max_total=250), 1e9) is None
    assert numbers(path) == [1, 2]
    assert len(os.listdir(tmp_path)) == 5


def test_only_so_old_files_stay(tmp_path: Path) -> None:
    """By the time of their last byte; when the next one goes is told."""
    path = files(tmp_path, "web.log", 10, 20, 30, 40)
    assert trim(path, Rotation(max_age=25), 1e9) == 1e9 + 5
    assert numbers(path) == [1, 2]
    assert trim(path, Rotation(max_age=5), 1e9) is None
    assert numbers(path) == []


def test_a_budget_takes_the_oldest_files_of_all_logs(tmp_path: Path) -> None:
    """Whatever log they are of; present files stay, however old."""
    web = files(tmp_path, "web.log", 10, 30, 50)
    db = files(tmp_path, "db.log", 20, 40, 60)
    budget = Budget()
    budget.look([web, db], ())
    assert budget.present == 200
    gone = budget.excess(450)
    assert [os.path.basename(one.path) for one in gone] == [
        "db.log.3",
        "web.log.3",
        "db.log.2",
        "web.log.2",
    ]
    assert [one.size for one in budget.excess(0)] == [100] * 6
    assert budget.excess(800) == []


def test_a_budget_takes_no_file_before_an_older_one_of_its_log(tmp_path: Path) -> None:
    """Even if clocks were set back meanwhile: there is never a gap."""
    web = files(tmp_path, "web.log", 50, 10)
    budget = Budget()
    budget.look([web], ())
    (gone,) = budget.excess(200)
    assert gone.path == f"{web}.2"


def test_a_budget_looks_again_at_what_has_changed(tmp_path: Path) -> None:
    """Only there; and forgets logs that are gone."""
    web, db = files(tmp_path, "web.log", 10), files(tmp_path, "db.log", 10)
    budget = Budget()
    budget.look([web, db], ())
    rotation.remove(f"{web}.1")
    budget.look([web, db], [web])
    assert [one.log for one in budget.excess(0)] == [db]
    budget.look([web], ())
    assert budget.excess(0) == []
    assert budget.present == 100
