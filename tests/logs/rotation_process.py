"""A data plane that packs what it rotates, in one process, and is killed at a certain step.

    rotation_process.py PATH METHOD STEP HOP PIPE

Stream `web` comes from PIPE and goes to PATH, rotated at 640 bytes; HOP is three descriptors,
comma-separated. It logs what is in the pipe, packs all older files, says so, and does it again
for each line on its stdin. Before the STEP-th call that changes a file or a directory, counted from
1, it kills itself; it says how many there were when it ends.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from supervisord_lite.core.log import Compression, Log, Rotation
from supervisord_lite.logs.capture.hop import Hop, make_hop
from supervisord_lite.logs.feeds.relay import Relay
from supervisord_lite.logs.files import compress, retention, rotation
from supervisord_lite.logs.plane import DataPlane

CHANGES = {
    getattr(os, name)
    for name in (
        *("open", "rename", "replace", "unlink", "write", "pwrite", "splice"),
        *("ftruncate", "fsync", "fchmod", "utime"),
    )
}


class OneHop:
    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def get(self, key: str) -> Hop:
        return self._hop if key.endswith(" 0") else make_hop()

    def held(self) -> dict[str, Hop]:
        return {"held": self._hop}

    def buffer(self, stream: str) -> int:
        raise AssertionError(f"{stream} is raw")

    def has_buffer(self, stream: str) -> bool:
        return False

    def drop_buffer(self, stream: str) -> None: ...

    def drop(self, key: str) -> None: ...


class NoRelays:
    def get(self, stream: str) -> Relay:
        raise AssertionError(f"{stream} has no tap")

    def drop(self, stream: str) -> None: ...

    def drop_others(self) -> None: ...


class Death:
    """Comes before the n-th change, in whatever thread."""

    def __init__(self, step: int) -> None:
        self.steps = 0
        self._step = step

    def look(self, _frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call" and what in CHANGES:
            self.steps += 1
            if self.steps == self._step:
                os.kill(os.getpid(), signal.SIGKILL)


def in_lane(plane: DataPlane, act: Callable[[], object]) -> None:
    done = threading.Event()

    def work() -> None:
        act()
        done.set()

    plane.between_steps("web", work)
    done.wait()


def pack(plane: DataPlane, path: str, method: Compression) -> None:
    for _, inode in retention.unpacked(path):
        assert compress.compress(path, inode, method)
        in_lane(plane, partial(rotation.settle, path, inode, rotation.SUFFIXES[method]))


def main(path: str, method: str, step: str, hop: str, pipe: str) -> None:
    death = Death(int(step))
    plane = DataPlane(OneHop(Hop(*map(int, hop.split(",")))), NoRelays(), lambda _: None)
    rules = Rotation(640, keep=100, compress=Compression(method))
    threading.setprofile(death.look)
    sys.setprofile(death.look)
    plane.attach("web", int(pipe), Log(path, rules))
    plane.start()
    in_lane(plane, lambda: rotation.tidy(path))
    while True:
        assert plane.flush(30)
        pack(plane, path, Compression(method))
        sys.setprofile(None)
        print(death.steps, flush=True)
        if not sys.stdin.readline():
            break
        sys.setprofile(death.look)
    os._exit(0)


main(*sys.argv[1:])
