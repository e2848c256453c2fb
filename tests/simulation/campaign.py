"""A campaign: so many events in the worlds of one seed. What fails is shrunk, and written down to
be replayed.

A world is a function of its setting, so the trace that must be kept is short: the stimuli that came
from outside, and which workers are left out of the file. Shrinking takes away as many of both as
it can while the same invariant breaks (delta debugging: Zeller, Hildebrandt, 2002). The last steps
are added for those who read it.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from supervisord_lite.core.command import Command, Remember, RememberFleet, RememberRollout
from supervisord_lite.core.event import Configured, Event, Recovered
from supervisord_lite.core.fleet import Fleet

from .invariant import ViolationError
from .stimuli import Stimulus
from .world import Setting, World, worlds

T = TypeVar("T")

SLACK = 2.0  # a shortened trace may need so many times the events of the whole one


@dataclass(frozen=True, slots=True)
class Report:
    """How a campaign went; `violation` is None if every invariant held throughout. `setting` is the
    world in which one did not, with the stimuli that it had received. `seconds` are of this
    process, so that the rate does not depend on who else is busy.
    """

    seed: int
    size: int
    events: int
    seconds: float
    violation: str | None = None
    setting: Setting | None = None
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        rate = self.events / self.seconds if self.seconds else 0.0
        how = self.violation or "all invariants hold"
        return f"seed {self.seed}, {self.size} instances, {self.events} events, {rate:.0f}/s: {how}"


def play(seed: int, size: int, events: int, fleet: type[Fleet] = Fleet) -> Report:
    """Run worlds until they have taken so many events, or until something does not hold."""
    began, total = time.process_time(), 0
    for world in worlds(seed, size, fleet):
        violation = run(world, events - total)
        total += world.events
        if violation is not None or total >= events:
            break
    report = Report(seed, size, total, time.process_time() - began, violation)
    return replace(report, setting=_as_played(world), steps=steps(world)) if violation else report


def run(world: World, events: int) -> str | None:
    """Let a world go on for so many events, or to its end; answers what did not hold."""
    try:
        while world.events < events and not world.over and not world.quiet:
            world.turn()
    except (ViolationError, AssertionError, LookupError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _as_played(world: World) -> Setting:
    return replace(world.setting, stimuli=tuple(world.played))


def steps(world: World) -> tuple[str, ...]:
    """The last steps of a world, in a line each."""
    return tuple(map(_line, world.recent))


def _line(step: tuple[float, Event | Recovered, list[Command]]) -> str:
    now, event, commands = step
    told = "Configured" if isinstance(event, Configured) else str(event)
    return f"{now:.4f} {told} -> {'; '.join(map(_brief, commands))}"


def _brief(command: Command) -> str:
    """A command in a line that leaves out the spec."""
    match command:
        case Remember(_, value):
            hooks = "".join(f", {hook}" for hook in value.hooks)
            return f"Remember({value.spec.name}, {value.state}, wanted={value.wanted}{hooks})"
        case RememberFleet(value):
            return f"RememberFleet({type(value).__name__})"
        case RememberRollout(worker, value):
            return f"RememberRollout({worker}, {value and (value.progress, value.runs)})"
        case _:
            return str(command)


# --------------------------------------------------------------------------- shrinking


class Shrinker:
    """Looks for a smaller setting in which the same invariant breaks, for so many seconds."""

    def __init__(self, report: Report, seconds: float, fleet: type[Fleet] = Fleet) -> None:
        assert report.setting is not None
        self.report = report
        self._what = _name(report.violation)
        self._fleet = fleet
        self._until = time.monotonic() + seconds
        self._limit = 0

    def shrink(self) -> Report:
        """The smallest report that was found in time, as it was played last."""
        setting = self.report.setting
        assert setting is not None
        self._limit = int(self._play(setting) * SLACK) + 1000
        setting = self._without_workers(setting)
        setting = self._without_stimuli(setting)
        self._play(self._without_workers(setting))
        return self.report

    def _without_workers(self, setting: Setting) -> Setting:
        for worker in World(setting).file.workers():
            fewer = replace(setting, left_out=(*setting.left_out, worker))
            if len(World(setting).file.workers()) > 1 and self._fails(fewer):
                setting = fewer
        return setting

    def _without_stimuli(self, setting: Setting) -> Setting:
        assert setting.stimuli is not None

        def fails(stimuli: Sequence[Stimulus]) -> bool:
            return self._fails(replace(setting, stimuli=tuple(stimuli)))

        return replace(setting, stimuli=tuple(minimal(setting.stimuli, fails)))

    def _fails(self, setting: Setting) -> bool:
        return time.monotonic() < self._until and self._play(setting) > 0

    def _play(self, setting: Setting) -> int:
        """After how many events the invariant breaks; 0: it does not."""
        world = World(setting, self._fleet)
        began = time.process_time()
        violation = run(world, self._limit or self.report.events + 1)
        if _name(violation) != self._what:
            return 0
        kept = (self.report.seed, self.report.size, world.events, time.process_time() - began)
        self.report = Report(*kept, violation, _as_played(world), steps(world))
        return world.events


def _name(violation: str | None) -> str | None:
    """The invariant without what it is about: after its words there is a colon."""
    return ":".join(violation.split(":")[:2]) if violation else None


def minimal(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """A part of the items that still fails, from which no single one can be taken."""
    parts = 2
    while len(items) > 1:
        length = -(-len(items) // parts)
        for begin in range(0, len(items), length):
            fewer = [*items[:begin], *items[begin + length :]]
            if fails(fewer):
                items, parts = fewer, max(parts - 1, 2)
                break
        else:
            if length == 1:
                break
            parts = min(2 * parts, len(items))
    return items


# --------------------------------------------------------------------------- written down


def write(report: Report, path: Path) -> None:
    assert report.setting is not None
    kept = {"seed": report.seed, "setting": asdict(report.setting), "events": report.events}
    text = {**kept, "violation": report.violation, "steps": report.steps}
    path.write_text(json.dumps(text, indent=1) + "\n")


def replay(path: Path, fleet: type[Fleet] = Fleet) -> Report:
    """Play a written trace again, no further than it came."""
    kept = json.loads(path.read_text())
    known = kept["setting"]
    stimuli = tuple(Stimulus(**one) for one in known["stimuli"])
    setting = Setting(known["seed"], known["size"], stimuli, tuple(known["left_out"]))
    world, began = World(setting, fleet), time.process_time()
    violation = run(world, kept["events"] + 1)
    seconds = time.process_time() - began
    report = Report(kept["seed"], setting.size, world.events, seconds, violation)
    return replace(report, setting=setting, steps=steps(world)) if violation else report
