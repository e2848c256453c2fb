"""The states of an instance, one frozen dataclass each, holding only what is true in it.

The words are supervisord's; where a word has several meanings for the machine it has several
states (`word`). Beside the state stands what the operator asked for (`wanted`):
a restart, for one, is STOPPING while wanted, and not a state of its own. The deadline of a state
is a field of it, so there is no timer to cancel and a stale alarm is harmless.

Times are seconds of CLOCK_MONOTONIC, which all processes of one boot share.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

from supervisord_lite.core.schedule import Timetable
from supervisord_lite.core.spec import HookPoint, InstanceSpec, Rung
from supervisord_lite.core.values import quick


@quick
@dataclass(frozen=True, slots=True)
class Exit:
    """How a main process ended: an exit code, or a signal, or neither when nobody could tell
    (an adopted run on a kernel without PIDFD_GET_INFO). It is never invented.
    """

    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """No process, and none is wanted."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wanted, but not to be started yet, for a reason that has a name."""

    reason: str


@dataclass(frozen=True, slots=True)
class Scheduled:
    """WAITING for the next time of the schedule, which the timetable has."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """STARTING: the `pre_start` hook of `run` is under way; nothing has been spawned."""

    run: int
    since: float


@dataclass(frozen=True, slots=True)
class Starting:
    """The keeper was told to spawn `run` and has not answered; it always does, in bounded time."""

    run: int
    since: float


@quick
@dataclass(frozen=True, slots=True)
class Readying:
    """STARTING: `run` has passed exec and is not ready yet; it has until `deadline`."""

    run: int
    pid: int
    since: float
    deadline: float


class Health(StrEnum):
    """What the health check says of a RUNNING instance; unknown until it first says something."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@quick
@dataclass(frozen=True, slots=True)
class Running:
    """The main process of `run` lives, and is ready where that is asked for. `since` is when it
    became so; `started` is when the run began.
    """

    run: int
    pid: int
    since: float
    started: float
    health: Health = Health.UNKNOWN


@dataclass(frozen=True, slots=True)
class Backoff:
    """A run ended and the next one starts at `until`."""

    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run is ended that nobody had asked to end: in words, and whether that makes it a
    failed start whatever its length (it never became ready).
    """

    why: str
    start: bool


@quick
@dataclass(frozen=True, slots=True)
class Parting:
    """STOPPING: `run` is to be ended but has not been signalled: instances that depend on this one
    go down first, then the `pre_stop` hook runs (`hook`: it is under way, or is over). `rungs`,
    `started`, `asked` and `fault` are as in `Stopping`.
    """

    run: int
    pid: int
    rungs: tuple[Rung, ...]
    since: float
    started: float
    asked: bool
    fault: Fault | None = None
    hook: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Stopping:
    """`run` is being ended, by `rungs[rung]` now, by the next one at `deadline`.

    `pid` is None while the keeper has not yet answered the spawn. `exit` is set once the main
    process is gone and only its descendants are left. `since` is when the stop began. A deadline
    of None means that nothing more can be done than wait: for the answer to a spawn, or for
    processes that the last rung has not ended (`stuck`).
    """

    run: int
    pid: int | None
    rungs: tuple[Rung, ...]
    rung: int
    since: float
    deadline: float | None
    started: float  # when the run began; a run's length decides whether it was a failed start
    asked: bool  # True: by order. False: its main process ended by itself, the rest is swept up
    exit: Exit | None = None
    stuck: bool = False
    fault: Fault | None = None  # where it was not asked for but found faulty


@dataclass(frozen=True, slots=True)
class Exited:
    """The run ended by itself and its policy wants no other."""

    run: int
    exit: Exit
    at: float


@dataclass(frozen=True, slots=True)
class Fatal:
    """Given up: too many failed starts within the window. Only an operator starts it again."""

    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Blocked:
    """FATAL since a dependency has failed for good. Should its condition come true after all, the
    instance is started.
    """

    reason: str
    at: float


State = (
    Stopped
    | Waiting
    | Scheduled
    | Preparing
    | Starting
    | Readying
    | Running
    | Backoff
    | Parting
    | Stopping
    | Exited
    | Fatal
    | Blocked
)


@quick
@dataclass(frozen=True, slots=True)
class HookRun:
    """A hook under way, for the run of that number. At `deadline` all of its processes are killed
    (`killed`), and some seconds later it is given up. `exit` is set once its main process is gone.
    """

    point: HookPoint
    run: int
    deadline: float
    killed: bool = False
    exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job. `began` is in seconds since the epoch, `why` says what it was for; it is
    under way while `seconds`, its length, is None. A run that never came to be has no `exit`.
    """

    run: int
    began: float
    why: str
    seconds: float | None = None
    exit: Exit | None = None


@quick
@dataclass(frozen=True, slots=True)
class Instance:
    """One process slot: its spec, its state, and what must be remembered from state to state.

    `last_run` numbers runs and never goes back. `attempts` counts failed starts in a row, the
    exponent of the backoff; `failures` are the times of the failed starts in the restart window.
    A job has its `timetable` while its schedule is on, and the `history` of its last runs.
    """

    spec: InstanceSpec
    state: State = Stopped()
    wanted: bool = False
    retiring: bool = False  # removed from the configuration: forgotten once it is down
    held: bool = False  # not to be started by itself, only by an operator or a configuration
    last_run: int = 0
    attempts: int = 0
    failures: tuple[float, ...] = ()
    last_exit: Exit | None = None
    died: int = 0  # the last run that ended by itself
    problem: str | None = None  # what went wrong last, in words, for status
    hooks: tuple[HookRun, ...] = ()
    timetable: Timetable | None = None
    history: tuple[JobRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Everything is ending: at `deadline` what is left is killed. `level` is how often it was
    hastened: 1 shortens every rung, 2 kills, and `deadline` is then when survivors are given up.
    `code` is what the daemon will exit with, `why` what brought it about.
    """

    deadline: float
    level: int = 0
    code: int = 0
    why: str = ""


_WORDS: dict[type, str] = {state: state.__name__.upper() for state in get_args(State)} | {
    Scheduled: "WAITING",
    Preparing: "STARTING",
    Readying: "STARTING",
    Parting: "STOPPING",
    Blocked: "FATAL",
}
Live = Running | Starting | Readying | Parting | Stopping
"""The states in which the run has, or may have, a process."""
_LIVE = frozenset(get_args(Live))


def word(state: State) -> str:
    """The name of a state as operators know it, in capitals."""
    return _WORDS[type(state)]


def live_run(state: State) -> int | None:
    """The run that has, or may have, a process; None if nothing can be alive."""
    return state.run if type(state) in _LIVE else None  # type: ignore[union-attr]


def has_left(instance: Instance) -> bool:
    """Whether it was removed from the configuration, and nothing of it is left."""
    return instance.retiring and isinstance(instance.state, Stopped) and not instance.hooks


def is_busy(instance: Instance) -> bool:
    """Whether it has a process, its own or a hook's."""
    return bool(instance.hooks) or type(instance.state) in _LIVE


def due(instance: Instance) -> float | None:
    """When the instance wants to be looked at again; None if only events can change it."""
    state = instance.state
    match state:
        case Backoff():
            at: float | None = state.until
        case Stopping() | Readying():
            at = state.deadline
        case _:
            at = None
    if not instance.hooks and instance.timetable is None:
        return at
    times = [hook.deadline for hook in instance.hooks]
    if instance.timetable is not None:
        times.append(instance.timetable.until)
    if at is not None:
        times.append(at)
    return min(times)
