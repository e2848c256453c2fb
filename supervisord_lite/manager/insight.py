"""Everything that operators may look at in a fleet: views, explanations, histories, roll-outs.

Nothing here changes anything. What is said at length is said by `core.explain`; here are the times
of day, and the JSON.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from supervisord_lite.core.explain import explain
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.situation import Situation
from supervisord_lite.core.spec import Strategy
from supervisord_lite.core.state import Instance, Running, live_run
from supervisord_lite.logs.event import StreamStatus
from supervisord_lite.manager.naming import workers_of
from supervisord_lite.manager.outcome import Outcome
from supervisord_lite.manager.questions import Verdict
from supervisord_lite.manager.views import Extras, Views, clocks_apart, job_run_view

_EXPLAINED_AT_ONCE = 100


class Insight:
    """What can be seen of one fleet, as JSON text or plain data."""

    def __init__(
        self, fleet: Fleet, log_status: Callable[[str], StreamStatus | None], extras: Extras
    ) -> None:
        self._fleet = fleet
        self._extras = extras
        self._views = Views(fleet, log_status, extras)

    def instances(self, names: Sequence[str]) -> bytes:
        """A JSON array with one object an instance (docs/api.md)."""
        return self._views.array(names)

    async def explanations(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Why each is in its state and what would change it, in words."""
        found: list[dict[str, Any]] = []
        for first in range(0, len(names), _EXPLAINED_AT_ONCE):
            situation = self._situation()
            some = [
                n for n in names[first : first + _EXPLAINED_AT_ONCE] if n in situation.instances
            ]
            found += [asdict(explain(name, situation)) for name in some]
            await asyncio.sleep(0)  # thousands of them delay nobody else
        return found

    def _situation(self) -> Situation:
        fleet, now, apart = self._fleet, time.monotonic(), clocks_apart()
        return Situation(
            fleet.instances,
            fleet.bonds,
            fleet.rollouts,
            fleet.configuration,
            fleet.shutdown,
            now,
            lambda at: time_of_day(at + apart, now + apart),
            lambda wall: time_of_day(wall, now + apart),
            self._extras.last_answer,
        )

    def history(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The runs of jobs, the newest of each first."""
        instances = self._fleet.instances
        return [
            job_run_view(name, run) for name in names for run in reversed(instances[name].history)
        ]

    # ---------------------------------------------------------------- roll-outs

    def rollouts(self, names: Sequence[str], *, all_of_them: bool) -> list[dict[str, Any]]:
        """The last roll-outs of the workers of these instances: those under way, or all."""
        rollouts, apart = self._fleet.rollouts, clocks_apart()
        if not rollouts:
            return []
        found = [
            rollouts[worker]
            for worker in workers_of(names, self._fleet.instances)
            if worker in rollouts
        ]
        return [
            rollout_view(one, self._fleet.instances, apart)
            for one in found
            if all_of_them or one.active
        ]

    def progress(self, workers: Iterable[str], verdicts: Mapping[str, Verdict]) -> list[Outcome]:
        """How far the roll-outs of these workers are; without a verdict they have just begun."""
        begun = Verdict(ok=True, message="requested")
        return [self._outcome(worker, verdicts.get(worker, begun)) for worker in workers]

    def _outcome(self, worker: str, verdict: Verdict) -> Outcome:
        rollout = self._fleet.rollouts.get(worker)
        progress = rollout.progress.value if rollout else "none"
        return Outcome(worker, verdict.ok, progress, None, verdict.message, verdict.timed_out)

    def to_be_rolled_out(self, names: Sequence[str]) -> frozenset[str]:
        """Which of these a restart replaces by turns: those that are up, of workers that are not
        to be restarted all at once and are named as a whole.
        """
        instances = self._fleet.instances
        by_turns = [n for n in names if instances[n].spec.update.strategy is not Strategy.RECREATE]
        if not by_turns:
            return frozenset()
        named = Counter(instances[name].spec.worker for name in by_turns)
        there = Counter(one.spec.worker for one in instances.values() if not one.retiring)
        return frozenset(
            name
            for name in by_turns
            if named[instances[name].spec.worker] >= there[instances[name].spec.worker]
            and instances[name].wanted
            and live_run(instances[name].state) is not None
        )


def rollout_view(
    rollout: Rollout, instances: Mapping[str, Instance], apart: float
) -> dict[str, Any]:
    """One roll-out, as the API shows it; `apart` turns CLOCK_MONOTONIC into wall-clock time."""
    return {
        "worker": rollout.worker,
        "progress": rollout.progress.value,
        "replaced": sum(_is_replaced(instances.get(name), run) for name, run in rollout.runs),
        "of": len(rollout.runs),
        "why": rollout.why,
        "began": round(rollout.began + apart, 3),
        "ended": None if rollout.ended is None else round(rollout.ended + apart, 3),
        "problem": rollout.problem,
    }


def _is_replaced(instance: Instance | None, run: int) -> bool:
    """Whether a new run is RUNNING; an instance that has left needs none."""
    if instance is None:
        return True
    return instance.last_run > run and isinstance(instance.state, Running)


def time_of_day(wall: float, now: float) -> str:
    """A time in the daemon's own time zone, with the date where that is not today's."""
    then, today = time.localtime(wall), time.localtime(now)
    same = then[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M:%S", then)
