"""Proofs that the simulator can fail: each rule that is broken on purpose is missed by an invariant
within a short campaign. Where several invariants would find it, the first one does.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from supervisord_lite.core import (
    bonds,
    fleet,
    generations,
    hooks,
    jobs,
    restart,
    rollout,
    sequel,
    start,
    told,
    worker,
)
from supervisord_lite.core.applying import Applying
from supervisord_lite.core.command import Bury, Command, Signal, Spawn
from supervisord_lite.core.event import (
    Event,
    MainExited,
    SignalRequested,
    Spawned,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.roster import Roster
from supervisord_lite.core.schedule import Reckoning
from supervisord_lite.core.spec import Configuration, Target
from supervisord_lite.core.state import Instance, Readying, Running

from .campaign import play
from .test_simulation import ActsBeforeItRemembers

EVENTS = 100_000


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
        if isinstance(event, Spawned) and event.instance in self.instances:
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


class ForgetsWhatWasBegun(Fleet):
    """Does not finish what its predecessor began."""

    def recover(self, now: float, wishes: Mapping[str, bool] | None = None) -> list[Command]:
        return []


class ComesBack(Fleet):
    """Forgets that an operator has stopped it."""

    def step(self, event: Event, now: float) -> list[Command]:
        return [] if isinstance(event, StopRequested) else super().step(event, now)


@pytest.mark.parametrize(
    ("broken", "violation"),
    [
        (StartsDuringShutdown, "ordered a spawn during a shutdown"),
        (StartsTwice, "spawned while an earlier run is unburied"),
        (BuriesTheLiving, "buried alive"),
        (SignalsTheDead, "ordered about a run that is over|signalled before its exec"),
        (ForgetsDeadlines, "nobody waits for it"),
        (ActsBeforeItRemembers, "without a record"),
        (ForgetsWhatWasBegun, "write end|another fleet|disagree|forgotten|removed but still there"),
        (ComesBack, "a stopped instance came back"),
    ],
)
def test_a_broken_fleet_is_found_out(broken: type[Fleet], violation: str) -> None:
    """What a whole fleet could do wrong."""
    report = play(3, 20, EVENTS, broken)
    assert report.violation is not None, report
    assert re.search(violation, report.violation)


# --------------------------------------------------------------------------- single rules


def _never_counts(_failures: Iterable[float], _limit: object, now: float) -> tuple[float, ...]:
    return (now,)


def _stays(instance: Instance, *_: object) -> object:
    return instance, (), ""


def _stays_as_it_was(instance: Instance, bury: Bury, why: str, _at: Moment) -> object:
    return instance, (bury,), why


def _no_obstacle(*_: object) -> None:
    return None


def _always(*_: object) -> bool:
    return True


def _never(*_: object) -> bool:
    return False


def _no_floor(*_: object, **__: object) -> int:
    return 0


def _is_not_remembered(self: Applying, configuration: Configuration, _: list[Command]) -> None:
    _ADOPT(self, configuration, [])


def _is_ready_at_once(instance: Instance, fact: Spawned, at: Moment) -> object:
    after, orders, why = _SPAWNED(instance, fact, at)
    state = after.state
    if isinstance(state, Readying):
        after = replace(after, state=Running(state.run, state.pid, at.now, state.since))
    return after, orders, why


def _always_succeeded(_hook: object) -> None:
    return None


def _is_due_again(*arguments: Any) -> Reckoning:
    found: Reckoning = _RECKON(*arguments)
    return found._replace(timetable=arguments[1]) if found.due else found


def _passes_over(instance: Instance, at: Moment) -> object:
    after, _, _ = _TICK(instance, at)
    return replace(instance, timetable=after.timetable), (), ""


def _queues(instance: Instance, _at: Moment) -> object:
    table = instance.timetable
    if table is None:
        return instance, (), ""
    return replace(instance, timetable=replace(table, queued=table.queued + 1)), (), ""


def _ignores(*_: object, **__: object) -> None:
    return None


_ADOPT: Any = Applying.adopt_configuration
_SPAWNED: Any = vars(told)["_spawned"]
_RECKON: Any = vars(jobs)["reckon"]
_TICK: Any = vars(jobs)["tick"]


@pytest.mark.parametrize(
    ("home", "name", "rule", "violation"),
    [
        (restart, "window", _never_counts, "too many tries in a window"),
        (worker, "climb", _stays, "it is due and nothing|nobody waits for it"),
        (sequel, "rest", _stays_as_it_was, "ordered about a run that is over"),
        (start, "_obstacle", _no_obstacle, "started before its conditions hold"),
        (hooks, "waited_for", _never, "started beside its hooks|prepared by nobody"),
        (hooks, "under_way", _ignores, "two hooks of one point|about a run that is over"),
        (hooks, "_problem", _always_succeeded, "spawned before its hook has succeeded"),
        (told, "_spawned", _is_ready_at_once, "RUNNING before it is ready"),
        (bonds.Bonds, "clear", _always, "signalled before what depends on it is down"),
        (worker, "_gate_moved", _stays, "waits for nothing|waits for nobody|waits for a channel"),
        (rollout, "floor", _no_floor, "a roll-out went below its floor"),
        (
            jobs,
            "reckon",
            _is_due_again,
            "a job was run by time|it is due and nothing|nobody waits for it",
        ),
        (jobs, "tick", _passes_over, "a time came to nothing"),
        (jobs, "_overlap", _queues, "queued what was to be skipped"),
        (fleet.Fleet, "_act_on_end", _ignores, "a critical end|a recovery would change"),
        (Applying, "_removed", lambda _: [], "another fleet"),
        (Applying, "adopt_configuration", _is_not_remembered, "a spec of nobody"),
        (Roster, "_excuse", _ignores, "a missing channel is a failed start"),
        (Roster, "_look_again", _ignores, "waits for a channel"),
        (Roster, "miss", _ignores, "started before its conditions|is a failed start"),
        (generations, "replaces", _never, "has another channel"),
    ],
)
def test_a_broken_rule_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
    home: object,
    name: str,
    rule: Callable[..., object],
    violation: str,
) -> None:
    """The rules of one instance and of several: arithmetic, gates, order, turns, times, hooks."""
    monkeypatch.setattr(home, name, rule)
    report = play(3, 20, EVENTS)
    assert report.violation is not None, report
    assert re.search(violation, report.violation)
