"""One step of a fleet as judges see it: what it was told, what it ordered, and what was known."""

from dataclasses import dataclass, field

from supervisord_lite.core.command import Announce, Command
from supervisord_lite.core.event import (
    Configured,
    Emptied,
    Event,
    KeeperFact,
    MainExited,
    Recovered,
    Spawned,
    SpawnFailed,
)
from supervisord_lite.core.state import Instance

from .view import View

FACTS = (Spawned, SpawnFailed, MainExited, Emptied)


@dataclass(slots=True)
class Step:
    """`view` is brought forward while the commands are read; `offset` is how far the wall clock
    was ahead when the fleet was last told.
    """

    event: Event | Recovered
    now: float
    commands: list[Command]
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

    def takes_turns(self, name: str) -> bool:
        """Whether a configuration has the instance replaced by a roll-out, and not with others."""
        rollout = self.view.rollouts.get(name.rpartition(":")[0])
        return isinstance(self.event, Configured) and rollout is not None and rollout.active

    def has_begun(self, before: Instance | None, after: Instance) -> bool:
        """Whether a run was decided upon; one that was found alive was not."""
        was = before.last_run if before is not None else 0
        if after.last_run <= was:
            return False
        return not self.is_adopted(after)

    def is_adopted(self, after: Instance) -> bool:
        fact: KeeperFact | None = self.event if isinstance(self.event, FACTS) else None
        return fact is not None and (fact.instance, fact.run) == (after.spec.name, after.last_run)
