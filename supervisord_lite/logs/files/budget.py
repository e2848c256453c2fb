"""The disk that all logs of a daemon may take together, and which older files go to keep to it.

It looks at files and removes none. The present files are never given up; of the older ones the
oldest go first, whatever log they are of, and of each log from its end, so that no gap is left.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from supervisord_lite.logs.files import rotation


@dataclass(frozen=True, slots=True)
class Kept:
    """An older file of `log`. `time` is when its last byte came, in seconds since the epoch."""

    log: str
    path: str
    inode: int
    size: int
    time: float


class Budget:
    """What is known of all files. Touches disks: not for an event loop's thread, one at a time."""

    def __init__(self) -> None:
        self._older: dict[str, list[Kept]] = {}  # youngest first
        self.present = 0  # bytes of the files that are written to

    def look(self, logs: Collection[str], changed: Collection[str]) -> None:
        """See what these logs take: those that have `changed`, and those that were not known."""
        for log in self._older.keys() - set(logs):
            del self._older[log]
        for log in logs:
            if log in changed or log not in self._older:
                self._older[log] = _older(log)
        self.present = sum(map(_size, logs))

    def look_again(self) -> None:
        """Others remove files, too: `max_age`, who rotates direct logs, and administrators."""
        for log, files in self._older.items():
            if not all(map(_is_there, files)):
                self._older[log] = _older(log)
        self.present = sum(map(_size, self._older))

    def forget(self, log: str) -> None:
        """Look at the older files of a log again next time."""
        self._older.pop(log, None)

    def excess(self, limit: int) -> list[Kept]:
        """The files that must go, so that all together take no more than `limit` bytes."""
        standing = {log: list(files) for log, files in self._older.items() if files}
        total = self.present + sum(one.size for files in standing.values() for one in files)
        oldest = [(files[-1].time, log) for log, files in standing.items()]
        heapify(oldest)
        gone: list[Kept] = []
        while total > limit and oldest:
            log = heappop(oldest)[1]
            gone.append(standing[log].pop())
            total -= gone[-1].size
            if standing[log]:
                heappush(oldest, (standing[log][-1].time, log))
        return gone


def _older(log: str) -> list[Kept]:
    found = []
    for one in rotation.older(log):
        try:
            status = os.stat(one.path)
        except FileNotFoundError:
            continue
        found.append(Kept(log, one.path, status.st_ino, status.st_size, status.st_mtime))
    return found


def _is_there(file: Kept) -> bool:
    try:
        return os.stat(file.path).st_ino == file.inode
    except OSError:
        return False


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
