"""The watch for runs to end whole: main process and every descendant.

While a run is being swept, the death of any of its processes is a reason to look again; looking
is a pass over /proc, shared by all runs that wait for one, and made when nothing else is to do.
There is no polling: what is still alive is watched by a pidfd.
"""

import os
import select
import signal
from collections.abc import Callable

from supervisord_lite.keeper.runs import Phase, Run
from supervisord_lite.keeper.trees import Trees
from supervisord_lite.linux import pidfd
from supervisord_lite.linux.descriptors import DescriptorLimit

_AT_THE_LATEST = 0.05  # seconds after which a look is due although there is other work


class Sweeper:
    """Runs whose emptiness somebody waits for. `on_empty` is called once for each."""

    def __init__(
        self,
        trees: Trees,
        epoll: select.epoll,
        limit: DescriptorLimit,
        settle: Callable[[Run, bool], None],
    ) -> None:
        """`settle(run, emptied)` hears the outcome of each look at a run."""
        self._trees = trees
        self._epoll = epoll
        self._limit = limit
        self._settle = settle
        self._due: dict[Run, float] = {}
        self._watched: dict[int, Run] = {}
        self._with_watch: set[Run] = set()

    @property
    def waiting(self) -> bool:
        return bool(self._due)

    def begin(self, run: Run, now: float) -> None:
        """A stop begins: note who belongs to the run while that is still easy to see."""
        run.sweeping = True
        if run.phase is Phase.ENDED:
            self._due.setdefault(run, now)
        elif run.phase is Phase.ALIVE:
            self._trees.note_members(run)

    def look_at(self, run: Run, now: float) -> None:
        """The main process is gone; find out what else is left."""
        self._due.setdefault(run, now)

    def ready(self, now: float, *, idle: bool) -> bool:
        """Whether `sweep` is due: nothing else is to do, or it was put off long enough."""
        return bool(self._due) and (idle or now - min(self._due.values()) >= _AT_THE_LATEST)

    def sweep(self) -> None:
        """Look at every run that is due, in one pass over /proc."""
        # One that has a main process again has nothing to be looked at.
        due, self._due = [run for run in self._due if run.phase is Phase.ENDED], {}
        snapshot = self._trees.snapshot(due, fresh=True)
        for run in due:
            members = snapshot.members(run)
            run.known = members
            if members and run.doomed:
                self._trees.signal_tree(run, signal.SIGKILL)
            if members and not self._watch(run):
                self._due[run] = 0.0  # all of them died in between: look again
                continue
            self._settle(run, not members)

    def _watch(self, run: Run) -> bool:
        """Have the death of one living member wake us; False if none is alive."""
        if run in self._with_watch:
            return True
        for pid in run.known:
            with self._limit.allocation():
                descriptor = pidfd.open_pidfd(pid)
            if descriptor is not None:
                self._watched[descriptor] = run
                self._with_watch.add(run)
                self._epoll.register(descriptor, select.EPOLLIN)
                return True
        return False

    def noticed(self, descriptor: int, now: float) -> None:
        """A watched process has died, if this is one of the sweeper's descriptors."""
        run = self._watched.pop(descriptor, None)
        if run is None:
            return
        self._with_watch.discard(run)
        self._epoll.unregister(descriptor)
        os.close(descriptor)
        self._due.setdefault(run, now)
