"""Reaping: one place that waits for children, so that no exit status is lost or taken by another.

A child may be dead before the spawner has told its pid. Its status is then kept until all spawns
that were under way have been answered; whoever has not been claimed by then was a stranger, an
orphan that became ours because we are a subreaper (prctl(2)), and is forgotten.
"""

import os
from collections.abc import Callable

from supervisord_lite.keeper.spawner import Spawner
from supervisord_lite.linux.descriptors import DescriptorLimit

OnExit = Callable[[int], None]


class Children:
    """The living children by pid, each with the function that hears its wait status."""

    def __init__(self, spawner: Spawner, limit: DescriptorLimit) -> None:
        self._spawner = spawner
        self._limit = limit
        self._list = f"/proc/self/task/{os.getpid()}/children"
        self._known: dict[int, OnExit] = {}
        self._unclaimed: dict[int, tuple[int, int]] = {}

    def claim(self, pid: int, job: int, on_exit: OnExit) -> None:
        """From now on, or at once if it is dead already, the end of the child that this job of the
        spawner's has made goes to `on_exit`.
        """
        status, latest = self._unclaimed.pop(pid, (0, 0))
        if job <= latest:
            on_exit(status)
        else:  # if somebody of this pid has died, then before the job was ordered
            self._known[pid] = on_exit

    def expect(self, pid: int, on_exit: OnExit) -> None:
        """Should this living process be our child, or become it by the death of its parent, its
        end goes to `on_exit`.
        """
        self._known[pid] = on_exit

    def release(self, pid: int, on_exit: OnExit) -> None:
        """What was expected does not matter any more."""
        if self._known.get(pid) is on_exit:
            del self._known[pid]

    def reap(self) -> None:
        """Bury every dead child, and tell."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            on_exit = self._known.pop(pid, None)
            if on_exit is not None:
                on_exit(status)
                continue
            if self._spawner.settled < self._spawner.latest:
                self._unclaimed[pid] = (status, self._spawner.latest)

    def orphans(self) -> bool:
        """Whether processes have come to us by the death of their parents, and live.

        The kernel gives them to our main thread. The list of its children is short, since most of
        ours are those of the spawner's threads. Without CONFIG_PROC_CHILDREN (proc(5)) there is no
        list, and finding out would take a pass over /proc, for which the next run of a crashed
        worker is not kept waiting: what it left outside its group is found when it is stopped.
        """
        try:
            with self._limit.allocation(), open(self._list, "rb") as stream:
                return any(int(pid) not in self._known for pid in stream.read().split())
        except OSError:
            return False

    def forget_strangers(self) -> None:
        """Drop the statuses that no spawn can claim any more."""
        settled = self._spawner.settled
        stale = [pid for pid, (_, latest) in self._unclaimed.items() if latest <= settled]
        for pid in stale:
            del self._unclaimed[pid]
