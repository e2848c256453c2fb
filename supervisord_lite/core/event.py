"""Facts, in the past tense: all that can happen to a fleet. Facts about a run name it, and news
of a run that is over is dropped in one place, in `worker`.

The first group comes from the keeper. Its facts are levels: each is told again to every new
manager until the run is buried, with the time at which it came true (CLOCK_MONOTONIC), where that
is known. The second group comes from operators and from the shell. The
third is how the fleet tells one instance what a configuration or a recovery means for it.
"""

from dataclasses import dataclass

from supervisord_lite.core.spec import Configuration, HookPoint, InstanceSpec
from supervisord_lite.core.state import Exit
from supervisord_lite.core.values import quick


@quick
@dataclass(frozen=True, slots=True)
class Spawned:
    """`run` has passed exec with this pid. For an instance without a live run this is an
    adoption: the process was found alive when everybody who knew of it was dead.
    """

    instance: str
    run: int
    pid: int
    since: float | None = None


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """`run` never came to be: `stage` of spawning failed with `errno` (0: no errno applies)."""

    instance: str
    run: int
    stage: str
    errno: int
    message: str
    at: float | None = None


@quick
@dataclass(frozen=True, slots=True)
class MainExited:
    """The main process of `run` is gone. `emptied` says that nothing else of the run is left."""

    instance: str
    run: int
    exit: Exit
    emptied: bool
    at: float | None = None


@quick
@dataclass(frozen=True, slots=True)
class Emptied:
    """Nothing of `run` is left, main process and descendants."""

    instance: str
    run: int
    at: float | None = None


KeeperFact = Spawned | SpawnFailed | MainExited | Emptied


def is_over(fact: KeeperFact) -> bool:
    """Whether nothing of the run that the fact is about is left."""
    return isinstance(fact, SpawnFailed | Emptied) or (
        isinstance(fact, MainExited) and fact.emptied
    )


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The readiness probe of `run` has succeeded."""

    instance: str
    run: int


@dataclass(frozen=True, slots=True)
class TimeExtended:
    """`run` asks for its present deadline, of becoming ready or of going down, to be no earlier
    than `until` (EXTEND_TIMEOUT_USEC of sd_notify(3)).
    """

    instance: str
    run: int
    until: float


@dataclass(frozen=True, slots=True)
class HealthFound:
    """The health check of `run` has come to another verdict; `detail` is what the probe said."""

    instance: str
    run: int
    healthy: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RunCondemned:
    """`run` is to be replaced by another one because of what was found out about it: a broken
    rule, a missed sign of life, files that changed. A `failure` is accounted for as if the run had
    ended badly by itself; anything else is as if an operator had asked for a restart.
    """

    instance: str
    run: int
    why: str
    failure: bool


Finding = BecameReady | TimeExtended | HealthFound | RunCondemned
"""What the shell finds out about a run. News of another run than the live one is dropped."""


@dataclass(frozen=True, slots=True)
class StartRequested:
    """An operator wants these instances up. FATAL and EXITED ones get a fresh window."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopRequested:
    """An operator wants these instances down."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """An operator wants a new run of each of these, whether one is up now or not; or something
    else does, and says `why`.
    """

    instances: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class SignalRequested:
    """An operator sends a signal to the main processes of these; states do not change by it."""

    instances: tuple[str, ...]
    signal: int


@dataclass(frozen=True, slots=True)
class RunRequested:
    """An operator wants one run of these jobs (or tasks) now; a job's rule for overlaps holds."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReloadRequested:
    """These are to read their own configuration again: each is sent its reload signal."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RolloutRequested:
    """All instances of these workers are to be restarted, by each worker's update policy; what
    asks for that, if it is no operator, says `why`.
    """

    workers: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class RolloutUndone:
    """These workers are to go back to what they were before their last roll-out."""

    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The wall clock is `offset` seconds ahead of CLOCK_MONOTONIC from now on. Told once to every
    new fleet, and whenever the clock was set or the machine has slept.
    """

    offset: float


@dataclass(frozen=True, slots=True)
class ChannelFound:
    """A channel cannot be had now, and why; None: it can. Who has it goes on with it; who is to be
    given it waits.
    """

    channel: str
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration is to be applied as a difference to the present one. Where somebody asked
    for that, it lifts a hold; what a daemon does by itself at its start does not. `wishes` say of
    instances that are new whether an operator, before the boot, wanted them up.
    """

    configuration: Configuration
    lift_hold: bool = True
    wishes: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """Everything is to end, and then the daemon."""


@dataclass(frozen=True, slots=True)
class Hastened:
    """The shutdown is to hurry: 1 shortens what is left of every rung to a second, 2 kills."""

    level: int


@dataclass(frozen=True, slots=True)
class AlarmRang:
    """The earliest deadline may have passed. Harmless at any time."""


Event = (
    KeeperFact
    | Finding
    | StartRequested
    | StopRequested
    | RestartRequested
    | SignalRequested
    | RunRequested
    | ReloadRequested
    | RolloutRequested
    | RolloutUndone
    | ClockSet
    | ChannelFound
    | Configured
    | ShutdownRequested
    | Hastened
    | AlarmRang
)


@dataclass(frozen=True, slots=True)
class Added:
    """The configuration has brought the instance into being, to be started or to rest."""

    start: bool


@dataclass(frozen=True, slots=True)
class SpecReplaced:
    """The configuration has this spec for the instance now."""

    spec: InstanceSpec


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The configuration has the instance no more."""


@dataclass(frozen=True, slots=True)
class HoldLifted:
    """What waited for the hold alone may start."""


@dataclass(frozen=True, slots=True)
class GateMoved:
    """What the instance waits for may have changed: the conditions of its start, or the
    dependents that have to be down before it.
    """


@dataclass(frozen=True, slots=True)
class DependencyLost:
    """A worker that the instance is to be restarted with has stopped meeting its condition."""

    worker: str


@dataclass(frozen=True, slots=True)
class HookTold:
    """The keeper says something about the run of one of the instance's hooks."""

    point: HookPoint
    fact: KeeperFact


@dataclass(frozen=True, slots=True)
class Recovered:
    """A new manager has taken over; the last orders to the keeper may not have reached it."""


InstanceEvent = (
    KeeperFact
    | Finding
    | StartRequested
    | StopRequested
    | RestartRequested
    | SignalRequested
    | RunRequested
    | ReloadRequested
    | ClockSet
    | Added
    | SpecReplaced
    | Withdrawn
    | HoldLifted
    | GateMoved
    | DependencyLost
    | HookTold
    | Recovered
    | ShutdownRequested
    | Hastened
    | AlarmRang
)
