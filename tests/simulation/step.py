"""One step of a fleet as judges see it: what it was told, what it ordered, and what was known."""

from dataclasses import dataclass, field

from supervisord_lite.core import reason
from supervisord_lite.core.command import Announce, Command
from supervisord_lite.core.event import (
    Configured,
    Emptied,
    Event,
    KeeperFact,
    MainExited,
    Recovered,
    RolloutRequested,
    RolloutUndone,
    Spawned,
    SpawnFailed,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.state import Instance, live_run

from .view import View

BY_TURNS = frozenset((reason.ROLLOUT, reason.PROGRAM_CHANGED))
FACTS = (Spawned, SpawnFailed, MainExited, Emptied)


@dataclass(slots=True)
class Step:
    """`fleet` has taken the step, and has this `deadline` now. `view` is brought forward while the
    commands are read; `offset` is how far the wall clock was ahead when the fleet was last told.
    """

    fleet: Fleet
    event: Event | Recovered
    now: float
    commands: list[Command]
    deadline: float | None
    view: View
    offset: float
    changes: list[tuple[Instance | None, Instance]] = field(default_factory=list)
    _whys: dict[str, list[str]] | None = None

    @property
    def wall(self) -> float:
        return self.now + self.offset

    def whys(self, name: str) -> list[str]:
        """The reasons that were announced for an instance."""
        if self._whys is None:
            self._whys = {}
            for command in self.commands:
                if isinstance(command, Announce) and command.why:
                    self._whys.setdefault(command.instance, []).append(command.why)
        return self._whys.get(name, [])

    def goes_down_with(self, name: str, worker: str) -> bool:
        """Whether an instance on its way down had to go before this worker: not if it depends on it
        only now or was down before, nor if a configuration has it replaced by turns, or lose what
        it depends on, nor if its turn in a roll-out has come just now for whatever else happened.
        """
        before = next((one for one, after in self.changes if after.spec.name == name), None)
        if before is not None:
            bound = any(one.worker == worker for one in before.spec.dependencies)
            if not bound or not (live_run(before.state) is not None or before.hooks):
                return False
        if not isinstance(self.event, Configured):
            asked = isinstance(self.event, RolloutRequested | RolloutUndone)
            if not asked and not BY_TURNS.isdisjoint(self.whys(name)):
                return False
            return not self.view.instances[name].retiring  # a spare that is needed no more
        rollout = self.view.rollouts.get(name.rpartition(":")[0])
        by_turns = rollout is not None and rollout.active
        return not by_turns and not any(why.startswith("restarts with") for why in self.whys(name))

    def has_begun(self, before: Instance | None, after: Instance) -> bool:
        """Whether a run was decided upon; one that was found alive was not."""
        was = before.last_run if before is not None else 0
        return after.last_run > was and not self.is_adopted(before, after)

    def is_adopted(self, before: Instance | None, after: Instance) -> bool:
        """Whether the run was found alive by a keeper that nobody had told of it."""
        was = before.last_run if before is not None else 0
        fact: KeeperFact | None = self.event if isinstance(self.event, FACTS) else None
        if fact is None or after.last_run <= was:
            return False
        return (fact.instance, fact.run) == (after.spec.name, after.last_run)
