"""The channels that the supervisor has given this worker, by name: `channels["jobs"].put(…)`.

Each object is made at its first use, and what it needs is imported then; it is the same one ever
after. The descriptors that the worker was started with stay as they are, for others to use.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

from supervisord_lite.worker.owned import Owned

_VARIABLE = "SUPERVISORD_LITE_CHANNELS"
_Told = Mapping[str, Any]
_all: "WeakValueDictionary[int, Channels]" = WeakValueDictionary()


class Channels(Mapping[str, Any]):
    """What the environment tells of, or what is `told` instead. Raises KeyError for a name that
    is not among it.
    """

    def __init__(self, told: Mapping[str, _Told] | None = None) -> None:
        self._told = told
        self._made: dict[str, Any] = {}
        self._making = threading.RLock()  # a value needs its lock
        _all[id(self)] = self

    def __getitem__(self, name: str) -> Any:
        with self._making:
            if name not in self._made:
                if name not in self._all():
                    known = ", ".join(self) or "none"
                    raise KeyError(f"cannot find the channel {name!r}; this worker has: {known}")
                told = self._all()[name]
                self._made[name] = _MAKERS[told["type"]](self, told)
            return self._made[name]

    def after_fork(self) -> None:
        """A thread that does not exist here may have been making one."""
        self._making = threading.RLock()

    def __iter__(self) -> Iterator[str]:
        return (name for name, told in self._all().items() if not told.get("guards"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<channels: {', '.join(self) or 'none'}>"

    def _all(self) -> Mapping[str, _Told]:
        told = self._told
        if told is None:
            told = self._told = json.loads(os.environ.get(_VARIABLE) or "{}")
        return told


def _own(fd: int) -> Owned:
    return Owned(os.dup(fd))


def _stream(_: Channels, told: _Told) -> Any:
    """Without a buffer: a line that this worker has not read yet is left to others."""
    mode = {"read": "rb", "write": "wb"}.get(told.get("use", "both"), "r+b")
    return open(told["fd"], mode, buffering=0, closefd=False)


def _socket(_: Channels, told: _Told) -> Any:
    from socket import socket

    was_blocking = os.get_blocking(told["fd"])  # for all that share it
    made = socket(fileno=os.dup(told["fd"]))
    if made.gettimeout() is not None:  # the program's default, for which the kernel shall not wait
        made.settimeout(None)
        os.set_blocking(told["fd"], was_blocking)
    return made


def _connection(_: Channels, told: _Told) -> Any:
    from multiprocessing.connection import Connection

    return Connection(os.dup(told["fd"]))


def _queue(_: Channels, told: _Told) -> Any:
    from supervisord_lite.worker.queue import Queue, Wires

    wires = Wires(*(_own(told[part]) for part in ("in", "out", "page", "bell")))
    return Queue(wires, told.get("use", "both"))


def _lock(_: Channels, told: _Told) -> Any:
    from supervisord_lite.worker.lock import Lock

    return Lock(_own(told["fd"]))


def _semaphore(_: Channels, told: _Told) -> Any:
    from supervisord_lite.worker.semaphore import Semaphore

    return Semaphore(_own(told["fd"]), told["count"])


def _value(channels: Channels, told: _Told) -> Any:
    from supervisord_lite.worker.shared import Value

    return Value(_own(told["fd"]), told["code"], _guard(channels, told))


def _array(channels: Channels, told: _Told) -> Any:
    from supervisord_lite.worker.shared import Array, Text

    kind = Text if told["code"] == "c" else Array
    return kind(_own(told["fd"]), told["code"], told["length"], _guard(channels, told))


def _guard(channels: Channels, told: _Told) -> Any:
    """The lock that it names, else one of its own, which may be taken again by who has it."""
    from supervisord_lite.worker.lock import RLock

    named = told.get("lock")
    return RLock(_own(told["fd"])) if named is None else channels[named]


_MAKERS: Mapping[str, Callable[[Channels, _Told], Any]] = {
    "pipe": _stream,
    "fifo": _stream,
    "socket": _socket,
    "socketpair": _connection,
    "queue": _queue,
    "lock": _lock,
    "semaphore": _semaphore,
    "value": _value,
    "array": _array,
}

channels = Channels()


def _after_fork() -> None:
    for each in list(_all.values()):
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork)
