"""SIGKILL the process that logs and copies, at any instant: the log is exact, and the channel
misses nothing and sees at most one batch a kill again.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from supervisord_lite.linux import pipes
from supervisord_lite.logs.capture.copied import BATCH
from supervisord_lite.logs.plane import make_hop, make_stream_pipe

SCRIPT = Path(__file__).with_name("copying_process.py")
ROOT = Path(__file__).parents[2]
WORD = 16  # bytes of a number and its line end
SHORT, LONG = 20, 100


def words(first: int, count: int) -> bytes:
    return b"".join(b"%015d\n" % number for number in range(first, first + count))


class Worker(threading.Thread):
    """Writes numbers as fast as it is let, in pieces of all sizes."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self.written = 0
        self.over = False
        self._pipe = pipe

    def run(self) -> None:
        sizes = cycle([4096, 3, 300, 1, 20, 512])
        while not self.over:
            count = next(sizes)
            view = memoryview(words(self.written, count))
            while view:
                view = view[os.write(self._pipe, view) :]
            self.written += count


class Reader(threading.Thread):
    """Reads the channel to its end, and stops now and then, so that it is full."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.data = bytearray()
        self._channel = channel

    def run(self) -> None:
        chance = random.Random(1)  # which pauses it makes does not matter
        while data := os.read(self._channel, chance.choice((100, 4096, 65536))):
            self.data += data
            if chance.random() < 0.01:
                time.sleep(0.005)  # so that the channel is full at times


class Setting:
    """All that outlives the killed process."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "w.log"
        self.hop = make_hop()
        self.pipe = make_stream_pipe()
        self.read, self.write = os.pipe()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        hop = (self.hop.read, self.hop.write, self.hop.owner)
        arguments = [str(self.path), str(self.pipe), str(self.write), ",".join(map(str, hop))]
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            pass_fds=[*hop, self.pipe, self.write],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        return process

    def waiting(self) -> int:
        return pipes.waiting(self.pipe) + pipes.waiting(self.hop.read)

    def logged(self) -> bytes:
        older = sorted(self.path.parent.glob("w.log.*"), key=lambda file: -int(file.suffix[1:]))
        return b"".join(file.read_bytes() for file in [*older, self.path])

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()
        self.processes.clear()

    def close(self) -> None:
        self.end()
        for fd in (self.hop.read, self.hop.write, self.hop.owner, self.pipe, self.read):
            os.close(fd)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.close()


def repeated(data: bytes, written: int) -> list[int]:
    """The lengths of what came again, in bytes; nothing may be missing."""
    lengths, at, place = [], 0, 0
    text = words(0, written)
    while place < len(data):
        fits = _common(data, place, text, at)
        at, place = at + fits, place + fits
        if place == len(data):
            break
        # Here the next copy begins: at an earlier byte, which is where the rest goes on.
        back = _beginning(data, place, text, at)
        lengths.append(at - back)
        at = back
    assert at == len(text), "the channel misses the end"
    return lengths


def _common(data: bytes, place: int, text: bytes, at: int) -> int:
    """How many bytes are the same from there on."""
    length = min(len(data) - place, len(text) - at)
    if data[place : place + length] == text[at : at + length]:
        return length
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        if data[place : place + middle] == text[at : at + middle]:
            low = middle
        else:
            high = middle
    return low


def _beginning(data: bytes, place: int, text: bytes, at: int) -> int:
    """Which byte of the text this is: told by the next whole number."""
    start = data.index(b"\n", place) + 1
    number = int(data[start : start + WORD - 1])
    back = number * WORD - (start - place)
    assert at - BATCH <= back < at, f"from byte {at} it goes on at {back}"
    return back


@pytest.mark.soak
def test_kills_at_random_repeat_one_batch_at_most(setting: Setting) -> None:
    """The log is byte-identical after every kill; the channel has all, one batch a kill twice."""
    kills = LONG if os.environ.get("SOAK") == "1" else SHORT
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    worker, reader = Worker(setting.pipe), Reader(setting.read)
    worker.start()
    reader.start()
    try:
        for _ in range(kills):
            setting.start()
            time.sleep(chance.uniform(0, 0.02))  # the chance that is being tested
            setting.end()
    finally:
        worker.over = True
        process = setting.start()
        worker.join()
        deadline = time.monotonic() + 60
        while setting.waiting() and time.monotonic() < deadline:
            time.sleep(0.01)
        setting.end()
        os.close(setting.write)
        reader.join()
    assert process.returncode == -9, "the last data plane ended by itself"
    assert not setting.waiting(), "the last data plane does not empty the pipes"
    assert setting.logged() == words(0, worker.written)
    again = repeated(bytes(reader.data), worker.written)
    print(f"{worker.written * WORD} bytes, {kills} kills, repeated {again}")
    assert len(again) <= kills
