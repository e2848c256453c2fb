"""The runs that the keeper answers for, and the facts about them.

Facts are levels: `facts` says all that is true of a run, however often it was said before. The
table holds the keeper's only two opinions (`refusal`): no run number is used twice, and an
instance has no two unburied runs.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from supervisord_lite.keeper.job import Answer
from supervisord_lite.linux.process_table import Entry, read_entry


class Phase(Enum):
    """Where a run is: on its way through the spawner, alive, or over in one of two manners."""

    SPAWNING = "spawning"
    ALIVE = "alive"
    ENDED = "ended"
    FAILED = "failed"


class Run:
    """One life of an instance, from the order to spawn it until it is buried.

    Its main process is the one that was spawned, until the run names another (`mains`). An
    `adopted` run is one that an earlier keeper spawned: its processes have another parent. Where
    the main process may not be our child, it is watched by `pidfd`. `groups` are numbers of
    sessions and process groups that are certain to be the run's own; `known` are processes seen to
    belong to it, by pid and start time. Times are seconds of CLOCK_MONOTONIC, None where no keeper
    saw what happened.
    """

    def __init__(self, instance: str, number: int, *, adopted: bool = False) -> None:
        self.instance = instance
        self.number = number
        self.phase = Phase.SPAWNING
        self.pid = 0
        self.started = 0  # its start time
        self.first = 0  # the process that was spawned
        self.born = 0  # its start time: no process of the run is older
        self.since: float | None = None  # the exec was successful
        self.adopted = adopted
        self.pidfd: int | None = None
        self.groups: tuple[int, ...] = ()
        self.status: int | None = None
        self.failure: Answer | None = None
        self.ended_at: float | None = None  # the end of the main process, or a failed spawn's
        self.emptied = False
        self.emptied_at: float | None = None
        self.reported = False  # the end of the main process was told
        self.sweeping = False  # the end of the whole tree is to be told
        self.doomed = False  # the tree was sent SIGKILL: what is found of it later gets it, too
        self.known: dict[int, int] = {}

    def begin(self, pid: int, started: int, since: float) -> None:
        """The spawn was successful."""
        self.phase, self.since = Phase.ALIVE, since
        self.pid = self.first = pid
        self.started = self.born = started
        self.groups = (pid,)

    def revive(self, main: Entry, pidfd: int) -> None:
        """Another process is the main one, and alive."""
        self.phase, self.pidfd = Phase.ALIVE, pidfd
        self.pid, self.started = main.pid, main.started
        self.groups = groups_of(self, main)
        self.status = self.ended_at = None
        self.reported = False

    @property
    def leads(self) -> bool:
        """Whether the main process is our unreaped child and leads the only group of the run, the
        number of which is therefore certain.
        """
        return self.phase is Phase.ALIVE and not self.adopted and self.groups == (self.pid,)

    def facts(self) -> list[dict[str, Any]]:
        """All that is true of the run and may be told."""
        who = {"instance": self.instance, "run": self.number}
        if self.phase is Phase.FAILED:
            assert self.failure is not None
            failure = {
                "stage": self.failure.stage,
                "errno": self.failure.errno,
                "message": self.failure.message,
                "at": self.ended_at,
            }
            return [{"tell": "failed", **who, **failure}]
        if self.phase is Phase.SPAWNING:
            return []
        begun = {"pid": self.pid, "adopted": self.adopted, "since": self.since}
        said = [{"tell": "spawned", **who, **begun}]
        if self.reported:
            over = {"status": self.status, "at": self.ended_at}
            rest = {"emptied": self.emptied, "emptied_at": self.emptied_at}
            said.append({"tell": "exited", **who, **over, **rest})
        return said


def groups_of(run: Run, main: Entry) -> tuple[int, ...]:
    """The numbers of sessions and groups that are certain to be the run's while its main process
    lives: those of that one, and that of the process spawned first while it is not reaped.
    """
    numbers = {main.pid, main.session, main.group}
    if (entry := read_entry(run.first)) is not None and entry.started == run.born:
        numbers.add(run.first)
    return tuple(sorted(numbers))


class Runs:
    """All unburied runs, by instance, and the highest run number seen of each instance."""

    def __init__(self, highest: dict[str, int]) -> None:
        self._highest = highest
        self._by_instance: dict[str, tuple[Run, ...]] = {}  # hardly ever more than one

    def __iter__(self) -> Iterator[Run]:
        return iter([run for runs in self._by_instance.values() for run in runs])

    def refusal(self, instance: str, number: int) -> str | None:
        """Why this run may not be spawned, if it may not."""
        if self.find(instance, number) is not None:
            return "alive"
        if number <= self._highest.get(instance, 0):
            return "stale"
        return "alive" if instance in self._by_instance else None

    def add(self, run: Run) -> None:
        self._by_instance[run.instance] = (*self._by_instance.get(run.instance, ()), run)
        self._highest[run.instance] = max(run.number, self._highest.get(run.instance, 0))

    def find(self, instance: str, number: int) -> Run | None:
        runs = self._by_instance.get(instance, ())
        return next((run for run in runs if run.number == number), None)

    def bury(self, run: Run) -> None:
        others = tuple(one for one in self._by_instance[run.instance] if one is not run)
        if others:
            self._by_instance[run.instance] = others
        else:
            del self._by_instance[run.instance]

    def living(self) -> list[Run]:
        """The runs of which a process may live."""
        return [
            run
            for run in self
            if run.phase in (Phase.SPAWNING, Phase.ALIVE)
            or (run.phase is Phase.ENDED and not run.emptied and run.sweeping)
        ]
