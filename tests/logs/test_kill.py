"""The promise: SIGKILL the process that logs, at any instant, and no byte is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import cycle
from pathlib import Path

import pytest

from supervisord_lite.core.log import Format
from supervisord_lite.linux import pipes
from supervisord_lite.logs.capture.buffer import Buffer, make_buffer
from supervisord_lite.logs.capture.hop import make_hop
from supervisord_lite.logs.plane import make_stream_pipe

SCRIPT = Path(__file__).with_name("plane_process.py")
ROOT = Path(__file__).parents[2]
BLOCK = 64 * 1024
STREAMS = 2
SHORT, LONG = 20, 200


def block(number: int) -> bytes:
    """64 KiB of lines that all bear the block's number."""
    return b"%015d\n" % number * (BLOCK // 16)


class Writer(threading.Thread):
    """A worker that writes as fast as it is let, in pieces of all sizes."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self.blocks = 0
        self.over = False
        self._pipe = pipe

    def run(self) -> None:
        sizes = cycle([65536, 100, 4097, 30_000, 17, 8192])
        while not self.over:
            view = memoryview(block(self.blocks))
            while view:
                view = view[os.write(self._pipe, view[: next(sizes)]) :]
            self.blocks += 1


class Holder:
    """Holds what outlives the killed process, as the keeper does."""

    def __init__(self, directory: Path, format_: Format) -> None:
        self._path = directory / "w"
        self._format = format_
        self._buffers = [make_buffer() for _ in range(STREAMS)]
        self._hops = [make_hop(), make_hop()]
        self.pipes = [make_stream_pipe() for _ in range(STREAMS)]
        self._hop_fds = [fd for hop in self._hops for fd in (hop.read, hop.write, hop.owner)]

    def start(self) -> subprocess.Popen[bytes]:
        hops = ",".join(map(str, self._hop_fds))
        buffers = ",".join(map(str, self._buffers))
        streams = ",".join(map(str, self.pipes))
        rules = [str(self._path), "1000000", self._format]
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *rules, hops, buffers, streams],
            pass_fds=[*self._hop_fds, *self._buffers, *self.pipes],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert process.stdout
        line = process.stdout.readline()
        if line != b"up\n":
            end(process)
        assert line == b"up\n", line
        return process

    def waiting(self) -> int:
        held = (*self.pipes, *(hop.read for hop in self._hops))
        return sum(map(pipes.waiting, held)) + sum(map(left_in, self._buffers))

    def check(self, number: int, blocks: int) -> None:
        """Compare all files of a stream with what was written."""
        files = sorted(
            self._path.parent.glob(f"w.{number}.log.*"), key=lambda file: -int(file.suffix[1:])
        )
        assert all(file.read_bytes().endswith(b"\n") for file in files)
        data = b"".join(
            file.read_bytes() for file in [*files, self._path.with_name(f"w.{number}.log")]
        )
        data = as_written(data, self._format)
        for found in range(blocks):
            assert data[found * BLOCK : (found + 1) * BLOCK] == block(found), f"block {found}"
        assert len(data) == blocks * BLOCK

    def close(self) -> None:
        for fd in (*self.pipes, *self._hop_fds, *self._buffers):
            os.close(fd)


def left_in(buffer: int) -> int:
    """Bytes in a buffer, by a copy: this process must not change it."""
    copy = make_buffer()
    try:
        os.pwrite(copy, os.pread(buffer, os.fstat(buffer).st_size, 0), 0)
        os.lseek(copy, os.lseek(buffer, 0, os.SEEK_CUR), os.SEEK_SET)
        with closing(Buffer(copy, 0)) as seen:
            return len(seen)
    except ValueError:
        return 1  # it changed between two looks, so there is something
    finally:
        os.close(copy)


def as_written(data: bytes, format_: Format) -> bytes:
    """What the worker wrote, by what is in the log."""
    match format_:
        case Format.RAW:
            return data
        case Format.TIMESTAMPED:
            return b"".join(line.split(b" ", 1)[1] for line in data.splitlines(keepends=True))
        case Format.JSON:
            lines = map(json.loads, data.splitlines())
            ends = ((line["message"], "" if "partial" in line else "\n") for line in lines)
            return "".join(text + end for text, end in ends).encode()


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


@pytest.mark.soak
@pytest.mark.parametrize("format_", Format)
def test_kills_at_random_lose_and_double_nothing(tmp_path: Path, format_: Format) -> None:
    """Two saturated streams, rotation included, are byte-identical after every kill."""
    kills = LONG if os.environ.get("SOAK") == "1" else SHORT
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    holder = Holder(tmp_path, format_)
    writers = [Writer(pipe) for pipe in holder.pipes]
    for writer in writers:
        writer.start()
    try:
        for _ in range(kills):
            process = holder.start()
            time.sleep(chance.uniform(0, 0.01))  # the chance that is being tested
            end(process)
    finally:
        for writer in writers:
            writer.over = True
        process = holder.start()
        for writer in writers:
            writer.join()
    try:
        deadline = time.monotonic() + 30
        while holder.waiting():
            assert time.monotonic() < deadline, "the last data plane does not empty the pipes"
            time.sleep(0.01)
        end(process)
        for number, writer in enumerate(writers):
            holder.check(number, writer.blocks)
    finally:
        if process.poll() is None:
            end(process)
        holder.close()
