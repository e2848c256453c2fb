"""What the shell finds out about a run: that it is ready, how healthy it is, that it must go.

News of another run than the live one is dropped, in one place.
"""

from typing import assert_never

from supervisord_lite.core import reason
from supervisord_lite.core.command import Signal
from supervisord_lite.core.event import (
    BecameReady,
    Finding,
    HealthFound,
    RunCondemned,
    TimeExtended,
)
from supervisord_lite.core.ladder import go_down
from supervisord_lite.core.moment import Moment
from supervisord_lite.core.probe import OnUnhealthy
from supervisord_lite.core.sequel import afresh
from supervisord_lite.core.spec import Kind, Target
from supervisord_lite.core.start import Step, up
from supervisord_lite.core.state import (
    Fault,
    Health,
    Instance,
    Readying,
    Running,
    Stopping,
    live_run,
)
from supervisord_lite.core.values import replace


def found(instance: Instance, event: Finding, at: Moment) -> Step:
    if event.run != live_run(instance.state):
        return instance, (), ""
    match event:
        case BecameReady():
            return became_ready(instance, at, reason.READY)
        case TimeExtended():
            return _extended(instance, event.until)
        case HealthFound():
            return _health(instance, event, at)
        case RunCondemned():
            return _condemned(instance, event, at)
        case _:
            assert_never(event)


def became_ready(instance: Instance, at: Moment, why: str) -> Step:
    state = instance.state
    if not isinstance(state, Readying):
        return instance, (), ""
    return up(instance, state.run, state.pid, state.since, at, why)


def _extended(instance: Instance, until: float) -> Step:
    state = instance.state
    if not isinstance(state, Readying | Stopping):
        return instance, (), ""
    if state.deadline is None or until <= state.deadline:
        return instance, (), ""
    return replace(instance, state=replace(state, deadline=until)), (), ""


def _health(instance: Instance, event: HealthFound, at: Moment) -> Step:
    state, check = instance.state, instance.spec.health
    health = Health.HEALTHY if event.healthy else Health.UNHEALTHY
    if not isinstance(state, Running) or check is None or state.health is health:
        return instance, (), ""
    known = replace(instance, state=replace(state, health=health))
    if event.healthy:
        return replace(known, problem=None), (), reason.HEALTHY
    why = reason.unhealthy(event.detail)
    known = replace(known, problem=why)
    if check.on_unhealthy is OnUnhealthy.RESTART:
        return go_down(known, state, at, why, Fault(why, start=False))
    if check.on_unhealthy is OnUnhealthy.SIGNAL and check.signal is not None:
        return known, (Signal(event.instance, event.run, check.signal, Target.MAIN),), why
    return known, (), why


def _condemned(instance: Instance, event: RunCondemned, at: Moment) -> Step:
    """Only a service is run again as if nothing had been: of all else the run was the purpose."""
    state = instance.state
    if not isinstance(state, Readying | Running):
        return instance, (), ""
    if event.failure or instance.spec.kind is not Kind.SERVICE:
        known = replace(instance, problem=event.why)
        fault = Fault(event.why, start=isinstance(state, Readying))
        return go_down(known, state, at, event.why, fault)
    return go_down(replace(afresh(instance), held=False), state, at, event.why)
