"""What a configuration, a hold and a recovery mean for one instance."""

from dataclasses import replace

import pytest

from supervisord_lite.core.command import Bury, Forget, Remember, Signal, Spawn, Sweep
from supervisord_lite.core.event import (
    Added,
    AlarmRang,
    Emptied,
    HoldLifted,
    MainExited,
    Recovered,
    RestartRequested,
    SpawnFailed,
    SpecReplaced,
    StartRequested,
    StopRequested,
    Withdrawn,
)
from supervisord_lite.core.spec import Program, RestartPolicy, Target
from supervisord_lite.core.state import (
    Starting,
    State,
    Stopped,
    Stopping,
    Waiting,
)
from supervisord_lite.core.worker import advance

from .make import (
    BACKOFF,
    EXITED,
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
)

NAME = "web:0"
START, STOP, RESTART = StartRequested((NAME,)), StopRequested((NAME,)), RestartRequested((NAME,))
BURY = Bury(NAME, 4)
NO_EXEC = SpawnFailed(NAME, 4, "exec", 2, "No such file or directory")


def kind_of(state: State) -> str:
    return type(state).__name__


OTHER = Program(("serve", "--fast"), "/srv")
NEW = spec(program=OTHER)


@pytest.mark.parametrize("state", [*RESTING, *LIVE], ids=kind_of)
def test_other_fields_are_taken_over_in_place(state: State) -> None:
    """A spec with the same program changes the spec and nothing else, whatever the state."""
    before = instance(state, held=True)
    new = spec(restart=RestartPolicy(delay=9.0), autostart=False)
    after, commands = advance(before, SpecReplaced(new), 101.0)
    assert after == replace(before, spec=new)
    assert orders(commands) == []


def test_a_new_program_restarts_by_the_old_rungs() -> None:
    """What runs goes down as it was meant to, and the next run has the new program."""
    new = replace(NEW, stop=())
    after, commands = advance(instance(RUNNING), SpecReplaced(new), 101.0)
    assert isinstance(after.state, Stopping)
    assert (after.state.rungs, after.wanted, after.spec) == (spec().stop, True, new)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 2, Target.MAIN)]


def test_a_new_program_restarts_a_spawn_under_way() -> None:
    """A run ordered with the old program does not stay."""
    after, commands = advance(instance(STARTING), SpecReplaced(NEW), 101.0)
    assert after.state == Stopping(4, None, spec().stop, 0, 101.0, None, 101.0, asked=True)
    assert after.wanted
    assert orders(commands) == []


@pytest.mark.parametrize("state", [BACKOFF, FATAL, WAITING], ids=kind_of)
def test_a_new_program_is_tried_at_once(state: State) -> None:
    """What failed before is another program; it starts anew with a clean slate."""
    before = instance(state, attempts=5, failures=(99.0,))
    after, _ = advance(before, SpecReplaced(NEW), 101.0)
    assert (after.state, after.attempts, after.failures) == (Starting(5, 101.0), 0, ())


def test_a_new_program_does_not_wake_what_was_stopped() -> None:
    """An operator's stop survives a reload."""
    before = instance(Stopped())
    after, commands = advance(before, SpecReplaced(NEW), 101.0)
    assert after == replace(before, spec=NEW)
    assert orders(commands) == []


def test_a_new_program_is_run_where_the_old_one_has_ended() -> None:
    """What is done is done by the old program; a new one has yet to be, as after a fresh boot."""
    after, _ = advance(instance(EXITED), SpecReplaced(NEW), 101.0)
    assert after.state == Starting(5, 101.0)
    rests = replace(NEW, autostart=False)
    after, _ = advance(instance(EXITED), SpecReplaced(rests), 101.0)
    assert after.state == EXITED


def test_a_new_program_during_the_sweep_skips_the_policy() -> None:
    """The old program's failure says nothing about the new one."""
    changed, _ = advance(instance(SWEEPING), SpecReplaced(NEW), 101.0)
    after, _ = advance(changed, Emptied(NAME, 4), 102.0)
    assert (after.state, after.attempts) == (Starting(5, 102.0), 0)


@pytest.mark.parametrize("state", RESTING, ids=kind_of)
def test_what_rests_is_forgotten_at_once_when_removed(state: State) -> None:
    """Removed and not alive: nothing is kept."""
    after, commands = advance(instance(state), Withdrawn(), 101.0)
    assert (after.state, after.retiring, after.wanted) == (Stopped(), True, False)
    assert orders(commands) == [Forget(NAME)]


def test_what_lives_is_stopped_before_it_is_forgotten() -> None:
    """Removed and alive: down by its own rungs, then forgotten in the step that buries it."""
    after, commands = advance(instance(RUNNING), Withdrawn(), 101.0)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 2, Target.MAIN)]
    _, commands = advance(after, MainExited(NAME, 4, WELL, emptied=True), 102.0)
    assert orders(commands) == [BURY, Forget(NAME)]


def test_what_retires_takes_no_orders() -> None:
    """It has left the configuration; a start cannot bring it back."""
    retiring = instance(STOPPING, retiring=True, wanted=False)
    for event in (START, RESTART, STOP, Withdrawn()):
        assert advance(retiring, event, 101.0) == (retiring, ())


@pytest.mark.parametrize("autostart", [True, False])
def test_added_back_while_retiring_is_a_new_start(autostart: bool) -> None:
    """The removed run goes down first; then the instance is as new."""
    retiring = instance(STOPPING, retiring=True, wanted=False)
    back, _ = advance(retiring, SpecReplaced(spec(autostart=autostart)), 101.0)
    after, _ = advance(back, MainExited(NAME, 4, WELL, emptied=True), 102.0)
    assert after.state == (Starting(5, 102.0) if autostart else Stopped())
    assert not after.retiring


def test_an_unknown_program_is_taken_for_the_declared_one() -> None:
    """A run that was adopted by name alone is not restarted when its spec becomes known."""
    stranger = instance(RUNNING, spec(program=Program((), "/")))
    after, commands = advance(stranger, SpecReplaced(NEW), 101.0)
    assert (after.state, after.spec) == (RUNNING, NEW)
    assert orders(commands) == []


def test_an_added_instance_starts_if_it_is_to() -> None:
    """`autostart` decides; what does not start is remembered all the same."""
    fresh = instance(Stopped(), last_run=0)
    after, _ = advance(fresh, Added(start=True), 101.0)
    assert (after.state, after.wanted) == (Starting(1, 101.0), True)
    lazy = instance(Stopped(), spec(autostart=False), last_run=0)
    assert advance(lazy, Added(start=False), 101.0) == (lazy, (Remember(NAME, lazy),))


def test_nothing_starts_by_itself_under_a_hold() -> None:
    """A start that is due waits, and says for what."""
    held = instance(BACKOFF, held=True)
    after, commands = advance(held, AlarmRang(), 103.0)
    assert after.state == Waiting("held: nothing is started by itself")
    assert after.wanted
    assert orders(commands) == []


def test_an_operators_start_passes_the_hold() -> None:
    """Asked is not by itself; the instance is free from then on."""
    after, commands = advance(instance(WAITING, held=True), START, 103.0)
    assert (after.state, after.held) == (Starting(5, 103.0), False)
    assert orders(commands) == [Spawn(NAME, 5)]
    stopping, _ = advance(instance(RUNNING, held=True), RESTART, 103.0)
    restarted, _ = advance(stopping, Emptied(NAME, 4), 104.0)
    assert restarted.state == Starting(5, 104.0)


def test_what_waited_starts_when_the_hold_is_lifted() -> None:
    """Only what waited for the hold starts; whoever was not held does not notice."""
    after, _ = advance(instance(WAITING, held=True), HoldLifted(), 103.0)
    assert (after.state, after.held) == (Starting(5, 103.0), False)
    running, commands = advance(instance(RUNNING, held=True), HoldLifted(), 103.0)
    assert (running.held, orders(commands)) == (False, [])
    free = instance(RUNNING)
    assert advance(free, HoldLifted(), 103.0) == (free, ())


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (STARTING, [Spawn(NAME, 4)]),
        (STOPPING, [Sweep(NAME, 4)]),
        (SWEEPING, [Sweep(NAME, 4)]),
        (STUCK, [Sweep(NAME, 4)]),
        (UNANSWERED, []),
        (RUNNING, []),
        (BACKOFF, []),
        (FATAL, []),
        (EXITED, []),
        (Stopped(), []),
    ],
)
def test_a_recovery_says_again_what_may_be_lost(state: State, said: list[object]) -> None:
    """The keeper takes a repeated order as none."""
    before = instance(state)
    after, commands = advance(before, Recovered(), 101.0)
    assert (after, list(commands)) == (before, said)


def test_a_recovery_without_a_hold_starts_what_waited_for_one() -> None:
    """The reason is gone with the manager that held."""
    after, _ = advance(instance(WAITING), Recovered(), 101.0)
    assert after.state == Starting(5, 101.0)
    held = instance(WAITING, held=True)
    assert advance(held, Recovered(), 101.0) == (held, ())


@pytest.mark.parametrize("state", [*RESTING, *LIVE], ids=kind_of)
def test_an_alarm_before_any_deadline_does_nothing(state: State) -> None:
    """Stale alarms are harmless in every state."""
    before = instance(state)
    assert advance(before, AlarmRang(), 102.0) == (before, ())
