"""The runs that the keeper answers for, and the facts about them.

Facts are levels: `facts` says all that is true of a run, however often it was said before. The
table holds the keeper's only two opinions (`refusal`): no run number is used twice, and an
instance has no two unburied runs.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from supervisord_lite.keeper.job import Answer


class Phase(Enum):
    """Where a run is: on its way through the spawner, alive, or over in one of two manners."""

    SPAWNING = "spawning"
    ALIVE = "alive"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Run:
    """One life of an instance, from the order to spawn it until it is buried.

    An `adopted` run is one that an earlier keeper spawned: its processes have another parent, so
    the main one, if it lives, is watched by `pidfd`. `known` are processes seen to belong to the
    run, by pid and start time.
    """

    instance: str
    number: int
    phase: Phase = Phase.SPAWNING
    pid: int = 0
    started: int = 0
    adopted: bool = False
    pidfd: int | None = None
    status: int | None = None
    failure: Answer | None = None
    emptied: bool = False
    reported: bool = False  # the end of the main process was told
    sweeping: bool = False  # the end of the whole tree is to be told
    doomed: bool = False  # the tree was sent SIGKILL: whatever is found of it later gets it, too
    known: dict[int, int] = field(default_factory=dict)

    def facts(self) -> list[dict[str, Any]]:
        """All that is true of the run and may be told."""
        who = {"instance": self.instance, "run": self.number}
        if self.phase is Phase.FAILED:
            assert self.failure is not None
            failure = {
                "stage": self.failure.stage,
                "errno": self.failure.errno,
                "message": self.failure.message,
            }
            return [{"tell": "failed", **who, **failure}]
        if self.phase is Phase.SPAWNING:
            return []
        said = [{"tell": "spawned", **who, "pid": self.pid, "adopted": self.adopted}]
        if self.reported:
            over = {"status": self.status, "emptied": self.emptied}
            said.append({"tell": "exited", **who, **over})
        return said


class Runs:
    """All unburied runs, by instance, and the highest run number seen of each instance."""

    def __init__(self, highest: dict[str, int]) -> None:
        self._highest = highest
        self._by_instance: dict[str, dict[int, Run]] = {}

    def __iter__(self) -> Any:
        return iter([run for runs in self._by_instance.values() for run in runs.values()])

    def refusal(self, instance: str, number: int) -> str | None:
        """Why this run may not be spawned, if it may not."""
        if number in self._by_instance.get(instance, {}):
            return "alive"
        if number <= self._highest.get(instance, 0):
            return "stale"
        return "alive" if self._by_instance.get(instance) else None

    def add(self, run: Run) -> None:
        self._by_instance.setdefault(run.instance, {})[run.number] = run
        self._highest[run.instance] = max(run.number, self._highest.get(run.instance, 0))

    def find(self, instance: str, number: int) -> Run | None:
        return self._by_instance.get(instance, {}).get(number)

    def bury(self, run: Run) -> None:
        del self._by_instance[run.instance][run.number]
        if not self._by_instance[run.instance]:
            del self._by_instance[run.instance]

    def living(self) -> list[Run]:
        """The runs of which a process may live."""
        return [
            run
            for run in self
            if run.phase in (Phase.SPAWNING, Phase.ALIVE)
            or (run.phase is Phase.ENDED and not run.emptied and run.sweeping)
        ]
