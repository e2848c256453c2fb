"""What /proc tells of the processes that a benchmark has started; see proc(5).

Everything that a benchmark starts inherits `MARK` in its environment, so that nothing is left
behind, whoever its parent is by then. The processes that stand for workers are told from their
supervisors by their last argument, a number that nobody else uses.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MARK = "BENCHMARKED_BY"
_DEADLINE = 120.0  # seconds
_LOOKS = 4
_BETWEEN_LOOKS = 0.025  # seconds; an exec takes far less


def until(holds: Callable[[], bool], what: str, *, pause: float = 0.01) -> None:
    """Look again and again, for two minutes at most. Raises TimeoutError."""
    deadline = time.monotonic() + _DEADLINE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"this did not come true in {_DEADLINE:.0f} s: {what}")
        time.sleep(pause)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _read(pid: int, name: str) -> bytes:
    """A file of /proc/PID; empty if the process is gone."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            return stream.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


@dataclass(slots=True)
class Crew:
    """The worker processes of one benchmark, found by the number that ends their command line."""

    number: str
    _known: set[int] = field(default_factory=set)

    def count(self) -> int:
        """How many have been seen to run their program; cheap while nobody dies."""
        for pid in _pids():
            if pid not in self._known and self._is_one(pid):
                self._known.add(pid)
        return len(self._known)

    def pids(self) -> set[int]:
        """Those that run now."""
        self._known = {pid for pid in _pids() if self._is_one(pid)}
        return set(self._known)

    def find(self, program: str) -> int | None:
        """The one that was started from this path, if it runs."""
        start = os.fsencode(program) + b"\0"
        return next((pid for pid in _pids() if _read(pid, "cmdline").startswith(start)), None)

    def _is_one(self, pid: int) -> bool:
        return _read(pid, "cmdline").endswith(f"\0{self.number}\0".encode())


def marked(mark: str) -> list[int]:
    """Every process that carries this mark. In the middle of an exec, as when a manager becomes
    the keeper, a process has no environment: one look may miss it, several do not.
    """
    entry = f"{MARK}={mark}".encode()
    found: set[int] = set()
    for _ in range(_LOOKS):
        found |= {pid for pid in _pids() if entry in _read(pid, "environ").split(b"\0")}
        time.sleep(_BETWEEN_LOOKS)
    return [pid for pid in sorted(found) if os.path.exists(f"/proc/{pid}/exe")]


def end_all(mark: str) -> None:
    """Kill until none is left: a supervisor may still start some while its workers die."""

    def none_left() -> bool:
        left = marked(mark)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until(none_left, "all processes of the benchmark are gone", pause=0.05)


def memory(pids: list[int]) -> float:
    """The proportional set size of these processes together, in MiB."""
    total = 0
    for pid in pids:
        for line in _read(pid, "smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1])
    return total / 1024


@dataclass(frozen=True, slots=True)
class Effort:
    """What processes have done so far: context switches, and CPU time in milliseconds."""

    switches: int
    cpu: float

    @classmethod
    def of(cls, pids: list[int]) -> "Effort":
        switches, nanoseconds = 0, 0
        for pid in pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                for line in _read(pid, f"task/{task}/status").splitlines():
                    if b"ctxt_switches" in line:
                        switches += int(line.split()[1])
                nanoseconds += int(_read(pid, f"task/{task}/schedstat").split()[0])
        return cls(switches, nanoseconds / 1e6)
