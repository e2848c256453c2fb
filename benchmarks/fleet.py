"""One fleet of workers that do nothing, through its whole life: start, idleness, memory, status,
deaths, and the end.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.peers import Declared, Peer
from benchmarks.processes import Effort, memory, until
from supervisord_lite.linux.inotify import IN_OPEN, Inotify

_SETTLED = 3.0  # seconds after which nothing of a start should still be going on
_STABLE = 1.5  # seconds a worker must have run so that its death is no failed start


def measure_fleet(peer: Peer, figures: Figures, size: int, victims: int, idle: float) -> None:
    """All figures of one fleet. `victims` of the workers are killed; `idle` seconds nothing is."""
    directory = peer.directory / "victims"
    programs = [_own_program(directory / str(number)) for number in range(victims)]
    victim = f"{directory}/{{instance}}/sleep {peer.crew.number}"
    peer.configure(
        [Declared("sleeper", peer.sleep, size - victims), Declared("victim", victim, victims)]
    )
    start(peer, figures, size)
    time.sleep(_SETTLED)
    _measure_idleness(peer, figures, idle)
    _measure_status(peer, figures)
    for program in programs:
        figures.add("restart", _time_restart(peer, program))
    _measure_stop(peer, figures)


def measure_scale(peer: Peer, figures: Figures, size: int) -> None:
    """Start and memory alone, of a fleet so large that only linear cost lets it come up."""
    peer.configure([Declared("sleeper", peer.sleep, size)])
    start(peer, figures, size)
    time.sleep(_SETTLED)
    figures.add("memory", memory(peer.supervisors()))
    _measure_stop(peer, figures)


def start(peer: Peer, figures: Figures, size: int) -> None:
    """From the daemon's exec to the moment when every worker runs its program."""
    begun = time.monotonic()
    peer.start()
    until(lambda: peer.crew.count() >= size, f"{size} workers of {peer.name} run")
    figures.add("start", time.monotonic() - begun)


def _own_program(directory: Path) -> str:
    """A copy of `sleep` that one worker alone runs, so that opening it means: this one starts."""
    directory.mkdir(parents=True)
    return shutil.copy(shutil.which("sleep") or "/bin/sleep", str(directory / "sleep"))


def _measure_idleness(peer: Peer, figures: Figures, seconds: float) -> None:
    pids = peer.supervisors()
    figures.add("memory", memory(pids))
    before = Effort.of(pids)
    time.sleep(seconds)
    after = Effort.of(pids)
    figures.add("idle switches", (after.switches - before.switches) / seconds)
    figures.add("idle cpu", (after.cpu - before.cpu) / seconds)


def _measure_status(peer: Peer, figures: Figures) -> None:
    for _ in range(10):
        begun = time.monotonic()
        peer.ask()
        figures.add("status", (time.monotonic() - begun) * 1000)
    command = peer.control_command("status")
    for _ in range(5):
        with (peer.directory / "status.txt").open("wb") as output:
            begun = time.monotonic()
            subprocess.run(command, stdout=output, check=True)
            figures.add("status command", time.monotonic() - begun)


def _time_restart(peer: Peer, program: str) -> float:
    """Milliseconds from SIGKILL to the moment when the successor's exec opens the program."""
    pid = peer.crew.find(program)
    assert pid is not None, f"{program} runs under {peer.name}"
    until(lambda: _age(pid) > _STABLE, "the victim is no fresh start", pause=0.1)
    with _watch(program) as inotify:
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        ready, _, _ = select.select([inotify.fd], [], [], 60.0)
        taken = time.monotonic() - begun
    assert ready, f"{program} comes back under {peer.name}"
    return taken * 1000


@contextmanager
def _watch(program: str) -> Iterator[Inotify]:
    inotify = Inotify()
    try:
        inotify.watch(program, IN_OPEN)
        yield inotify
    finally:
        inotify.close()


def _age(pid: int) -> float:
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _measure_stop(peer: Peer, figures: Figures) -> None:
    begun = time.monotonic()
    peer.terminate()
    until(lambda: not peer.crew.pids(), f"no worker of {peer.name} is left")
    figures.add("stop", time.monotonic() - begun)
