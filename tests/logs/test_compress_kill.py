"""The promise of compression: SIGKILL it anywhere, and no line is lost, doubled or unreadable."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from supervisord_lite.logs.capture.hop import make_hop
from supervisord_lite.logs.files.index import identity
from supervisord_lite.logs.files.packed import Packed
from supervisord_lite.logs.files.rotation import index_path, older
from supervisord_lite.logs.plane import make_stream_pipe

SCRIPT = Path(__file__).with_name("rotation_process.py")
ROOT = Path(__file__).parents[2]
BATCHES = [range(35), range(35, 60), range(60, 75)]
STEPS, FEW = 230, 6  # how many there are, about, and how many are tried


def lines(numbers: range) -> bytes:
    return b"".join(b"%063d\n" % number for number in numbers)


class Held:
    """What outlives the killed process, as a keeper holds it."""

    def __init__(self, path: Path, method: str) -> None:
        self._path, self._method = path, method
        hop = make_hop()
        self._hop = [hop.read, hop.write, hop.owner]
        self._pipe = make_stream_pipe()
        self._written = 0

    def run(self, step: int) -> bool:
        """Have the process log and pack all batches, unless it dies before."""
        arguments = [str(step), ",".join(map(str, self._hop)), str(self._pipe)]
        with subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self._path), self._method, *arguments],
            pass_fds=[*self._hop, self._pipe],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdin
            assert process.stdout
            if self._written == 0:
                self._write()
            while process.stdout.readline():
                if self._written == len(BATCHES):
                    break
                self._write()
                with suppress(BrokenPipeError):
                    process.stdin.write(b"go\n")
                    process.stdin.flush()
            with suppress(BrokenPipeError):
                process.stdin.close()
        return process.returncode == 0

    def _write(self) -> None:
        os.write(self._pipe, lines(BATCHES[self._written]))
        self._written += 1

    def close(self) -> None:
        for fd in (*self._hop, self._pipe):
            os.close(fd)


def check(path: Path) -> None:
    """Everything is there once, in order, under names without holes, and nothing else."""
    files = older(str(path))
    assert [one.number for one in files] == [*range(1, len(files) + 1)]
    assert all(one.packed for one in files)
    found, base, chains = b"", 0, set()
    for one in reversed(files):
        with Packed(one.path) as packed:
            who = identity(one.path, packed.inode)
            found += packed.pread(packed.size, 0)
        assert who is not None
        assert who.base == base
        chains.add(who.chain)
        base = len(found)
    assert found + path.read_bytes() == lines(range(BATCHES[-1].stop))
    assert len(chains) == 1
    names = {one.path for one in files} | {str(path)}
    allowed = names | {index_path(name) for name in names}
    assert {str(file) for file in path.parent.iterdir()} == allowed


def story(directory: Path, method: str, step: int) -> bool:
    """Die at this step, begin anew, and look; False if there are not so many steps."""
    directory.mkdir()
    path = directory / "web.log"
    held = Held(path, method)
    try:
        over = held.run(step)
        if not over:
            assert held.run(0)
        check(path)
    finally:
        held.close()
    return not over


@pytest.mark.soak
@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_killed_at_any_step_of_rotation_and_compression(tmp_path: Path, method: str) -> None:
    """Whatever was about to be written, renamed or removed: the next data plane has all lines."""
    if method == "zstd":
        pytest.importorskip("zstandard")
    steps = range(1, 100_000)
    if os.environ.get("SOAK") != "1":
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        steps = sorted(random.Random(seed).sample(range(1, STEPS), FEW))  # type: ignore[assignment]
    for step in steps:
        if not story(tmp_path / str(step), method, step):
            break
