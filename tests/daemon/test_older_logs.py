"""Older logs of a whole daemon: compressed by helpers, kept within a budget, after every death."""

import gzip
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from supervisord_lite.logs.files.packed import Packed
from supervisord_lite.logs.files.rotation import older
from tests.daemon.conftest import LINES, SLEEP, Daemon

KILLS = 40 if os.environ.get("SOAK") == "1" else 5
KIBIBYTE = 1024
FAST = ["seq", "1", "60000"]  # some 340 kB


def writer(argv: list[str], **stdout: Any) -> dict[str, Any]:
    """A task that writes lines and ends."""
    return {"command": argv, "type": "task", "stdout": {"log": "logs/web.log", **stdout}}


def log_of(daemon: Daemon) -> Path:
    return daemon.directory / "logs" / "web.log"


def all_packed(path: Path) -> bool:
    files = older(str(path))
    return bool(files) and all(one.packed for one in files)


def contents(path: Path) -> bytes:
    """All files of a log, oldest first, none of them longer than a frame."""
    found = b""
    for one in reversed(older(str(path))):
        if one.packed:
            with Packed(one.path) as packed:
                found += packed.pread(packed.size, 0)
        else:
            found += Path(one.path).read_bytes()
    return found + path.read_bytes()


def seq(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(1, count + 1))


def test_older_files_are_compressed(daemon: Daemon) -> None:
    """All of them, one after another, and zcat reads them."""
    rotate = {"size": "64KiB", "keep": 20, "compress": "gzip"}
    daemon.run({"web": writer(FAST, rotate=rotate), "idle": {"command": SLEEP}})
    path = log_of(daemon)
    daemon.await_state("web", "EXITED")
    daemon.until(lambda: all_packed(path))
    assert contents(path) == seq(60_000)
    oldest = older(str(path))[-1].path
    with gzip.open(oldest) as stream:
        assert stream.read(4) == b"1\n2\n"
    assert not [name for name in os.listdir(path.parent) if "packing" in name]


def test_what_is_already_there_is_compressed_after_a_reload(daemon: Daemon) -> None:
    """It takes no further rotation."""
    rotate: dict[str, Any] = {"size": "64KiB", "keep": 20}
    workers = {"web": writer(FAST, rotate=rotate), "idle": {"command": SLEEP}}
    daemon.run(workers)
    daemon.await_state("web", "EXITED")
    path = log_of(daemon)
    daemon.until(lambda: len(older(str(path))) == 5)
    assert not all_packed(path)
    workers["web"] = writer(FAST, rotate={**rotate, "compress": "gzip"})
    daemon.configure(workers)
    daemon.client.reload()
    daemon.until(lambda: all_packed(path))
    assert contents(path) == seq(60_000)


def test_a_budget_removes_the_oldest_files_of_all(daemon: Daemon) -> None:
    """And says which."""
    rotate = {"size": "32KiB", "keep": 50}
    daemon.run(
        {
            "web": writer(FAST, rotate=rotate),
            "db": {
                **writer(FAST, rotate=rotate),
                "stdout": {"log": "logs/db.log", "rotate": rotate},
            },
        },
        logs={"max_total": "300KiB"},
    )
    logs = daemon.directory / "logs"
    daemon.until(lambda: daemon.state("web") == daemon.state("db") == "EXITED")
    names = (str(logs / "web.log"), str(logs / "db.log"))

    def is_kept() -> bool:
        paths = [*names, *(one.path for name in names for one in older(name))]
        try:
            total = sum(os.path.getsize(path) for path in paths)
        except FileNotFoundError:  # it was removed while we looked
            return False
        return 200 * KIBIBYTE < total <= 300 * KIBIBYTE

    daemon.until(lambda: "to keep logs.max_total" in daemon.output())
    daemon.until(is_kept)
    assert Path(names[0]).read_bytes().endswith(b"\n60000\n")


def test_managers_that_die_while_logs_are_compressed_lose_nothing(daemon: Daemon) -> None:
    """Killed again and again: in the end every line is there once, and every file is whole."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rotate = {"size": "8KiB", "keep": 1000, "compress": "gzip"}
    count = 4000 * KILLS
    slow = [sys.executable, "-c", LINES, "0.0001", str(count)]
    daemon.run({"web": {"command": slow, "stdout": {"log": "logs/web.log", "rotate": rotate}}})
    path = log_of(daemon)
    for kill in range(KILLS):
        files = len(older(str(path))) + chance.randrange(1, 4)
        daemon.until(lambda files=files: len(older(str(path))) >= files or _is_over(path, count))  # type: ignore[misc]
        daemon.kill_manager() if kill % 2 else os.kill(daemon.manager, signal.SIGKILL)
        daemon.until(daemon.answers)
    daemon.until(lambda: _is_over(path, count))
    daemon.until(lambda: all_packed(path))
    assert contents(path) == b"".join(b"%d\n" % number for number in range(count))
    assert not [name for name in os.listdir(path.parent) if "packing" in name]


def _is_over(path: Path, count: int) -> bool:
    try:
        return path.read_bytes().endswith(b"%d\n" % (count - 1))
    except FileNotFoundError:  # for an instant, in a rotation
        return False
