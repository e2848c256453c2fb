"""What follows a run: another one, a delay, rest, or resignation.

If the end was asked for, the wish decides (`down`); if the run ended by itself, its restart policy
does (`ended`, `obey`). The run is buried by the very step that decides, so that it is accounted
for exactly once. Nothing here signals anybody; that is the ladder's.
"""

from dataclasses import replace
from typing import assert_never

from supervisord_lite.core import reason
from supervisord_lite.core.command import Bury, Command, Forget, Spawn
from supervisord_lite.core.restart import Again, Done, GiveUp, Verdict, after_exit
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Instance,
    Starting,
    Stopped,
    Waiting,
)

Step = tuple[Instance, tuple[Command, ...], str]
"""The instance that results, the orders that follow, and why, in words."""


def ended(instance: Instance, run: int, status: Exit, length: float, now: float) -> Step:
    """A run is over that nobody had asked to end."""
    bury, why = Bury(instance.spec.name, run), reason.exited(status)
    if not instance.wanted:
        return rest(instance, bury, why)
    return obey(instance, after_exit(instance, status, length, now), why, bury, now)


def obey(instance: Instance, verdict: Verdict, why: str, bury: Bury, now: float) -> Step:
    match verdict:
        case Again(until, attempts, failures):
            problem = why if attempts else None
            known = replace(instance, attempts=attempts, failures=failures, problem=problem)
            if until <= now:
                return begin(known, now, why, bury)
            return replace(known, state=Backoff(until, why)), (bury,), why
        case GiveUp(text, failures):
            known = replace(instance, attempts=0, failures=failures, problem=text)
            return replace(known, state=Fatal(text, now)), (bury,), text
        case Done():
            status = instance.last_exit or Exit()
            state = Exited(bury.run, status, now)
            return replace(instance, state=state, wanted=False, attempts=0), (bury,), why
        case _:
            assert_never(verdict)


def down(instance: Instance, bury: Bury, now: float) -> Step:
    """A run is over whose end was asked for; the wish decides what comes now."""
    if instance.wanted:
        return begin(afresh(instance), now, reason.STOPPED, bury)
    return rest(instance, bury, reason.STOPPED)


def rest(instance: Instance, bury: Bury, why: str) -> Step:
    """Nothing lives and nothing is wanted; a retired instance leaves for good."""
    orders = (bury, Forget(bury.instance)) if instance.retiring else (bury,)
    return replace(instance, state=Stopped()), orders, why


def begin(instance: Instance, now: float, why: str, *before: Command) -> Step:
    """The next run, unless something holds it. `before` are the orders that must precede it."""
    if instance.held:
        return replace(instance, state=Waiting(reason.HELD), wanted=True), before, why
    run = instance.last_run + 1
    begun = replace(instance, state=Starting(run, now), wanted=True, last_run=run)
    return begun, (*before, Spawn(instance.spec.name, run)), why


def afresh(instance: Instance) -> Instance:
    """Without the memory of failed starts."""
    return replace(instance, attempts=0, failures=(), problem=None)
