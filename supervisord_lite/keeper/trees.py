"""Which processes belong to a run, and how a signal reaches them.

A run is its main process and whatever came from it: its descendants, its session and process
group, and every process that carries the run's mark in its environment, which finds those that
left by a double fork. Since the keeper is a subreaper, all of them are its descendants, except
those of adopted runs, which are recognised by the mark alone once their main process is gone.

Signals go to a whole process group while its leader is certain to be the run's, and to single
processes by pidfd after a look at their start time: never to a pid that may have been recycled.
"""

import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable

from supervisord_lite.keeper.marks import read_mark
from supervisord_lite.keeper.runs import Phase, Run, Runs
from supervisord_lite.linux import pidfd
from supervisord_lite.linux.descriptors import DescriptorLimit
from supervisord_lite.linux.process_table import Entry, ProcessTable, read_entry

_FRESH = 0.1  # seconds for which one pass over /proc serves several orders


class Snapshot:
    """A process table seen from the keeper: its descendants by session and group, and the marks."""

    def __init__(self, keeper: int, daemon: str, mains: dict[int, Run], *, everybody: bool) -> None:
        """`mains` are the living main processes; `everybody`: look beyond the keeper's own
        descendants, for adopted runs.
        """
        self.table = ProcessTable()
        self.taken = time.monotonic()
        self.everybody = everybody
        self._daemon = daemon
        self._mains = mains
        self._by_leader: dict[int, set[int]] = defaultdict(set)
        for entry in self.table.with_descendants(self.table.children(keeper)):
            self._by_leader[entry.session].add(entry.pid)
            self._by_leader[entry.group].add(entry.pid)
        # A child of the keeper that is no main process is an orphan: its mark tells of whom.
        strays = self.table.entries if everybody else self.table.children(keeper)
        self._by_mark: dict[str, set[int]] = defaultdict(set)
        for pid in strays:
            if pid not in mains:
                self._note_mark(pid)

    def _note_mark(self, pid: int) -> None:
        if (found := read_mark(pid, self._daemon)) is not None:
            self._by_mark[found[0]].add(pid)

    def members(self, run: Run) -> dict[int, int]:
        """The living processes of the run: pid to start time."""
        entries = self.table.entries
        roots = {
            pid for pid, t in run.known.items() if pid in entries and entries[pid].started == t
        }
        roots |= self._by_mark.get(run.instance, set())
        for number in run.groups:
            if self.main_of(number) in (run, None):  # else the pid went to another run by now
                roots |= self._by_leader.get(number, set())
        if run.phase is Phase.ALIVE:
            roots.add(run.pid)
        found = self.table.with_descendants(roots)
        return {entry.pid: entry.started for entry in found if entry.started >= run.born}

    def main_of(self, pid: int) -> Run | None:
        """The run whose living main process this is, if it is one."""
        return self._mains.get(pid)


class Trees:
    """Signals to runs, and the watch for their trees to become empty."""

    def __init__(self, daemon: str, runs: Runs, limit: DescriptorLimit) -> None:
        self._keeper = os.getpid()
        self._limit = limit
        self._daemon = daemon
        self._runs = runs
        self._snapshot: Snapshot | None = None

    def snapshot(self, runs: Iterable[Run], *, fresh: bool = False) -> Snapshot:
        """A pass over /proc that is good for these runs; a recent one, unless `fresh`."""
        everybody = any(run.adopted for run in runs)
        recent = self._snapshot
        if (
            fresh
            or recent is None
            or recent.taken + _FRESH < time.monotonic()
            or (everybody and not recent.everybody)
        ):
            mains = {run.pid: run for run in self._runs if run.phase is Phase.ALIVE}
            with self._limit.allocation():
                recent = Snapshot(self._keeper, self._daemon, mains, everybody=everybody)
            self._snapshot = recent
        return recent

    def note_members(self, run: Run, *, fresh: bool = False) -> None:
        """Remember who belongs to the run while its main process still ties them together."""
        run.known.update(self.snapshot([run], fresh=fresh).members(run))

    def member(self, run: Run, pid: int) -> Entry | None:
        """The process, if it lives, belongs to the run, and is not the main one of another."""
        snapshot = self.snapshot([run], fresh=True)
        members = run.known = snapshot.members(run)
        is_another = snapshot.main_of(pid) not in (run, None)
        return None if pid not in members or is_another else snapshot.table.entries[pid]

    def signal_main(self, run: Run, number: int) -> None:
        if run.phase is not Phase.ALIVE:
            return
        if run.pidfd is not None:
            pidfd.send_signal(run.pidfd, number)
        else:
            _kill_child(run.pid, number)

    def signal_group(self, run: Run, number: int) -> None:
        if run.leads:
            self._signal_own_group(run, number)
            return
        entries = self.snapshot([run]).table.entries
        members = self.snapshot([run]).members(run)
        grouped = {p: t for p, t in members.items() if entries[p].group in run.groups}
        self._signal_each(grouped, number)

    def signal_tree(self, run: Run, number: int) -> None:
        members = self.snapshot([run]).members(run)
        run.known.update(members)
        run.doomed = run.doomed or number == signal.SIGKILL
        if run.leads:
            entries = self.snapshot([run]).table.entries
            self._signal_own_group(run, number)
            members = {p: t for p, t in members.items() if entries[p].group != run.pid}
        self._signal_each(members, number)

    def _signal_own_group(self, run: Run, number: int) -> None:
        try:
            os.killpg(run.pid, number)
        except (ProcessLookupError, PermissionError):
            # The child has not made its group yet, or every member has another user by now.
            _kill_child(run.pid, number)

    def _signal_each(self, members: dict[int, int], number: int) -> None:
        with self._limit.allocation():
            for pid, started in members.items():
                _signal_one(pid, started, number)


def _kill_child(pid: int, number: int) -> None:
    """Signal an unreaped child of ours, whose pid is therefore its own."""
    with contextlib.suppress(PermissionError):  # it has become somebody else: its stop is stuck
        os.kill(pid, number)


def _signal_one(pid: int, started: int, number: int) -> None:
    descriptor = pidfd.open_pidfd(pid)
    if descriptor is None:
        return
    try:
        entry = read_entry(pid)
        if entry is not None and entry.started == started:
            pidfd.send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def group_is_empty(leader: int) -> bool:
    """Whether no process is left in the group of a leader that was reaped just now."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
