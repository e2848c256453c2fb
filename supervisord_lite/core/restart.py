"""Whether another run follows one that ended, and how soon: the arithmetic of the restart policy.

Pure functions that are handed the time. `worker` asks and acts; nothing here knows of states.

A *failed start* is a run shorter than `stable_after` (whatever its exit code), a task's or job's
run that did not succeed, or a spawn that failed. Failed starts in a row are the exponent of the
delay; failed starts within the sliding window of the limit decide when to give up.
"""

from dataclasses import dataclass
from zlib import crc32

from supervisord_lite.core import reason
from supervisord_lite.core.spec import Kind, RestartLimit, RestartPolicy, When
from supervisord_lite.core.state import Exit, Fault, Instance


@dataclass(frozen=True, slots=True)
class Again:
    """Another run, at `until`; now or earlier means at once."""

    until: float
    attempts: int
    failures: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No more runs until an operator asks for one."""

    reason: str
    failures: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The policy wants no other run."""


Verdict = Again | GiveUp | Done


def after_exit(
    instance: Instance, status: Exit, length: float, now: float, fault: Fault | None = None
) -> Verdict:
    """A run of `length` seconds has ended by itself, or because a fault was found in it."""
    policy = instance.spec.restart
    success = fault is None and succeeded(policy, status)
    why = fault.why if fault else reason.exited(status)
    if policy.when is When.NEVER:
        return Done()
    if instance.spec.kind is not Kind.SERVICE:
        return Done() if success else failed_start(instance, why, now)
    if length < policy.stable_after:
        return failed_start(instance, why, now)
    if success and policy.when is When.ON_FAILURE:
        return Done()
    return Again(now, 0, instance.failures)


def failed_start(instance: Instance, why: str, now: float) -> Again | GiveUp:
    """A start has failed; `why` is the reason in words. A spawn that failed is tried again like a
    run that was too short, for its cause may pass, except where nothing is to be tried again.
    """
    policy, limit = instance.spec.restart, instance.spec.restart.limit
    if policy.when is When.NEVER:
        return GiveUp(why, ())
    failures = window(instance.failures, limit, now)
    if limit is not None and len(failures) >= limit.count:
        return GiveUp(reason.given_up(len(failures), limit, why), failures)
    until = now + delay(policy, instance.spec.name, instance.last_run, instance.attempts)
    return Again(until, instance.attempts + 1, failures)


def window(
    failures: tuple[float, ...], limit: RestartLimit | None, now: float
) -> tuple[float, ...]:
    """The failed starts that count, with one more now. Without a limit nobody counts them."""
    if limit is None:
        return ()
    return (*(time for time in failures if now - time <= limit.within), now)


def delay(policy: RestartPolicy, name: str, run: int, attempts: int) -> float:
    """Seconds until the next try, after `attempts` earlier ones in a row.

    The jitter is a hash of name and run, so the same history gives the same delay. It only
    lengthens: the configured delay is a promise, and `max_delay` holds in any case.
    """
    if not policy.delay:
        return 0.0
    try:
        grown = policy.delay * policy.factor**attempts
    except OverflowError:
        grown = policy.max_delay
    spread = policy.jitter * crc32(f"{name} {run}".encode()) / 2**32
    return min(grown * (1.0 + spread), policy.max_delay)


def succeeded(policy: RestartPolicy, status: Exit) -> bool:
    """Whether the exit counts as success; one by a signal or of unknown status never does."""
    return status.code in policy.success_codes
