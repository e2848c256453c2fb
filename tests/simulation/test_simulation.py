"""The simulator as a test: a bounded campaign, its determinism, and proofs that it can fail."""

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from supervisord_lite.core import restart, sequel, worker
from supervisord_lite.core.command import Bury, Command, Remember, Signal, Spawn
from supervisord_lite.core.event import (
    Event,
    MainExited,
    SignalRequested,
    Spawned,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import Target
from supervisord_lite.core.state import Instance, Stopping

from .campaign import play, replay, write
from .world import World


@pytest.mark.parametrize(("seed", "size"), [(1, 20), (2, 3), (9, 1), (4, 200)])
def test_the_invariants_hold(seed: int, size: int) -> None:
    """Known worlds, small and large, go through without a violation."""
    report = play(seed, size, 20_000)
    assert report.violation is None, report


@pytest.mark.soak
@pytest.mark.parametrize("number", range(5))
def test_the_invariants_hold_on_fresh_seeds(number: int) -> None:
    """A new world at every run; a failing seed stands in the message and can be replayed."""
    seed = secrets.randbelow(10**9)
    report = play(seed, 20, 1_000_000 if os.environ.get("SOAK") else 50_000)
    print(report)
    assert report.violation is None, report


def test_the_same_trace_gives_the_same_commands() -> None:
    """A world is a function of its seed, so a replay is the thing itself."""

    def steps() -> list[object]:
        world = World(7, 10)
        told: list[object] = []
        while world.events < 3000:
            before = world.events
            world.turn()
            if world.events > before:
                told.append(world.recent[-1])
        return told

    assert steps() == steps()


# --------------------------------------------------------------------------- it can fail


class StartsDuringShutdown(Fleet):
    """Brings back what the shutdown has ended."""

    def step(self, event: Event, now: float) -> list[Command]:
        commands = super().step(event, now)
        if self.shutting_down and isinstance(event, MainExited):
            commands.append(Spawn(event.instance, event.run + 1))
        return commands


class StartsTwice(Fleet):
    """Orders the next run as soon as one has begun."""

    def step(self, event: Event, now: float) -> list[Command]:
        commands = super().step(event, now)
        if isinstance(event, Spawned) and not self.shutting_down:
            commands.append(Spawn(event.instance, event.run + 1))
        return commands


class BuriesTheLiving(Fleet):
    """Takes the end of the main process for the end of the run."""

    def step(self, event: Event, now: float) -> list[Command]:
        commands = super().step(event, now)
        if isinstance(event, MainExited) and not event.emptied:
            commands.append(Bury(event.instance, event.run))
        return commands


class SignalsTheDead(Fleet):
    """Sends an operator's signal to whatever ran last."""

    def step(self, event: Event, now: float) -> list[Command]:
        commands = super().step(event, now)
        if isinstance(event, SignalRequested):
            for name in event.instances:
                if name in self.instances:
                    run = self.instances[name].last_run
                    commands.append(Signal(name, run, event.signal, Target.MAIN))
        return commands


class ForgetsDeadlines(Fleet):
    """Never asks to be woken."""

    def deadline(self) -> float | None:
        return None


class ActsBeforeItRemembers(Fleet):
    """Orders first and remembers later."""

    def step(self, event: Event, now: float) -> list[Command]:
        commands = super().step(event, now)
        return sorted(commands, key=lambda command: isinstance(command, Remember))


class ForgetsWhatWasBegun(Fleet):
    """Does not finish a reload that its predecessor began."""

    def recover(self, now: float) -> list[Command]:
        return []


class ComesBack(Fleet):
    """Forgets that an operator has stopped it."""

    def step(self, event: Event, now: float) -> list[Command]:
        if isinstance(event, StopRequested):
            return []
        return super().step(event, now)


@pytest.mark.parametrize(
    ("broken", "violation"),
    [
        (StartsDuringShutdown, "ordered a spawn during a shutdown"),
        (StartsTwice, "spawned while an earlier run is unburied"),
        (BuriesTheLiving, "buried alive"),
        (SignalsTheDead, "ordered about a run that is over"),
        (ForgetsDeadlines, "nobody waits for it"),
        (ActsBeforeItRemembers, "spawned without a record"),
        (ForgetsWhatWasBegun, "no write end"),
        (ComesBack, "a stopped instance came back"),
    ],
)
def test_a_broken_fleet_is_found_out(broken: type[Fleet], violation: str) -> None:
    """Each rule that is broken on purpose is missed by an invariant within a short campaign."""
    report = play(3, 20, 60_000, broken)
    assert report.violation is not None, report
    assert violation in report.violation


def _never_counts(failures: Iterable[float], limit: object, now: float) -> tuple[float, ...]:
    return (now,)


def _stays_on_its_rung(instance: Instance, state: Stopping, now: float) -> object:
    return instance, (), ""


def _stays_as_it_was(instance: Instance, bury: Bury, why: str) -> object:
    return instance, (bury,), why


@pytest.mark.parametrize(
    ("module", "name", "rule", "violation"),
    [
        (restart, "window", _never_counts, "too many tries in a window"),
        (worker, "climb", _stays_on_its_rung, "nobody waits for it"),
        (sequel, "rest", _stays_as_it_was, "ordered about a run that is over"),
    ],
)
def test_a_broken_rule_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    rule: Callable[..., object],
    violation: str,
) -> None:
    """The same for rules of one instance: its arithmetic, its ladder, what follows."""
    monkeypatch.setattr(module, name, rule)
    report = play(3, 20, 60_000)
    assert report.violation is not None, report
    assert violation in report.violation


def test_a_failing_trace_replays(tmp_path: Path) -> None:
    """What was written down leads to the same violation at the same event."""
    failed = play(3, 20, 60_000, ActsBeforeItRemembers)
    write(failed, tmp_path / "trace.json")
    sound = replay(tmp_path / "trace.json")
    assert (sound.seed, sound.size, sound.violation) == (3, 20, None)
    again = play(failed.seed, failed.size, failed.events + 1, ActsBeforeItRemembers)
    assert (again.events, again.violation) == (failed.events, failed.violation)
