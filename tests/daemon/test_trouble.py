"""Scarcity: no descriptors, no disk. Who suffers is the one concerned, and it passes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import until
from tests.daemon.conftest import SLEEP, Daemon, alive


def test_six_hundred_workers(daemon: Daemon) -> None:
    """More descriptors than the usual soft limit, in a daemon that was started with that."""
    web = {"command": SLEEP, "instances": 600, "stderr": "logs/{instance}.err"}
    daemon.run({"web": web}, prefix=["prlimit", "--nofile=1024:8192"])
    rows = daemon.client.workers
    daemon.until(lambda: all(row["state"] == "RUNNING" for row in rows()))
    before = [row["pid"] for row in rows()]
    daemon.kill_manager()
    assert [row["pid"] for row in rows()] == before
    daemon.kill_keeper()
    assert [row["pid"] for row in rows()] == before
    daemon.client.shutdown()
    until(lambda: not any(map(alive, before)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=False
    )
    if made.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk(small_disk: Path, daemon: Daemon) -> None:
    """A worker whose log is full runs on; what is lost is counted, and logging resumes."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 700_000)
    code = "import os\nfor n in range(40000): os.write(1, b'%08d' % n + b'.' * 90 + b'\\n')\n"
    code += "os.write(2, b'done\\n')\n"
    code += "import time\nwhile True: os.write(1, b'tick\\n'); time.sleep(0.02)"
    log = {"log": str(small_disk / "web.log"), "rotate": {"size": "none"}}
    command = [sys.executable, "-c", code]
    daemon.run({"web": {"command": command, "stdout": log, "stderr": "logs/web.0.log"}})
    daemon.until(lambda: daemon.log("web:0") == "done\n")
    daemon.until(lambda: daemon.row("web")["logs"]["stdout"]["dropped"] > 1_000_000)
    pid = daemon.pid("web")
    os.unlink(ballast)
    written = small_disk / "web.log"
    daemon.until(lambda: "lost: No space left" in written.read_text())
    daemon.until(lambda: written.read_text().endswith("tick\n"))
    assert daemon.pid("web") == pid
