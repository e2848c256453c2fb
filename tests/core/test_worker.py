"""The rules of one instance that are not about going down; those are in test_ladder.py."""

from dataclasses import replace

import pytest

from supervisord_lite.core.command import Announce, Bury, Remember, Signal, Spawn, Sweep
from supervisord_lite.core.event import (
    AlarmRang,
    Emptied,
    InstanceEvent,
    KeeperFact,
    MainExited,
    RestartRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.spec import Kind, RestartLimit, RestartPolicy, Target, When
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Running,
    Starting,
    State,
    Stopped,
    Stopping,
)
from supervisord_lite.core.worker import advance

from .make import (
    BACKOFF,
    EXITED,
    FAILED,
    FATAL,
    LIVE,
    RESTING,
    RUNNING,
    STARTING,
    STOPPING,
    STUCK,
    SWEEPING,
    UNANSWERED,
    WAITING,
    WELL,
    instance,
    orders,
    spec,
    whys,
)

NAME = "web:0"
START, STOP, RESTART = StartRequested((NAME,)), StopRequested((NAME,)), RestartRequested((NAME,))
BURY = Bury(NAME, 4)
NO_EXEC = SpawnFailed(NAME, 4, "exec", 2, "No such file or directory")


def kind_of(state: State) -> str:
    return type(state).__name__


@pytest.mark.parametrize("state", RESTING, ids=kind_of)
@pytest.mark.parametrize("event", [START, RESTART], ids=["start", "restart"])
def test_what_rests_is_started_at_once_and_afresh(state: State, event: InstanceEvent) -> None:
    """An operator's start ends every delay and every resignation, with a clean slate."""
    before = instance(state, attempts=3, failures=(99.0,), problem="exit code 1")
    after, commands = advance(before, event, 101.0)
    assert after == replace(
        before,
        state=Starting(5, 101.0),
        wanted=True,
        last_run=5,
        attempts=0,
        failures=(),
        problem=None,
    )
    assert commands[:2] == (Remember(NAME, after), Spawn(NAME, 5))
    assert isinstance(commands[2], Announce)


@pytest.mark.parametrize("state", [STARTING, RUNNING], ids=kind_of)
def test_what_is_up_is_not_started_twice(state: State) -> None:
    """A start of an instance that is up, or about to be, does nothing."""
    before = instance(state)
    assert advance(before, START, 101.0) == (before, ())


def test_a_restart_coalesces_with_a_start_under_way() -> None:
    """A run that has not begun is as new as one can ask for."""
    before = instance(STARTING)
    assert advance(before, RESTART, 101.0) == (before, ())


def test_restarts_at_once_are_one() -> None:
    """A second restart while the first is under way adds nothing."""
    once, _ = advance(instance(RUNNING), RESTART, 101.0)
    assert once.wanted
    assert advance(once, RESTART, 101.5) == (once, ())


@pytest.mark.parametrize("state", [BACKOFF, WAITING, FATAL, EXITED], ids=kind_of)
@pytest.mark.parametrize("event", [STOP, ShutdownRequested()], ids=["stop", "shutdown"])
def test_a_stop_of_what_has_no_process_is_immediate(state: State, event: InstanceEvent) -> None:
    """There is nothing to wait for: STOPPED, and no deadline is left."""
    after, commands = advance(instance(state), event, 101.0)
    assert (after.state, after.wanted) == (Stopped(), False)
    assert orders(commands) == []


def test_a_stop_of_what_is_stopped_does_nothing() -> None:
    """Not even a record is written."""
    before = instance(Stopped())
    assert advance(before, STOP, 101.0) == (before, ())


def test_the_last_command_wins() -> None:
    """A stop during a restart ends STOPPED; a start during a stop ends in a new run."""
    restarting, _ = advance(instance(RUNNING), RESTART, 101.0)
    stopping, _ = advance(restarting, STOP, 101.1)
    stopped, _ = advance(stopping, MainExited(NAME, 4, WELL, emptied=True), 101.2)
    assert (stopped.state, stopped.wanted) == (Stopped(), False)
    again, _ = advance(stopping, START, 101.1)
    started, commands = advance(again, MainExited(NAME, 4, WELL, emptied=True), 101.2)
    assert started.state == Starting(5, 101.2)
    assert orders(commands) == [BURY, Spawn(NAME, 5)]


def test_a_start_during_the_sweep_skips_the_policy() -> None:
    """A run that ended by itself leaves descendants; whoever asks meanwhile gets a run at once."""
    asked, _ = advance(
        instance(SWEEPING, spec(restart=RestartPolicy(when=When.NEVER))), START, 101.0
    )
    started, _ = advance(asked, Emptied(NAME, 4), 102.0)
    assert started.state == Starting(5, 102.0)


def test_passing_exec_is_running() -> None:
    """The keeper's word is remembered before it is announced."""
    after, commands = advance(instance(STARTING), Spawned(NAME, 4, 77), 100.5)
    assert after.state == Running(4, 77, 100.5, 100.5)
    assert commands == (
        Remember(NAME, after),
        Announce(NAME, "STARTING", "RUNNING", "started"),
    )


def test_a_stable_run_is_replaced_in_one_step() -> None:
    """From the exit to the order for the next run there is no state to wait in."""
    after, commands = advance(instance(RUNNING), MainExited(NAME, 4, Exit(signal=9), True), 160.0)
    assert after.state == Starting(5, 160.0)
    assert after.last_exit == Exit(signal=9)
    assert commands == (
        Remember(NAME, after),
        BURY,
        Spawn(NAME, 5),
        Announce(NAME, "RUNNING", "STARTING", "killed by SIGKILL"),
    )


def test_a_failed_start_backs_off() -> None:
    """The next try has a deadline and a reason."""
    policy = RestartPolicy(delay=2.0, jitter=0.0)
    before = instance(RUNNING, spec(restart=policy))
    after, commands = advance(before, MainExited(NAME, 4, FAILED, emptied=True), 100.5)
    assert after.state == Backoff(102.5, "exit code 1")
    assert (after.attempts, after.failures, after.problem) == (1, (100.5,), "exit code 1")
    assert orders(commands) == [BURY]


def test_backoff_ends_at_its_deadline_and_not_before() -> None:
    """An alarm that rings early does no harm."""
    before = instance(BACKOFF, attempts=1)
    assert advance(before, AlarmRang(), 102.9) == (before, ())
    after, commands = advance(before, AlarmRang(), 103.0)
    assert (after.state, after.attempts) == (Starting(5, 103.0), 1)
    assert orders(commands) == [Spawn(NAME, 5)]


def test_a_delay_of_zero_needs_no_backoff() -> None:
    """An explicit `delay: 0s` is honoured in the same step."""
    policy = RestartPolicy(delay=0.0)
    after, _ = advance(
        instance(RUNNING, spec(restart=policy)), MainExited(NAME, 4, FAILED, emptied=True), 100.1
    )
    assert (after.state, after.attempts) == (Starting(5, 100.1), 1)


def test_the_limit_makes_it_fatal() -> None:
    """Given up with a reason in words; it stays wanted, so that a new program may try."""
    policy = RestartPolicy(limit=RestartLimit(2, 300.0))
    before = instance(RUNNING, spec(restart=policy), attempts=1, failures=(99.0,))
    after, commands = advance(before, MainExited(NAME, 4, FAILED, emptied=True), 100.5)
    text = "2 failed starts within 5m, last: exit code 1"
    assert after.state == Fatal(text, 100.5)
    assert (after.wanted, after.problem) == (True, text)
    assert (orders(commands), whys(commands)) == ([BURY], [text])


def test_a_spawn_that_failed_is_a_failed_start() -> None:
    """It is retried with a delay, and its reason names stage and errno."""
    after, commands = advance(instance(STARTING), NO_EXEC, 100.1)
    assert isinstance(after.state, Backoff)
    assert after.state.reason == "cannot exec serve: No such file or directory (ENOENT)"
    assert orders(commands) == [BURY]


def test_a_finished_task_is_exited() -> None:
    """Success ends a task; it is no longer wanted."""
    before = instance(RUNNING, spec(kind=Kind.TASK))
    after, commands = advance(before, MainExited(NAME, 4, WELL, emptied=True), 100.5)
    assert (after.state, after.wanted) == (Exited(4, WELL, 100.5), False)
    assert orders(commands) == [BURY]


def test_the_length_of_a_run_ends_with_its_main_process() -> None:
    """Time spent on sweeping up descendants does not make a failed start a stable run."""
    before = instance(replace(SWEEPING, started=99.5, since=100.0))
    after, _ = advance(before, Emptied(NAME, 4), 160.0)
    assert isinstance(after.state, Backoff)


@pytest.mark.parametrize("state", RESTING, ids=kind_of)
@pytest.mark.parametrize(
    "fact",
    [
        MainExited(NAME, 4, FAILED, False),
        MainExited(NAME, 3, WELL, True),
        Emptied(NAME, 4),
        NO_EXEC,
    ],
    ids=["exited", "earlier", "emptied", "failed"],
)
def test_news_of_a_run_that_is_over_is_buried_again(state: State, fact: KeeperFact) -> None:
    """A repeated fact changes nothing; it is only answered."""
    before = instance(state, last_run=4)
    assert advance(before, fact, 101.0) == (before, (Bury(NAME, fact.run),))


@pytest.mark.parametrize("state", LIVE, ids=kind_of)
def test_news_of_an_earlier_run_does_not_touch_the_present_one(state: State) -> None:
    """Facts name their run, and only the live one counts."""
    before = instance(state)
    assert advance(before, MainExited(NAME, 3, FAILED, emptied=True), 101.0) == (
        before,
        (Bury(NAME, 3),),
    )
    assert advance(before, Spawned(NAME, 3, 55), 101.0) == (before, ())


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        (RUNNING, Spawned(NAME, 4, 77)),
        (STOPPING, Spawned(NAME, 4, 77)),
        (SWEEPING, Spawned(NAME, 4, 77)),
        (SWEEPING, MainExited(NAME, 4, FAILED, emptied=False)),
        (RUNNING, NO_EXEC),
        (STOPPING, NO_EXEC),
    ],
)
def test_facts_of_the_live_run_may_be_repeated(state: State, fact: KeeperFact) -> None:
    """What is known already is no news."""
    before = instance(state)
    assert advance(before, fact, 101.0) == (before, ())


@pytest.mark.parametrize("state", RESTING, ids=kind_of)
def test_a_later_run_found_alive_is_adopted(state: State) -> None:
    """The keeper knows of a process that nobody else does: it is ours, and wanted."""
    after, commands = advance(instance(state, last_run=4), Spawned(NAME, 9, 88), 101.0)
    assert after.state == Running(9, 88, 101.0, 101.0)
    assert (after.wanted, after.last_run) == (True, 9)
    assert orders(commands) == []


def test_a_later_run_that_is_over_is_accounted_for() -> None:
    """It only raises the run number, and is buried."""
    after, commands = advance(instance(Stopped(), last_run=4), Emptied(NAME, 9), 101.0)
    assert (after.state, after.last_run) == (Stopped(), 9)
    assert orders(commands) == [Bury(NAME, 9)]


def test_leftovers_of_a_later_run_are_swept_up() -> None:
    """Its main process is gone, its descendants are not: they are ended, and nothing follows."""
    found = MainExited(NAME, 9, Exit(), emptied=False)
    after, commands = advance(instance(Stopped(), last_run=4), found, 101.0)
    assert isinstance(after.state, Stopping)
    assert after.state.asked
    assert orders(commands) == [Sweep(NAME, 9), Signal(NAME, 9, 15, Target.TREE)]
    down, _ = advance(after, Emptied(NAME, 9), 102.0)
    assert down.state == Stopped()


@pytest.mark.parametrize("state", [STARTING, RUNNING], ids=kind_of)
def test_an_empty_tree_without_an_exit_is_an_end_of_unknown_status(state: State) -> None:
    """Nothing of the run is left; its status is not invented."""
    after, commands = advance(instance(state), Emptied(NAME, 4), 160.0)
    assert after.last_exit == Exit()
    assert BURY in orders(commands)


def test_signals_reach_main_processes_only() -> None:
    """An operator's signal goes to a main process that is there, and changes nothing."""
    usr1 = SignalRequested((NAME,), 10)
    for state in (RUNNING, STOPPING, STUCK):
        before = instance(state)
        assert advance(before, usr1, 101.0) == (before, (Signal(NAME, 4, 10, Target.MAIN),))
    for other in (*RESTING, STARTING, UNANSWERED, SWEEPING):
        before = instance(other)
        assert advance(before, usr1, 101.0) == (before, ())
