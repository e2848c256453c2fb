"""Logs that a worker writes itself: what cannot be one is said in so many words."""

import os
from pathlib import Path

import pytest

from supervisord_lite.keeper.direct_log import LogFailed, open_logs
from supervisord_lite.keeper.job import Job


def job(path: Path) -> Job:
    return Job(("true",), "/", {}, logs=(str(path), None, None))


def test_a_fifo_is_no_direct_log(tmp_path: Path) -> None:
    """Though nobody reads it, and open(2) complains of that."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(LogFailed) as failure:
        open_logs(job(path), [-1])
    assert failure.value.text == f"cannot open {path}: it is no regular file"


def test_a_log_that_is_not_there_is_made_with_its_directory(tmp_path: Path) -> None:
    """What is written is appended."""
    path = tmp_path / "logs" / "web.log"
    received = os.open(os.devnull, os.O_WRONLY)
    try:
        open_logs(job(path), [received])
        os.write(received, b"one\n")
        open_logs(job(path), [received])
        os.write(received, b"two\n")
    finally:
        os.close(received)
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o640
