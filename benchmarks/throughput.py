"""How fast the output of one busy worker reaches its log, beside `cat` from a pipe to a file."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.peers import MIB, Declared, Peer, SupervisordLite
from benchmarks.processes import until
from supervisord_lite.core.log import Format
from supervisord_lite.logs.capture.transform import Circumstances, transformed
from supervisord_lite.logs.line import Source

_PAUSE = 0.005  # seconds between two requests
_LINE = 64  # bytes of each of the writer's
WRITER = Path(__file__).with_name("writer.py")


class Formatted(SupervisordLite):
    """The daemon of this repository, with logs that have a format of their own."""

    format = Format.RAW

    def configure(self, workers: Sequence[Declared]) -> None:
        super().configure(workers)
        text = self._file.read_text()
        self._file.write_text(text.replace("stdout: {", f"stdout: {{format: {self.format}, "))

    def logged(self, mebibytes: int) -> int:
        """The size of a log with so many MiB of the writer's lines."""
        how = Circumstances(self.format, 0, 1, at_line_start=True, whole=True)
        line = b"0" * (_LINE - 1) + b"\n"
        return mebibytes * MIB // _LINE * len(transformed(line, how, Source("writer", 0, "stdout")))


class Timestamped(Formatted):
    """A time before each line."""

    format = Format.TIMESTAMPED


class AsJson(Formatted):
    """An object a line."""

    format = Format.JSON


def measure_throughput(peer: Peer, figures: Figures, mebibytes: int, rotate: int) -> None:
    """MiB a second, as the writer counts them, from its first write until every byte is in the
    log.
    """
    size = peer.logged(mebibytes) if isinstance(peer, Formatted) else mebibytes * MIB
    begun = peer.directory / "begun"
    command = f"{sys.executable} -I -S {WRITER} {mebibytes} {begun} {peer.crew.number}"
    peer.configure([Declared("writer", command, rotate=rotate)])
    peer.start()
    until(lambda: peer.log_size("writer") >= size, "all is logged", pause=0.001)
    ended = time.monotonic()
    what = f"{peer.format} log" if isinstance(peer, Formatted) else "raw log"
    figures.add("rotated log" if rotate else what, mebibytes / (ended - _begun(begun)))
    for log in peer.logs.iterdir():
        log.unlink()


def measure_answers(peer: Peer, figures: Figures, mebibytes: int) -> None:
    """Milliseconds that a request for the status takes, one every 5, while the writer writes."""
    begun = peer.directory / "begun"
    command = f"{sys.executable} -I -S {WRITER} {mebibytes} {begun} {peer.crew.number}"
    peer.configure([Declared("writer", command, rotate=0)])
    peer.start()
    until(begun.exists, "the writer writes", pause=0.001)
    until(peer.socket.exists, "the daemon can be asked", pause=0.001)
    while peer.log_size("writer") < mebibytes * MIB:
        asked = time.monotonic()
        peer.ask()
        figures.add("status in a flood", (time.monotonic() - asked) * 1000)
        time.sleep(_PAUSE)


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
