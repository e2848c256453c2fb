"""Logs that workers write themselves: readers are woken, and without any nothing is watched."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from supervisord_lite.core.log import Log
from tests.logs.conftest import run_blind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.logs.conftest import Rig


def attach(rig: Rig, path: Path) -> Log:
    log = Log(str(path), direct=True)
    rig.plane.attach("web", None, log)
    rig.start()
    return log


def append(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(data)


def settled(rig: Rig, woken: threading.Event) -> None:
    """All that was told before has been told."""
    rig.flush()
    woken.clear()


def watching(rig: Rig) -> tuple[threading.Event, Callable[[], None]]:
    woken = threading.Event()
    cancel = rig.plane.watch("web", woken.set)
    settled(rig, woken)
    return woken, cancel


def test_a_reader_is_woken_when_the_worker_writes(rig: Rig) -> None:
    """By the kernel, since no byte passes through here."""
    path = rig.directory / "web.log"
    path.write_bytes(b"")
    attach(rig, path)
    woken, _ = watching(rig)
    append(path, b"hello\n")
    assert woken.wait(20)


def test_a_file_that_comes_later_is_noticed(rig: Rig) -> None:
    """Its directory is watched, too."""
    path = rig.directory / "web.log"
    attach(rig, path)
    woken, _ = watching(rig)
    append(path, b"hello\n")
    assert woken.wait(20)


def test_a_directory_that_comes_later_is_noticed_when_a_run_begins(rig: Rig) -> None:
    """It is made for the worker's start."""
    path = rig.directory / "logs" / "web.log"
    attach(rig, path)
    woken, _ = watching(rig)
    path.parent.mkdir()
    rig.plane.began("web", 1)
    settled(rig, woken)
    append(path, b"hello\n")
    assert woken.wait(20)


def test_a_file_that_was_moved_and_made_anew_is_followed(rig: Rig) -> None:
    """As logrotate does it."""
    path = rig.directory / "web.log"
    append(path, b"one\n")
    attach(rig, path)
    woken, _ = watching(rig)
    path.rename(path.with_suffix(".old"))
    append(path, b"")
    assert woken.wait(20)
    settled(rig, woken)
    append(path, b"two\n")
    assert woken.wait(20)


def test_nothing_is_watched_without_a_reader(rig: Rig) -> None:
    """Whoever cancels is not woken any more, and neither are we."""
    path = rig.directory / "web.log"
    path.write_bytes(b"")
    attach(rig, path)
    woken, cancel = watching(rig)
    cancel()
    rig.flush()
    append(path, b"hello\n")
    rig.flush()
    assert not woken.is_set()
    assert _watches() == 0


def test_the_status_has_the_size_of_the_file(rig: Rig) -> None:
    """Looked up when it is asked for; there may be none yet."""
    path = rig.directory / "web.log"
    attach(rig, path)
    assert rig.plane.status("web").bytes == 0
    append(path, b"hello\n")
    assert rig.plane.status("web").bytes == 6
    assert "web" in rig.plane
    rig.plane.detach("web")
    assert "web" not in rig.plane


def _watches() -> int:
    """Inotify watches of this process, by proc(5)."""
    found = 0
    for number in os.listdir("/proc/self/fdinfo"):
        try:
            with open(f"/proc/self/fdinfo/{number}", encoding="ascii") as stream:
                found += sum(line.startswith("inotify ") for line in stream)
        except OSError:
            continue
    return found


def test_a_reader_is_woken_where_the_kernel_has_no_instance_left(tmp_path: Path) -> None:
    """The file is looked at once a second, and the lane goes on with other logs."""
    run_blind("direct", tmp_path)


def test_a_reader_goes_on_with_a_log_that_becomes_direct(rig: Rig) -> None:
    """It was woken by the data plane before, and is by the kernel from then on."""
    path = rig.directory / "web.log"
    rig.log()
    woken, _ = watching(rig)
    rig.plane.detach("web")
    rig.plane.attach("web", None, Log(str(path), direct=True))
    settled(rig, woken)
    append(path, b"hello\n")
    assert woken.wait(20)


def test_older_files_of_a_direct_log_can_be_changed(rig: Rig) -> None:
    """Nobody here renames them, but the budget for all logs may remove them."""
    attach(rig, rig.directory / "web.log")
    done = threading.Event()
    rig.plane.between_steps("web", done.set)
    assert done.wait(20)
