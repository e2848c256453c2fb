"""Probing an instance again and again: until it is ready, or for as long as it is RUNNING.

One task a probed instance, so that tries never overlap, and none where nothing is probed. What the
tries amount to is reckoned in `health_rules`; what follows from a verdict is the core's matter.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from supervisord_lite.core.event import BecameReady, Finding, HealthFound
from supervisord_lite.core.probe import ActiveProbe, HealthCheck
from supervisord_lite.core.state import Health, Instance, Readying, Running
from supervisord_lite.manager.probes.health_rules import (
    Round,
    Tally,
    count,
    first_try,
    next_try,
    opening_try,
)
from supervisord_lite.manager.probes.helper_runs import HelperRuns
from supervisord_lite.manager.probes.probe_tries import Answer, Tries
from supervisord_lite.manager.probes.run_clock import beginning
from supervisord_lite.manager.probes.stillness import is_stopped, slept

Take = Callable[[Finding], None]

_LEAST_TRY = 1.0  # seconds that a try for readiness has, at least


@dataclass(slots=True, eq=False)
class Subject:
    """A run that is probed: the instance as it was remembered last, and what the last try said."""

    instance: Instance
    said: str | None = None

    @property
    def state(self) -> Readying | Running:
        state = self.instance.state
        assert isinstance(state, Readying | Running), "nothing else is probed"
        return state


async def until_ready(
    subject: Subject, probe: ActiveProbe, helpers: HelperRuns, take: Take
) -> None:
    """Try until the first success, and tell of it."""
    spec, run = subject.instance.spec, subject.state.run
    assert spec.ready is not None, "it has a probe"
    tries = Tries(helpers, beginning(subject.state))
    interval = spec.ready.interval
    first = time.monotonic()
    while True:
        if not is_stopped(subject.state.pid):
            answer = await tries.carry_out(probe, spec, max(interval, _LEAST_TRY))
            subject.said = answer.detail
            if answer.good:
                take(BecameReady(spec.name, run))
                return
        await _sleep_until(next_try(first, interval, time.monotonic()))


async def look_after(subject: Subject, check: HealthCheck, helpers: HelperRuns, take: Take) -> None:
    """Try at every interval, and tell of each change of the verdict."""
    spec, state = subject.instance.spec, subject.state
    assert isinstance(state, Running), "health is asked for then"
    tries = Tries(helpers, beginning(state))
    tally = Tally(state.health)
    first = first_try(spec.name, check, state.since)
    planned = opening_try(first, check.interval, time.monotonic(), state.health)
    while True:
        before = slept()
        await _sleep_until(planned)
        began = time.monotonic()
        if not is_stopped(subject.state.pid):
            answer = await tries.carry_out(check.probe, spec, check.timeout)
            subject.said = answer.detail
            tried = Round(
                planned, began, before, slept(), is_stopped(subject.state.pid), answer.late
            )
            early = began < state.since + check.start_period
            after = count(tally, check, good=answer.good, excused=early or tried.disturbed)
            tally = _told(subject, tally, after, answer, take)
        planned = next_try(first, check.interval, time.monotonic())


def _told(subject: Subject, before: Tally, after: Tally, answer: Answer, take: Take) -> Tally:
    if after.verdict is not before.verdict:
        healthy = after.verdict is Health.HEALTHY
        name, run = subject.instance.spec.name, subject.state.run
        take(HealthFound(name, run, healthy, answer.detail))
    return after


async def _sleep_until(when: float) -> None:
    await asyncio.sleep(max(0.0, when - time.monotonic()))
