"""Explanations: what is said of an instance, of what it waits for, and of what would change it."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from supervisord_lite.core import reason
from supervisord_lite.core.bonds import Bonds
from supervisord_lite.core.brief import why
from supervisord_lite.core.event import (
    Configured,
    HealthFound,
    MainExited,
    RolloutRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StopRequested,
)
from supervisord_lite.core.explain import Explanation, explain
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.probe import HealthCheck, OnUnhealthy, Readiness, TcpProbe
from supervisord_lite.core.schedule import Overlap, Schedule, Timetable
from supervisord_lite.core.situation import Situation
from supervisord_lite.core.spec import (
    Condition,
    Dependency,
    Hook,
    HookPoint,
    InstanceSpec,
    Kind,
    OnFailedDependency,
    Program,
    RestartLimit,
    RestartPolicy,
    Strategy,
    UpdatePolicy,
)
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Fatal,
    Fault,
    HookRun,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Scheduled,
    State,
    Stopped,
    Waiting,
)
from supervisord_lite.core.wording import overlap

from .make import (
    BACKOFF,
    EXITED,
    FAILED,
    FATAL,
    LADDER,
    PROGRAM,
    RUNNING,
    STARTING,
    STOPPING,
    STUCK,
    SWEEPING,
    UNANSWERED,
    WAITING,
    booted,
    configuration,
    instance,
    spec,
)

TCP = TcpProbe("127.0.0.1", 5432)
DB = Dependency("db")
JOB_SCHEDULE = Schedule("0 3 * * *", overlap=Overlap.QUEUE)
JOB = spec("backup:0", kind=Kind.JOB, schedule=JOB_SCHEDULE)
SAID = "which said last: Connection refused"


def situation(instances: dict[str, Instance], now: float = 101.0, **more: Any) -> Situation:
    """Times are said as they are counted: T100 for CLOCK_MONOTONIC, W100 for the wall clock."""
    given = {"bonds": Bonds(), "rollouts": {}, "configuration": None, "shutdown": None, **more}
    return Situation(
        instances,
        now=now,
        clock=lambda at: f"T{at:g}",
        wall=lambda at: f"W{at:g}",
        last_answer=lambda name: "Connection refused",
        **given,
    )


def alone(one: Instance, **more: Any) -> Explanation:
    return explain(one.spec.name, situation({one.spec.name: one}, **more))


def causes(explanation: Explanation) -> list[str]:
    """What is said, one `<-` a step towards the root."""
    return [f"{'<- ' * cause.depth}{cause.text}" for cause in explanation.causes]


def of_fleet(fleet: Fleet, name: str, now: float = 101.0) -> Explanation:
    return explain(
        name,
        situation(
            dict(fleet.instances),
            now,
            bonds=fleet.bonds,
            rollouts=fleet.rollouts,
            configuration=fleet.configuration,
            shutdown=fleet.shutdown,
        ),
    )


STATES: dict[type, tuple[State, str]] = {
    Stopped: (Stopped(), "was stopped by hand, and stays so"),
    Waiting: (WAITING, "is held: the daemon starts nothing by itself"),
    Scheduled: (Scheduled(), "is WAITING, but its schedule has no further time"),
    Preparing: (Preparing(4, 100.0), "is being prepared for run 4 since T100"),
    type(STARTING): (STARTING, "is being started since T100"),
    Readying: (
        Readying(4, 77, 100.0, 130.0),
        "is not ready yet: it has from T100 until T130",
    ),
    Running: (RUNNING, "is RUNNING since T100 with pid 77"),
    Backoff: (BACKOFF, "is in BACKOFF until T103 (exit code 1)"),
    Parting: (
        Parting(4, 77, LADDER, 100.0, 90.0, asked=True),
        "is to be stopped since T100: waits for what depends on it to go down",
    ),
    type(STOPPING): (STOPPING, "is going down since T100"),
    type(EXITED): (EXITED, "has EXITED at T100: exit code 0"),
    Fatal: (FATAL, "is FATAL since T100: 3 failed starts"),
    Blocked: (Blocked("its dependency db has failed", 100.0), "is FATAL since T100: its dep"),
}


def test_every_state_is_known() -> None:
    """There is a sentence for each state, and none for what is no state."""
    assert set(STATES) == set(get_args(State))


@pytest.mark.parametrize(("state", "text"), STATES.values(), ids=[s.__name__ for s in STATES])
def test_every_state_is_explained(state: State, text: str) -> None:
    """Each has its own first sentence, and something that would change it."""
    explanation = alone(instance(state))
    assert explanation.causes[0].text.startswith(text)
    assert explanation.changes


@pytest.mark.parametrize("state", [s for s, _ in STATES.values()], ids=[s.__name__ for s in STATES])
def test_every_state_has_its_brief_phrase(state: State) -> None:
    """What stands beside the state in a table is one line, or nothing."""
    assert "\n" not in why(instance(state))


# What an operator is told when something happens, which no instance ever waits for.
TOLD = {
    "ADDED",
    "ADOPTED",
    "BACKOFF_OVER",
    "CHANGED",
    "DEPENDENCIES_MET",
    "GOES_BACK",
    "HEALTHY",
    "HOLD_LIFTED",
    "HOOKS_OVER",
    "MISSED",
    "NOTHING_CHANGED",
    "NO_ROLLOUT",
    "ON_SCHEDULE",
    "PROGRAM_CHANGED",
    "QUEUED",
    "READY",
    "RECOVERED",
    "REPLACED",
    "REPLACES",
    "RESIZED",
    "RESTARTS",
    "RESTART_REQUESTED",
    "ROLLOUT",
    "RUN_REQUESTED",
    "SKIPPED",
    "SKIPPED_HELD",
    "STARTED",
    "START_REQUESTED",
    "STOPPED",
    "STOP_REQUESTED",
    "UNDONE",
    "WENT_BACK",
}
HOOK = HookRun(HookPoint.POST_STOP, 4, 160.0)
WAITED_FOR: dict[str, tuple[Instance, list[str]]] = {
    "HELD": (instance(WAITING), ["is held: the daemon starts nothing by itself"]),
    "WAITS_FOR_HOOKS": (
        instance(Waiting(reason.WAITS_FOR_HOOKS), hooks=(HOOK,)),
        [
            "waits for its hooks to end",
            "its post_stop hook is under way, for run 4: it has until T160",
        ],
    ),
    "WAITS_FOR_DEPENDENTS": (
        instance(Parting(4, 77, LADDER, 100.0, 90.0, asked=True), wanted=False),
        ["is to be stopped since T100: waits for what depends on it to go down"],
    ),
    "SCHEDULED": (
        instance(Scheduled(), JOB, timetable=Timetable(5000.0, 200.0)),
        [
            "waits for its time: W5000",
            f"its schedule is cron 0 3 * * * (UTC); {overlap(JOB_SCHEDULE)}",
        ],
    ),
    "SCHEDULE_OFF": (instance(Stopped(), JOB), ["is STOPPED: its schedule is off"]),
    "REMOVED": (
        instance(UNANSWERED, retiring=True, wanted=False),
        [
            "is going down since T100",
            "nobody can be signalled before the keeper has answered its start",
            "removed from the configuration: it is forgotten once it is down",
        ],
    ),
}


def test_every_reason_is_placed() -> None:
    """A reason that is added to the machine has to be added here: as one to wait for, or not."""
    constants = {
        name
        for name, value in vars(reason).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert constants == TOLD | WAITED_FOR.keys() | {"SHUTDOWN"}


@pytest.mark.parametrize("name", WAITED_FOR)
def test_every_reason_for_waiting_is_explained(name: str) -> None:
    """Each reason for which the machine lets an instance wait has its sentence."""
    one, text = WAITED_FOR[name]
    assert causes(alone(one)) == text


def test_a_shutdown_is_part_of_every_explanation() -> None:
    """While everything ends no command changes anything, and it is said until when."""
    fleet = booted(spec(), stop_deadline=60.0)
    fleet.step(ShutdownRequested(), 101.0)
    explanation = of_fleet(fleet, "web:0")
    assert causes(explanation)[-1] == "the daemon is shutting down: what is left at T161 is killed"
    assert explanation.changes == ()


# --------------------------------------------------------------------------- dependencies


def waiting_fleet(*specs: InstanceSpec) -> Fleet:
    fleet = Fleet()
    fleet.step(Configured(configuration(*specs)), 99.0)
    return fleet


def test_waiting_is_followed_to_its_root() -> None:
    """What waits for something that waits for something else is told all of it."""
    fleet = waiting_fleet(
        spec("disk:0", restart=RestartPolicy(delay=4.0, jitter=0.0)),
        spec("db:0", dependencies=(Dependency("disk"),)),
        spec("web:0", dependencies=(DB,)),
    )
    fleet.step(SpawnFailed("disk:0", 1, "fork", 11, "no memory"), 100.5)
    assert causes(of_fleet(fleet, "web:0")) == [
        "waits for db to be ready",
        "<- db:0 waits for disk to be ready",
        "<- <- disk:0 is in BACKOFF until T104.5 (cannot fork: no memory (EAGAIN))",
    ]


@pytest.mark.parametrize(
    ("condition", "event", "text"),
    [
        (Condition.HEALTHY, None, "db:0 is RUNNING, but its health is unknown"),
        (
            Condition.HEALTHY,
            HealthFound("db:0", 1, healthy=False, detail="refused"),
            "db:0 is RUNNING, but its health is unhealthy",
        ),
        (Condition.COMPLETED, None, "db:0 is still RUNNING"),
        (Condition.SUCCEEDED, None, "db:0 is still RUNNING"),
    ],
)
def test_what_is_missing_is_named(condition: Condition, event: Any, text: str) -> None:
    """A dependency that runs may still not be what was asked for."""
    fleet = waiting_fleet(
        spec("db:0", health=HealthCheck(TCP, on_unhealthy=OnUnhealthy.REPORT)),
        spec("web:0", dependencies=(Dependency("db", condition),)),
    )
    fleet.step(Spawned("db:0", 1, 7), 100.0)
    if event is not None:
        fleet.step(event, 100.5)
    assert causes(of_fleet(fleet, "web:0"))[1] == f"<- {text}"


def test_a_dependency_that_was_stopped_by_hand_is_the_root() -> None:
    """Nobody starts it by itself, so that is what an operator has to know."""
    fleet = waiting_fleet(spec("db:0"), spec("web:0", dependencies=(DB,)))
    fleet.step(StopRequested(("db:0",)), 100.0)
    fleet.step(Spawned("db:0", 1, 7), 100.0)
    fleet.step(MainExited("db:0", 1, FAILED, emptied=True), 100.5)
    assert causes(of_fleet(fleet, "web:0"))[1] == "<- db:0 was stopped by hand, and stays so"


def test_many_causes_are_counted() -> None:
    """Of a worker with many instances a few are named."""
    fleet = waiting_fleet(
        *(spec(f"db:{n}", autostart=False) for n in range(8)), spec("web:0", dependencies=(DB,))
    )
    lines = causes(of_fleet(fleet, "web:0"))
    assert lines[-1] == "<- and 3 more of db"
    assert len(lines) == 7


def test_nothing_is_told_twice() -> None:
    """What two of them wait for is followed once."""
    fleet = waiting_fleet(
        spec("disk:0", autostart=False),
        *(spec(f"db:{n}", dependencies=(Dependency("disk"),)) for n in range(2)),
        spec("web:0", dependencies=(DB,)),
    )
    assert causes(of_fleet(fleet, "web:0")) == [
        "waits for db to be ready",
        "<- db:0 waits for disk to be ready",
        "<- <- disk:0 has not been started: its autostart is off",
        "<- db:1 waits for disk to be ready",
    ]


def test_a_worker_without_instances_is_named() -> None:
    """Scaled to nothing, it never meets a condition."""
    fleet = waiting_fleet(spec("web:0", dependencies=(DB,)))
    assert causes(of_fleet(fleet, "web:0"))[1] == "<- there is no instance of db"


def test_a_failed_dependency_is_followed_too() -> None:
    """FATAL for another's sake names the other, and starts by itself when that is repaired."""
    never = RestartPolicy(limit=RestartLimit(1, 300.0))
    fleet = waiting_fleet(spec("db:0", restart=never), spec("web:0", dependencies=(DB,)))
    fleet.step(SpawnFailed("db:0", 1, "fork", 11, "no memory"), 100.5)
    explanation = of_fleet(fleet, "web:0")
    assert explanation.state == "FATAL"
    assert causes(explanation)[0] == (
        "is FATAL since T100.5: its dependency db has failed: it was to be ready"
    )
    assert causes(explanation)[-1].startswith("<- db:0 is FATAL since T100.5: 1 failed start")
    assert explanation.changes == ("it starts by itself once its dependencies are there after all",)


def test_a_dependency_that_is_waited_for_in_any_case() -> None:
    """By policy `wait` the dependent stays WAITING, and says for whom."""
    never = RestartPolicy(limit=RestartLimit(1, 300.0))
    waits = Dependency("db", policy=OnFailedDependency.WAIT)
    fleet = waiting_fleet(spec("db:0", restart=never), spec("web:0", dependencies=(waits,)))
    fleet.step(SpawnFailed("db:0", 1, "fork", 11, "no memory"), 100.5)
    assert of_fleet(fleet, "web:0").state == "WAITING"
    assert causes(of_fleet(fleet, "web:0"))[1].startswith("<- db:0 is FATAL")


def test_a_failed_dependency_that_is_ignored_is_no_cause() -> None:
    """Of two that are not there only the one that is waited for is named."""
    never = RestartPolicy(limit=RestartLimit(1, 300.0))
    ignored = Dependency("cache", policy=OnFailedDependency.IGNORE)
    fleet = waiting_fleet(
        spec("cache:0", restart=never),
        spec("db:0", autostart=False),
        spec("web:0", dependencies=(ignored, DB)),
    )
    fleet.step(SpawnFailed("cache:0", 1, "fork", 11, "no memory"), 100.5)
    assert causes(of_fleet(fleet, "web:0")) == [
        "waits for db to be ready",
        "<- db:0 has not been started: its autostart is off",
    ]


def test_a_stop_that_waits_for_dependents_names_them() -> None:
    """What goes down together goes down in reverse order, and the one that waits says for whom."""
    fleet = waiting_fleet(spec("db:0"), spec("web:0", dependencies=(DB,)))
    fleet.step(Spawned("db:0", 1, 7), 100.0)
    fleet.step(Spawned("web:0", 1, 8), 100.0)
    fleet.step(StopRequested(("db:0", "web:0")), 101.0)
    assert causes(of_fleet(fleet, "db:0")) == [
        "is to be stopped since T101: waits for what depends on it to go down",
        "web:0, which depends on it, is going down since T101",
    ]


# --------------------------------------------------------------------------- one instance


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (
            instance(Readying(4, 77, 100.0, 130.0), spec(ready=Readiness(TCP))),
            f"it is ready upon a connection to 127.0.0.1:5432, {SAID}",
        ),
        (
            instance(RUNNING, spec(health=HealthCheck(TCP))),
            f"its health is unknown, by a connection to 127.0.0.1:5432, {SAID}",
        ),
        (
            instance(RUNNING),
            "by its restart policy, whenever it ends it is started again",
        ),
        (
            instance(BACKOFF, attempts=3, failures=(90.0, 95.0)),
            "its start has failed 3 times in a row",
        ),
        (
            instance(BACKOFF, attempts=3, failures=(90.0, 95.0)),
            "2 of 10 failed starts within 5m, the last at T95, before it is given up",
        ),
        (instance(STOPPING), "SIGINT to its main process: rung 1 of 3"),
        (instance(STOPPING), "at T103 SIGTERM follows, to its group"),
        (instance(STOPPING, wanted=True), "it is wanted: another run follows"),
        (
            instance(SWEEPING, wanted=False),
            "its main process is gone (exit code 1), what it left is not",
        ),
        (instance(STUCK), "cannot be ended: alive after SIGKILL to its tree"),
        (
            instance(replace(STOPPING, asked=False, fault=Fault("no sign of life", start=False))),
            "this was not asked for: no sign of life",
        ),
        (
            instance(RUNNING, JOB, timetable=Timetable(5000.0, 200.0, queued=2), history=()),
            "queued behind the present run: 2",
        ),
    ],
)
def test_details(one: Instance, text: str) -> None:
    """What else there is to say of a state."""
    assert text in causes(alone(one))


def test_autostart_that_is_off_is_no_stop_by_hand() -> None:
    """What nobody has ever started was not stopped by anybody."""
    one = instance(Stopped(), spec(autostart=False), last_run=0)
    assert causes(alone(one)) == ["has not been started: its autostart is off"]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (Stopped(), "slctl start web:0 starts it"),
        (FATAL, "slctl start web:0 starts it, and forgets the failures"),
        (BACKOFF, "slctl start web:0 tries at once, slctl stop web:0 gives it up"),
        (WAITING, "slctl start web:0 starts it, slctl reload lifts the hold for all"),
        (RUNNING, "slctl stop web:0 stops it, slctl restart web:0 replaces its run"),
    ],
)
def test_what_would_change_it(state: State, text: str) -> None:
    """The commands that bring it into another state."""
    assert alone(instance(state)).changes == (text,)


def test_a_hook_that_was_killed_is_told() -> None:
    """A hook under way is said with its deadline, and that it was killed."""
    one = instance(Stopped(), hooks=(replace(HOOK, killed=True),))
    assert causes(alone(one))[-1] == (
        "its post_stop hook is under way, for run 4: it has until T160, and has been killed"
    )


def test_the_pre_stop_hook_is_named() -> None:
    """A stop that waits for its hook says for which, and until when."""
    hook = HookRun(HookPoint.PRE_STOP, 4, 160.0)
    state = Parting(4, 77, LADDER, 100.0, 90.0, asked=True, hook=True)
    one = instance(state, spec(hooks=(Hook(HookPoint.PRE_STOP, ("drain",)),)), hooks=(hook,))
    assert causes(alone(one))[0] == "is to be stopped since T100: its pre_stop hook is under way"


# --------------------------------------------------------------------------- roll-outs


def rolling(pause: float = 0.0) -> Fleet:
    policy = UpdatePolicy(Strategy.ROLLING, 1, pause)
    restart = RestartPolicy(stable_after=0.0)
    return booted(*(spec(f"web:{n}", update=policy, restart=restart) for n in range(3)))


def replaced(fleet: Fleet, name: str, now: float) -> None:
    """One turn of a roll-out: the old run ends as asked, the new one has passed exec."""
    fleet.step(MainExited(name, 1, FAILED, emptied=True), now)
    fleet.step(Spawned(name, 2, 99), now)


def test_a_rollout_says_for_whom_it_waits() -> None:
    """An instance whose turn has not come knows whose it is."""
    fleet = rolling()
    fleet.step(RolloutRequested(("web",)), 101.0)
    assert causes(of_fleet(fleet, "web:2"))[-1] == (
        "a roll-out of web (rolling, 1 at a time) is under way: it waits for web:0 to be RUNNING"
    )


def test_a_rollout_says_that_it_pauses() -> None:
    """Between two turns it waits, and says until when."""
    fleet = rolling(pause=30.0)
    fleet.step(RolloutRequested(("web",)), 101.0)
    replaced(fleet, "web:0", 102.0)
    assert causes(of_fleet(fleet, "web:1", 110.0))[-1] == (
        "a roll-out of web (rolling, 1 at a time, 30s between) is under way: it pauses until T132"
    )


def test_a_rollout_that_went_back_is_told() -> None:
    """That the new program has failed is said afterwards, too."""
    fleet = rolling()
    policy = fleet.instances["web:0"].spec.update
    bad = Program(("bad",), "/srv")
    fleet.step(
        Configured(
            configuration(*(spec(f"web:{n}", update=policy, program=bad) for n in range(3)))
        ),
        101.0,
    )
    fleet.step(MainExited("web:0", 1, FAILED, emptied=True), 102.0)
    fleet.step(SpawnFailed("web:0", 2, "exec", 2, "not found"), 102.1)
    fleet.step(Spawned("web:0", 3, 98), 102.5)
    assert causes(of_fleet(fleet, "web:2", 103.0))[-1] == (
        "the last roll-out of web went back: web:0: cannot exec bad: not found (ENOENT)"
    )
    assert fleet.instances["web:0"].spec.program == PROGRAM


def test_explaining_changes_nothing() -> None:
    """It is asked of a fleet that goes on."""
    fleet = rolling()
    before = dict(fleet.instances)
    of_fleet(fleet, "web:0")
    assert dict(fleet.instances) == before
