"""Who has a file open, and who has locked it: one pass over /proc/PID/fd (proc(5)).

What other users' processes have open, only root sees.
"""

import os
from collections.abc import Iterator, Mapping
from typing import TypeVar

Inode = tuple[int, int]  # device and number


def inode_of(descriptor: int) -> Inode:
    """What a descriptor leads to; it is the same for all who have it open."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


T = TypeVar("T")


def openers(wanted: Mapping[Inode, T]) -> Iterator[tuple[T, int, int]]:
    """Every place where one of these is open: what it is wanted as, the pid, the descriptor."""
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        for number in _descriptors(pid):
            try:
                found = os.stat(f"/proc/{pid}/fd/{number}")
            except OSError:  # closed meanwhile
                continue
            if (inode := (found.st_dev, found.st_ino)) in wanted:
                yield wanted[inode], pid, number


def has_locked(pid: int, descriptor: int) -> bool:
    """Whether an open file description lock was taken through this descriptor."""
    return any(line.startswith("lock:") and "OFDLCK" in line for line in _about(pid, descriptor))


def access_of(pid: int, descriptor: int) -> int | None:
    """What it was opened for: O_RDONLY, O_WRONLY or O_RDWR; None if nobody can tell any more."""
    for line in _about(pid, descriptor):
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE
    return None


def _about(pid: int, descriptor: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as stream:
            return stream.readlines()
    except OSError:
        return []


def _descriptors(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:  # gone, or not ours to look at
        return []
