"""Jobs: runs at the times of a schedule, and what overlaps, misses and clocks make of them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from supervisord_lite.core.command import Announce, Command, Signal, Spawn
from supervisord_lite.core.event import (
    AlarmRang,
    ClockSet,
    Configured,
    MainExited,
    RestartRequested,
    RunRequested,
    Spawned,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.moment import Clock
from supervisord_lite.core.schedule import Missed, Overlap, Schedule
from supervisord_lite.core.spec import (
    Condition,
    Dependency,
    InstanceSpec,
    Kind,
    RestartLimit,
    RestartPolicy,
    When,
)
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Instance,
    Running,
    Scheduled,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    word,
)

from .make import FAILED, WELL, configuration, restored, spec

NAME = "backup:0"
ONCE = RestartPolicy(when=When.NEVER)


def job(every: float | None = 60.0, **fields: object) -> InstanceSpec:
    schedule = Schedule(
        cron=str(fields.pop("cron")) if "cron" in fields else None,
        every=None if "cron" in fields or every is None else every,
        timezone=str(fields.pop("timezone", "UTC")),
        overlap=Overlap(fields.pop("overlap", Overlap.SKIP)),  # type: ignore[arg-type]
        missed=Missed(fields.pop("missed", Missed.SKIP)),  # type: ignore[arg-type]
    )
    return spec(NAME, kind=Kind.JOB, schedule=schedule, **{"restart": ONCE, **fields})


def hourly(**fields: object) -> InstanceSpec:
    return job(None, cron="0 * * * *", **fields)


def boot(one: InstanceSpec, wall: float = 0.0) -> Fleet:
    """A fleet of one job, at 100 on CLOCK_MONOTONIC."""
    fleet = Fleet(clock=Clock(zone=ZoneInfo))
    fleet.step(ClockSet(wall - 100.0 if wall else 0.0), 100.0)
    fleet.step(Configured(configuration(one)), 100.0)
    return fleet


def running(one: InstanceSpec) -> Fleet:
    """Its first run lives since 160."""
    fleet = boot(one)
    fleet.step(AlarmRang(), 160.0)
    fleet.step(Spawned(NAME, 1, 77), 160.0)
    return fleet


def only(fleet: Fleet) -> Instance:
    return fleet.instances[NAME]


def spawned(commands: list[Command]) -> list[int]:
    return [command.run for command in commands if isinstance(command, Spawn)]


def whys(commands: list[Command]) -> list[str]:
    return [command.why for command in commands if isinstance(command, Announce)]


def ends(fleet: Fleet, now: float, run: int = 1) -> list[Command]:
    return fleet.step(MainExited(NAME, run, WELL, emptied=True), now)


# --------------------------------------------------------------------------- its times


def test_a_job_waits_for_its_time() -> None:
    """WAITING, and an alarm at the time."""
    fleet = boot(job())
    assert only(fleet).state == Scheduled()
    assert word(only(fleet).state) == "WAITING"
    assert fleet.deadline() == 160.0
    assert spawned(fleet.step(AlarmRang(), 160.0)) == [1]
    assert isinstance(only(fleet).state, Starting)


def test_after_a_run_it_waits_for_the_next_time() -> None:
    """Good or bad, with the history of its runs."""
    fleet = running(job())
    fleet.step(MainExited(NAME, 1, FAILED, emptied=True, at=165.0), 165.0)
    assert only(fleet).state == Scheduled()
    assert fleet.deadline() == 220.0
    (last,) = only(fleet).history
    assert (last.run, last.began, last.exit) == (1, 160.0, FAILED)


def test_a_cron_schedule_goes_by_the_wall_clock_of_its_zone() -> None:
    """Three in the morning in Berlin."""
    wall = datetime(2024, 6, 1, 0, 30, tzinfo=UTC).timestamp()
    fleet = boot(job(None, cron="0 3 * * *", timezone="Europe/Berlin"), wall)
    assert fleet.deadline() == 100.0 + 1800.0


def test_a_failed_run_is_tried_again_where_its_policy_says_so() -> None:
    """And given up until the next time by the limit."""
    policy = RestartPolicy(when=When.ON_FAILURE, limit=RestartLimit(2, 60.0))
    fleet = running(job(restart=policy))
    fleet.step(MainExited(NAME, 1, FAILED, emptied=True), 161.0)
    assert isinstance(only(fleet).state, Backoff)
    fleet.step(AlarmRang(), 162.0)
    fleet.step(Spawned(NAME, 2, 78), 162.0)
    fleet.step(MainExited(NAME, 2, FAILED, emptied=True), 163.0)
    assert only(fleet).state == Scheduled()


def test_a_schedule_without_a_further_time_leaves_it_stopped() -> None:
    """The 30th of February never comes."""
    fleet = boot(job(None, cron="0 0 30 2 *"))
    assert isinstance(only(fleet).state, Stopped)
    assert not only(fleet).wanted


# --------------------------------------------------------------------------- overlaps


def test_a_time_during_a_run_may_be_skipped() -> None:
    """It is told, and nothing is run for it."""
    fleet = running(job())
    assert "skipped" in whys(fleet.step(AlarmRang(), 220.0))[0]
    ends(fleet, 225.0)
    assert only(fleet).state == Scheduled()
    assert only(fleet).last_run == 1


def test_a_time_during_a_run_may_be_queued() -> None:
    """Each has its run afterwards."""
    fleet = running(job(overlap=Overlap.QUEUE))
    fleet.step(AlarmRang(), 220.0)
    fleet.step(AlarmRang(), 280.0)
    assert spawned(ends(fleet, 285.0)) == [2]
    fleet.step(Spawned(NAME, 2, 78), 285.0)
    assert spawned(ends(fleet, 286.0, 2)) == [3]
    fleet.step(Spawned(NAME, 3, 79), 286.0)
    assert spawned(ends(fleet, 287.0, 3)) == []


def test_a_time_during_a_run_may_replace_it() -> None:
    """The run goes down by its ladder, and one other follows."""
    fleet = running(job(overlap=Overlap.REPLACE))
    commands = fleet.step(AlarmRang(), 220.0)
    assert [command.signal for command in commands if isinstance(command, Signal)] == [2]
    assert isinstance(only(fleet).state, Stopping)
    assert spawned(ends(fleet, 221.0)) == [2]


# --------------------------------------------------------------------------- missed times, clocks


def test_missed_times_may_be_skipped() -> None:
    """The machine slept through two of them: they are told, not run."""
    fleet = boot(hourly(), wall=3600.0)
    commands = fleet.step(ClockSet(3600.0 - 100.0 + 2 * 3600.0 + 600.0), 200.0)
    assert spawned(commands) == []
    assert "missed" in whys(commands)[0]
    assert only(fleet).state == Scheduled()


def test_missed_times_may_be_run_once() -> None:
    """Several are one."""
    fleet = boot(hourly(missed=Missed.RUN_ONCE), wall=3600.0)
    commands = fleet.step(ClockSet(3600.0 - 100.0 + 2 * 3600.0 + 600.0), 200.0)
    assert spawned(commands) == [1]
    fleet.step(Spawned(NAME, 1, 77), 200.0)
    assert spawned(ends(fleet, 201.0)) == []


def test_a_jump_of_the_clock_moves_the_alarm() -> None:
    """Set half an hour ahead, the time is half an hour nearer."""
    fleet = boot(hourly(), wall=3600.0)
    assert fleet.deadline() == 100.0 + 3600.0
    fleet.step(ClockSet(3600.0 - 100.0 + 1800.0), 100.0)
    assert fleet.deadline() == 100.0 + 1800.0


def test_a_new_manager_is_told_the_clock_and_misses_nothing() -> None:
    """What came while nobody was there is dealt with by the rule."""
    fleet = boot(job(missed=Missed.RUN_ONCE))
    later = restored(fleet)
    later.recover(400.0)
    assert spawned(later.step(ClockSet(0.0), 400.0)) == [1]


# --------------------------------------------------------------------------- operators, reloads


def test_a_stopped_job_has_no_times() -> None:
    """No alarm; a start switches its schedule on again, from then on."""
    fleet = boot(job())
    fleet.step(StopRequested((NAME,)), 110.0)
    assert isinstance(only(fleet).state, Stopped)
    assert fleet.deadline() is None
    fleet.step(StartRequested((NAME,)), 150.0)
    assert fleet.deadline() == 210.0


def test_a_run_at_once_leaves_the_times_as_they_are() -> None:
    """And does not count as one of them."""
    fleet = boot(job())
    assert spawned(fleet.step(RunRequested((NAME,)), 110.0)) == [1]
    fleet.step(Spawned(NAME, 1, 77), 110.0)
    ends(fleet, 120.0)
    assert only(fleet).state == Scheduled()
    assert fleet.deadline() == 160.0


def test_a_run_of_a_stopped_job_leaves_it_stopped() -> None:
    """One run, and the schedule stays off."""
    fleet = boot(job(autostart=False))
    assert spawned(fleet.step(RunRequested((NAME,)), 110.0)) == [1]
    fleet.step(Spawned(NAME, 1, 77), 110.0)
    ends(fleet, 120.0)
    assert isinstance(only(fleet).state, Stopped)
    assert fleet.deadline() is None


def test_a_restart_during_a_run_is_another_run() -> None:
    """Not a wait for the next time."""
    fleet = running(job())
    fleet.step(RestartRequested((NAME,)), 170.0)
    assert spawned(ends(fleet, 171.0)) == [2]


def test_a_new_schedule_counts_at_once() -> None:
    """A reload moves the alarm, and touches no run."""
    fleet = running(job())
    fleet.step(Configured(configuration(job(600.0))), 170.0)
    assert isinstance(only(fleet).state, Running)
    assert fleet.deadline() == 770.0


def test_a_schedule_that_becomes_none_is_not_waited_for() -> None:
    """A reload to a date that never comes."""
    fleet = boot(job())
    never = job(None, cron="0 0 30 2 *")
    fleet.step(Configured(configuration(never)), 110.0)
    assert isinstance(only(fleet).state, Stopped)


def test_a_job_that_becomes_a_service_starts() -> None:
    """There is no time to wait for any more."""
    fleet = boot(job())
    commands = fleet.step(Configured(configuration(spec(NAME))), 110.0)
    assert spawned(commands) == [1]


def test_a_time_while_a_dependency_is_away_is_made_up_for_once() -> None:
    """It waits, and runs as soon as it can, once for all times that came."""
    needing = job(dependencies=(Dependency("db", Condition.READY),))
    fleet = Fleet()
    fleet.step(Configured(configuration(spec("db:0", autostart=False), needing)), 100.0)
    fleet.step(AlarmRang(), 160.0)
    assert isinstance(only(fleet).state, Waiting | Blocked)
    fleet.step(AlarmRang(), 220.0)
    fleet.step(StartRequested(("db:0",)), 230.0)
    assert spawned(fleet.step(Spawned("db:0", 1, 7), 231.0)) == [1]
    fleet.step(Spawned(NAME, 1, 77), 231.0)
    assert spawned(ends(fleet, 232.0)) == []
