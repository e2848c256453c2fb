"""The simulator as a test: a bounded campaign, its determinism, shrinking and replaying."""

import os
import secrets
import time
from pathlib import Path

import pytest

from supervisord_lite.core.command import Command, Remember
from supervisord_lite.core.event import Event, RolloutRequested, StopRequested
from supervisord_lite.core.fleet import Fleet

from .campaign import Shrinker, minimal, play, replay, run, write
from .world import Setting, World

MILLION = 1_000_000
SMALL = 6  # instances: fewer events for a violation, and a world that is shrunk in a moment


@pytest.mark.parametrize(("seed", "size"), [(1, 20), (2, 3), (9, 1), (4, 200)])
def test_the_invariants_hold(seed: int, size: int) -> None:
    """Known worlds, small and large, go through without a violation."""
    report = play(seed, size, 10_000)
    assert report.violation is None, report


@pytest.mark.soak
@pytest.mark.parametrize("number", range(5))
def test_the_invariants_hold_on_fresh_seeds(number: int, tmp_path: Path) -> None:
    """A million events in all, or a twentieth; what fails is shrunk, and the message says how to
    replay it.
    """
    seed = secrets.randbelow(10**9)
    report = play(seed, 20, MILLION // (5 if os.environ.get("SOAK") else 100))
    print(report)
    if report.violation is not None:
        report = Shrinker(report, 30.0).shrink()
        write(report, tmp_path / "trace.json")
    assert report.violation is None, f"{report}\nsee {tmp_path}/trace.json: {report.steps[-3:]}"


def test_a_large_fleet_costs_no_more() -> None:
    """An event in a fleet of five thousand costs what it costs in one of fifty, give or take the
    noise of a busy machine: the costs of its boot are not counted.
    """

    def cost(size: int) -> float:
        world = World(Setting("3.0", size))
        assert run(world, 3 * size) is None
        began, before = time.process_time(), world.events
        assert run(world, before + 10_000) is None
        return (time.process_time() - began) / (world.events - before)

    assert cost(5000) < 5 * cost(50)


def test_the_same_setting_gives_the_same_commands() -> None:
    """A world is a function of its setting, so a replay is the thing itself."""

    def steps() -> list[object]:
        world = World(Setting("7", 10))
        assert run(world, 3000) is None
        return list(world.recent)

    assert steps() == steps()


def test_what_is_left_out_leaves_the_rest_as_it_was() -> None:
    """Without one worker, the file says the same of all others."""
    whole, part = World(Setting("5", 20)), World(Setting("5", 20, left_out=("w0",)))
    expected = [one for one in whole.file.configuration().instances if one.worker != "w0"]
    rest = part.file.configuration().instances
    assert [(one.name, one.program, one.kind) for one in rest] == [
        (one.name, one.program, one.kind) for one in expected
    ]


# --------------------------------------------------------------------------- what fails


class ActsBeforeItRemembers(Fleet):
    """Orders first and remembers later."""

    def step(self, event: Event, now: float) -> list[Command]:
        commands = super().step(event, now)
        return sorted(commands, key=lambda command: isinstance(command, Remember))


def test_a_failing_trace_replays(tmp_path: Path) -> None:
    """What was written down leads to the same violation at the same event; mended, to none."""
    failed = play(3, SMALL, 60_000, ActsBeforeItRemembers)
    assert failed.violation is not None
    write(failed, tmp_path / "trace.json")
    again = replay(tmp_path / "trace.json", ActsBeforeItRemembers)
    assert again.violation == failed.violation
    assert replay(tmp_path / "trace.json").violation is None


class ForgetsStops(Fleet):
    """Ignores whoever stops something, once it has been asked for a roll-out."""

    rolled_out = False

    def step(self, event: Event, now: float) -> list[Command]:
        self.rolled_out = self.rolled_out or isinstance(event, RolloutRequested)
        ignored = self.rolled_out and isinstance(event, StopRequested)
        return [] if ignored else super().step(event, now)


def test_a_failing_trace_is_shrunk() -> None:
    """Stimuli and workers that the violation does not need are taken away."""
    failed = play(3, 20, 60_000, ForgetsStops)
    assert failed.setting is not None
    assert len(failed.setting.stimuli or ()) > 20
    shrunk = Shrinker(failed, 120.0, ForgetsStops).shrink()
    assert shrunk.violation is not None
    assert "a stopped instance came back" in shrunk.violation
    assert shrunk.setting is not None
    assert len(shrunk.setting.stimuli or ()) <= 4
    assert shrunk.setting.left_out


@pytest.mark.parametrize("needed", [(3,), (0, 99), (17, 18, 60)])
def test_a_minimal_part_has_nothing_to_spare(needed: tuple[int, ...]) -> None:
    """Delta debugging ends with exactly what the failure needs."""
    found = minimal(range(100), lambda items: set(needed) <= set(items))
    assert sorted(found) == sorted(needed)
