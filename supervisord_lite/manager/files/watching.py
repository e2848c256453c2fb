"""`watch:`: what follows from a change of files, for which instances, and when.

Told of every instance whenever it changes (`follow`), it has each watch observed once for all who
share it (`file_observer`), as long as one of them is up or wanted. Changes that come within the
debounce of each other are one; where they never pause, it is enough after ten times that.

A change concerns the runs that began before it. A RUNNING one is condemned, or is told to reload
where it can do that, or its whole worker is rolled out where its update policy is one instance at
a time. One that is still starting is dealt with once it is RUNNING. To all others a change means
nothing: their next run sees the files as they are then. What changes while no manager lives, or
before the first walk through the directories is over, is not noticed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from supervisord_lite.core.event import Event, ReloadRequested, RolloutRequested, RunCondemned
from supervisord_lite.core.spec import Strategy, Watch
from supervisord_lite.core.state import (
    Instance,
    Preparing,
    Readying,
    Running,
    Starting,
    live_run,
)
from supervisord_lite.logs.escape import escape
from supervisord_lite.manager.files.file_observer import Changed, FileObserver

_PATIENCE = 10  # so many times the debounce changes may go on without a pause
_AT_LEAST = 5.0  # seconds, the same for a very short debounce


@dataclass(slots=True)
class _Watched:
    """One watch: who shares it, and what has changed since they were last told."""

    names: set[str] = field(default_factory=set)
    paths: dict[str, None] = field(default_factory=dict)
    untold: bool = False  # there were more changes than the kernel could tell
    first: float = 0.0
    last: float = 0.0
    timer: asyncio.TimerHandle | None = None


class FileWatch:
    """Emits events by `take`, never while it is being told something; `notice` is for operators."""

    def __init__(self, take: Callable[[Event], None], notice: Callable[[str], None]) -> None:
        self._take = take
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._observer: FileObserver | None = None
        self._adjusting = False
        self._instances: dict[str, Instance] = {}
        self._watched: dict[Watch, _Watched] = {}
        self._pending: dict[str, tuple[int, str]] = {}  # the run to be dealt with, and why

    def follow(self, instance: Instance) -> None:
        """The instance is like this now."""
        name = instance.spec.name
        if instance.spec.watch is None or not _is_up_or_wanted(instance):
            self.forget(name)
            return
        former = self._instances.get(name)
        if former is None or former.spec.watch != instance.spec.watch:
            self.forget(name)
            self._watched.setdefault(instance.spec.watch, _Watched()).names.add(name)
            self._adjust_soon()
        self._instances[name] = instance
        if name in self._pending:
            self._follow_pending(name, instance)

    def forget(self, name: str) -> None:
        """The instance is no more, or is of no interest."""
        former = self._instances.pop(name, None)
        self._pending.pop(name, None)
        if former is None or former.spec.watch is None:
            return
        watched = self._watched[former.spec.watch]
        watched.names.remove(name)
        if not watched.names:
            if watched.timer is not None:
                watched.timer.cancel()
            del self._watched[former.spec.watch]
            self._adjust_soon()

    def close(self) -> None:
        """End the observation; nothing is told after that."""
        for name in list(self._instances):
            self.forget(name)
        self._adjust()

    # ---------------------------------------------------------------- observing

    def _adjust_soon(self) -> None:
        """Many are followed at once: tell the observer when all are."""
        if not self._adjusting:
            self._adjusting = True
            self._loop.call_soon(self._adjust)

    def _adjust(self) -> None:
        self._adjusting = False
        if self._observer is None and self._watched:
            self._observer = FileObserver(self._heard, self._noticed)
        if self._observer is not None:
            self._observer.observe(self._watched)
            if not self._watched:
                self._observer = None

    def _heard(self, changed: Changed) -> None:
        with suppress(RuntimeError):  # the event loop may end before the observer's thread
            self._loop.call_soon_threadsafe(self._note, changed)

    def _noticed(self, text: str) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._notice, text)

    # ---------------------------------------------------------------- debouncing

    def _note(self, changed: Changed) -> None:
        watched = self._watched.get(changed.watch)
        if watched is None:
            return
        watched.paths.update(dict.fromkeys(changed.paths))
        watched.untold = watched.untold or not changed.paths
        watched.last = changed.at
        if watched.timer is None:
            watched.first = changed.at
            self._set_timer(changed.watch, watched)

    def _set_timer(self, watch: Watch, watched: _Watched) -> None:
        at = watched.last + watch.debounce
        watched.timer = self._loop.call_at(at, self._ring, watch, watched)

    def _ring(self, watch: Watch, watched: _Watched) -> None:
        now = self._loop.time()
        enough = watched.first + max(watch.debounce * _PATIENCE, _AT_LEAST)
        if now < watched.last + watch.debounce and now < enough:
            self._set_timer(watch, watched)
            return
        watched.timer = None
        paths, watched.paths = tuple(watched.paths), {}
        untold, watched.untold = watched.untold, False
        self._deal_with(watched, () if untold else paths)

    # ---------------------------------------------------------------- consequences

    def _deal_with(self, watched: _Watched, paths: tuple[str, ...]) -> None:
        workers: dict[str, list[Instance]] = defaultdict(list)
        for name in sorted(watched.names):
            instance = self._instances[name]
            began = _began(instance)
            if began is not None and began <= watched.last:
                workers[instance.spec.worker].append(instance)
        for worker, instances in workers.items():
            if self._is_rolled_out(worker, instances[0], watched):
                self._take(RolloutRequested((worker,), _why(instances[0], paths)))
            else:
                self._deal_with_each(instances, paths)

    def _is_rolled_out(self, worker: str, one: Instance, watched: _Watched) -> bool:
        """One that can reload does; a watch of single instances is no reason to roll out all."""
        if one.spec.reload_signal is not None or one.spec.update.strategy is Strategy.RECREATE:
            return False
        everybody = {n for n, other in self._instances.items() if other.spec.worker == worker}
        return everybody <= watched.names

    def _deal_with_each(self, instances: list[Instance], paths: tuple[str, ...]) -> None:
        running = [one for one in instances if isinstance(one.state, Running)]
        for one in instances:
            if isinstance(one.state, Starting | Readying | Preparing):
                self._pending[one.spec.name] = (one.state.run, _why(one, paths))
        reloading = tuple(one.spec.name for one in running if one.spec.reload_signal is not None)
        if reloading:
            self._take(ReloadRequested(reloading))
        for one in running:
            if one.spec.reload_signal is None and isinstance(one.state, Running):
                why = _why(one, paths)
                self._take(RunCondemned(one.spec.name, one.state.run, why, failure=False))

    def _follow_pending(self, name: str, instance: Instance) -> None:
        run, why = self._pending[name]
        state = instance.state
        if isinstance(state, Running) and state.run == run:
            self._loop.call_soon(self._deal_with_pending, name, run, why)
        elif isinstance(state, Starting | Readying | Preparing) and state.run == run:
            return
        del self._pending[name]

    def _deal_with_pending(self, name: str, run: int, why: str) -> None:
        instance = self._instances.get(name)
        if instance is None:
            return
        if instance.spec.reload_signal is not None:
            self._take(ReloadRequested((name,)))
        else:
            self._take(RunCondemned(name, run, why, failure=False))


def _is_up_or_wanted(instance: Instance) -> bool:
    return instance.wanted or live_run(instance.state) is not None


def _began(instance: Instance) -> float | None:
    """When the run began that a change may concern; None where there is none."""
    match instance.state:
        case Running(started=started):
            return started
        case Starting(since=since) | Readying(since=since) | Preparing(since=since):
            return since
        case _:
            return None


def _why(instance: Instance, paths: tuple[str, ...]) -> str:
    if not paths:
        return "changed: more files than could be told"
    below = f"{instance.spec.program.working_dir.rstrip('/')}/"
    first = escape(paths[0].removeprefix(below).encode(errors="surrogateescape"))
    first = first.replace("\n", "\\n")
    return f"changed: {first}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
