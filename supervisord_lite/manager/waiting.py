"""Waiting for instances to settle after a request, without polling.

A waiter is asked again about an instance whenever that instance changed its state, and once more
when a time has come that it named itself (a run counts as started only once it is stable).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisord_lite.core.command import Announce
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.reason import exited
from supervisord_lite.core.state import (
    Backoff,
    Exited,
    Fatal,
    Instance,
    Running,
    Stopped,
    Stopping,
    Waiting,
    word,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request for one instance; `message` says why where it is not `ok`."""

    ok: bool
    message: str
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class NotYet:
    """Ask again when the state changes, or at `at` (CLOCK_MONOTONIC) if that is given."""

    at: float | None = None


Question = Callable[[Instance, float], Verdict | NotYet]


def is_up(after_run: int) -> Question:
    """Whether a run later than `after_run` is up for good, or has ended, or will not come."""

    def ask(instance: Instance, now: float) -> Verdict | NotYet:
        state = instance.state
        if not instance.wanted and not isinstance(state, Exited):
            return Verdict(ok=False, message="stopped by a later command")
        match state:
            case Running(run, _, since) if run > after_run:
                stable = since + instance.spec.restart.stable_after
                if now >= stable:
                    return Verdict(ok=True, message="started")
                return NotYet(stable)
            case Exited(run, status) if run > after_run:
                good = status.code in instance.spec.restart.success_codes
                return Verdict(ok=good, message=exited(status))
            case Backoff(_, reason) | Fatal(reason) if instance.last_run > after_run:
                return Verdict(ok=False, message=reason)
            case Waiting(reason):
                return Verdict(ok=False, message=reason)
            case _:
                return NotYet()

    return ask


def is_down(instance: Instance, _: float) -> Verdict | NotYet:
    """Whether nothing of the instance lives any more."""
    state = instance.state
    if instance.wanted:
        return Verdict(ok=False, message="started by a later command")
    if isinstance(state, Stopping) and state.stuck:
        return Verdict(ok=False, message=instance.problem or "cannot be ended")
    down = isinstance(state, Stopped | Exited | Fatal)
    return Verdict(ok=True, message="stopped") if down else NotYet()


class Waiters:
    """All that wait in one manager; `announced` is to be told of every change of state."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._by_instance: dict[str, set[Callable[[str], None]]] = {}

    def announced(self, change: Announce) -> None:
        for look in tuple(self._by_instance.get(change.instance, ())):
            look(change.instance)

    async def settle(
        self, names: Sequence[str], questions: Sequence[Question], timeout: float
    ) -> dict[str, Verdict]:
        """Ask each instance its question until all have an answer or the time is up."""
        waiting = _Waiting(self._fleet, dict(zip(names, questions, strict=True)))
        for name in names:
            self._by_instance.setdefault(name, set()).add(waiting.look)
        try:
            for name in names:
                waiting.look(name)
            await asyncio.wait((waiting.done,), timeout=timeout)
        finally:
            waiting.cancel()
            for name in names:
                self._by_instance[name].discard(waiting.look)
                if not self._by_instance[name]:
                    del self._by_instance[name]
        return waiting.verdicts(timeout)


class _Waiting:
    """One request's instances that have not settled."""

    def __init__(self, fleet: Fleet, questions: dict[str, Question]) -> None:
        self._fleet = fleet
        self._open = questions
        self._answers: dict[str, Verdict] = {}
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self.done: asyncio.Future[None] = self._loop.create_future()
        if not questions:
            self.done.set_result(None)

    def look(self, name: str) -> None:
        question = self._open.get(name)
        if question is None:
            return
        instance = self._fleet.instances.get(name)
        if instance is None:
            answer: Verdict | NotYet = Verdict(ok=False, message="removed from the configuration")
        else:
            answer = question(instance, time.monotonic())
        if isinstance(answer, Verdict):
            self._answers[name] = answer
            del self._open[name]
            if not self._open and not self.done.done():
                self.done.set_result(None)
        elif answer.at is not None:
            self._timers.append(self._loop.call_at(answer.at, self.look, name))

    def verdicts(self, timeout: float) -> dict[str, Verdict]:
        late = {name: self._too_late(name, timeout) for name in self._open}
        return self._answers | late

    def _too_late(self, name: str, timeout: float) -> Verdict:
        instance = self._fleet.instances.get(name)
        state = word(instance.state) if instance else "gone"
        up = instance is not None and instance.wanted and isinstance(instance.state, Running)
        what = "RUNNING, but not for long enough" if up else f"still {state}"
        text = f"timed out: {what} after {timeout:g} s"
        return Verdict(ok=False, message=text, timed_out=True)

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
