"""How fast the output of one busy worker reaches its log, beside `cat` from a pipe to a file."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.peers import MIB, Declared, Peer
from benchmarks.processes import until

WRITER = Path(__file__).with_name("writer.py")


def measure_throughput(peer: Peer, figures: Figures, mebibytes: int, rotate: int) -> None:
    """MiB a second from the writer's first write until every byte is in the log."""
    begun = peer.directory / "begun"
    command = f"{sys.executable} -I -S {WRITER} {mebibytes} {begun} {peer.crew.number}"
    peer.configure([Declared("writer", command, rotate=rotate)])
    peer.start()
    until(lambda: peer.log_size("writer") >= mebibytes * MIB, "all is logged", pause=0.001)
    ended = time.monotonic()
    figures.add("rotated log" if rotate else "raw log", mebibytes / (ended - _begun(begun)))
    for log in peer.logs.iterdir():
        log.unlink()


def measure_cat(directory: Path, figures: Figures, mebibytes: int) -> None:
    """The same writer into `cat`, which writes to a file."""
    directory.mkdir(parents=True)
    begun, log = directory / "begun", directory / "log"
    command = [sys.executable, "-I", "-S", str(WRITER), str(mebibytes), str(begun), "once"]
    with log.open("wb") as output:
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        subprocess.run(["cat"], stdin=writer.stdout, stdout=output, check=True, timeout=120)
        ended = time.monotonic()
    assert writer.stdout is not None
    writer.stdout.close()
    writer.wait(10)
    assert log.stat().st_size == mebibytes * MIB
    figures.add("raw log", mebibytes / (ended - _begun(begun)))
    log.unlink()


def _begun(path: Path) -> float:
    return float(path.read_text())
