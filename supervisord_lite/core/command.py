"""Orders, in the imperative: all that a fleet can ask of the shell. An order is never a fact.

`Fleet.step` returns them in the order in which they must reach the keeper. What one instance
needs in one step stands together and opens with its `Remember`; such a *packet* is sent whole or
not at all, so that every prefix of the stream of packets is a legal state (`packets`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from supervisord_lite.core.spec import Configuration, Target
from supervisord_lite.core.state import Instance, Shutdown


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
class Spawn:
    """Start `run` with the instance's present spec. Sent again after a recovery: harmless."""

    instance: str
    run: int


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
class Finish:
    """The shutdown is complete: no process is left (or none that can be ended)."""

    survivors: tuple[str, ...]


Command = (
    Remember
    | RememberFleet
    | Spawn
    | Signal
    | Sweep
    | Bury
    | Forget
    | OpenWriters
    | CloseWriters
    | Announce
    | Finish
)


def packets(commands: Iterable[Command]) -> list[list[Command]]:
    """Group a step's commands: each order to remember opens a packet that lasts until the next.
    What a recovery says again without remembering anything are packets of one order each.
    """
    grouped: list[list[Command]] = []
    for command in commands:
        opens = isinstance(command, Remember | RememberFleet)
        if opens or not grouped or not isinstance(grouped[-1][0], Remember | RememberFleet):
            grouped.append([])
        grouped[-1].append(command)
    return grouped
