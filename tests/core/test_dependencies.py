"""Dependencies: what has to be there before a start, and what goes down before what."""

from dataclasses import replace

import pytest

from supervisord_lite.core.command import Command, Signal, Spawn
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    HealthFound,
    MainExited,
    RestartRequested,
    RunCondemned,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.probe import HealthCheck, TcpProbe
from supervisord_lite.core.spec import (
    Condition,
    Dependency,
    InstanceSpec,
    Kind,
    OnFailedDependency,
    RestartPolicy,
    When,
)
from supervisord_lite.core.state import (
    Blocked,
    Exited,
    Parting,
    Running,
    Starting,
    Stopped,
    Stopping,
    Waiting,
)

from .make import FAILED, WELL, configuration, restored, spec

ONCE = RestartPolicy(when=When.NEVER)


def needs(
    name: str,
    *workers: str,
    on: Condition = Condition.READY,
    policy: OnFailedDependency = OnFailedDependency.FAIL,
    along: bool = False,
) -> InstanceSpec:
    dependencies = tuple(Dependency(worker, on, policy, along) for worker in workers)
    return spec(name, dependencies=dependencies)


def boot(*specs: InstanceSpec) -> Fleet:
    fleet = Fleet()
    fleet.step(Configured(configuration(*specs)), 100.0)
    return fleet


def up(*specs: InstanceSpec) -> Fleet:
    """A fleet in which all are RUNNING that can be, started in the order given."""
    fleet = boot(*specs)
    for number, one in enumerate(specs):
        if isinstance(fleet.instances[one.name].state, Starting):
            fleet.step(Spawned(one.name, 1, number), 100.0)
    return fleet


def exits(fleet: Fleet, name: str, now: float = 110.0, status: object = FAILED) -> list[Command]:
    run = fleet.instances[name].last_run
    return fleet.step(MainExited(name, run, status, emptied=True), now)  # type: ignore[arg-type]


def spawned(commands: list[Command]) -> list[str]:
    return [command.instance for command in commands if isinstance(command, Spawn)]


def signalled(commands: list[Command]) -> list[str]:
    return [command.instance for command in commands if isinstance(command, Signal)]


# --------------------------------------------------------------------------- the way up


def test_a_dependent_waits_and_says_for_what() -> None:
    """Until its dependency is RUNNING it is WAITING, with the reason in words."""
    fleet = boot(spec("db:0"), needs("web:0", "db"))
    assert fleet.instances["web:0"].state == Waiting("waits for db to be ready")
    assert spawned(fleet.step(Spawned("db:0", 1, 7), 101.0)) == ["web:0"]


def test_independent_ones_start_at_once() -> None:
    """What depends on nothing does not wait for those of other ranks."""
    commands = Fleet().step(
        Configured(configuration(spec("a:0"), needs("b:0", "a"), spec("c:0"))), 100.0
    )
    assert spawned(commands) == ["a:0", "c:0"]


def test_all_instances_have_to_meet_the_condition() -> None:
    """One of two is not enough, and a worker without instances meets nothing."""
    fleet = boot(spec("db:0"), spec("db:1"), needs("web:0", "db"), needs("x:0", "nobody"))
    assert spawned(fleet.step(Spawned("db:0", 1, 7), 101.0)) == []
    assert spawned(fleet.step(Spawned("db:1", 1, 8), 102.0)) == ["web:0"]
    assert isinstance(fleet.instances["x:0"].state, Waiting)


def test_a_task_that_succeeded_lets_its_dependents_start() -> None:
    """`succeeded` asks for a success code."""
    task = spec("migrate:0", kind=Kind.TASK)
    fleet = up(task, needs("web:0", "migrate", on=Condition.SUCCEEDED))
    assert isinstance(fleet.instances["web:0"].state, Waiting)
    assert spawned(exits(fleet, "migrate:0", status=WELL)) == ["web:0"]


def test_completed_asks_for_an_end_only() -> None:
    """However the task ended."""
    task = spec("seed:0", kind=Kind.TASK, restart=ONCE)
    fleet = up(task, needs("web:0", "seed", on=Condition.COMPLETED))
    assert spawned(exits(fleet, "seed:0", status=FAILED)) == ["web:0"]


def test_healthy_asks_for_the_verdict_of_the_health_check() -> None:
    """RUNNING is not enough; the first good verdict is."""
    check = HealthCheck(TcpProbe("localhost", 80))
    fleet = up(spec("db:0", health=check), needs("web:0", "db", on=Condition.HEALTHY))
    assert isinstance(fleet.instances["web:0"].state, Waiting)
    found = fleet.step(HealthFound("db:0", 1, healthy=True, detail=""), 105.0)
    assert spawned(found) == ["web:0"]


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        (OnFailedDependency.FAIL, Blocked),
        (OnFailedDependency.WAIT, Waiting),
        (OnFailedDependency.IGNORE, Starting),
    ],
)
def test_a_dependency_that_failed_for_good(policy: OnFailedDependency, state: type) -> None:
    """The policy of the edge decides: FATAL with the reason, waiting, or a start all the same."""
    fleet = boot(spec("db:0", restart=ONCE), needs("web:0", "db", policy=policy))
    fleet.step(SpawnFailed("db:0", 1, "exec", 2, "No such file or directory"), 101.0)
    assert isinstance(fleet.instances["web:0"].state, state)


def test_failure_travels_along_a_chain_and_is_taken_back() -> None:
    """Dependents of dependents are blocked too; an operator's start of the first starts all."""
    fleet = boot(spec("a:0", restart=ONCE), needs("b:0", "a"), needs("c:0", "b"))
    fleet.step(SpawnFailed("a:0", 1, "exec", 2, ""), 101.0)
    for name in ("b:0", "c:0"):
        state = fleet.instances[name].state
        assert isinstance(state, Blocked)
        assert "has failed" in state.reason
    fleet.step(StartRequested(("a:0",)), 102.0)
    assert spawned(fleet.step(Spawned("a:0", 2, 7), 103.0)) == ["b:0"]
    assert spawned(fleet.step(Spawned("b:0", 1, 8), 104.0)) == ["c:0"]


def test_a_start_pulls_in_what_it_needs() -> None:
    """Transitively, and only what is not up."""
    off = spec("a:0", autostart=False)
    fleet = boot(off, needs("b:0", "a"), needs("c:0", "b"))
    assert all(not isinstance(fleet.instances[one].state, Starting) for one in fleet.instances)
    assert spawned(fleet.step(StartRequested(("c:0",)), 101.0)) == ["a:0"]
    fleet.step(Spawned("a:0", 1, 7), 102.0)
    assert isinstance(fleet.instances["b:0"].state, Starting)


def test_a_boot_does_not_pull_in_what_is_not_to_start() -> None:
    """Dependents of what has `autostart: false` wait and say so."""
    fleet = boot(spec("a:0", autostart=False), needs("b:0", "a"))
    assert isinstance(fleet.instances["a:0"].state, Stopped)
    assert fleet.instances["b:0"].state == Waiting("waits for a to be ready")


def test_a_stop_ends_the_waiting() -> None:
    """What waits is STOPPED at once, and stays so when its dependency comes."""
    fleet = boot(spec("db:0"), needs("web:0", "db"))
    fleet.step(StopRequested(("web:0",)), 101.0)
    assert spawned(fleet.step(Spawned("db:0", 1, 7), 102.0)) == []
    assert isinstance(fleet.instances["web:0"].state, Stopped)


def test_a_restart_of_what_waits_is_one_start() -> None:
    """Exactly one run, once the condition holds."""
    fleet = boot(spec("db:0"), needs("web:0", "db"))
    fleet.step(RestartRequested(("web:0",)), 101.0)
    assert spawned(fleet.step(Spawned("db:0", 1, 7), 102.0)) == ["web:0"]
    assert fleet.instances["web:0"].last_run == 1


def test_a_new_dependency_counts_at_the_next_start() -> None:
    """A reload that adds a condition and a program judges the start by the new condition."""
    fleet = up(spec("web:0"))
    exits(fleet, "web:0", 100.2)  # a failed start: BACKOFF
    changed = needs("web:0", "db")
    fleet.step(Configured(configuration(spec("db:0"), changed)), 100.21)
    assert not isinstance(fleet.instances["web:0"].state, Starting)


def test_a_wait_survives_the_manager() -> None:
    """Restored from what is remembered, it still waits, and starts when the time has come."""
    fleet = boot(spec("db:0"), needs("web:0", "db"))
    again = restored(fleet)
    assert spawned(again.recover(101.0)) == ["db:0"]  # said again: harmless
    assert spawned(again.step(Spawned("db:0", 1, 7), 102.0)) == ["web:0"]


# --------------------------------------------------------------------------- the way down


def test_what_is_stopped_together_stops_in_reverse_order() -> None:
    """Dependents are signalled first; the others when those are down."""
    fleet = up(spec("db:0"), needs("web:0", "db"))
    commands = fleet.step(StopRequested(("db:0", "web:0")), 105.0)
    assert signalled(commands) == ["web:0"]
    assert isinstance(fleet.instances["db:0"].state, Parting)
    assert signalled(exits(fleet, "web:0", 106.0)) == ["db:0"]


def test_a_stop_concerns_only_what_is_named() -> None:
    """Stopping a dependency leaves its dependents running."""
    fleet = up(spec("db:0"), needs("web:0", "db"))
    assert signalled(fleet.step(StopRequested(("db:0",)), 105.0)) == ["db:0"]
    assert isinstance(fleet.instances["web:0"].state, Running)


def test_a_shutdown_goes_down_rank_by_rank() -> None:
    """Each rank waits for the one above it."""
    fleet = up(spec("a:0"), needs("b:0", "a"), needs("c:0", "b"), spec("d:0"))
    assert set(signalled(fleet.step(ShutdownRequested(), 105.0))) == {"c:0", "d:0"}
    assert signalled(exits(fleet, "c:0", 106.0)) == ["b:0"]
    assert signalled(exits(fleet, "b:0", 107.0)) == ["a:0"]


def test_a_start_under_way_waits_on_its_way_down_too() -> None:
    """A run that is stopped before its spawn was answered is not signalled past its dependents."""
    fleet = up(spec("db:0"), needs("web:0", "db"))
    exits(fleet, "db:0", 110.0)
    fleet.step(StopRequested(("db:0", "web:0")), 110.0)
    assert signalled(fleet.step(Spawned("db:0", 2, 9), 110.1)) == []
    assert signalled(exits(fleet, "web:0", 111.0)) == ["db:0"]


def test_what_is_stuck_holds_up_nobody() -> None:
    """A dependent that no rung can end lets its dependency go down."""
    fleet = up(spec("db:0"), needs("web:0", "db"))
    fleet.step(StopRequested(("db:0", "web:0")), 105.0)
    for _ in range(4):
        deadline = fleet.deadline()
        if deadline is None:
            break
        fleet.step(AlarmRang(), deadline)
    assert isinstance(fleet.instances["db:0"].state, Stopping)


def test_restart_with_takes_dependents_along() -> None:
    """They go down before it, and come back after it."""
    fleet = up(spec("db:0"), needs("web:0", "db", along=True))
    assert signalled(fleet.step(RestartRequested(("db:0",)), 105.0)) == ["web:0"]
    assert signalled(exits(fleet, "web:0", 106.0)) == ["db:0"]
    assert spawned(exits(fleet, "db:0", 107.0)) == ["db:0"]
    assert spawned(fleet.step(Spawned("db:0", 2, 9), 108.0)) == ["web:0"]


def test_stopping_what_has_ended_takes_along_what_counts_on_its_end() -> None:
    """It goes down before all else that it depends on, if that is stopped with it."""
    task = spec("migrate:0", kind=Kind.TASK)
    counts = needs("web:0", "migrate", on=Condition.SUCCEEDED, along=True)
    web = replace(counts, dependencies=(*counts.dependencies, Dependency("db")))
    fleet = up(task, spec("db:0"), web)
    exits(fleet, "migrate:0", 101.0, WELL)
    fleet.step(Spawned("web:0", 1, 9), 102.0)
    stopped = StopRequested(("migrate:0", "db:0"))
    assert signalled(fleet.step(stopped, 105.0)) == ["web:0"]
    assert signalled(exits(fleet, "web:0", 106.0)) == ["db:0"]


def test_what_is_condemned_takes_dependents_along_in_order() -> None:
    """As if somebody had asked for the restart."""
    fleet = up(spec("db:0"), needs("web:0", "db", along=True))
    found = fleet.step(RunCondemned("db:0", 1, "too old", failure=False), 105.0)
    assert signalled(found) == ["web:0"]


def test_a_death_takes_chains_along_from_the_far_end() -> None:
    """When the first dies, the last of the chain goes down before the middle."""
    fleet = up(spec("a:0"), needs("b:0", "a", along=True), needs("c:0", "b", along=True))
    assert signalled(exits(fleet, "a:0", 110.0)) == ["c:0"]
    assert signalled(exits(fleet, "c:0", 110.1)) == ["b:0"]


def test_without_restart_with_a_death_leaves_dependents_alone() -> None:
    """They keep running while their dependency comes back."""
    fleet = up(spec("db:0"), needs("web:0", "db"))
    exits(fleet, "db:0", 110.0)
    assert isinstance(fleet.instances["web:0"].state, Running)


def test_an_exited_dependency_stays_met() -> None:
    """A task that has succeeded is not asked again when its dependent restarts."""
    task = spec("migrate:0", kind=Kind.TASK)
    fleet = up(task, needs("web:0", "migrate", on=Condition.SUCCEEDED))
    exits(fleet, "migrate:0", 101.0, WELL)
    assert isinstance(fleet.instances["migrate:0"].state, Exited)
    fleet.step(Spawned("web:0", 1, 9), 102.0)
    assert spawned(exits(fleet, "web:0", 110.0)) == ["web:0"]
