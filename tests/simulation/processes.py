"""Virtual processes: one run's main process and its descendants, and how they take a signal."""

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from supervisord_lite.core.signals import KILL
from supervisord_lite.core.spec import Program, Target
from supervisord_lite.core.state import Exit

from .dice import Dice

UNKNOWN = Exit()
BROKEN = "--broken"  # an argument of programs that never become ready


class Stage(Enum):
    """How far the keeper has come with a run."""

    SPAWNING = auto()
    FAILED = auto()
    ALIVE = auto()
    GONE = auto()  # the main process; descendants may live


@dataclass(slots=True)
class Process:
    """One process. `asleep_until` is uninterruptible sleep: not even SIGKILL ends it before."""

    own_session: bool
    ignores: bool
    asleep_until: float = 0.0
    alive: bool = True
    dying: bool = False


@dataclass(slots=True)
class Run:
    """One life of an instance, or of a hook, as the keeper sees it. `killed` is when SIGKILL was
    first sent to all of it; `ready` is when a readiness probe would succeed; `given` are its
    channels, by their numbers, None if nobody knows.
    """

    instance: str
    number: int
    pid: int
    dice: Dice
    stage: Stage = Stage.SPAWNING
    main: Process = field(default_factory=lambda: Process(own_session=False, ignores=False))
    descendants: list[Process] = field(default_factory=list)
    exit: Exit = UNKNOWN
    swept: bool = False
    error: tuple[str, int, str] = ("", 0, "")
    since: float = 0.0
    ended: float | None = None
    killed: float | None = None
    ready: float = inf
    given: dict[str, int] | None = None

    @property
    def empty(self) -> bool:
        if self.main.alive:
            return False
        for process in self.descendants:  # noqa: SIM110 - a generator costs more than it looks at
            if process.alive:
                return False
        return True

    def targets(self, to: Target) -> list[Process]:
        """Whom a signal reaches; a process in a session of its own is out of the group."""
        if to is Target.MAIN:
            return [self.main]
        family = [self.main, *self.descendants]
        return family if to is Target.TREE else [one for one in family if not one.own_session]


def born(run: Run, program: Program, now: float, *, calm: bool) -> None:
    """Give the run a character: most are well-behaved, some are not."""
    run.stage, run.since, dice = Stage.ALIVE, now, run.dice
    if calm:
        run.ready = now + dice.uniform(0.0, 0.5)
        return
    never = BROKEN in program.argv or dice.happens(0.08)
    if not never:
        run.ready = now + dice.uniform(0.0, 6.0 if dice.happens(0.3) else 0.3)
    if dice.happens(0.6):
        return
    run.main.ignores = dice.happens(0.3)
    if dice.happens(0.05):
        run.main.asleep_until = now + dice.uniform(0.0, 40.0)
    for _ in range(dice.choice((0, 1, 1, 2))):
        run.descendants.append(Process(dice.happens(0.3), dice.happens(0.4)))


def answer(run: Run, process: Process, signal: int, now: float) -> float | None:
    """When the process dies of the signal; None if it does not care."""
    dice = run.dice
    if not process.alive or (process.dying and signal != KILL):
        return None
    if signal == KILL:
        return max(now + dice.uniform(0.0, 0.002), process.asleep_until)
    if process.ignores:
        return None
    slow = dice.happens(0.1)
    return max(now + dice.uniform(0.0, 3.0 if slow else 0.05), process.asleep_until)
