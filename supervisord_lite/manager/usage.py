"""Measuring what runs use: one pass over all processes, then the figures of those that matter.

A run is its main process, the descendants of it, its session and process group, and what carries
its mark in the environment: the keeper's idea of a tree, as far as it can be seen from outside.
Whoever was once seen in a tree stays in it.

Memory is resident set size, so pages that processes share count once for each of them. CPU time is
that of all members, and of their children that have ended, from the first look on.

Reads /proc for as long as that takes: for a thread, and by one at a time.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from supervisord_lite.keeper.protocol import MARK
from supervisord_lite.linux.process_table import Entry, ProcessTable, environment_value

Identity = tuple[int, int]  # pid and start time


@dataclass(frozen=True, slots=True)
class Root:
    """A run and its main process."""

    name: str
    run: int
    pid: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a run used at `at` (CLOCK_MONOTONIC): bytes, and seconds of CPU since the first look."""

    at: float
    memory: int
    spent: float


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of CPU of one process: its own, and those of children that it has waited for."""

    own: float
    waited: float


@dataclass(slots=True)
class CpuAccount:
    """Adds up the CPU time of a tree from what its members say at each look.

    A child's time appears in its parent's `waited` once it is waited for, the part included that we
    have counted while it lived. So what was counted of those that are gone is a credit, which is
    used up before anything in `waited` counts as new.
    """

    spent: float = 0.0
    _credit: float = 0.0
    _known: dict[Identity, Times] | None = None

    def add(self, times: dict[Identity, Times]) -> None:
        known, self._known = self._known, times
        if known is None:  # the first look: what was spent before is nobody's business
            return
        self._credit += sum(t.own + t.waited for who, t in known.items() if who not in times)
        nothing = Times(0.0, 0.0)
        own = sum(t.own - known.get(who, nothing).own for who, t in times.items())
        waited = sum(t.waited - known.get(who, nothing).waited for who, t in times.items())
        used = min(self._credit, waited)
        self._credit -= used
        self.spent += own + waited - used


@dataclass(slots=True)
class _Account:
    """What is known of one run from look to look."""

    main: Identity
    members: set[Identity] = field(default_factory=set)
    cpu: CpuAccount = field(default_factory=CpuAccount)


class Meter:
    """Measures runs, and remembers those that were measured last."""

    def __init__(self) -> None:
        self._accounts: dict[Root, _Account] = {}
        self._marks: dict[Identity, str | None] = {}

    def measure(self, roots: Iterable[Root]) -> dict[Root, Sample]:
        """A sample of each run whose main process is alive."""
        table = ProcessTable()
        accounts = {root: one for root in roots if (one := self._account(root, table)) is not None}
        self._accounts = accounts
        leaders = {root.pid: root for root in accounts}
        members = self._members(table, leaders)
        return {root: _sample(accounts[root], members[root]) for root in accounts}

    def _account(self, root: Root, table: ProcessTable) -> _Account | None:
        entry = table.entries.get(root.pid)
        if entry is None:
            return None
        account = self._accounts.get(root)
        if account is None or account.main != (entry.pid, entry.started):
            account = _Account((entry.pid, entry.started))
        return account

    def _members(
        self, table: ProcessTable, leaders: dict[int, Root]
    ) -> dict[Root, dict[int, Entry]]:
        """The living processes of each run."""
        found: dict[Root, set[int]] = {root: {pid} for pid, root in leaders.items()}
        for entry in table.entries.values():
            for leader in {entry.session, entry.group} & leaders.keys():
                found[leaders[leader]].add(entry.pid)
        for root, pid in self._strays(table, leaders):
            found[root].add(pid)
        members = {}
        for root, pids in found.items():
            account = self._accounts[root]
            known = {p for p, t in account.members if p in table.entries and _is(table, p, t)}
            members[root] = {e.pid: e for e in table.with_descendants(pids | known)}
            account.members = {(e.pid, e.started) for e in members[root].values()}
        return members

    def _strays(self, table: ProcessTable, leaders: dict[int, Root]) -> Iterator[tuple[Root, int]]:
        """Those that have left their session and lost their parents: siblings of the main process
        by now, since whoever is its parent takes them in. They are known by their mark.
        """
        former, self._marks = self._marks, {}
        owners: dict[str, Root] = {}
        siblings: set[int] = set()
        for pid, root in leaders.items():
            mark = self._mark(table.entries[pid], former)
            if mark is not None:
                owners[mark] = root
                siblings.update(table.children(table.entries[pid].parent))
        for pid in siblings - leaders.keys():
            mark = self._mark(table.entries[pid], former)
            if mark in owners:
                yield owners[mark], pid

    def _mark(self, entry: Entry, former: dict[Identity, str | None]) -> str | None:
        """It never changes, so it is read once."""
        who = (entry.pid, entry.started)
        mark = former[who] if who in former else environment_value(entry.pid, MARK)
        self._marks[who] = mark
        return mark


def _is(table: ProcessTable, pid: int, started: int) -> bool:
    return table.entries[pid].started == started


def _sample(account: _Account, members: dict[int, Entry]) -> Sample:
    import psutil  # late, since most fleets have no rules

    memory = 0
    times: dict[Identity, Times] = {}
    for pid, entry in members.items():
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                memory += process.memory_info().rss
                cpu = process.cpu_times()
        except psutil.Error:  # it has ended since
            continue
        waited = cpu.children_user + cpu.children_system
        times[pid, entry.started] = Times(cpu.user + cpu.system, waited)
    account.cpu.add(times)
    return Sample(time.monotonic(), memory, account.cpu.spent)
