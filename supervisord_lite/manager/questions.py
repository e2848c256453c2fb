"""What those who wait ask of the fleet, again and again, until it has an answer.

A question is a function of the time that looks at one instance, or at one roll-out. It answers
with a verdict, or says what is still missing, which is what a client is told when its time is up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from supervisord_lite.core import hooks
from supervisord_lite.core.brief import why
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.reason import HELD, exited
from supervisord_lite.core.restart import succeeded
from supervisord_lite.core.rollout import Progress, Rollout
from supervisord_lite.core.schedule import Overlap
from supervisord_lite.core.spec import Kind
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exit,
    Exited,
    Fatal,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Scheduled,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    word,
)

OVERRIDDEN = "stopped by a later command"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request; `message` says why where it is not `ok`."""

    ok: bool
    message: str
    timed_out: bool = False
    exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class NotYet:
    """`what` is so now, in words. Ask again when the state changes, or at `at` (CLOCK_MONOTONIC)
    if that is given.
    """

    what: str
    at: float | None = None


GONE = Verdict(ok=False, message="removed from the configuration")

Answer = Verdict | NotYet
Question = Callable[[float], Answer]


class Questions:
    """Questions about the instances and roll-outs of one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def up(self, name: str, after_run: int) -> Question:
        """Whether a run later than `after_run` is up for good, or has ended, or will not come. A
        job is up when its schedule is on.
        """
        return self._about(name, lambda instance, now: is_up(instance, after_run, now))

    def down(self, name: str) -> Question:
        """Whether nothing of the instance lives any more."""
        gone = Verdict(ok=True, message="removed from the configuration")
        return self._about(name, lambda instance, _: is_down(instance), gone)

    def ran(self, name: str, run: int) -> Question:
        """How that run has ended, which may not have begun yet."""
        return self._about(name, lambda instance, _: has_run(instance, run))

    def rolled_out(self, worker: str) -> Question:
        """Whether the worker's roll-out is done, or has come to another end."""

        def ask(_: float) -> Answer:
            rollout = self._fleet.rollouts.get(worker)
            if rollout is None:
                return Verdict(ok=False, message="there is no roll-out any more")
            return is_over(rollout)

        return ask

    def replaced(self, name: str, after_run: int) -> Question:
        """The same as `up` for an instance whose turn a roll-out decides: it may never come."""
        up, worker = self.up(name, after_run), self._fleet.instances[name].spec.worker

        def ask(now: float) -> Answer:
            rollout = self._fleet.rollouts.get(worker)
            if rollout is None or rollout.progress is Progress.DONE:
                return up(now)
            return is_over(rollout)

        return ask

    def _about(
        self, name: str, ask: Callable[[Instance, float], Answer], gone: Verdict = GONE
    ) -> Question:
        def look(now: float) -> Answer:
            instance = self._fleet.instances.get(name)
            return gone if instance is None else ask(instance, now)

        return look


def is_up(instance: Instance, after_run: int, now: float) -> Answer:
    state = instance.state
    if not instance.wanted and not isinstance(state, Exited):
        return Verdict(ok=False, message=OVERRIDDEN)
    match state:
        case Blocked(text):
            return Verdict(ok=False, message=text)
        case Waiting(text) if text == HELD:
            return Verdict(ok=False, message=text)
        case Exited() if state.run > after_run:
            return _verdict(instance, state.exit)
        case Backoff(_, text) | Fatal(text) if instance.last_run > after_run:
            return Verdict(ok=False, message=text)
        case Parting() | Stopping():
            return _still(instance)
        case _ if instance.spec.kind is Kind.JOB and instance.timetable is not None:
            return Verdict(ok=True, message="scheduled")
        case Running() if state.run > after_run:
            return _is_stable(instance, state, now)
        case _:
            return _still(instance)


def _is_stable(instance: Instance, state: Running, now: float) -> Answer:
    """Whoever says when it is ready is taken at its word; others have to live for a while."""
    stable = state.since + instance.spec.restart.stable_after
    if instance.spec.ready is not None or now >= stable:
        return Verdict(ok=True, message="started")
    return NotYet("RUNNING, but not for long enough", stable)


def is_down(instance: Instance) -> Answer:
    state = instance.state
    if instance.wanted:
        return Verdict(ok=False, message="started by a later command")
    if isinstance(state, Stopping) and state.stuck:
        return Verdict(ok=False, message=why(instance))
    if not isinstance(state, Stopped | Exited | Fatal | Blocked):
        return _still(instance)
    if hooks.waited_for(instance):
        points = ", ".join(hook.point for hook in instance.hooks)
        return NotYet(f"still {word(state)} (its {points} hook is under way)")
    return Verdict(ok=True, message="stopped")


def has_run(instance: Instance, run: int) -> Answer:
    record = next((one for one in instance.history if one.run == run), None)
    if record is not None and record.seconds is not None:
        return _verdict(instance, record.exit)
    match instance.state:
        case Exited() as state if state.run >= run:
            return _verdict(instance, state.exit)
        case Backoff(_, text) | Fatal(text) if instance.last_run >= run:
            return Verdict(ok=False, message=text, exit=instance.last_exit)
        case Blocked(text):
            return Verdict(ok=False, message=text)
        case Stopped() | Scheduled():
            return Verdict(ok=False, message=OVERRIDDEN)
        case _:
            return _still(instance)


def is_over(rollout: Rollout) -> Answer:
    if rollout.active:
        return NotYet(f"the roll-out is {rollout.progress}")
    if rollout.progress is Progress.DONE:
        return Verdict(ok=True, message=rollout.progress)
    problem = f": {rollout.problem}" if rollout.problem else ""
    return Verdict(ok=False, message=f"the roll-out {rollout.progress}{problem}")


def run_before_start(instance: Instance) -> int:
    """The last run that is of no use to someone who wants the instance up."""
    state = instance.state
    useful = isinstance(state, Running) or (
        instance.wanted and isinstance(state, Preparing | Starting | Readying)
    )
    return instance.last_run - 1 if useful else instance.last_run


def run_before_restart(instance: Instance) -> int:
    """The last run that is no answer to a restart: a run still on its way to exec is one."""
    on_its_way = isinstance(instance.state, Preparing | Starting)
    return instance.last_run - 1 if on_its_way else instance.last_run


def run_to_come(before: Instance, after: Instance) -> int | None:
    """The run that a request for one has led to, from what the instance was before it to what it
    is now; None: there will be none, since one is under way that it may not overlap.
    """
    state = after.state
    table, schedule = after.timetable, after.spec.schedule
    if after.last_run > before.last_run:
        return after.last_run
    hardly_begun = isinstance(state, Preparing | Starting)
    if after.spec.kind is not Kind.JOB:
        joins = hardly_begun or isinstance(state, Readying | Running)
        return after.last_run if joins else after.last_run + 1
    if table is not None and schedule is not None and schedule.overlap is not Overlap.SKIP:
        if schedule.overlap is Overlap.REPLACE and hardly_begun:
            return after.last_run
        was = before.timetable.queued if before.timetable else 0
        if table.queued > was or schedule.overlap is Overlap.REPLACE:
            return after.last_run + table.queued
    return after.last_run + 1 if isinstance(state, Waiting | Blocked) else None


def _verdict(instance: Instance, status: Exit | None) -> Verdict:
    """How a run has ended; None: it never came to be."""
    if status is None:
        return Verdict(ok=False, message=instance.problem or "it could not be started")
    good = succeeded(instance.spec.restart, status)
    return Verdict(ok=good, message=exited(status), exit=status)


def _still(instance: Instance) -> NotYet:
    text = why(instance)
    return NotYet(f"still {word(instance.state)}{f' ({text})' if text else ''}")
