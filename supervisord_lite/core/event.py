"""Facts, in the past tense: all that can happen to a fleet. Facts about a run name it, and news
of a run that is over is dropped in one place, in `worker`.

The first group comes from the keeper. Its facts are levels: each is told again to every new
manager until the run is buried. The second group comes from operators and from the shell. The
third is how the fleet tells one instance what a configuration or a recovery means for it.
"""

from dataclasses import dataclass

from supervisord_lite.core.spec import Configuration, InstanceSpec
from supervisord_lite.core.state import Exit


@dataclass(frozen=True, slots=True)
class Spawned:
    """`run` has passed exec with this pid. For an instance without a live run this is an
    adoption: the process was found alive when everybody who knew of it was dead.
    """

    instance: str
    run: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """`run` never came to be: `stage` of spawning failed with `errno` (0: no errno applies)."""

    instance: str
    run: int
    stage: str
    errno: int
    message: str


@dataclass(frozen=True, slots=True)
class MainExited:
    """The main process of `run` is gone. `emptied` says that nothing else of the run is left."""

    instance: str
    run: int
    exit: Exit
    emptied: bool


@dataclass(frozen=True, slots=True)
class Emptied:
    """Nothing of `run` is left, main process and descendants."""

    instance: str
    run: int


KeeperFact = Spawned | SpawnFailed | MainExited | Emptied


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
    """An operator wants a new run of each of these, whether one is up now or not."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignalRequested:
    """An operator sends a signal to the main processes of these; states do not change by it."""

    instances: tuple[str, ...]
    signal: int


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration is to be applied as a difference to the present one. Where somebody asked
    for that, it lifts a hold; what a daemon does by itself at its start does not.
    """

    configuration: Configuration
    lift_hold: bool = True


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
    | StartRequested
    | StopRequested
    | RestartRequested
    | SignalRequested
    | Configured
    | ShutdownRequested
    | Hastened
    | AlarmRang
)


@dataclass(frozen=True, slots=True)
class Added:
    """The configuration has brought the instance into being."""


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
class Recovered:
    """A new manager has taken over; the last orders to the keeper may not have reached it."""


InstanceEvent = (
    KeeperFact
    | StartRequested
    | StopRequested
    | RestartRequested
    | SignalRequested
    | Added
    | SpecReplaced
    | Withdrawn
    | HoldLifted
    | Recovered
    | ShutdownRequested
    | Hastened
    | AlarmRang
)
