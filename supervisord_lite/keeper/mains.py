"""Which process is a run's main one, and how its end is seen.

It is the process that was spawned, until the run names another one of its tree, as programs do
that fork into the background (MAINPID of sd_notify(3)). From then on signals to `main` reach that
one, its end is the run's, and the end of the former one is nothing.

The end of a child of ours is seen by waitpid(2). Any other process is watched by a pidfd: the main
one of a run that an earlier keeper spawned, and one whose parent still lives. If that parent dies
first, the process becomes our child, since we are a subreaper, and its exact status is ours.

A program may name its new main process and exit at once, so that its exit is told before the name
has found its way here. A run that is over and that nobody has begun to stop is therefore alive
again when a living process of its tree is named: its exit has then not been told.
"""

import os
import select
from collections.abc import Callable
from functools import partial

from supervisord_lite.keeper.children import Children, OnExit
from supervisord_lite.keeper.job import Answer
from supervisord_lite.keeper.runs import Phase, Run, groups_of
from supervisord_lite.keeper.trees import Trees
from supervisord_lite.linux import pidfd
from supervisord_lite.linux.descriptors import DescriptorLimit
from supervisord_lite.linux.process_table import read_entry, zombie_status


class Mains:
    """The main processes of all runs."""

    def __init__(
        self,
        trees: Trees,
        children: Children,
        epoll: select.epoll,
        limit: DescriptorLimit,
        on_end: Callable[[Run, int | None], None],
    ) -> None:
        """`on_end` hears of the end of a run's main process once, with its wait status; None if
        nobody could tell it.
        """
        self._trees = trees
        self._children = children
        self._epoll = epoll
        self._limit = limit
        self._on_end = on_end
        self._by_pidfd: dict[int, Run] = {}
        self._expected: dict[Run, OnExit] = {}  # of processes that may become our children

    def claim(self, run: Run, answer: Answer) -> None:
        """The spawner has made the run's main process."""
        on_exit = partial(self._child_ended, run, answer.pid)
        self._children.claim(answer.pid, answer.number, on_exit)

    def watch(self, run: Run) -> None:
        """The run's main process may not be our child: its pidfd tells."""
        assert run.pidfd is not None, "there is something to watch"
        self._by_pidfd[run.pidfd] = run
        self._epoll.register(run.pidfd, select.EPOLLIN)

    def noticed(self, descriptor: int) -> bool:
        """A watched main process has died; False if this is none of our descriptors."""
        run = self._by_pidfd.get(descriptor)
        if run is None:
            return False
        self._children.reap()  # which tells the status, and ends the watch, if it was our child
        if descriptor in self._by_pidfd:
            # A zombie tells its status in /proc; once its parent has reaped it, the pidfd does.
            status = zombie_status(run.pid, run.started)
            self._end(run, pidfd.exit_status(descriptor) if status is None else status)
        return True

    def replace(self, run: Run, pid: int) -> str | None:
        """Make this process the run's main one; why not, if it cannot be."""
        if run.phase is Phase.ALIVE and pid == run.pid:
            return None
        if run.phase is Phase.ENDED and (run.sweeping or run.emptied):
            return "the run is being ended"
        if run.phase not in (Phase.ALIVE, Phase.ENDED):
            return "the run has no process"
        with self._limit.allocation():
            descriptor = pidfd.open_pidfd(pid)
        if descriptor is None:
            return "it is not alive"
        try:
            entry = self._trees.member(run, pid)
        except OSError:
            os.close(descriptor)
            raise
        if entry is None or pidfd.is_dead(descriptor):  # else the pid may have changed hands
            os.close(descriptor)
            return "it is not of this run"
        self._unwatch(run)
        run.revive(entry, descriptor)
        self.watch(run)
        self._expected[run] = on_exit = partial(self._child_ended, run, pid)
        self._children.expect(pid, on_exit)
        return None

    def _child_ended(self, run: Run, pid: int, status: int) -> None:
        if run.phase is not Phase.ALIVE:
            return
        if pid == run.pid:
            self._end(run, status)
            return
        # A former main process. Its number may be given to anybody from now on.
        self._trees.note_members(run, fresh=True)
        if (entry := read_entry(run.pid)) is not None and entry.started == run.started:
            run.groups = groups_of(run, entry)

    def _end(self, run: Run, status: int | None) -> None:
        self._unwatch(run)
        self._on_end(run, status)

    def _unwatch(self, run: Run) -> None:
        if (on_exit := self._expected.pop(run, None)) is not None:
            self._children.release(run.pid, on_exit)
        if run.pidfd is not None:
            del self._by_pidfd[run.pidfd]
            self._epoll.unregister(run.pidfd)
            os.close(run.pidfd)
            run.pidfd = None
