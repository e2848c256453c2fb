"""The states of an instance, one frozen dataclass each, holding only what is true in it.

The words are supervisord's. Beside the state stands what the operator asked for (`wanted`):
a restart, for one, is STOPPING while wanted, and not a state of its own. The deadline of a state
is a field of it, so there is no timer to cancel and a stale alarm is harmless.

Times are seconds of CLOCK_MONOTONIC, which all processes of one boot share.
"""

from dataclasses import dataclass, field
from typing import get_args

from supervisord_lite.core.spec import InstanceSpec, Rung


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
class Starting:
    """The keeper was told to spawn `run` and has not answered; it always does, in bounded time."""

    run: int
    since: float


@dataclass(frozen=True, slots=True)
class Running:
    """`run` has passed exec and its main process lives."""

    run: int
    pid: int
    since: float


@dataclass(frozen=True, slots=True)
class Backoff:
    """A run ended and the next one starts at `until`."""

    until: float
    reason: str


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


State = Stopped | Waiting | Starting | Running | Backoff | Stopping | Exited | Fatal


@dataclass(frozen=True, slots=True)
class Instance:
    """One process slot: its spec, its state, and what must be remembered from state to state.

    `last_run` numbers runs and never goes back. `attempts` counts failed starts in a row, the
    exponent of the backoff; `failures` are the times of the failed starts in the restart window.
    """

    spec: InstanceSpec
    state: State = field(default_factory=Stopped)
    wanted: bool = False
    retiring: bool = False  # removed from the configuration: forgotten once it is down
    held: bool = False  # not to be started by itself, only by an operator or a configuration
    last_run: int = 0
    attempts: int = 0
    failures: tuple[float, ...] = ()
    last_exit: Exit | None = None
    problem: str | None = None  # what went wrong last, in words, for status


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Everything is ending: at `deadline` what is left is killed. `level` is how often it was
    hastened: 1 shortens every rung, 2 kills, and `deadline` is then when survivors are given up.
    """

    deadline: float
    level: int = 0


_WORDS: dict[type, str] = {state: state.__name__.upper() for state in get_args(State)}


def word(state: State) -> str:
    """The name of a state as operators know it, in capitals."""
    return _WORDS[type(state)]


def live_run(state: State) -> int | None:
    """The run that has, or may have, a process; None if nothing can be alive."""
    if isinstance(state, Running | Starting | Stopping):
        return state.run
    return None


def due(state: State) -> float | None:
    """When the state wants to be looked at again; None if only events can change it."""
    if isinstance(state, Backoff):
        return state.until
    return state.deadline if isinstance(state, Stopping) else None
