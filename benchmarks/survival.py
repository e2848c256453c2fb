"""What becomes of processes: of a grandchild that left its session, and of everybody when the
daemon is killed and a fresh one is started.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.peers import Declared, Peer
from benchmarks.processes import until

_TICKER = Path(__file__).with_name("ticker.py")
_GRACE = 2.0  # seconds in which a supervisor may still do what its stop command promised


def warm_up(peer: Peer) -> None:
    """Have every module compiled and in memory that daemon and control program import."""
    peer.configure([Declared("sleeper", peer.sleep)])
    peer.start()
    until(lambda: _answers(peer), "the daemon answers")
    peer.control_run("status")
    peer.terminate()


def measure_grandchild(peer: Peer, figures: Figures) -> None:
    """Is a grandchild in a session of its own gone once its worker was stopped?"""
    script = peer.directory / "family"
    script.write_text(f"#!/bin/sh\nsetsid {peer.sleep} &\nexec {peer.sleep}\n")
    script.chmod(0o755)
    peer.configure([Declared("family", str(script))])
    peer.start()
    until(lambda: len(peer.crew.pids()) == 2, "worker and grandchild run")
    until(lambda: _answers(peer), "the daemon answers")
    peer.control_run("stop", "family:0")
    deadline = time.monotonic() + _GRACE
    while peer.crew.pids() and time.monotonic() < deadline:
        time.sleep(0.01)
    figures.add("grandchild", "left" if peer.crew.pids() else "gone")


def measure_revival(peer: Peer, figures: Figures, size: int) -> None:
    """Kill every process of the supervisor, start a fresh one: who runs, and what is logged?"""
    ticker = f"{sys.executable} -I -S {_TICKER} {peer.crew.number}"
    peer.configure(
        [Declared("sleeper", peer.sleep, size - 1), Declared("ticker", ticker, rotate=0)]
    )
    peer.start()
    until(lambda: len(peer.crew.pids()) == size, "all workers run")
    until(lambda: _answers(peer), "the daemon answers")
    before = peer.crew.pids()
    _kill_supervisors(peer)
    time.sleep(0.5)  # workers are alone, and one of them keeps writing
    peer.start()
    until(lambda: _answers(peer), "the fresh daemon answers")
    time.sleep(_GRACE)
    after = peer.crew.pids()
    figures.add("revival", _verdict(before, after))
    figures.add("revived log", _gaps(peer.log_text("ticker")))


def _kill_supervisors(peer: Peer) -> None:
    """All at once, so that none of them can replace another."""
    pids = peer.supervisors()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    assert peer.process is not None
    peer.process.wait(10)
    until(lambda: not peer.supervisors(), "no supervisor is left")


def _answers(peer: Peer) -> bool:
    command = peer.control_command("status")
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
    )
    return done.returncode == 0 and b"RUNNING" in done.stdout


def _verdict(before: set[int], after: set[int]) -> str:
    fresh, survivors = after - before, after & before
    if not fresh:
        return "adopted" if survivors == before else "some lost"
    return "duplicates" if survivors else "restarted"


def _gaps(log: bytes) -> str:
    """Whether the ticker's numbers stand in the log one after the other."""
    numbers = [int(line) for line in log.splitlines() if line.isdigit()]
    whole = numbers == list(range(len(numbers))) and len(numbers) > 1
    return "whole" if whole else "broken"
