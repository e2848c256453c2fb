"""Floods of output: every byte once and in order for all who look, whoever dies meanwhile."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import command, environment, until
from tests.daemon.conftest import Daemon, first_manager

LINES = """
def block(number):
    return b"".join(b"%011d" % n + b"." * 52 + b"\\n"
                    for n in range(number * 1024, number * 1024 + 1024))
"""
# At most 100 MB/s; a disk that is slower than that slows it down.
FLOOD = f"""{LINES}
import os, sys, time
begun = time.monotonic()
for number in range(int(sys.argv[1])):
    while number == 1 and not os.path.exists(sys.argv[2]):
        time.sleep(0.02)
    data = block(number)
    while data:
        data = data[os.write(1, data):]
    time.sleep(max(0.0, begun + number * 65536 / 100e6 - time.monotonic()))
time.sleep(100000)
"""
# Says in a file how many blocks were right, or where the first wrong one is.
CHECK = f"""{LINES}
import os, sys
source = open(sys.argv[1], "rb", 0) if sys.argv[1] != "-" else sys.stdin.buffer
result = sys.argv[2]
def say(text):
    with open(result + ".new", "w") as stream:
        stream.write(text)
    os.rename(result + ".new", result)
number, rest = int(sys.argv[4]), b""
say(str(number))
while data := source.read(65536):
    rest += data
    while len(rest) >= 65536:
        head, rest = rest[:65536], rest[65536:]
        if head != block(number):
            say(f"wrong block {{number}}: {{head[:200]}}")
            sys.exit(1)
        number += 1
        if number % 16 == 1 or number == int(sys.argv[3]):
            say(str(number))
"""
MANY = """
import hashlib, os, random, sys
chance, left, digest = random.Random(os.getpid()), int(sys.argv[1]), hashlib.sha256()
while left:
    data = chance.randbytes(min(left, chance.randrange(1, 40_000)))
    left -= len(data)
    digest.update(data)
    while data:
        data = data[os.write(1, data):]
with open(sys.argv[2], "w") as stream:
    stream.write(digest.hexdigest())
"""


@contextlib.contextmanager
def checking(source: str, result: Path, blocks: range, stdin: int | None = None) -> Iterator[None]:
    """A process that compares what comes out of `source` with what was written."""
    numbers = [str(blocks.stop), str(blocks.start)]
    arguments = [sys.executable, "-c", CHECK, source, str(result), *numbers]
    process = subprocess.Popen(arguments, stdin=stdin)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def following(daemon: Daemon, name: str) -> Iterator[int]:
    """`slctl logs -f`, from the first line on; where its words come out."""
    arguments = [*command("slctl", "-s", daemon.socket, "logs", "-f", "-n", "2000"), name]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    try:
        yield process.stdout.fileno()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.soak
def test_a_flood_survives_kills(daemon: Daemon) -> None:
    """However often managers die under 100 MB/s: files, a follower and a tap have each byte once,
    in order, across many rotations.
    """
    kills, blocks = (300, 140_000) if os.environ.get("SOAK") == "1" else (5, 1_600)
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print("SEED", seed)
    chance = random.Random(seed)
    tap = daemon.directory / "tap"
    log = {"log": "flood.log", "rotate": {"size": "16MiB", "keep": 2000}, "tap": str(tap)}
    gate = daemon.directory / "gate"
    flood = [sys.executable, "-c", FLOOD, str(blocks), str(gate)]
    daemon.run({"flood": {"command": flood, "stdout": log}})
    pid = daemon.pid("flood")
    until(partial(_has_grown, daemon.directory / "flood.log", 65536))
    seen = [daemon.directory / "tap.seen", daemon.directory / "follower.seen"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(checking(str(tap), seen[0], range(1, blocks)))
        output = stack.enter_context(following(daemon, "flood"))
        stack.enter_context(checking("-", seen[1], range(blocks), output))
        until(lambda: all(path.exists() and path.read_text() == "1" for path in seen))
        gate.touch()
        for _ in range(kills):
            manager = first_manager(daemon.process.pid)
            time.sleep(chance.uniform(0.0, 0.8))  # the chance that is being tested
            with contextlib.suppress(ProcessLookupError):
                os.kill(manager, signal.SIGKILL)
        for path in seen:
            _await_end(path, blocks)
    assert [path.read_text() for path in seen] == [str(blocks)] * 2
    assert daemon.pid("flood") == pid
    check_files(daemon.directory / "flood.log", blocks)


def _await_end(seen: Path, blocks: int) -> None:
    """Wait for as long as there is progress."""
    last = ""
    while (text := seen.read_text()) != str(blocks) and not text.startswith("wrong"):
        assert text != last, f"no more blocks after {text}"
        last = text
        with contextlib.suppress(AssertionError):
            until(partial(_differs, seen, text))


def _differs(path: Path, text: str) -> bool:
    return path.read_text() != text


def _has_grown(path: Path, size: int) -> bool:
    return path.stat().st_size >= size


def check_files(path: Path, blocks: int) -> None:
    """All files of the log, oldest first, have exactly these lines."""
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda one: -int(one.suffix[1:]))
    number = 0
    for file in [*files, path]:
        with file.open("rb") as stream:
            for line in stream:
                assert line == b"%011d" % number + b"." * 52 + b"\n", file
                number += 1
    assert number == blocks * 1024


@pytest.mark.soak
def test_a_hundred_writers(daemon: Daemon) -> None:
    """What a hundred workers say at once is in their files, byte for byte."""
    size = 10 * 1024 * 1024 if os.environ.get("SOAK") == "1" else 300_000
    told = daemon.directory / "sum."
    writer = [sys.executable, "-c", MANY, str(size), f"{told}{{instance}}"]
    log = {"log": "many.{instance}.log", "rotate": {"size": "none"}}
    many = {"command": writer, "type": "task", "instances": 100, "stdout": log}
    daemon.run({"many": many})
    daemon.until(lambda: {row["state"] for row in daemon.client.workers()} == {"EXITED"})
    for number in range(100):
        path = daemon.directory / f"many.{number}.log"
        until(partial(_has_grown, path, size))
        assert path.stat().st_size == size
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        assert found == Path(f"{told}{number}").read_text()
