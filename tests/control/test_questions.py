"""What those who wait are told: when a thing is so, when it will never be, and what is missing."""

import asyncio
from typing import Any

import pytest

from supervisord_lite.core.command import Announce
from supervisord_lite.core.event import (
    BecameReady,
    Configured,
    Emptied,
    MainExited,
    RestartRequested,
    RolloutRequested,
    RunRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.probe import Readiness, TcpProbe
from supervisord_lite.core.schedule import Overlap, Schedule
from supervisord_lite.core.spec import (
    Dependency,
    HookPoint,
    Kind,
    RestartLimit,
    RestartPolicy,
    Strategy,
    UpdatePolicy,
    When,
)
from supervisord_lite.core.state import Exit, HookRun, Stopped
from supervisord_lite.manager.questions import (
    NotYet,
    Question,
    Questions,
    Verdict,
    is_down,
    run_before_restart,
    run_before_start,
    run_to_come,
)
from supervisord_lite.manager.waiting import Waiters
from tests.core import make
from tests.core.make import FAILED, WELL, booted, configuration, spec

READY = Readiness(TcpProbe("127.0.0.1", 1))
ONCE = RestartPolicy(when=When.NEVER)


def job(overlap: Overlap = Overlap.SKIP) -> Any:
    schedule = Schedule(every=1000.0, overlap=overlap)
    return spec("backup:0", kind=Kind.JOB, schedule=schedule, restart=ONCE)


def fleet_of(*specs: Any) -> Fleet:
    fleet = Fleet()
    fleet.step(Configured(configuration(*specs)), 99.0)
    return fleet


def test_a_run_has_to_last() -> None:
    """Without a probe a start is good once the run is stable."""
    fleet = booted(spec())
    up = Questions(fleet).up("web:0", 0)
    assert up(100.5) == NotYet("RUNNING, but not for long enough", 101.0)
    assert up(101.0) == Verdict(ok=True, message="started")


def test_whoever_says_that_it_is_ready_is_believed() -> None:
    """With a probe a start is good as soon as that has succeeded, and not before."""
    fleet = fleet_of(spec(ready=READY))
    up = Questions(fleet).up("web:0", 0)
    fleet.step(Spawned("web:0", 1, 7), 100.0)
    assert up(100.0) == NotYet("still STARTING (not ready yet)")
    fleet.step(BecameReady("web:0", 1), 100.2)
    assert up(100.2) == Verdict(ok=True, message="started")


def test_waiting_for_a_dependency_is_no_failure() -> None:
    """It may come true; meanwhile it is told what is waited for."""
    fleet = fleet_of(spec("db:0", autostart=False), spec("web:0", dependencies=(Dependency("db"),)))
    assert Questions(fleet).up("web:0", 0)(100.0) == NotYet(
        "still WAITING (waits for db to be ready)"
    )


def test_a_failed_dependency_is_one() -> None:
    """What cannot come true by itself is not waited for."""
    never = RestartPolicy(limit=RestartLimit(1, 300.0))
    fleet = fleet_of(spec("db:0", restart=never), spec("web:0", dependencies=(Dependency("db"),)))
    fleet.step(SpawnFailed("db:0", 1, "fork", 11, ""), 100.0)
    answer = Questions(fleet).up("web:0", 0)(100.0)
    assert answer == Verdict(ok=False, message="its dependency db has failed: it was to be ready")


def test_held_instances_do_not_come_up() -> None:
    """While nothing is started by itself, waiting for that is of no use."""
    fleet = Fleet(held=True)
    fleet.step(Configured(configuration(spec()), lift_hold=False), 99.0)
    answer = Questions(fleet).up("web:0", 0)(100.0)
    assert isinstance(answer, Verdict)
    assert not answer.ok


def test_a_job_is_up_when_its_schedule_is_on() -> None:
    """Nobody waits for three o'clock at night."""
    fleet = fleet_of(job())
    assert Questions(fleet).up("backup:0", 0)(100.0) == Verdict(ok=True, message="scheduled")


def test_a_later_stop_overrides() -> None:
    """Who waits for a start is told that somebody else has stopped it."""
    fleet = booted(spec())
    up = Questions(fleet).up("web:0", 0)
    fleet.step(StopRequested(("web:0",)), 100.1)
    assert up(100.1) == Verdict(ok=False, message="stopped by a later command")


def test_what_leaves_the_configuration_is_told() -> None:
    """An instance that is gone is down for good, and will not come up."""
    fleet = booted(spec())
    up, down = Questions(fleet).up("web:0", 0), Questions(fleet).down("web:0")
    fleet.step(Configured(configuration()), 100.1)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 100.2)
    assert up(100.2) == Verdict(ok=False, message="removed from the configuration")
    assert down(100.2) == Verdict(ok=True, message="removed from the configuration")


def test_down_is_when_nothing_lives() -> None:
    """Not when it has been asked for, nor when the main process is gone."""
    fleet = booted(spec())
    down = Questions(fleet).down("web:0")
    fleet.step(StopRequested(("web:0",)), 101.0)
    assert down(101.0) == NotYet("still STOPPING")
    fleet.step(MainExited("web:0", 1, WELL, emptied=False), 101.1)
    assert isinstance(down(101.1), NotYet)
    fleet.step(Emptied("web:0", 1), 101.2)
    assert down(101.2) == Verdict(ok=True, message="stopped")


# --------------------------------------------------------------------------- one run


def requested(fleet: Fleet, name: str, now: float) -> int | None:
    """The run that a request for one leads to."""
    before = fleet.instances[name]
    fleet.step(RunRequested((name,)), now)
    return run_to_come(before, fleet.instances[name])


def test_a_hook_of_the_stop_is_waited_for() -> None:
    """And named, should the patience not last."""
    hook = HookRun(HookPoint.POST_STOP, 1, 160.0)
    stopped = make.instance(Stopped(), spec("web:0"), hooks=(hook,))
    assert is_down(stopped) == NotYet("still STOPPED (its post_stop hook is under way)")


@pytest.mark.parametrize(("status", "ok"), [(WELL, True), (FAILED, False), (Exit(signal=9), False)])
def test_a_run_tells_how_it_ended(status: Exit, ok: bool) -> None:
    """The exit of the very run that was asked for, from the history of the job."""
    fleet = fleet_of(job())
    run = requested(fleet, "backup:0", 100.0)
    assert run == 1
    ran = Questions(fleet).ran("backup:0", 1)
    fleet.step(Spawned("backup:0", 1, 7), 100.0)
    assert ran(100.0) == NotYet("still RUNNING")
    fleet.step(MainExited("backup:0", 1, status, emptied=True), 103.0)
    answer = ran(103.0)
    assert isinstance(answer, Verdict)
    assert (answer.ok, answer.exit) == (ok, status)


def test_a_run_that_never_came_to_be_is_told() -> None:
    """No exit is invented for a spawn that failed."""
    fleet = fleet_of(job())
    requested(fleet, "backup:0", 100.0)
    fleet.step(SpawnFailed("backup:0", 1, "exec", 2, "No such file"), 100.1)
    answer = Questions(fleet).ran("backup:0", 1)(100.1)
    assert isinstance(answer, Verdict)
    assert (answer.ok, answer.exit) == (False, None)
    assert "cannot exec serve: No such file" in answer.message


@pytest.mark.parametrize(
    ("overlap", "run"), [(Overlap.SKIP, None), (Overlap.QUEUE, 2), (Overlap.REPLACE, 2)]
)
def test_a_request_during_a_run_goes_by_the_rule_for_overlaps(
    overlap: Overlap, run: int | None
) -> None:
    """It is skipped, or is the next run, whose number is known before it begins."""
    fleet = fleet_of(job(overlap))
    requested(fleet, "backup:0", 100.0)
    fleet.step(Spawned("backup:0", 1, 7), 100.0)
    assert requested(fleet, "backup:0", 101.0) == run
    fleet.step(MainExited("backup:0", 1, WELL, emptied=True), 102.0)
    assert fleet.instances["backup:0"].last_run == (run or 1)


def test_queued_runs_stand_in_line() -> None:
    """The second request during a run is for the run after the next."""
    fleet = fleet_of(job(Overlap.QUEUE))
    requested(fleet, "backup:0", 100.0)
    fleet.step(Spawned("backup:0", 1, 7), 100.0)
    assert [requested(fleet, "backup:0", 101.0) for _ in range(2)] == [2, 3]


def test_a_run_that_was_called_off_is_told() -> None:
    """A stop takes what was queued out of the queue."""
    fleet = fleet_of(job(Overlap.QUEUE))
    requested(fleet, "backup:0", 100.0)
    fleet.step(Spawned("backup:0", 1, 7), 100.0)
    ran = Questions(fleet).ran("backup:0", requested(fleet, "backup:0", 101.0) or 0)
    fleet.step(StopRequested(("backup:0",)), 102.0)
    fleet.step(MainExited("backup:0", 1, WELL, emptied=True), 103.0)
    assert ran(103.0) == Verdict(ok=False, message="stopped by a later command")


def test_a_task_under_way_is_joined() -> None:
    """Its run is the one that is waited for; after its end there is another."""
    task = spec("migrate:0", kind=Kind.TASK, restart=ONCE)
    fleet = fleet_of(task)
    fleet.step(Spawned("migrate:0", 1, 7), 100.0)
    assert requested(fleet, "migrate:0", 100.0) == 1
    fleet.step(MainExited("migrate:0", 1, FAILED, emptied=True), 101.0)
    assert Questions(fleet).ran("migrate:0", 1)(101.0) == Verdict(
        ok=False, message="exit code 1", exit=FAILED
    )
    assert requested(fleet, "migrate:0", 102.0) == 2


# --------------------------------------------------------------------------- which run


def test_a_start_is_satisfied_with_what_is_up() -> None:
    """A restart is not, unless its run has hardly begun."""
    fleet = fleet_of(spec())
    assert run_before_start(fleet.instances["web:0"]) == 0
    assert run_before_restart(fleet.instances["web:0"]) == 0
    fleet.step(Spawned("web:0", 1, 7), 100.0)
    assert run_before_start(fleet.instances["web:0"]) == 0
    assert run_before_restart(fleet.instances["web:0"]) == 1
    fleet.step(RestartRequested(("web:0",)), 101.0)
    assert run_before_start(fleet.instances["web:0"]) == 1


# --------------------------------------------------------------------------- roll-outs


def rolling() -> Fleet:
    policy, restart = UpdatePolicy(Strategy.ROLLING), RestartPolicy(stable_after=0.0)
    return booted(*(spec(f"web:{n}", update=policy, restart=restart) for n in range(2)))


def turn(fleet: Fleet, name: str, now: float) -> None:
    fleet.step(MainExited(name, 1, WELL, emptied=True), now)
    fleet.step(Spawned(name, 2, 9), now)


def test_a_rollout_is_done_when_all_are_replaced() -> None:
    """One after the other; until then it is under way."""
    fleet = rolling()
    fleet.step(RolloutRequested(("web",)), 101.0)
    over = Questions(fleet).rolled_out("web")
    turn(fleet, "web:0", 102.0)
    assert over(102.0) == NotYet("the roll-out is under way")
    turn(fleet, "web:1", 103.0)
    assert over(103.0) == Verdict(ok=True, message="done")


def test_a_rollout_that_stops_answers_for_those_whose_turn_never_came() -> None:
    """Nobody waits to the time-out for a turn that will not come."""
    fleet = rolling()
    last = Questions(fleet).replaced("web:1", 1)
    fleet.step(RolloutRequested(("web",)), 101.0)
    fleet.step(MainExited("web:0", 1, WELL, emptied=True), 102.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, "gone"), 102.0)
    answer = last(102.0)
    assert isinstance(answer, Verdict)
    assert not answer.ok
    assert answer.message.startswith("the roll-out stopped: web:0: cannot exec serve: gone")


# --------------------------------------------------------------------------- waiting


def settle(
    waiters: Waiters, questions: dict[str, Question], timeout: float, *then: Any
) -> dict[str, Verdict]:
    """What `settle` answers if these things happen once it waits."""

    async def main() -> dict[str, Verdict]:
        waiting = asyncio.create_task(waiters.settle(questions, timeout))
        await asyncio.sleep(0)
        for happen in then:
            happen()
        return await waiting

    return asyncio.run(main())


def test_waiters_look_again_when_something_changes() -> None:
    """They hear of the change and are done; nothing of them is left."""
    fleet, waiters = booted(spec(autostart=False)), Waiters()

    def start_and_stop() -> None:
        fleet.step(StartRequested(("web:0",)), 100.0)
        fleet.step(SpawnFailed("web:0", 1, "fork", 11, "no memory"), 100.0)
        waiters.announced(Announce("web:0", "STARTING", "BACKOFF", ""))

    assert isinstance(fleet.instances["web:0"].state, Stopped)
    fleet.step(StartRequested(("web:0",)), 99.5)
    verdicts = settle(waiters, {"web:0": Questions(fleet).up("web:0", 0)}, 60.0, start_and_stop)
    assert verdicts["web:0"].message == "cannot fork: no memory (EAGAIN)"
    assert not waiters._by_name


def test_a_change_of_a_rollout_reaches_those_who_wait_for_its_instances() -> None:
    """By the worker's name, however many of its instances they wait for."""
    answers: dict[str, NotYet | Verdict] = {"web:0": NotYet("x"), "web:1": NotYet("x")}

    def ask(name: str) -> Question:
        return lambda _: answers[name]

    questions = {name: ask(name) for name in answers}
    waiters = Waiters()

    def end() -> None:
        answers.update(dict.fromkeys(answers, Verdict(ok=False, message="went back")))
        waiters.rollout_changed("web")

    assert [one.message for one in settle(waiters, questions, 60.0, end).values()] == [
        "went back",
        "went back",
    ]


def test_a_timeout_says_what_is_missing() -> None:
    """It ends the waiting, and says how things stand."""
    missing = NotYet("still WAITING (waits for db to be ready)")
    assert settle(Waiters(), {"web:0": lambda _: missing}, 0.01)["web:0"] == Verdict(
        ok=False,
        message="timed out: still WAITING (waits for db to be ready) after 10ms",
        timed_out=True,
    )
