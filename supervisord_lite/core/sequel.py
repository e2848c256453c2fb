"""What follows a run: another one, a delay, rest, or resignation.

If the end was asked for, the wish decides (`down`); if the run ended by itself, its restart policy
does (`ended`, `obey`). The run is buried by the very step that decides, so that it is accounted
for exactly once. Nothing here signals anybody; that is the ladder's.
"""

from typing import assert_never

from supervisord_lite.core import history, hooks, jobs, reason
from supervisord_lite.core.command import Bury, Command, Forget
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.restart import (
    Again,
    Done,
    GiveUp,
    Verdict,
    after_exit,
    failed_start,
    succeeded,
)
from supervisord_lite.core.spec import HookPoint, Kind
from supervisord_lite.core.start import Step, begin
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Fault,
    Instance,
    Stopped,
    has_left,
)
from supervisord_lite.core.values import replace


def ended(
    instance: Instance,
    run: int,
    status: Exit,
    length: float,
    at: Moment,
    fault: Fault | None = None,
) -> Step:
    """A run is over that nobody had asked to end."""
    bury = Bury(instance.spec.name, run)
    why = fault.why if fault else reason.exited(status)
    known = replace(history.over(instance, run, length, status), died=run)
    if not instance.wanted:
        return rest(known, bury, why, at)
    if fault is not None and fault.start:
        verdict: Verdict = failed_start(known, why, at.now)
    else:
        verdict = after_exit(known, status, length, at.now, fault)
    good = isinstance(verdict, Again | Done) and _is_good(known, verdict, status, fault)
    if good:
        return obey(*_post_stop(known, run, at, why, status, bury), verdict, why, at)
    hooked, orders = hooks.launch(known, HookPoint.ON_FAILURE, run, at.now, why, status)
    return obey(*_post_stop(hooked, run, at, why, status, bury, *orders), verdict, why, at)


def _is_good(instance: Instance, verdict: Again | Done, status: Exit, fault: Fault | None) -> bool:
    failed = isinstance(verdict, Again) and verdict.attempts > 0
    return not failed and fault is None and succeeded(instance.spec.restart, status)


def not_begun(instance: Instance, why: str, at: Moment, *orders: Command) -> Step:
    """A run never came to be: its spawn or what prepares it has failed. `orders` bury it."""
    run = instance.last_run
    known = history.over(instance, run, 0.0, None)
    if not instance.wanted:
        return _rest(known, orders, why)
    verdict = failed_start(known, why, at.now)
    hooked, more = hooks.launch(known, HookPoint.ON_FAILURE, run, at.now, why)
    return obey(hooked, (*orders, *more), verdict, why, at)


def obey(
    instance: Instance, orders: tuple[Command, ...], verdict: Verdict, why: str, at: Moment
) -> Step:
    """Do what the restart policy says. `orders` bury the run that is over."""
    match verdict:
        case Again(until, attempts, failures):
            problem = why if attempts else None
            was = (instance.attempts, instance.failures, instance.problem)
            known = instance
            if was != (attempts, failures, problem):
                known = replace(instance, attempts=attempts, failures=failures, problem=problem)
            if until <= at.now:
                return begin(known, at, why, *orders)
            return replace(known, state=Backoff(until, why)), orders, why
        case GiveUp(text, failures):
            known = replace(instance, attempts=0, failures=failures, problem=text)
            if instance.spec.kind is Kind.JOB:
                return jobs.follow_on(replace(known, failures=()), orders, text, at)
            return _resign(known, orders, text, at)
        case Done():
            known = replace(instance, attempts=0)
            if instance.spec.kind is Kind.JOB:
                return jobs.follow_on(replace(known, failures=()), orders, why, at)
            state = Exited(instance.last_run, instance.last_exit or Exit(), at.now)
            return replace(known, state=state, wanted=False), orders, why
        case _:
            assert_never(verdict)


def _resign(instance: Instance, orders: tuple[Command, ...], text: str, at: Moment) -> Step:
    fatal = replace(instance, state=Fatal(text, at.now))
    hooked, more = hooks.launch(
        fatal, HookPoint.ON_FATAL, instance.last_run, at.now, text, instance.last_exit
    )
    return hooked, (*orders, *more), text


def down(instance: Instance, run: int, length: float, at: Moment) -> Step:
    """A run is over whose end was asked for; the wish decides what comes now."""
    bury = Bury(instance.spec.name, run)
    known = history.over(instance, run, length, instance.last_exit)
    if not instance.wanted:
        return rest(known, bury, reason.STOPPED, at)
    status = instance.last_exit
    hooked, orders = _post_stop(afresh(known), run, at, reason.STOPPED, status, bury)
    if instance.spec.kind is Kind.JOB:
        return jobs.follow_on(hooked, orders, reason.STOPPED, at)
    return begin(hooked, at, reason.RESTARTS, *orders)


def rest(instance: Instance, bury: Bury, why: str, at: Moment) -> Step:
    """The run is over and nothing is wanted."""
    return _rest(*_post_stop(instance, bury.run, at, why, instance.last_exit, bury), why)


def _rest(instance: Instance, orders: tuple[Command, ...], why: str) -> Step:
    resting = replace(instance, state=Stopped(), timetable=None)
    return resting, (*orders, *leave(resting)), why


def leave(instance: Instance) -> tuple[Command, ...]:
    """A retired instance of which nothing is left any more leaves for good."""
    return (Forget(instance.spec.name),) if has_left(instance) else ()


def _post_stop(
    instance: Instance, run: int, at: Moment, why: str, status: Exit | None, *orders: Command
) -> tuple[Instance, tuple[Command, ...]]:
    known, ends = hooks.kill(instance, at.now, HookPoint.POST_START)  # of no use any more
    hooked, more = hooks.launch(known, HookPoint.POST_STOP, run, at.now, why, status)
    return hooked, (*orders, *ends, *more)


def afresh(instance: Instance) -> Instance:
    """Without the memory of failed starts."""
    if not (instance.attempts or instance.failures or instance.problem):
        return instance
    return replace(instance, attempts=0, failures=(), problem=None)
