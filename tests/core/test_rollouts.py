"""Roll-outs: how the instances of a worker come to a new program, or back."""

from dataclasses import replace

import pytest

from supervisord_lite.core.channel import Binding, Channel, Queue
from supervisord_lite.core.command import Command, Note, Signal, Spawn
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Event,
    MainExited,
    RolloutRequested,
    RolloutUndone,
    Spawned,
    SpawnFailed,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.generations import succeeding
from supervisord_lite.core.rollout import Progress
from supervisord_lite.core.spec import (
    Configuration,
    InstanceSpec,
    Kind,
    Program,
    RestartLimit,
    RestartPolicy,
    Strategy,
    UpdatePolicy,
    When,
)
from supervisord_lite.core.state import (
    Backoff,
    Fatal,
    Parting,
    Running,
    Starting,
    Stopped,
    Stopping,
)

from .make import WELL, configuration, restored, spec, up, whys

STEADY = RestartPolicy(stable_after=0.0)
OLD, NEW = Program(("serve", "1"), "/srv"), Program(("serve", "2"), "/srv")


def web(count: int, program: Program, policy: UpdatePolicy, **fields: object) -> Configuration:
    def one(number: int) -> InstanceSpec:
        return spec(f"web:{number}", program=program, update=policy, restart=STEADY, **fields)

    spares = (one(count),) if policy.strategy is Strategy.START_FIRST else ()
    return replace(configuration(*map(one, range(count))), spares=spares)


def rolling(count: int, program: Program = OLD, **policy: object) -> Configuration:
    return web(count, program, UpdatePolicy(Strategy.ROLLING, **policy))  # type: ignore[arg-type]


def start_first(count: int, program: Program = OLD) -> Configuration:
    return web(count, program, UpdatePolicy(Strategy.START_FIRST))


def signalled(commands: list[Command]) -> list[str]:
    return [command.instance for command in commands if isinstance(command, Signal)]


def spawned(commands: list[Command]) -> list[str]:
    return [command.instance for command in commands if isinstance(command, Spawn)]


def replaced(fleet: Fleet, name: str, now: float) -> list[Command]:
    """The old run ends, and the new one is RUNNING; what follows from that."""
    run = fleet.instances[name].last_run
    fleet.step(MainExited(name, run, WELL, emptied=True), now)
    return fleet.step(Spawned(name, run + 1, 50 + run), now)


def progress(fleet: Fleet) -> Progress:
    return fleet.rollouts["web"].progress


def away(fleet: Fleet) -> list[str]:
    return [name for name, one in fleet.instances.items() if not isinstance(one.state, Running)]


# --------------------------------------------------------------------------- taking turns


def test_by_default_all_are_replaced_at_once() -> None:
    """`recreate` waits for nobody."""
    fleet = up(web(3, OLD, UpdatePolicy()))
    commands = fleet.step(Configured(web(3, NEW, UpdatePolicy())), 200.0)
    assert signalled(commands) == ["web:0", "web:1", "web:2"]


def test_a_rolling_reload_replaces_one_after_the_other() -> None:
    """The next one goes down once the one before is RUNNING with the new program."""
    fleet = up(rolling(3))
    assert signalled(fleet.step(Configured(rolling(3, NEW)), 200.0)) == ["web:0"]
    assert signalled(replaced(fleet, "web:0", 201.0)) == ["web:1"]
    assert signalled(replaced(fleet, "web:1", 202.0)) == ["web:2"]
    commands = replaced(fleet, "web:2", 203.0)
    assert progress(fleet) is Progress.DONE
    assert any(isinstance(command, Note) for command in commands)
    assert all(one.spec.program == NEW for one in fleet.instances.values())


def test_several_may_be_away() -> None:
    """`max_unavailable` at a time."""
    fleet = up(rolling(4, max_unavailable=2))
    commands = fleet.step(Configured(rolling(4, NEW, max_unavailable=2)), 200.0)
    assert signalled(commands) == ["web:0", "web:1"]


def test_what_is_away_by_itself_counts() -> None:
    """With one down on its own, nobody else is taken down."""
    fleet = up(rolling(3))
    fleet.step(MainExited("web:2", 1, WELL, emptied=True), 199.0)
    assert away(fleet) == ["web:2"]
    fleet.step(Configured(rolling(3, NEW)), 200.0)
    assert set(away(fleet)) == {"web:2"}


def test_what_was_stopped_by_hand_gets_the_spec_and_stays_down() -> None:
    """It takes no turn and holds up nobody."""
    fleet = up(rolling(2))
    fleet.step(StopRequested(("web:1",)), 150.0)
    fleet.step(MainExited("web:1", 1, WELL, emptied=True), 151.0)
    fleet.step(Configured(rolling(2, NEW)), 200.0)
    assert fleet.instances["web:1"].spec.program == NEW
    assert isinstance(fleet.instances["web:1"].state, Stopped)


def test_a_pause_is_kept_between_turns() -> None:
    """An alarm goes on with it."""
    fleet = up(rolling(2, pause=10.0))
    fleet.step(Configured(rolling(2, NEW, pause=10.0)), 200.0)
    assert signalled(replaced(fleet, "web:0", 201.0)) == []
    assert fleet.deadline() == 211.0
    assert signalled(fleet.step(AlarmRang(), 211.0)) == ["web:1"]


def test_a_restart_by_turns() -> None:
    """Without any change, each gets another run."""
    fleet = up(rolling(2))
    assert signalled(fleet.step(RolloutRequested(("web",)), 200.0)) == ["web:0"]
    assert signalled(replaced(fleet, "web:0", 201.0)) == ["web:1"]
    replaced(fleet, "web:1", 202.0)
    assert progress(fleet) is Progress.DONE


def test_tasks_and_jobs_take_no_turns() -> None:
    """They are not RUNNING all the time, so nobody could wait for it."""
    policy = UpdatePolicy(Strategy.ROLLING)
    fleet = up(web(2, OLD, policy, kind=Kind.TASK))
    commands = fleet.step(Configured(web(2, NEW, policy, kind=Kind.TASK)), 200.0)
    assert signalled(commands) == ["web:0", "web:1"]


# --------------------------------------------------------------------------- going back


def test_a_new_run_that_fails_brings_the_old_program_back() -> None:
    """The roll-out goes back by itself; the others were never touched."""
    fleet = up(rolling(3))
    fleet.step(Configured(rolling(3, NEW)), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, "No such file or directory"), 201.1)
    assert progress(fleet) is Progress.GOING_BACK
    assert fleet.instances["web:0"].spec.program == OLD
    fleet.step(AlarmRang(), 203.0)
    fleet.step(Spawned("web:0", fleet.instances["web:0"].last_run, 99), 203.1)
    assert progress(fleet) is Progress.WENT_BACK
    assert fleet.configuration == rolling(3)
    assert [fleet.instances[f"web:{number}"].last_run for number in (1, 2)] == [1, 1]


def test_without_abort_on_failure_it_goes_on_trying() -> None:
    """The restart policy deals with it, and nobody else is taken down."""
    fleet = up(rolling(2, abort_on_failure=False))
    fleet.step(Configured(rolling(2, NEW, abort_on_failure=False)), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, ""), 201.1)
    assert progress(fleet) is Progress.UNDER_WAY
    assert away(fleet) == ["web:0"]


def test_a_restart_that_fails_stops_the_roll_out() -> None:
    """There is nothing to go back to, so the others keep running."""
    fleet = up(rolling(2))
    fleet.step(RolloutRequested(("web",)), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, ""), 201.1)
    assert progress(fleet) is Progress.STOPPED
    assert away(fleet) == ["web:0"]


def test_undo_goes_back_by_turns() -> None:
    """To what was before the last roll-out."""
    fleet = up(rolling(2))
    fleet.step(Configured(rolling(2, NEW)), 200.0)
    for number, now in ((0, 201.0), (1, 202.0)):
        replaced(fleet, f"web:{number}", now)
    assert signalled(fleet.step(RolloutUndone(("web",)), 300.0)) == ["web:0"]
    for number, now in ((0, 301.0), (1, 302.0)):
        replaced(fleet, f"web:{number}", now)
    assert all(one.spec.program == OLD for one in fleet.instances.values())


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([], "there was none"),
        ([RolloutRequested(("web",))], "it has changed nothing"),
        (
            [Configured(rolling(2, NEW)), Configured(rolling(3, NEW))],
            "it has another number of instances since",
        ),
    ],
)
def test_what_cannot_be_undone_is_refused(before: list[Event], why: str) -> None:
    """Nothing happens but that it is told, once, why not."""
    fleet = up(rolling(2))
    for event in before:
        fleet.step(event, 200.0)
    told = f"cannot undo a roll-out of web: {why}"
    assert fleet.cannot_undo("web") == told
    assert fleet.step(RolloutUndone(("web",)), 300.0) == [Note(told, problem=True)]


def test_a_roll_out_that_went_back_by_itself_cannot_be_undone() -> None:
    """Neither then, nor while it goes back."""
    fleet = up(rolling(2))
    fleet.step(Configured(rolling(2, NEW)), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, ""), 201.1)
    assert fleet.cannot_undo("web") == "cannot undo a roll-out of web: it goes back already"
    fleet.step(Spawned("web:0", 3, 9), 201.2)
    assert progress(fleet) is Progress.WENT_BACK
    assert fleet.cannot_undo("web") == "cannot undo a roll-out of web: it went back by itself"


def test_a_start_first_roll_out_can_be_undone_while_its_spare_starts() -> None:
    """The spare is none of those that there were before."""
    fleet = up(start_first(2))
    fleet.step(Configured(start_first(2, NEW)), 200.0)
    assert not fleet.cannot_undo("web")
    fleet.step(RolloutUndone(("web",)), 201.0)
    assert fleet.instances["web:2"].retiring
    assert away(fleet) == ["web:2"]


def test_a_restart_by_turns_says_what_has_asked_for_it() -> None:
    """Such as a file that has changed: in the roll-out, and at each turn."""
    fleet = up(rolling(2))
    commands = fleet.step(RolloutRequested(("web",), "changed: app.py"), 200.0)
    assert fleet.rollouts["web"].why == "changed: app.py"
    assert whys(commands) == ["changed: app.py"]
    assert whys(replaced(fleet, "web:0", 201.0))[-1] == "changed: app.py"


def test_a_restart_by_turns_begins_with_what_was_given_up() -> None:
    """What is FATAL is never RUNNING by itself, and the others would wait for it for ever."""
    known = dict(up(rolling(3)).instances)
    known["web:1"] = replace(known["web:1"], state=Fatal("failed", 150.0))
    fleet = Fleet.restore(rolling(3), known.values(), held=False, shutdown=None)
    commands = fleet.step(RolloutRequested(("web",)), 201.0)
    assert (spawned(commands), signalled(commands)) == (["web:1"], [])
    assert signalled(fleet.step(Spawned("web:1", 2, 9), 202.0)) == ["web:0"]


def test_what_had_no_turn_may_fail_too() -> None:
    """It was not up, has the new program at once, and cannot be started with it."""
    once = RestartPolicy(stable_after=0.0, limit=RestartLimit(1, 60.0))

    def config(program: Program) -> Configuration:
        applied = start_first(2, program)
        return replace(
            applied, instances=tuple(replace(i, restart=once) for i in applied.instances)
        )

    fleet = Fleet()
    fleet.step(Configured(config(OLD)), 100.0)
    fleet.step(Spawned("web:1", 1, 7), 100.0)
    known = dict(fleet.instances)
    known["web:0"] = replace(known["web:0"], state=Backoff(210.0, "exit code 1"))
    fleet = Fleet.restore(config(OLD), known.values(), held=False, shutdown=None)
    fleet.step(Configured(config(NEW)), 200.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, ""), 201.0)
    assert progress(fleet) is Progress.GOING_BACK


def with_queue(capacity: int, program: Program = OLD) -> Configuration:
    bound = replace(program, channels=(Binding("jobs"),))
    return replace(rolling(3, bound), channels=(Channel("jobs", Queue(capacity)),))


def test_going_back_never_leads_to_a_channel_that_is_no_more() -> None:
    """Who had no turn yet has the channel that was replaced, and is restarted for the other."""
    old = with_queue(10)
    fleet = up(old)
    fleet.step(Configured(succeeding(old, with_queue(5, NEW))), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, "No such file or directory"), 201.1)
    assert progress(fleet) is Progress.GOING_BACK
    fleet.step(AlarmRang(), 203.0)
    commands = fleet.step(Spawned("web:0", fleet.instances["web:0"].last_run, 99), 203.1)
    assert signalled(commands) == ["web:1"]
    assert signalled(replaced(fleet, "web:1", 204.0)) == ["web:2"]
    replaced(fleet, "web:2", 205.0)
    assert progress(fleet) is Progress.WENT_BACK
    for one in fleet.instances.values():
        assert one.spec.program.argv == OLD.argv
        assert [bound.generation for bound in one.spec.program.channels] == [1]
    assert fleet.configuration
    assert succeeding(fleet.configuration, with_queue(5)) == fleet.configuration


def test_a_roll_out_for_a_channel_alone_has_nothing_to_go_back_to() -> None:
    """It stops, and says why; undoing it would change nothing."""
    old = with_queue(10)
    fleet = up(old)
    fleet.step(Configured(succeeding(old, with_queue(5))), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, "No such file or directory"), 201.1)
    assert progress(fleet) is Progress.STOPPED
    assert "changed nothing" in fleet.cannot_undo("web")


def test_turns_are_taken_when_a_manager_dies_as_it_overtakes_a_roll_out() -> None:
    """It has remembered the new configuration and no more: what is remembered of the roll-out is
    about another one, on its way back.
    """
    fleet = up(rolling(3))
    fleet.step(Configured(rolling(3, NEW)), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, ""), 201.1)
    assert progress(fleet) is Progress.GOING_BACK
    again = restored(fleet, of=rolling(3, Program(("serve", "3"), "/srv")))
    assert signalled(again.recover(202.0)) == []
    assert away(again) == ["web:0"]
    assert progress(again) is Progress.UNDER_WAY


# --------------------------------------------------------------------------- start-first


def test_start_first_has_a_spare_before_anybody_goes() -> None:
    """It is RUNNING before the first one goes down, and leaves at the end."""
    fleet = up(start_first(2))
    commands = fleet.step(Configured(start_first(2, NEW)), 200.0)
    assert (spawned(commands), signalled(commands)) == (["web:2"], [])
    assert signalled(fleet.step(Spawned("web:2", 1, 9), 201.0)) == ["web:0"]
    assert signalled(replaced(fleet, "web:0", 202.0)) == ["web:1"]
    assert signalled(replaced(fleet, "web:1", 203.0)) == ["web:2"]
    fleet.step(MainExited("web:2", 1, WELL, emptied=True), 204.0)
    assert list(fleet.instances) == ["web:0", "web:1"]


def test_a_spare_is_brought_by_the_next_manager() -> None:
    """One that died when it had remembered the roll-out, and no more, leaves nobody stuck."""
    fleet = up(start_first(2))
    before = list(fleet.instances.values())
    fleet.step(Configured(start_first(2, NEW)), 200.0)
    again = Fleet.restore(
        fleet.configuration,
        before,
        held=False,
        shutdown=None,
        rollouts=fleet.rollouts.values(),
    )
    assert spawned(again.recover(201.0)) == ["web:2"]


def test_a_spare_that_fails_takes_nobody_down() -> None:
    """All others run the old program all the time."""
    fleet = up(start_first(2))
    fleet.step(Configured(start_first(2, NEW)), 200.0)
    fleet.step(SpawnFailed("web:2", 1, "exec", 2, ""), 200.1)
    assert progress(fleet) is Progress.WENT_BACK
    assert list(fleet.instances) == ["web:0", "web:1"]
    assert [one.last_run for one in fleet.instances.values()] == [1, 1]


def test_a_spare_that_a_scale_up_has_declared_stays() -> None:
    """The worker has grown meanwhile and counts it among its own."""
    fleet = up(start_first(1))
    fleet.step(RolloutRequested(("web",)), 200.0)
    fleet.step(Spawned("web:1", 1, 9), 201.0)
    fleet.step(Configured(start_first(2)), 201.5)
    fleet.step(Spawned("web:2", 1, 10), 201.6)  # the spare of a worker that has two of its own
    replaced(fleet, "web:0", 202.0)
    assert progress(fleet) is Progress.DONE
    assert isinstance(fleet.instances["web:1"].state, Running)


def test_the_spare_of_a_roll_out_that_is_replaced_leaves() -> None:
    """A reload to another strategy needs it no more."""
    fleet = up(start_first(2))
    fleet.step(Configured(start_first(2, NEW)), 200.0)
    fleet.step(Spawned("web:2", 1, 9), 200.1)
    fleet.step(Configured(rolling(2, NEW)), 200.2)
    leaving = fleet.instances.get("web:2")
    assert leaving is None or leaving.retiring


# --------------------------------------------------------------------------- what interrupts


def test_a_new_manager_goes_on_with_it() -> None:
    """A roll-out is found again, and finished."""
    fleet = up(rolling(2))
    fleet.step(Configured(rolling(2, NEW)), 200.0)
    again = Fleet.restore(
        fleet.configuration,
        fleet.instances.values(),
        held=False,
        shutdown=None,
        rollouts=fleet.rollouts.values(),
    )
    again.recover(200.5)
    assert signalled(replaced(again, "web:0", 201.0)) == ["web:1"]
    replaced(again, "web:1", 202.0)
    assert progress(again) is Progress.DONE


def test_a_roll_out_whose_worker_is_removed_is_forgotten() -> None:
    """With all of its instances, the spare among them."""
    fleet = up(start_first(1))
    fleet.step(Configured(start_first(1, NEW)), 200.0)
    fleet.step(Configured(configuration(spec("db:0"))), 200.1)
    assert dict(fleet.rollouts) == {}
    assert all(one.retiring for name, one in fleet.instances.items() if name != "db:0")


def test_a_removal_during_a_roll_out_goes_on_with_the_rest() -> None:
    """Scaled down in the middle, it ends with those that are left."""
    fleet = up(rolling(3))
    fleet.step(Configured(rolling(3, NEW)), 200.0)
    fleet.step(Configured(rolling(2, NEW)), 200.5)
    assert isinstance(fleet.instances["web:2"].state, Parting | Stopping)
    replaced(fleet, "web:0", 201.0)
    replaced(fleet, "web:1", 202.0)
    assert progress(fleet) is Progress.DONE


def test_a_restored_fleet_without_a_roll_out_has_nothing_to_do() -> None:
    """What is done is done."""
    fleet = up(rolling(2))
    event: Event = RolloutRequested(("web",))
    fleet.step(event, 200.0)
    replaced(fleet, "web:0", 201.0)
    replaced(fleet, "web:1", 202.0)
    again = restored(fleet)
    assert signalled(again.recover(203.0)) == []
    assert not any(isinstance(one.state, Starting) for one in again.instances.values())


def test_a_new_run_that_dies_in_the_pause_has_failed() -> None:
    """The pause is there to see that the new program lives."""
    fleet = up(rolling(3, pause=30.0))
    fleet.step(Configured(rolling(3, NEW, pause=30.0)), 200.0)
    replaced(fleet, "web:0", 201.0)
    assert progress(fleet) is Progress.UNDER_WAY
    fleet.step(MainExited("web:0", 2, WELL, emptied=True), 215.0)
    assert progress(fleet) is Progress.GOING_BACK
    assert fleet.instances["web:0"].spec.program == OLD


def test_a_roll_out_that_may_not_go_back_ends() -> None:
    """With a new run that is given up and `abort_on_failure: false` it stops where it is."""
    fleet = up(rolling(3, abort_on_failure=False))
    fleet.step(Configured(rolling(3, NEW, abort_on_failure=False)), 200.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 201.0)
    never = replace(fleet.instances["web:0"].spec.restart, when=When.NEVER)
    assert fleet.configuration is not None
    first, *others = fleet.configuration.instances
    changed = (replace(first, restart=never), *others)
    fleet.step(Configured(replace(fleet.configuration, instances=changed)), 201.5)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, "No such file or directory"), 202.0)
    assert progress(fleet) is Progress.STOPPED
    assert [one.last_run for one in fleet.instances.values()] == [2, 1, 1]
