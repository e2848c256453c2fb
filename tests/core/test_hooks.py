"""Hooks: the commands that accompany a run, from before its start to after its end."""

from supervisord_lite.core.command import Bury, Command, RunHook, Signal, Spawn, Sweep, hook_name
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Emptied,
    Event,
    Hastened,
    MainExited,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.hooks import LAST_GRACE
from supervisord_lite.core.spec import (
    Hook,
    HookPoint,
    Program,
    RestartLimit,
    RestartPolicy,
    Target,
    When,
)
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Fatal,
    Instance,
    Parting,
    Preparing,
    Running,
    Starting,
    Stopped,
    Stopping,
    Waiting,
)

from .make import FAILED, WELL, configuration, restored, spec

NAME = "web:0"
PRE_START, PRE_STOP = HookPoint.PRE_START, HookPoint.PRE_STOP
POST_START, POST_STOP = HookPoint.POST_START, HookPoint.POST_STOP
KILLED = Exit(signal=9)


def hooked(*points: HookPoint, **fields: object) -> Fleet:
    """A fleet of one instance with these hooks, each of which has 5 seconds."""
    hooks = tuple(Hook(point, ("hook", str(point)), 5.0) for point in points)
    fleet = Fleet()
    fleet.step(Configured(configuration(spec(NAME, hooks=hooks, **fields))), 100.0)
    return fleet


def up(*points: HookPoint, **fields: object) -> Fleet:
    fleet = hooked(*points, **fields)
    fleet.step(Spawned(NAME, 1, 77), 100.0)
    return fleet


def only(fleet: Fleet) -> Instance:
    return fleet.instances[NAME]


def over(point: HookPoint, run: int = 1, status: Exit = WELL) -> Event:
    return MainExited(hook_name(point, NAME), run, status, emptied=True)


def run_hooks(commands: list[Command]) -> list[HookPoint]:
    return [command.point for command in commands if isinstance(command, RunHook)]


def kills(commands: list[Command], point: HookPoint) -> bool:
    name = hook_name(point, NAME)
    killed = Signal(name, 1, 9, Target.TREE) in commands
    return killed and Sweep(name, 1) in commands


# --------------------------------------------------------------------------- before the start


def test_pre_start_comes_before_the_spawn() -> None:
    """The run is numbered, its hook runs, and only then it is spawned."""
    fleet = hooked(PRE_START)
    assert only(fleet).state == Preparing(1, 100.0)
    commands = fleet.step(over(PRE_START), 101.0)
    assert Spawn(NAME, 1) in commands
    assert Bury(hook_name(PRE_START, NAME), 1) in commands
    assert only(fleet).state == Starting(1, 101.0)


def test_a_pre_start_that_fails_is_a_failed_start() -> None:
    """With a delay, and the reason."""
    fleet = hooked(PRE_START)
    fleet.step(over(PRE_START, status=FAILED), 101.0)
    assert isinstance(only(fleet).state, Backoff)
    assert "pre_start hook failed" in str(only(fleet).problem)


def test_a_pre_start_that_cannot_be_spawned_is_a_failed_start() -> None:
    """The error of the spawn is told."""
    fleet = hooked(PRE_START)
    fleet.step(SpawnFailed(hook_name(PRE_START, NAME), 1, "exec", 2, "No such file"), 101.0)
    assert isinstance(only(fleet).state, Backoff)


def test_a_hook_that_hangs_is_killed_with_its_tree() -> None:
    """At its deadline; then the start has failed."""
    fleet = hooked(PRE_START)
    assert fleet.deadline() == 105.0
    assert kills(fleet.step(AlarmRang(), 105.0), PRE_START)
    fleet.step(over(PRE_START, status=KILLED), 105.1)
    assert isinstance(only(fleet).state, Backoff)


def test_what_a_hook_leaves_behind_is_killed_and_waited_for() -> None:
    """Its exit code counts, once nothing of it is left."""
    fleet = hooked(PRE_START)
    left = MainExited(hook_name(PRE_START, NAME), 1, WELL, emptied=False)
    assert kills(fleet.step(left, 101.0), PRE_START)
    assert isinstance(only(fleet).state, Preparing)
    fleet.step(Emptied(hook_name(PRE_START, NAME), 1), 101.1)
    assert isinstance(only(fleet).state, Starting)


def test_a_hook_that_cannot_be_killed_is_given_up() -> None:
    """Nobody waits for it for ever."""
    fleet = hooked(PRE_START)
    fleet.step(AlarmRang(), 105.0)
    assert fleet.deadline() == 105.0 + LAST_GRACE
    fleet.step(AlarmRang(), 105.0 + LAST_GRACE)
    assert isinstance(only(fleet).state, Backoff)


def test_a_hook_that_was_given_up_does_not_live_on() -> None:
    """Should its spawn be answered after all, it is killed."""
    fleet = hooked(PRE_START)
    fleet.step(AlarmRang(), 105.0)
    fleet.step(AlarmRang(), 105.0 + LAST_GRACE)
    late = fleet.step(Spawned(hook_name(PRE_START, NAME), 1, 99), 121.0)
    assert kills(late, PRE_START)


def test_a_hook_that_was_killed_before_it_was_there_is_killed_again() -> None:
    """The first SIGKILL reached nobody."""
    fleet = hooked(PRE_START)
    fleet.step(AlarmRang(), 105.0)
    assert kills(fleet.step(Spawned(hook_name(PRE_START, NAME), 1, 99), 106.0), PRE_START)


def test_a_stop_ends_the_preparation() -> None:
    """STOPPED at once; what is left of the hook is killed, and holds up the next start."""
    fleet = hooked(PRE_START)
    assert kills(fleet.step(StopRequested((NAME,)), 101.0), PRE_START)
    assert isinstance(only(fleet).state, Stopped)
    fleet.step(StartRequested((NAME,)), 101.1)
    assert isinstance(only(fleet).state, Waiting)
    fleet.step(over(PRE_START, status=KILLED), 101.2)
    assert only(fleet).state == Preparing(2, 101.2)


# --------------------------------------------------------------------------- the others


def test_post_start_runs_once_it_is_running() -> None:
    """Its failure is told and changes nothing."""
    fleet = hooked(POST_START)
    assert run_hooks(fleet.step(Spawned(NAME, 1, 77), 101.0)) == [POST_START]
    fleet.step(over(POST_START, status=FAILED), 102.0)
    assert isinstance(only(fleet).state, Running)
    assert only(fleet).hooks == ()


def test_pre_stop_comes_before_the_first_signal() -> None:
    """The ladder begins when it is over, well or not."""
    fleet = up(PRE_STOP)
    commands = fleet.step(StopRequested((NAME,)), 110.0)
    assert run_hooks(commands) == [PRE_STOP]
    assert not any(isinstance(command, Signal) for command in commands)
    assert isinstance(only(fleet).state, Parting)
    after = fleet.step(over(PRE_STOP, status=FAILED), 111.0)
    assert Signal(NAME, 1, 2, Target.MAIN) in after


def test_a_main_process_that_ends_meanwhile_needs_no_signal() -> None:
    """The stop is complete; the hook runs to its end."""
    fleet = up(PRE_STOP)
    fleet.step(StopRequested((NAME,)), 110.0)
    fleet.step(MainExited(NAME, 1, WELL, emptied=True), 110.5)
    assert isinstance(only(fleet).state, Stopped)
    fleet.step(over(PRE_STOP), 111.0)
    assert only(fleet).hooks == ()


def test_post_stop_comes_before_the_next_start() -> None:
    """Nothing of the run is left then, and nothing is spawned while it runs."""
    fleet = up(POST_STOP)
    commands = fleet.step(MainExited(NAME, 1, FAILED, emptied=True), 110.0)
    assert run_hooks(commands) == [POST_STOP]
    assert only(fleet).state == Waiting("waits for its hooks to end")
    assert Spawn(NAME, 2) in fleet.step(over(POST_STOP), 111.0)


def test_on_failure_runs_after_a_bad_end_only() -> None:
    """With the reason and the exit; the next start does not wait for it."""
    fleet = up(HookPoint.ON_FAILURE)
    commands = fleet.step(MainExited(NAME, 1, FAILED, emptied=True), 110.0)
    assert RunHook(NAME, 1, HookPoint.ON_FAILURE, "exit code 1", FAILED) in commands
    assert Spawn(NAME, 2) in commands
    well = up(HookPoint.ON_FAILURE, restart=RestartPolicy(when=When.ON_FAILURE))
    assert run_hooks(well.step(MainExited(NAME, 1, WELL, emptied=True), 110.0)) == []


def test_on_fatal_runs_when_it_is_given_up() -> None:
    """After the last failed start."""
    fleet = up(HookPoint.ON_FATAL, restart=RestartPolicy(limit=RestartLimit(1, 60.0)))
    commands = fleet.step(MainExited(NAME, 1, FAILED, emptied=True), 100.5)
    assert isinstance(only(fleet).state, Fatal)
    assert run_hooks(commands) == [HookPoint.ON_FATAL]


def test_never_two_of_one_point_at_once() -> None:
    """A second failure while the first one's hook runs has no hook of its own."""
    fleet = up(HookPoint.ON_FAILURE)
    fleet.step(MainExited(NAME, 1, FAILED, emptied=True), 110.0)
    fleet.step(Spawned(NAME, 2, 78), 110.1)
    assert run_hooks(fleet.step(MainExited(NAME, 2, FAILED, emptied=True), 120.0)) == []


def test_a_program_change_runs_the_hooks_of_the_new_spec() -> None:
    """The old ones are nowhere any more; the rungs are the old program's."""
    fleet = up(PRE_STOP)
    changed = spec(NAME, program=Program(("serve", "--fast"), "/srv"))
    commands = fleet.step(Configured(configuration(changed)), 110.0)
    assert run_hooks(commands) == []
    assert isinstance(only(fleet).state, Stopping)


# --------------------------------------------------------------------------- what interrupts


def test_a_recovery_says_again_what_may_not_have_been_heard() -> None:
    """A hook under way is ordered again; one that was killed is killed again, and not run."""
    fleet = hooked(PRE_START)
    again = restored(fleet)
    assert run_hooks(again.recover(101.0)) == [PRE_START]
    fleet.step(AlarmRang(), 105.0)
    later = restored(fleet)
    commands = later.recover(106.0)
    assert run_hooks(commands) == []
    assert kills(commands, PRE_START)


def test_the_second_level_of_haste_kills_hooks_too() -> None:
    """A shutdown that kills waits for nobody."""
    fleet = up(PRE_STOP)
    fleet.step(ShutdownRequested(), 110.0)
    assert kills(fleet.step(Hastened(2), 110.5), PRE_STOP)


def test_facts_of_a_strangers_hook_are_answered() -> None:
    """One that lives is killed, one that is over is buried."""
    fleet = hooked()
    name = hook_name(PRE_START, "gone:0")
    killed = fleet.step(Spawned(name, 3, 99), 101.0)
    assert Signal(name, 3, 9, Target.TREE) in killed
    assert fleet.step(MainExited(name, 3, KILLED, emptied=True), 101.1) == [Bury(name, 3)]
