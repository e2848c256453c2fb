"""What tests of several parts need: a program whose exec hangs, as on a dead file server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# A file with a write lease keeps whoever wants to exec it waiting (fcntl(2), F_SETLEASE), up to
# the 45 s of /proc/sys/fs/lease-break-time; so does a working directory on a dead file server.
HOLD_LEASE = """
import fcntl, signal, sys
signal.signal(signal.SIGIO, lambda *_: None)
program = open(sys.argv[1], "rb")
fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_UNLCK)
"""


class Leased:
    """A program whose exec hangs until `release`."""

    def __init__(self, directory: Path, content: bytes) -> None:
        self.path = directory / "leased"
        self.path.write_bytes(content)
        self.path.chmod(0o700)
        self.holder = subprocess.Popen(
            [sys.executable, "-c", HOLD_LEASE, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"held\n"

    def release(self) -> None:
        self.holder.communicate()


@pytest.fixture
def leased(tmp_path: Path) -> Iterator[Leased]:
    """A script that leaves a witness and sleeps."""
    script = f"#!/bin/sh\ntouch {tmp_path}/witness\nexec sleep 100000\n"
    program = Leased(tmp_path, script.encode())
    yield program
    if program.holder.poll() is None:
        program.release()
