"""Rotation: at line ends, without losing a byte, and safe to be interrupted anywhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.log import Rotation
from supervisord_lite.logs.files import rotation
from supervisord_lite.logs.files.rotation import SLACK, cut, numbered

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.logs.conftest import Rig


def test_files_end_with_a_line_and_together_hold_everything(rig: Rig) -> None:
    """Each older file is at most the limit and ends with a line end."""
    log = rig.log(rotation=Rotation(10_000, keep=1000))
    data = b"".join(b"%d\n" % (number * 7919) for number in range(30_000))
    rig.write(data)
    rig.flush()
    assert rig.contents(log) == data
    older = list(rig.directory.glob("web.log.*"))
    assert len(older) > 20
    assert all(file.read_bytes().endswith(b"\n") for file in older)
    assert max(file.stat().st_size for file in older) <= 10_000


def test_only_so_many_older_files_stay(rig: Rig) -> None:
    """With `keep: 2` the third oldest goes, and its index with it."""
    rig.log(rotation=Rotation(640, keep=2))
    rig.write(rig.lines(100))
    rig.flush()
    names = sorted(os.listdir(rig.directory))
    assert names == sorted(
        ["web.log", "web.log.1", "web.log.2", ".web.log.idx", ".web.log.1.idx", ".web.log.2.idx"]
    )


def test_keep_nothing(rig: Rig) -> None:
    """With `keep: 0` there is one file, which begins again."""
    log = rig.log(rotation=Rotation(640, keep=0))
    rig.write(rig.lines(15))
    rig.flush()
    assert sorted(os.listdir(rig.directory)) == [".web.log.idx", "web.log"]
    assert rig.contents(log) == rig.lines(5, start=10)


def test_a_lowered_keep_removes_what_is_too_much(rig: Rig) -> None:
    """A reload that keeps fewer files takes effect at once."""
    log = rig.log(rotation=Rotation(640, keep=5))
    rig.write(rig.lines(100))
    rig.flush()
    rig.plane.adjust("web", type(log)(log.path, Rotation(640, keep=1)))
    rig.flush()
    assert sorted(file.name for file in rig.directory.glob("web*")) == ["web.log", "web.log.1"]


def test_a_line_longer_than_the_limit_is_kept_whole_within_the_slack(rig: Rig) -> None:
    """A file may be somewhat longer than its limit rather than cut a line in two."""
    log = rig.log(rotation=Rotation(1000, keep=10))
    data = b"a\n" + b"b" * 5000 + b"\nc\n"
    rig.write(data)
    rig.flush()
    assert rig.contents(log) == data
    assert (rig.directory / "web.log.1").read_bytes().endswith(b"b\n")


def test_a_line_without_end_is_cut(rig: Rig) -> None:
    """No file grows beyond limit and slack, whatever a worker writes."""
    log = rig.log(rotation=Rotation(100_000, keep=100))
    data = b"x" * 3_000_000
    rig.write(data)
    rig.flush()
    assert rig.contents(log) == data
    sizes = {file.stat().st_size for file in rig.directory.glob("web.log.*")}
    assert sizes == {100_000 + SLACK}


@given(
    size=st.integers(0, 300),
    limit=st.integers(1, 200),
    data=st.binary(max_size=400).map(lambda raw: raw.replace(b"a", b"\n")),
    at_line_start=st.booleans(),
)
def test_a_cut_never_splits_a_line_that_fits(
    size: int, limit: int, data: bytes, *, at_line_start: bool
) -> None:
    """Whatever arrives: no rotation while all fits, and else a cut at a line's end."""
    answer = cut(size, limit, data, at_line_start=at_line_start)
    if size + len(data) <= limit:
        assert answer is None
    elif answer:
        assert data[answer - 1 : answer] == b"\n"
    elif answer == 0:
        assert at_line_start
        assert size


STEPS = 12


@pytest.mark.parametrize("crash_at", range(STEPS))
def test_a_crash_at_any_step_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    """Interrupted before its n-th change to the directory and done again, a rotation has dropped
    at most the file that it was to drop, and all others are in order.
    """
    path = str(tmp_path / "web.log")
    for number in range(4):
        Path(numbered(path, number)).write_text(str(number))
        Path(rotation.index_path(numbered(path, number))).write_text(str(number))
    with monkeypatch.context() as patched:
        left = crash_at

        def counted(act: Callable[..., None]) -> Callable[..., None]:
            def step(*arguments: object) -> None:
                nonlocal left
                if not left:
                    raise KeyboardInterrupt
                left -= 1
                act(*arguments)

            return step

        patched.setattr(os, "replace", counted(os.replace))
        patched.setattr(os, "unlink", counted(os.unlink))
        with suppress(KeyboardInterrupt):
            rotation.rotate(path, 4)
    if Path(path).exists():
        rotation.rotate(path, 4)
    found = [Path(numbered(path, n)) for n in range(1, 6) if Path(numbered(path, n)).exists()]
    assert [file.read_text() for file in found] == ["0", "1", "2", "3"]
    for file in found:
        assert Path(rotation.index_path(str(file))).read_text() == file.read_text()
