"""A campaign: so many events in the world of one seed. What fails is written down to be replayed.

The world is a function of seed and size, so the trace that must be kept is short: these two and
how far it came. The last steps are added for those who read it.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from supervisord_lite.core.command import Command, Remember, RememberFleet
from supervisord_lite.core.event import Configured, Event
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.state import Instance

from .keeper import ViolationError
from .world import World


@dataclass(frozen=True, slots=True)
class Report:
    """How a campaign went; `violation` is None if every invariant held throughout."""

    seed: int
    size: int
    events: int
    seconds: float
    violation: str | None
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        rate = self.events / self.seconds if self.seconds else 0.0
        how = self.violation or "all invariants hold"
        return f"seed {self.seed}, {self.size} instances, {self.events} events, {rate:.0f}/s: {how}"


def play(seed: int, size: int, events: int, fleet: type[Fleet] = Fleet) -> Report:
    """Run a world until it has taken so many events, or until something does not hold."""
    world = World(seed, size, fleet)
    began = time.perf_counter()
    violation = None
    try:
        while world.events < events:
            world.turn()
    except (ViolationError, AssertionError, LookupError) as error:
        violation = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    steps = tuple(map(_line, world.recent))
    return Report(seed, size, world.events, seconds, violation, steps if violation else ())


def _line(step: tuple[float, Event, list[Command]]) -> str:
    now, event, commands = step
    told = "Configured" if isinstance(event, Configured) else str(event)
    return f"{now:.4f} {told} -> {'; '.join(map(_brief, commands))}"


def _brief(command: Command) -> str:
    """A command in a line that leaves out the spec."""
    match command:
        case Remember(value=Instance() as value):
            return f"Remember({value.spec.name}, {value.state}, wanted={value.wanted})"
        case RememberFleet():
            return f"RememberFleet({type(command.value).__name__})"
        case _:
            return str(command)


def write(report: Report, path: Path) -> None:
    kept = {"seed": report.seed, "size": report.size, "events": report.events}
    text = {**kept, "violation": report.violation, "steps": list(report.steps)}
    path.write_text(json.dumps(text, indent=1) + "\n")


def replay(path: Path) -> Report:
    """Play a written trace again, no further than it came."""
    kept = json.loads(path.read_text())
    return play(kept["seed"], kept["size"], kept["events"] + 1)
