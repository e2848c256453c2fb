"""Channels as a worker is handed them, made by hand: the descriptors, and what is told of them.

By what `supervisord_lite.channels.wire` says of each, so that these tests need no daemon.
"""

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from supervisord_lite.worker.named import Channels
from supervisord_lite.worker.shared import TYPES


class Made:
    """Some channels. What it makes stays open until `close`, as the keeper would hold it."""

    def __init__(self) -> None:
        self.told: dict[str, dict[str, Any]] = {}
        self._fds: list[int] = []

    def queue(self, name: str, capacity: int = 0, size: int = 4 << 20) -> None:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        page = self._memory(4096)
        os.pwrite(page, struct.pack("=8s6Q", b"SLQUEUE1", capacity, 0, 0, 0, 0, 0), 0)
        bell = self._keep(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        sender, receiver = (self._keep(end.detach()) for end in ends)
        fds = {"in": sender, "out": receiver, "page": page, "bell": bell}
        self.told[name] = {"type": "queue", "capacity": capacity or None, "use": "both", **fds}

    def lock(self, name: str) -> None:
        self.told[name] = {"type": "lock", "fd": self._memory(1)}

    def semaphore(self, name: str, count: int) -> None:
        memory = self._memory(max(count, 1))
        self.told[name] = {"type": "semaphore", "fd": memory, "count": count}

    def value(self, name: str, code: str, lock: str | None = None) -> None:
        memory = self._memory(ctypes.sizeof(TYPES[code]))
        self.told[name] = {"type": "value", "fd": memory, "code": code, "lock": lock}

    def array(self, name: str, code: str, length: int, lock: str | None = None) -> None:
        memory = self._memory(ctypes.sizeof(TYPES[code]) * length)
        told = {"type": "array", "fd": memory, "code": code, "length": length, "lock": lock}
        self.told[name] = told

    def pair(self, name: str) -> None:
        """A socketpair: `name` is the end a, `name`-b the other."""
        ends = [self._keep(end.detach()) for end in socket.socketpair()]
        self.told[name] = {"type": "socketpair", "use": "a", "fd": ends[0]}
        self.told[f"{name}-b"] = {"type": "socketpair", "use": "b", "fd": ends[1]}

    def pipe(self, name: str) -> None:
        """A pipe: `name` is the end to read, `name`-w the one to write."""
        ends = [self._keep(end) for end in os.pipe2(os.O_CLOEXEC)]
        self.told[name] = {"type": "pipe", "use": "read", "fd": ends[0]}
        self.told[f"{name}-w"] = {"type": "pipe", "use": "write", "fd": ends[1]}

    def environment(self) -> dict[str, str]:
        return os.environ | {"SUPERVISORD_LITE_CHANNELS": json.dumps(self.told)}

    def start(self, arguments: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        """A Python worker that has all that was made."""
        return subprocess.Popen(
            [sys.executable, *arguments], env=self.environment(), pass_fds=self._fds, **options
        )

    def channels(self) -> Channels:
        """As a worker that has all that was made would have them, beside those of this process."""
        return Channels(self.told)

    def let_go(self, name: str) -> None:
        """Hold this one not any longer, and whoever has it is alone with it."""
        fd = self.told.pop(name)["fd"]
        self._fds.remove(fd)
        os.close(fd)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _memory(self, size: int) -> int:
        fd = self._keep(os.memfd_create("channel", os.MFD_CLOEXEC))
        os.ftruncate(fd, size)
        return fd
