"""The one short phrase that stands beside a state: why an instance is in it, where that needs
saying. What there is to say at length is `explain`'s.
"""

from typing import assert_never

from supervisord_lite.core import reason
from supervisord_lite.core.restart import succeeded
from supervisord_lite.core.spec import HookPoint
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exited,
    Fatal,
    Health,
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
)


def why(instance: Instance) -> str:
    """Such as "exit code 1", "waits for db to be ready", or nothing where the state says all."""
    state = instance.state
    match state:
        case Waiting(text) | Backoff(_, text) | Fatal(text) | Blocked(text):
            return text
        case Exited():
            return reason.exited(state.exit)
        case Stopping():
            return _stopping(instance, state)
        case Parting():
            return hook_under_way(HookPoint.PRE_STOP) if state.hook else reason.WAITS_FOR_DEPENDENTS
        case Preparing():
            return hook_under_way(HookPoint.PRE_START)
        case Readying():
            return "not ready yet"
        case Running():
            unhealthy = state.health is Health.UNHEALTHY
            return instance.problem or reason.unhealthy("") if unhealthy else ""
        case Scheduled():
            return _scheduled(instance)
        case Starting() | Stopped():
            return ""
        case _:
            assert_never(state)


def _scheduled(instance: Instance) -> str:
    last = instance.last_exit
    if last is None or succeeded(instance.spec.restart, last):
        return reason.SCHEDULED
    return f"{reason.SCHEDULED}, its last run: {reason.exited(last)}"


def hook_under_way(point: HookPoint) -> str:
    return f"its {point} hook is under way"


def _stopping(instance: Instance, state: Stopping) -> str:
    if state.stuck:
        return instance.problem or reason.cannot_end(state)
    if state.exit is not None:
        return f"{reason.exited(state.exit)}; what it left is being ended"
    return state.fault.why if state.fault else ""
