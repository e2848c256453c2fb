"""One pass over /proc: who is whose child, in which session, marked by whom. Source: proc(5).

A pass costs some ten microseconds a process, so those who need it share one (`ProcessTable`).
"""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """What /proc/PID/stat says of a process; `started` is in clock ticks since boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started: int
    threads: int

    @property
    def lives(self) -> bool:
        """Not dead, that is; a zombie whose other threads run on is alive, too."""
        return self.state not in "ZX" or self.threads > 1


def read_entry(pid: int) -> Entry | None:
    """The present process of this pid, or None."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The name in parentheses may hold anything, parentheses too: read from the last one on.
    fields = text[text.rindex(b")") + 2 :].split(None, 20)
    return Entry(
        pid,
        fields[0].decode(),
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        int(fields[19]),
        int(fields[17]),
    )


def zombie_status(pid: int, started: int) -> int | None:
    """The wait status of a dead process that its parent, who is not us, has not reaped yet.

    None if it is alive, gone, or another one, or if we may not know: the field is 0 then, which
    would look like success (proc(5): exit_code, under PTRACE_MODE_READ).
    """
    try:
        if os.geteuid() not in (0, os.stat(f"/proc/{pid}").st_uid):
            return None
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    if fields[0] != b"Z" or int(fields[19]) != started:
        return None
    return int(fields[49])


def environment_value(pid: int, name: str) -> str | None:
    """The value that `name` had in the environment of the process's last exec, if we may see it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            environment = stream.read()
    except OSError:
        return None
    wanted = name.encode() + b"="
    for pair in environment.split(b"\0"):
        if pair.startswith(wanted):
            return pair[len(wanted) :].decode(errors="replace")
    return None


def belongs(pid: int, main: int, mark: str) -> bool | None:
    """Whether a process, or one that it descends from, is the living process `main`, is in the
    session of that one, or carries `mark` (NAME=value) in its environment. None if there is no
    process of this pid. An environment that we may not read says nothing, for or against.
    """
    entry = read_entry(pid)
    if entry is None:
        return None
    name, _, value = mark.partition("=")
    known = read_entry(main)
    seen: set[int] = set()
    while entry is not None and entry.pid not in seen:
        if known is not None and (entry.pid == main or entry.session == known.session):
            return True
        if environment_value(entry.pid, name) == value:
            return True
        seen.add(entry.pid)
        entry = read_entry(entry.parent)
    return False


class ProcessTable:
    """A snapshot of all living processes (the dead but unreaped ones are left out)."""

    def __init__(self) -> None:
        entries = (read_entry(int(name)) for name in os.listdir("/proc") if name.isdecimal())
        self.entries = {e.pid: e for e in entries if e is not None and e.lives}
        self._children: dict[int, list[int]] = {}
        for entry in self.entries.values():
            self._children.setdefault(entry.parent, []).append(entry.pid)

    def children(self, pid: int) -> list[int]:
        return self._children.get(pid, [])

    def with_descendants(self, pids: Iterable[int]) -> Iterator[Entry]:
        """The living among these processes, and all that descend from them, each once."""
        seen: set[int] = set()
        pending = list(pids)
        while pending:
            pid = pending.pop()
            if pid in seen:
                continue
            seen.add(pid)
            if pid in self.entries:
                yield self.entries[pid]
            pending.extend(self.children(pid))
