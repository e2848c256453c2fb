"""`python -m benchmarks`: measure, peers in turn, and print a table of medians.

Needs supervisord 4.3 beside the Python that runs it for the comparison, and a quiet machine:
ratios within one run say more than any figure alone.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures, Row, machine, table, to_json
from benchmarks.fleet import measure_fleet, measure_scale
from benchmarks.peers import PEERS, Peer, SupervisordLite
from benchmarks.survival import measure_grandchild, measure_revival, warm_up
from benchmarks.throughput import (
    AsJson,
    Timestamped,
    measure_answers,
    measure_cat,
    measure_throughput,
)

_ROTATED_AT = 100  # MiB
_REVIVED = 20  # workers that live through the death of their daemon


class Bench:
    """One run: the options, a scratch directory, and what was measured so far, by column."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.columns: dict[str, Figures] = {}
        self._directories: Iterator[Path] = (scratch / str(number) for number in count())
        self._peers = [peer for peer in PEERS if peer.name in options.peers and not peer.missing()]

    def run(self) -> None:
        self.each(lambda peer, _: warm_up(peer))
        for number in range(self.options.repeat):
            for section in self.options.sections:
                say(f"{section}, {number + 1} of {self.options.repeat}")
                _SECTIONS[section](self)

    def column(self, name: str) -> Figures:
        return self.columns.setdefault(name, Figures())

    def each(
        self, measure: Callable[[Peer, Figures], None], *, much_is_written: bool = False
    ) -> None:
        """Measure every peer, one after the other, each with a fresh directory. Those stay until
        the end, unless they hold much: for minutes ext4 is slow to make files where others were
        deleted.
        """
        for kind in self._peers:
            directory = self.one(kind, kind.name, measure)
            if much_is_written:
                shutil.rmtree(directory)

    def one(self, kind: type[Peer], column: str, measure: Callable[[Peer, Figures], None]) -> Path:
        directory = next(self._directories)
        with kind(directory) as peer:
            measure(peer, self.column(column))
        return directory

    def fleet(self) -> None:
        size, victims, idle = self.options.size, self.options.victims, self.options.idle
        self.each(lambda peer, figures: measure_fleet(peer, figures, size, victims, idle))

    def logs(self) -> None:
        amount = self.options.log
        measure_cat(next(self._directories), self.column("cat"), amount)
        for limit in (0, _ROTATED_AT):
            measure = partial(measure_throughput, mebibytes=amount, rotate=limit)
            self.each(measure, much_is_written=True)
        for kind in (Timestamped, AsJson):
            measure = partial(measure_throughput, mebibytes=amount, rotate=0)
            shutil.rmtree(self.one(kind, kind.name, measure))
        self.each(partial(measure_answers, mebibytes=2 * amount), much_is_written=True)

    def survival(self) -> None:
        self.each(measure_grandchild)
        self.each(lambda peer, figures: measure_revival(peer, figures, _REVIVED))

    def scale(self) -> None:
        size = self.options.scale
        column = f"supervisord-lite, {size} workers"
        self.one(SupervisordLite, column, lambda peer, figures: measure_scale(peer, figures, size))


_SECTIONS: dict[str, Callable[[Bench], None]] = {
    "fleet": Bench.fleet,
    "logs": Bench.logs,
    "survival": Bench.survival,
    "scale": Bench.scale,
}


def rows(size: int) -> tuple[Row, ...]:
    return (
        Row(f"{size} workers run after exec of the daemon", "start", "s"),
        Row(f"{size} workers and the daemon gone after SIGTERM", "stop", "s"),
        Row("kill -9 of a worker → its replacement runs, p50", "restart", "ms"),
        Row("the same, p99", "restart", "ms", percentile=99),
        Row("idle: context switches per second", "idle switches"),
        Row("idle: CPU per second", "idle cpu", "ms"),
        Row("idle: memory (PSS) of all supervisor processes", "memory", "MiB", digits=1),
        Row("one writer, raw log", "raw log", "MiB/s", digits=0),
        Row(f"one writer, rotated at {_ROTATED_AT} MiB", "rotated log", "MiB/s", digits=0),
        Row("one writer, timestamped log", "timestamped log", "MiB/s", digits=0),
        Row("one writer, log of JSON", "json log", "MiB/s", digits=0),
        Row("status over the socket while one writes, p50", "status in a flood", "ms", digits=1),
        Row("the same, p99", "status in a flood", "ms", 99, digits=1),
        Row("status over the socket, p50", "status", "ms", digits=1),
        Row("the status command as a whole process", "status command", "s"),
        Row("a grandchild in its own session after stop", "grandchild"),
        Row("kill -9 of the daemon, then a fresh one: the workers", "revival"),
        Row("the same: the log of one that wrote all the while", "revived log"),
    )


def say(text: str) -> None:
    sys.stderr.write(f"benchmarks: {text}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(_SECTIONS))
    parser.add_argument("--peers", nargs="+", default=[peer.name for peer in PEERS])
    parser.add_argument("--size", type=int, default=1000, help="workers of the fleet")
    parser.add_argument("--scale", type=int, default=5000, help="workers of the large fleet")
    parser.add_argument("--victims", type=int, default=20, help="workers that are killed")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of watching idleness")
    parser.add_argument("--log", type=int, default=512, help="MiB that the writer writes")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--directory", help="where to work; decides the file system of the logs")
    parser.add_argument("--json", type=Path, help="a file for every single value")
    options = parser.parse_args()
    options.sections = options.sections or list(_SECTIONS)
    if unknown := set(options.sections) - set(_SECTIONS):
        parser.error(f"no such section: {', '.join(unknown)}")
    return options


def report(options: argparse.Namespace, about: dict[str, Any], bench: Bench) -> None:
    """Print what was measured, also when something went wrong later."""
    sys.stdout.write(" · ".join(f"{name} {value}" for name, value in about.items()) + "\n\n")
    sys.stdout.write(table(rows(options.size), bench.columns))
    if options.json:
        options.json.write_text(to_json(about, bench.columns))


def main() -> None:
    options = _options()
    for kind in PEERS:
        if why := kind.missing():
            say(f"not measured: {why}")
    about = machine()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.directory) as scratch:
        bench = Bench(options, Path(scratch))
        try:
            bench.run()
        finally:
            report(options, about, bench)


if __name__ == "__main__":
    main()
