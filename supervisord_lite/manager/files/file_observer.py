"""The thread that looks at files: it waits for inotify, walks directories, and tells what changed.

A thread, since a walk may be long and a disk may hang, and nothing else of the daemon is to wait
for either. It knows watches and paths, nothing of instances, and never decides what follows from a
change. While nothing changes it sleeps in the kernel.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from supervisord_lite.core.spec import Watch
from supervisord_lite.manager.files.polled_tree import PolledTree
from supervisord_lite.manager.files.watched_tree import WatchedTree, Watches

_POLLING = "its files are compared every few seconds instead"


@dataclass(frozen=True, slots=True)
class Changed:
    """Files of a watch have changed, the last of them at `at` (CLOCK_MONOTONIC). Without `paths`
    there were more changes than anybody could tell.
    """

    watch: Watch
    paths: tuple[str, ...]
    at: float


class FileObserver:
    """Observes what it was told last, and ends when that is nothing. `report` and `notice` are
    called in its thread.
    """

    def __init__(self, report: Callable[[Changed], None], notice: Callable[[str], None]) -> None:
        self._report = report
        self._notice = notice
        self._wanted: Iterable[Watch] = ()
        self._watches: Watches | None = None
        self._trees: dict[Watch, WatchedTree] = {}
        self._polled: dict[Watch, PolledTree] = {}
        self._told: set[str] = set()
        # Held by who asks until it is through with the descriptor, which the thread may then close.
        self._asking = threading.Lock()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)
        # A daemon thread: the end of the process does not wait for a disk that hangs.
        self._thread = threading.Thread(target=self._run, name="file observer", daemon=True)

    def observe(self, watches: Iterable[Watch]) -> None:
        """Observe these from now on. Nothing ends the thread, and this object with it."""
        with self._asking:
            self._wanted = tuple(watches)
            os.eventfd_write(self._woken, 1)
        if self._thread.ident is None:
            self._thread.start()

    # ---------------------------------------------------------------- in the thread

    def _run(self) -> None:
        try:
            while self._adjust():
                self._poll.poll(self._until_due())
                self._take_changes()
                self._look()
                self._tell()
        finally:
            if self._watches is not None:
                self._watches.close()
            os.close(self._woken)

    def _adjust(self) -> bool:
        """Begin and end what is to begin and to end; whether anything is left."""
        with self._asking:
            try:
                os.eventfd_read(self._woken)
            except BlockingIOError:
                return True
            wanted = dict.fromkeys(self._wanted)
        for watch in [*self._trees, *self._polled]:
            if watch not in wanted:
                self._end(watch)
        for watch in wanted:
            if watch not in self._trees and watch not in self._polled:
                self._begin(watch)
        return bool(wanted)

    def _begin(self, watch: Watch) -> None:
        try:
            if self._watches is None:
                self._watches = Watches()
                self._poll.register(self._watches.inotify.fd, select.POLLIN)
            self._trees[watch] = WatchedTree(watch, self._watches, self._notice)
        except OSError as error:
            self._resort_to_polling(watch, error)

    def _end(self, watch: Watch) -> None:
        self._polled.pop(watch, None)
        tree = self._trees.pop(watch, None)
        if tree is not None:
            tree.close()

    def _resort_to_polling(self, watch: Watch, error: OSError) -> None:
        """The kernel has no more watches for us."""
        former = self._trees.get(watch)
        self._end(watch)
        self._polled[watch] = PolledTree(watch)
        if former is not None:
            self._polled[watch].changed |= former.changed
        text = f"cannot watch {', '.join(watch.paths)}: {error.strerror}"
        if text not in self._told:
            self._told.add(text)
            self._notice(f"{text}; {_POLLING}")

    def _until_due(self) -> float | None:
        """Milliseconds until somebody wants to look."""
        due = min((polled.due for polled in self._polled.values()), default=None)
        return None if due is None else max(0.0, due - time.monotonic()) * 1000

    def _take_changes(self) -> None:
        if self._watches is None:
            return
        concerned: dict[WatchedTree, None] = {}
        for change in self._watches.inotify.changes():
            if change.lost:
                self._start_over()
            for node in self._watches.of(change):
                concerned[node.tree] = None
                if not node.dropped:  # by what this very change meant to another node
                    self._try(node.tree, partial(node.tree.take, node, change))
        for tree in concerned:
            if self._trees.get(tree.watch) is tree:  # else it is polled by now
                self._try(tree, tree.settle)

    def _try(self, tree: WatchedTree, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._resort_to_polling(tree.watch, error)

    def _start_over(self) -> None:
        """The kernel has dropped changes: what we know of directories may be wrong."""
        for tree in list(self._trees.values()):
            self._report(Changed(tree.watch, (), time.monotonic()))
            self._try(tree, tree.walk_again)

    def _look(self) -> None:
        now = time.monotonic()
        for polled in self._polled.values():
            if polled.due <= now:
                polled.look()

    def _tell(self) -> None:
        now = time.monotonic()
        trees: dict[Watch, WatchedTree | PolledTree] = {**self._trees, **self._polled}
        for watch, tree in trees.items():
            if tree.changed:
                self._report(Changed(watch, tuple(tree.changed), now))
                tree.changed.clear()
