"""`python -m benchmarks.queue`: small messages a second from one process to another.

Queues of `supervisord_lite.worker`, on what the daemon makes for them, beside those of
`multiprocessing`, taken in turn. The producer puts numbers as fast as it can; from the moment when
the consumer is ready until it has the last one.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figures, Row, machine, table
from supervisord_lite.channels import queues
from supervisord_lite.channels.parts import BELL
from supervisord_lite.core.channel import Queue as Declared
from supervisord_lite.worker.owned import Owned
from supervisord_lite.worker.queue import Queue, Wires

_CAPACITY = 1000
_SIZE = 4 * 1024 * 1024  # bytes that the kernel may buffer of ours
_FORKING = multiprocessing.get_context("fork")

ROWS = (
    Row("numbers a second", "numbers", "/s", digits=0),
    Row("100 bytes a second", "bytes", "/s", digits=0),
    Row("100 KiB a second", "large", "/s", digits=0),
)
_ITEMS: dict[str, tuple[Callable[[int], Any], int]] = {  # and what fraction of the messages
    "numbers": (lambda number: number, 1),
    "bytes": (lambda _: b"x" * 100, 1),
    "large": (lambda _: b"x" * 102_400, 20),
}


IMPORTS = {
    "supervisord_lite.worker": "import supervisord_lite.worker",
    "all that it has for channels and signals": (
        "from supervisord_lite.worker import channels, lock, queue, semaphore, shared, signals"
    ),
}


def ours(capacity: int | None = None) -> Queue:
    parts = queues.make(Declared(capacity, _SIZE), "benchmark")
    wires = (Owned(parts[part]) for part in (queues.IN, queues.OUT, queues.PAGE, BELL))
    return Queue(Wires(*wires))


QUEUES: dict[str, Callable[[], Any]] = {
    "worker.Queue": ours,
    f"worker.Queue, capacity {_CAPACITY}": lambda: ours(_CAPACITY),
    "multiprocessing.Queue": _FORKING.Queue,
    f"multiprocessing.Queue({_CAPACITY})": lambda: _FORKING.Queue(_CAPACITY),
    "multiprocessing.SimpleQueue": _FORKING.SimpleQueue,
}


def rate(make: Callable[[], Any], item: Callable[[int], Any], messages: int) -> float:
    """Messages a second through a fresh queue."""
    queue, ready = make(), _FORKING.Event()

    def produce() -> None:
        ready.wait()
        for number in range(messages):
            queue.put(item(number))

    process = _FORKING.Process(target=produce)
    process.start()
    ready.set()
    began = time.perf_counter()
    for _ in range(messages):
        queue.get()
    took = time.perf_counter() - began
    process.join()
    queue.close()
    return messages / took


def cpu_of(code: str) -> float:
    """Seconds of CPU that a Python takes for it, start and all; the median of some."""
    command = [sys.executable, "-c", f"{code}\nimport time; print(time.process_time())"]
    runs = (subprocess.check_output(command, text=True) for _ in range(9))
    return statistics.median(float(run) for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    sys.stdout.write(" · ".join(f"{name} {value}" for name, value in machine().items()) + "\n\n")
    columns = {name: Figures() for name in QUEUES}
    for _ in range(options.repeat):
        for figure, (item, fraction) in _ITEMS.items():
            for name, make in QUEUES.items():
                columns[name].add(figure, rate(make, item, options.messages // fraction))
    sys.stdout.write(table(ROWS, columns))
    for what, code in IMPORTS.items():
        cost = (cpu_of(code) - cpu_of("pass")) * 1000
        sys.stdout.write(f"\nimport of {what}: {cost:.1f} ms of CPU over a bare Python")
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
