"""Readiness, health, and what else is found out about a run."""

import pytest

from supervisord_lite.core.command import Announce, Command, Signal
from supervisord_lite.core.event import (
    AlarmRang,
    BecameReady,
    Configured,
    HealthFound,
    MainExited,
    RunCondemned,
    Spawned,
    StopRequested,
    TimeExtended,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.probe import (
    HealthCheck,
    NotifyProbe,
    OnUnhealthy,
    Readiness,
    TcpProbe,
)
from supervisord_lite.core.spec import InstanceSpec, RestartLimit, RestartPolicy, When
from supervisord_lite.core.state import (
    Backoff,
    Exited,
    Fatal,
    Health,
    Instance,
    Readying,
    Running,
    Starting,
    Stopped,
    Stopping,
    word,
)

from .make import FAILED, WELL, configuration, spec

NAME = "web:0"
READY = Readiness(NotifyProbe(), timeout=20.0)
PROBE = TcpProbe("localhost", 80)


def boot(**fields: object) -> Fleet:
    """A fleet of one instance whose process has been spawned at 100."""
    fleet = Fleet()
    fleet.step(Configured(configuration(_spec(**fields))), 100.0)
    fleet.step(Spawned(NAME, 1, 77, since=100.0), 100.0)
    return fleet


def _spec(**fields: object) -> InstanceSpec:
    return spec(NAME, **fields)


def only(fleet: Fleet) -> Instance:
    return fleet.instances[NAME]


def signals(commands: list[Command]) -> list[int]:
    return [command.signal for command in commands if isinstance(command, Signal)]


def whys(commands: list[Command]) -> list[str]:
    return [command.why for command in commands if isinstance(command, Announce)]


# --------------------------------------------------------------------------- becoming ready


def test_running_means_ready() -> None:
    """After exec an instance with a probe is STARTING until the probe has succeeded."""
    fleet = boot(ready=READY)
    state = only(fleet).state
    assert state == Readying(1, 77, 100.0, 120.0)
    assert word(state) == "STARTING"
    fleet.step(BecameReady(NAME, 1), 105.0)
    assert only(fleet).state == Running(1, 77, 105.0, 100.0)


def test_without_a_probe_it_is_running_from_exec() -> None:
    """There is nothing to wait for."""
    assert isinstance(only(boot()).state, Running)


def test_not_ready_in_time_is_a_failed_start() -> None:
    """It is stopped by its ladder and tried again after a delay, with the reason."""
    fleet = boot(ready=READY)
    assert fleet.deadline() == 120.0
    commands = fleet.step(AlarmRang(), 120.0)
    assert signals(commands) == [2]
    assert "ready" in whys(commands)[0]
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 121.0)
    assert isinstance(only(fleet).state, Backoff)
    assert only(fleet).attempts == 1


def test_dying_before_it_is_ready_is_a_failed_start_whatever_its_length() -> None:
    """Ten seconds are a long run, but not for one that was never ready."""
    fleet = boot(ready=READY)
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 110.0)
    assert isinstance(only(fleet).state, Backoff)
    assert "before it was ready" in str(only(fleet).problem)


def test_failed_starts_lead_to_fatal() -> None:
    """What never becomes ready is given up by the limit."""
    fleet = boot(ready=READY, restart=RestartPolicy(limit=RestartLimit(1, 60.0)))
    fleet.step(AlarmRang(), 120.0)
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 121.0)
    assert isinstance(only(fleet).state, Fatal)


def test_more_time_may_be_asked_for() -> None:
    """The deadline moves; one that is earlier than the present one changes nothing."""
    fleet = boot(ready=READY)
    fleet.step(TimeExtended(NAME, 1, 150.0), 110.0)
    assert fleet.deadline() == 150.0
    assert fleet.step(TimeExtended(NAME, 1, 130.0), 111.0) == []


def test_more_time_may_be_asked_for_on_the_way_down() -> None:
    """A present rung lasts longer."""
    fleet = boot()
    fleet.step(StopRequested((NAME,)), 110.0)
    fleet.step(TimeExtended(NAME, 1, 140.0), 111.0)
    assert fleet.deadline() == 140.0


def test_news_of_an_earlier_run_is_dropped() -> None:
    """A verdict that comes too late means nothing to the next run."""
    fleet = boot(ready=READY)
    fleet.step(MainExited(NAME, 1, FAILED, emptied=True), 101.0)
    fleet.step(AlarmRang(), 102.0)
    fleet.step(Spawned(NAME, 2, 78), 102.1)
    assert fleet.step(BecameReady(NAME, 1), 102.2) == []
    assert isinstance(only(fleet).state, Readying)


def test_a_probe_that_is_taken_away_is_not_waited_for() -> None:
    """A reload without `ready` makes what lives RUNNING."""
    fleet = boot(ready=READY)
    fleet.step(Configured(configuration(_spec())), 105.0)
    assert isinstance(only(fleet).state, Running)


def test_a_stop_before_it_is_ready_goes_down_the_ladder() -> None:
    """STARTING is stopped like RUNNING."""
    fleet = boot(ready=READY)
    assert signals(fleet.step(StopRequested((NAME,)), 105.0)) == [2]
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 106.0)
    assert isinstance(only(fleet).state, Stopped)


def test_the_time_of_the_facts_counts() -> None:
    """A manager that comes late gives no extra time: the deadline counts from the exec."""
    fleet = Fleet()
    fleet.step(Configured(configuration(_spec(ready=READY))), 100.0)
    fleet.step(Spawned(NAME, 1, 77, since=100.5), 115.0)
    assert fleet.deadline() == 120.5


# --------------------------------------------------------------------------- health


def checked(action: OnUnhealthy, signal: int | None = None) -> Fleet:
    return boot(health=HealthCheck(PROBE, on_unhealthy=action, signal=signal))


def health(fleet: Fleet) -> Health:
    state = only(fleet).state
    assert isinstance(state, Running)
    return state.health


def test_health_is_unknown_until_it_is_found() -> None:
    """It is told with each change of verdict, and once only."""
    fleet = checked(OnUnhealthy.REPORT)
    assert health(fleet) is Health.UNKNOWN
    fleet.step(HealthFound(NAME, 1, healthy=True, detail=""), 105.0)
    assert health(fleet) is Health.HEALTHY
    assert fleet.step(HealthFound(NAME, 1, healthy=True, detail=""), 106.0) == []


def test_unhealthy_may_be_reported_only() -> None:
    """The run goes on; the problem is told, and taken back when it is over."""
    fleet = checked(OnUnhealthy.REPORT)
    commands = fleet.step(HealthFound(NAME, 1, healthy=False, detail="refused"), 105.0)
    assert signals(commands) == []
    assert "refused" in whys(commands)[0]
    assert "refused" in str(only(fleet).problem)
    fleet.step(HealthFound(NAME, 1, healthy=True, detail=""), 106.0)
    assert only(fleet).problem is None


def test_unhealthy_may_be_signalled() -> None:
    """The worker is told, and stays up."""
    fleet = checked(OnUnhealthy.SIGNAL, 10)
    assert signals(fleet.step(HealthFound(NAME, 1, healthy=False, detail=""), 105.0)) == [10]
    assert isinstance(only(fleet).state, Running)


def test_unhealthy_may_be_restarted() -> None:
    """By its ladder, and then by its restart policy: the run has failed."""
    fleet = checked(OnUnhealthy.RESTART)
    assert signals(fleet.step(HealthFound(NAME, 1, healthy=False, detail=""), 150.0)) == [2]
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 151.0)
    assert isinstance(only(fleet).state, Starting)


def test_unhealthy_counts_as_a_failure_for_the_restart_policy() -> None:
    """Exit code 0 of a run that was ended for its health is no success."""
    fleet = boot(health=HealthCheck(PROBE), restart=RestartPolicy(when=When.ON_FAILURE))
    fleet.step(HealthFound(NAME, 1, healthy=False, detail=""), 150.0)
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 151.0)
    assert isinstance(only(fleet).state, Starting)


# --------------------------------------------------------------------------- condemned


def test_a_run_that_is_due_is_replaced_as_if_asked() -> None:
    """Too old is no failure: another run at once, with a clean slate."""
    fleet = boot(restart=RestartPolicy(when=When.NEVER))
    assert signals(fleet.step(RunCondemned(NAME, 1, "too old", failure=False), 150.0)) == [2]
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 151.0)
    assert isinstance(only(fleet).state, Starting)


def test_a_run_that_is_faulty_is_accounted_for() -> None:
    """Too much memory is a failure: the restart policy decides."""
    fleet = boot(restart=RestartPolicy(when=When.NEVER))
    fleet.step(RunCondemned(NAME, 1, "too much memory", failure=True), 150.0)
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 151.0)
    assert isinstance(only(fleet).state, Exited)


@pytest.mark.parametrize("failure", [True, False])
def test_what_goes_down_already_is_not_condemned_again(failure: bool) -> None:
    """An operator's stop stays a stop."""
    fleet = boot()
    fleet.step(StopRequested((NAME,)), 110.0)
    assert fleet.step(RunCondemned(NAME, 1, "too old", failure), 111.0) == []
    assert isinstance(only(fleet).state, Stopping)
    assert not only(fleet).wanted
