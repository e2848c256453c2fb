"""The way down: rungs, deadlines, leftovers, hurry."""

from dataclasses import replace

import pytest

from supervisord_lite.core.command import Announce, Bury, Remember, Signal, Spawn, Sweep
from supervisord_lite.core.event import (
    AlarmRang,
    Emptied,
    Hastened,
    MainExited,
    Spawned,
    SpawnFailed,
    StopRequested,
)
from supervisord_lite.core.spec import Rung, Target
from supervisord_lite.core.state import Exit, Instance, Starting, State, Stopped, Stopping
from supervisord_lite.core.worker import advance

from .make import (
    FAILED,
    LADDER,
    RESTING,
    RUNNING,
    STARTING,
    STOPPING,
    STUCK,
    SWEEPING,
    UNANSWERED,
    WELL,
    instance,
    orders,
    spec,
    whys,
)

NAME = "web:0"
STOP = StopRequested((NAME,))


def stopping(before: Instance) -> Stopping:
    assert isinstance(before.state, Stopping)
    return before.state


def test_a_stop_begins_with_the_first_rung() -> None:
    """The signal goes to its target, the end of the tree is watched, the deadline is set."""
    after, commands = advance(instance(RUNNING), STOP, 110.0)
    assert after.state == Stopping(4, 77, LADDER, 0, 110.0, 113.0, 100.0, asked=True)
    assert not after.wanted
    assert commands == (
        Remember(NAME, after),
        Sweep(NAME, 4),
        Signal(NAME, 4, 2, Target.MAIN),
        Announce(NAME, "RUNNING", "STOPPING", "stop requested"),
    )


def test_rungs_are_climbed_at_their_deadlines() -> None:
    """Main, group, tree, each in its time; then nothing more can be done, and that is said."""
    down, _ = advance(instance(RUNNING), STOP, 110.0)
    assert advance(down, AlarmRang(), 112.9) == (down, ())
    down, commands = advance(down, AlarmRang(), 113.0)
    assert orders(commands) == [Signal(NAME, 4, 15, Target.GROUP)]
    assert whys(commands) == ["SIGTERM to its group: SIGINT to its main process was not enough"]
    assert stopping(down).deadline == 118.0
    down, commands = advance(down, AlarmRang(), 118.0)
    assert orders(commands) == [Signal(NAME, 4, 9, Target.TREE)]
    down, commands = advance(down, AlarmRang(), 120.0)
    assert (stopping(down).stuck, stopping(down).deadline) == (True, None)
    assert orders(commands) == []
    assert whys(commands) == ["cannot be ended: alive after SIGKILL to its tree"]


def test_what_is_stuck_may_end_after_all() -> None:
    """Uninterruptible sleep ends some day; the instance goes on from there."""
    after, commands = advance(instance(STUCK), Emptied(NAME, 4), 200.0)
    assert after.state == Starting(5, 200.0)
    assert orders(commands) == [Bury(NAME, 4), Spawn(NAME, 5)]


def test_a_configuration_does_not_change_a_stop_under_way() -> None:
    """The ladder is part of the state."""
    down = instance(STOPPING, spec(stop=(Rung(9, Target.TREE, 1.0),)))
    _, commands = advance(down, AlarmRang(), 103.0)
    assert orders(commands) == [Signal(NAME, 4, 15, Target.GROUP)]


def test_a_stop_waits_for_the_answer_to_a_spawn() -> None:
    """Nobody can be signalled yet; the first rung is sent when there is somebody."""
    down, commands = advance(instance(STARTING), STOP, 101.0)
    assert down.state == Stopping(4, None, LADDER, 0, 101.0, None, 101.0, asked=True)
    assert orders(commands) == []
    down, commands = advance(down, Spawned(NAME, 4, 77), 105.0)
    assert (stopping(down).pid, stopping(down).deadline) == (77, 108.0)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 2, Target.MAIN)]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stop_may_find_that_nothing_was_spawned(wanted: bool) -> None:
    """A spawn that failed satisfies the stop; the wish decides what follows."""
    failed = SpawnFailed(NAME, 4, "exec", 2, "")
    after, commands = advance(instance(UNANSWERED, wanted=wanted), failed, 105.0)
    assert after.state == (Starting(5, 105.0) if wanted else Stopped())
    assert orders(commands)[0] == Bury(NAME, 4)


def test_a_main_process_that_leaves_nothing_ends_the_stop() -> None:
    """An empty tree is the end of a stop, on whichever rung."""
    after, commands = advance(
        instance(STOPPING, wanted=False), MainExited(NAME, 4, Exit(signal=2), emptied=True), 101.0
    )
    assert (after.state, after.last_exit) == (Stopped(), Exit(signal=2))
    assert orders(commands) == [Bury(NAME, 4)]


def test_leftovers_of_an_asked_stop_get_term_once_and_the_last_rung() -> None:
    """The main process is gone, a child holds the port: it has what was left of the wait."""
    gone = MainExited(NAME, 4, WELL, emptied=False)
    down, commands = advance(instance(STOPPING), gone, 101.0)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 15, Target.TREE)]
    assert (stopping(down).deadline, stopping(down).exit) == (103.0, WELL)
    down, commands = advance(down, AlarmRang(), 103.0)
    assert orders(commands) == [Signal(NAME, 4, 9, Target.TREE)]
    down, _ = advance(down, AlarmRang(), 105.0)
    assert stopping(down).stuck


def test_leftovers_get_no_more_than_the_wait_of_the_first_rung() -> None:
    """A long later rung does not lengthen the sweep."""
    late = replace(STOPPING, rung=1, deadline=200.0)
    down, _ = advance(instance(late), MainExited(NAME, 4, WELL, emptied=False), 101.0)
    assert stopping(down).deadline == 104.0


def test_nothing_is_added_to_a_last_rung_that_has_reached_the_tree() -> None:
    """All of it has been killed; it only takes a moment."""
    last = replace(STOPPING, rung=2, deadline=102.0)
    down, commands = advance(instance(last), MainExited(NAME, 4, Exit(signal=9), False), 101.0)
    assert (stopping(down).exit, stopping(down).deadline) == (Exit(signal=9), 102.0)
    assert orders(commands) == []


def test_a_ladder_that_spares_the_tree_gets_one_that_does_not() -> None:
    """The last rung's signal went to the main process alone; the rest has it still to come."""
    rungs = (Rung(2, Target.MAIN, 3.0),)
    stuck = Stopping(4, 77, rungs, 0, 100.0, None, 90.0, asked=True, stuck=True)
    down, commands = advance(instance(stuck), MainExited(NAME, 4, WELL, False), 150.0)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 15, Target.TREE)]
    assert (stopping(down).stuck, stopping(down).deadline) == (False, 153.0)
    _, commands = advance(down, AlarmRang(), 153.0)
    assert orders(commands) == [Signal(NAME, 4, 2, Target.TREE)]


def test_leftovers_of_an_unasked_end_are_swept_before_the_next_run() -> None:
    """No new run while a descendant of the old one may hold its port."""
    down, commands = advance(instance(RUNNING), MainExited(NAME, 4, FAILED, False), 160.0)
    assert down.state == Stopping(
        4,
        77,
        (Rung(15, Target.TREE, 3.0), Rung(9, Target.TREE, 2.0)),
        0,
        160.0,
        163.0,
        100.0,
        asked=False,
        exit=FAILED,
    )
    assert down.wanted
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 15, Target.TREE)]
    after, commands = advance(down, Emptied(NAME, 4), 161.0)
    assert after.state == Starting(5, 161.0)
    assert orders(commands) == [Bury(NAME, 4), Spawn(NAME, 5)]


def test_a_stop_during_the_sweep_is_the_end() -> None:
    """The ladder goes on; no run follows."""
    down, commands = advance(instance(SWEEPING), STOP, 101.0)
    assert orders(commands) == []
    assert stopping(down).deadline == 103.0
    after, _ = advance(down, Emptied(NAME, 4), 102.0)
    assert (after.state, after.wanted) == (Stopped(), False)


def test_hurry_shortens_every_rung() -> None:
    """At the first level nothing waits longer than a second any more."""
    down, commands = advance(instance(STOPPING), Hastened(1), 100.5)
    assert [rung.wait for rung in stopping(down).rungs] == [1.0, 1.0, 1.0]
    assert stopping(down).deadline == 101.5
    assert orders(commands) == []
    soon, _ = advance(instance(STOPPING), Hastened(1), 102.8)
    assert stopping(soon).deadline == 103.0


@pytest.mark.parametrize("state", [STOPPING, SWEEPING, STUCK])
def test_more_hurry_kills_the_tree(state: State) -> None:
    """At the second level the tree is killed, whatever the ladder says."""
    down, commands = advance(instance(state), Hastened(2), 101.0)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 9, Target.TREE)]
    assert stopping(down).deadline == 102.0
    assert not stopping(down).stuck


def test_a_spawn_under_way_is_killed_as_soon_as_it_is_there() -> None:
    """The hurry waits for the answer like any stop, and is not forgotten."""
    down, commands = advance(instance(UNANSWERED, wanted=False), Hastened(2), 101.0)
    assert orders(commands) == []
    _, commands = advance(down, Spawned(NAME, 4, 77), 102.0)
    assert orders(commands) == [Sweep(NAME, 4), Signal(NAME, 4, 9, Target.TREE)]
    shortened, _ = advance(instance(UNANSWERED, wanted=False), Hastened(1), 101.0)
    assert stopping(shortened).deadline is None
    begun, _ = advance(shortened, Spawned(NAME, 4, 77), 102.0)
    assert stopping(begun).deadline == 103.0


@pytest.mark.parametrize("state", [*RESTING, STARTING, RUNNING])
def test_hurry_concerns_what_is_stopping(state: State) -> None:
    """Nobody else is touched by it."""
    before = instance(state)
    assert advance(before, Hastened(2), 101.0) == (before, ())
