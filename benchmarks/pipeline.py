"""`python -m benchmarks.pipeline`: how fast bytes pass from worker to worker through a channel.

Two workers on a channel of type pipe, then with a log of the same output beside it, and the same
two programs joined by a shell, in turn. From the first write until the reader has the last byte.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from benchmarks.figures import Figures, Row, machine, table
from benchmarks.peers import SupervisordLite
from benchmarks.processes import until

_WRITER = Path(__file__).with_name("writer.py")
_READER = Path(__file__).with_name("drain.py")
_ROWS = (Row("through the pipeline", "pipeline", "MiB/s", digits=0),)


class Pipeline(SupervisordLite):
    """The daemon, with two workers and a pipe between them."""

    def declare(self, mebibytes: int, output: str) -> None:
        """Write the file; `output` is where the writer's stdout goes."""
        self._file.write_text(
            "supervisor:\n"
            "  name: benchmark\n"
            "  runtime_dir: run\n"
            f"  control: {{socket: {self.socket}}}\n"
            "channels: {line: {type: pipe}}\n"
            "workers:\n"
            "  reader:\n"
            f"    command: {_words(_READER, mebibytes, self.directory / 'ended')}\n"
            "    stdin: {channel: line}\n"
            "  writer:\n"
            f"    command: {_words(_WRITER, mebibytes, self.directory / 'begun')}\n"
            f"    stdout: {output}\n"
            "    autostart: false\n"
        )


def _words(program: Path, mebibytes: int, noted: Path, after: str = "stay") -> str:
    return f"{sys.executable} -I -S {program} {mebibytes} {noted} {after}"


def channel(directory: Path, mebibytes: int) -> None:
    """Through a channel."""
    _through(directory, mebibytes, "{channel: line}")


def channel_and_log(directory: Path, mebibytes: int) -> None:
    """Through a channel and into a log."""
    _through(directory, mebibytes, "{log: line.log, channel: line, rotate: none}")


def _through(directory: Path, mebibytes: int, output: str) -> None:
    with Pipeline(directory) as daemon:
        daemon.declare(mebibytes, output)
        daemon.start()
        until(daemon.socket.exists, "the daemon can be asked")
        daemon.control_run("start", "writer")  # when the daemon itself has nothing to do any more
        until((directory / "ended").exists, "all has passed", pause=0.001)


def shell(directory: Path, mebibytes: int) -> None:
    """Through what a shell makes."""
    directory.mkdir(parents=True)
    writer = _words(_WRITER, mebibytes, directory / "begun", "once")
    reader = _words(_READER, mebibytes, directory / "ended", "once")
    subprocess.run(["sh", "-c", f"{writer} | {reader}"], check=True, timeout=120)


WAYS: Mapping[str, Callable[[Path, int], None]] = {
    "shell": shell,
    "channel": channel,
    "channel and log": channel_and_log,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="MiB that pass")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    sys.stdout.write(" · ".join(f"{name} {value}" for name, value in machine().items()) + "\n\n")
    columns = {name: Figures() for name in WAYS}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        places = (Path(scratch) / str(number) for number in count())
        for _ in range(options.repeat):
            for name, way in WAYS.items():
                directory = next(places)
                way(directory, options.size)
                begun, ended = (float((directory / one).read_text()) for one in ("begun", "ended"))
                columns[name].add("pipeline", options.size / (ended - begun))
                shutil.rmtree(directory)
    sys.stdout.write(table(_ROWS, columns))


if __name__ == "__main__":
    main()
