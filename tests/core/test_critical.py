"""Critical workers: whose end is the end of all, or of all runs."""

from dataclasses import replace

import pytest

from supervisord_lite.core.command import Command, Finish, RememberFleet, Signal, Spawn
from supervisord_lite.core.critical import GAVE_UP
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    MainExited,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import (
    Condition,
    Dependency,
    InstanceSpec,
    Kind,
    OnExit,
    OnFailedDependency,
    RestartLimit,
    RestartPolicy,
    When,
)
from supervisord_lite.core.state import Exit, Running, Shutdown, Starting, Stopped, Stopping

from .make import FAILED, WELL, configuration, spec

ONCE = RestartPolicy(when=When.NEVER)


def up(*specs: InstanceSpec) -> Fleet:
    fleet = Fleet()
    fleet.step(Configured(configuration(*specs)), 100.0)
    for number, one in enumerate(specs):
        fleet.step(Spawned(one.name, 1, number), 100.0)
    return fleet


def critical(on_exit: OnExit = OnExit.SHUTDOWN, **fields: object) -> InstanceSpec:
    return spec("app:0", on_exit=on_exit, **{"restart": ONCE, **fields})


def ends(fleet: Fleet, name: str, status: Exit = FAILED, now: float = 110.0) -> list[Command]:
    run = fleet.instances[name].last_run
    return fleet.step(MainExited(name, run, status, emptied=True), now)


def signalled(commands: list[Command]) -> list[str]:
    return [command.instance for command in commands if isinstance(command, Signal)]


@pytest.mark.parametrize(
    ("status", "code"), [(WELL, 0), (Exit(code=3), 3), (Exit(signal=9), 137), (Exit(), GAVE_UP)]
)
def test_its_end_is_a_shutdown_with_its_exit_code(status: Exit, code: int) -> None:
    """A signal is told as shells do, and an exit that nobody saw by a code of its own."""
    fleet = up(critical(), spec("db:0"))
    commands = ends(fleet, "app:0", status)
    assert signalled(commands) == ["db:0"]
    assert fleet.shutdown is not None
    assert fleet.shutdown.code == code
    assert "app:0" in fleet.shutdown.why
    assert Finish((), code) in ends(fleet, "db:0", WELL, 111.0)


def test_a_restart_is_no_end() -> None:
    """As long as its policy wants another run, nothing else happens."""
    fleet = up(critical(restart=RestartPolicy()), spec("db:0"))
    assert signalled(ends(fleet, "app:0")) == []
    assert fleet.shutdown is None


def test_being_given_up_is_an_end() -> None:
    """FATAL, with the exit code of its last run or one that says so."""
    policy = RestartPolicy(limit=RestartLimit(1, 60.0))
    fleet = Fleet()
    fleet.step(Configured(configuration(critical(restart=policy))), 100.0)
    fleet.step(SpawnFailed("app:0", 1, "exec", 2, "No such file or directory"), 100.1)
    assert fleet.shutdown is not None
    assert fleet.shutdown.code == GAVE_UP


def test_a_stop_by_hand_is_no_end() -> None:
    """An operator may stop it without losing everything."""
    fleet = up(critical(), spec("db:0"))
    fleet.step(StopRequested(("app:0",)), 105.0)
    assert signalled(ends(fleet, "app:0", WELL)) == []
    assert isinstance(fleet.instances["app:0"].state, Stopped)
    assert fleet.shutdown is None


def test_during_a_shutdown_it_changes_nothing() -> None:
    """What was asked for ends with 0."""
    fleet = up(critical(), spec("db:0"))
    fleet.step(ShutdownRequested(), 105.0)
    commands = ends(fleet, "app:0", FAILED)
    assert not any(isinstance(command, RememberFleet) for command in commands)
    assert Finish((), 0) in ends(fleet, "db:0", WELL, 111.0)


def test_nothing_is_started_upon_its_end() -> None:
    """A dependent that its end would have allowed to start is not started for the shutdown."""
    waits = spec("x:0", dependencies=(Dependency("app", Condition.COMPLETED),))
    fleet = Fleet()
    fleet.step(Configured(configuration(critical(), waits)), 100.0)
    fleet.step(Spawned("app:0", 1, 7), 100.0)
    assert not any(isinstance(command, Spawn) for command in ends(fleet, "app:0"))


def test_nothing_begins_once_a_configuration_has_brought_its_end() -> None:
    """What the same configuration starts is either started before the shutdown, or not at all."""
    failed = spec("db:0", kind=Kind.TASK, restart=ONCE)
    patient = Dependency("db", Condition.SUCCEEDED, OnFailedDependency.WAIT)
    app, first = critical(dependencies=(patient,)), spec("first:0", dependencies=(patient,))
    fleet = Fleet()
    fleet.step(Configured(configuration(failed, first, app)), 100.0)
    fleet.step(Spawned("db:0", 1, 7), 100.0)
    ends(fleet, "db:0")
    blocked = replace(app, dependencies=(Dependency("db", Condition.SUCCEEDED),))
    last = spec("last:0")
    applied = configuration(failed, replace(first, dependencies=()), blocked, last)
    commands = fleet.step(Configured(applied), 120.0)
    spawns = [place for place, one in enumerate(commands) if isinstance(one, Spawn)]
    assert fleet.shutdown is not None
    assert spawns
    assert max(spawns) < commands.index(RememberFleet(fleet.shutdown))


def test_all_may_be_restarted() -> None:
    """Everybody that is wanted gets another run; what was stopped by hand stays so."""
    fleet = up(critical(OnExit.RESTART_ALL), spec("db:0"), spec("off:0"))
    fleet.step(StopRequested(("off:0",)), 105.0)
    ends(fleet, "off:0", WELL, 105.5)
    commands = ends(fleet, "app:0")
    assert signalled(commands) == ["db:0"]
    assert Spawn("app:0", 2) in commands
    assert Spawn("db:0", 2) in ends(fleet, "db:0", WELL, 111.0)
    assert isinstance(fleet.instances["off:0"].state, Stopped)
    assert fleet.shutdown is None


def test_all_are_restarted_in_order() -> None:
    """Dependents go down first, and nothing begins upon what is about to go."""
    web = spec("web:0", dependencies=(Dependency("db"),))
    fleet = up(spec("db:0"), web, critical(OnExit.RESTART_ALL))
    assert signalled(ends(fleet, "app:0")) == ["web:0"]
    assert signalled(ends(fleet, "web:0", WELL, 111.0)) == ["db:0"]
    commands = ends(fleet, "db:0", WELL, 112.0)
    assert Spawn("db:0", 2) in commands
    assert Spawn("web:0", 2) in fleet.step(Spawned("db:0", 2, 9), 113.0)


def test_the_exit_code_survives_haste_and_the_manager() -> None:
    """It is remembered with the shutdown."""
    fleet = up(critical(), spec("db:0"))
    ends(fleet, "app:0", Exit(code=3))
    assert isinstance(fleet.instances["db:0"].state, Stopping)
    again = Fleet.restore(
        fleet.configuration, fleet.instances.values(), held=False, shutdown=fleet.shutdown
    )
    again.recover(111.0)
    deadline = again.deadline()
    assert deadline is not None
    again.step(AlarmRang(), deadline)
    assert isinstance(again.shutdown, Shutdown)
    assert again.shutdown.code == 3


def test_an_ordinary_end_concerns_nobody() -> None:
    """Without `on_exit` the others run on."""
    fleet = up(critical(OnExit.NOTHING), spec("db:0"))
    ends(fleet, "app:0")
    assert isinstance(fleet.instances["db:0"].state, Running)


def test_restarts_of_everything_have_a_pace_and_an_end() -> None:
    """One program that cannot live does not keep the whole fleet down for ever."""
    policy = RestartPolicy(when=When.NEVER, delay=1.0, jitter=0.0, limit=RestartLimit(3, 600.0))
    main = spec("main:0", on_exit=OnExit.RESTART_ALL, restart=policy)
    fleet = Fleet()
    fleet.step(Configured(configuration(main)), 100.0)
    begun, now = [100.0], 100.0
    while now < 200.0:
        run = fleet.instances["main:0"].last_run
        if isinstance(fleet.instances["main:0"].state, Starting):
            commands = fleet.step(SpawnFailed("main:0", run, "exec", 2, ""), now)
        else:
            now = fleet.deadline() or 200.0
            commands = fleet.step(AlarmRang(), now)
        begun += [now for command in commands if isinstance(command, Spawn)]
    assert begun == [100.0, 100.0, 101.0, 103.0]
