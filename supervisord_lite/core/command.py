"""Orders, in the imperative: all that a fleet can ask of the shell. An order is never a fact.

`Fleet.step` returns them in the order in which they must reach the keeper. What one instance
needs in one step stands together and opens with its `Remember`; such a *packet* is sent whole or
not at all, so that every prefix of the stream of packets is a legal state (`packets`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.spec import Configuration, HookPoint, Target
from supervisord_lite.core.state import Exit, Instance, Shutdown
from supervisord_lite.core.values import quick


@quick
@dataclass(frozen=True, slots=True)
class Remember:
    """Keep this as all there is to know about the instance. Comes before what it explains."""

    instance: str
    value: Instance


@dataclass(frozen=True, slots=True)
class RememberFleet:
    """Keep this beside the instances; the newest value of each of the two types counts. It goes
    out before what follows from it, so that a recovery finishes what it finds begun.
    """

    value: Configuration | Shutdown


@dataclass(frozen=True, slots=True)
class RememberRollout:
    """Keep this as all there is to know about the worker's roll-out; None: forget it."""

    worker: str
    value: Rollout | None


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start `run` with the instance's present spec. Sent again after a recovery: harmless."""

    instance: str
    run: int


@quick
@dataclass(frozen=True, slots=True)
class RunHook:
    """Start the instance's hook of this point as the run `run` of `hook_name`. Sent again after a
    recovery: harmless. `why` and `exit` are told to the hook.
    """

    instance: str
    run: int
    point: HookPoint
    why: str
    exit: Exit | None


@quick
@dataclass(frozen=True, slots=True)
class Signal:
    """Send `signal` to the run; one that is over is no error."""

    instance: str
    run: int
    signal: int
    to: Target


@dataclass(frozen=True, slots=True)
class Sweep:
    """Tell `Emptied` once nothing of `run` is left: its main process is gone or about to go."""

    instance: str
    run: int


@dataclass(frozen=True, slots=True)
class Bury:
    """`run` is over and accounted for; its facts need not be told again."""

    instance: str
    run: int


@dataclass(frozen=True, slots=True)
class Forget:
    """The instance has left the configuration and nothing of it lives; drop all that it held."""

    instance: str


@dataclass(frozen=True, slots=True)
class OpenWriters:
    """A writer of this channel is about to start: its write end must be there."""

    channel: str


@dataclass(frozen=True, slots=True)
class CloseWriters:
    """No writer of this channel is up or wanted: drop the write end, its readers see EOF."""

    channel: str


@quick
@dataclass(frozen=True, slots=True)
class Announce:
    """The instance changed its state: for those who watch. `before` and `after` are state names
    in capitals, `why` is a short phrase ("exit code 1", "stop requested") or empty.
    """

    instance: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is no change of an instance's state, in a line for those who watch; they
    should do something about a `problem`.
    """

    text: str
    problem: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """The shutdown is complete: no process is left (or none that can be ended). The daemon is to
    exit with `code`.
    """

    survivors: tuple[str, ...]
    code: int = 0


Command = (
    Remember
    | RememberFleet
    | RememberRollout
    | Spawn
    | RunHook
    | Signal
    | Sweep
    | Bury
    | Forget
    | OpenWriters
    | CloseWriters
    | Announce
    | Note
    | Finish
)

_OPENING = frozenset((Remember, RememberFleet, RememberRollout))
_POINTS = frozenset(HookPoint)


def hook_name(point: HookPoint, instance: str) -> str:
    """The name under which the keeper knows the runs of a hook."""
    return f"@{point}/{instance}"


def hook_of(name: str) -> tuple[HookPoint, str] | None:
    """The hook and the instance that such a name means, if it is one."""
    if name[:1] != "@":
        return None
    point, slash, instance = name[1:].partition("/")
    return (HookPoint(point), instance) if slash and point in _POINTS else None


def packets(commands: Iterable[Command]) -> list[list[Command]]:
    """Group a step's commands: each order to remember opens a packet that lasts until the next.
    What a recovery says again without remembering anything are packets of one order each.
    """
    grouped: list[list[Command]] = []
    lasts = False
    for command in commands:
        opens = type(command) in _OPENING
        if lasts and not opens:
            grouped[-1].append(command)
        else:
            grouped.append([command])
            lasts = opens
    return grouped
