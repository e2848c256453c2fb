from dataclasses import replace
from typing import Any

from supervisord_lite.core.event import Configured, Spawned, StopRequested
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.plan import Action, Change, Entry, Plan, difference
from supervisord_lite.core.probe import Readiness, TcpProbe
from supervisord_lite.core.schedule import Schedule
from supervisord_lite.core.spec import (
    Dependency,
    Kind,
    Program,
    RestartPolicy,
    Rung,
    Scale,
    Strategy,
    Target,
    UpdatePolicy,
)

from .make import PROGRAM, configuration, pipe, spec

OTHER = Program(("serve", "--fast"), "/srv")


def test_everything_is_new_at_first() -> None:
    """Boot is a difference against nothing; what is not to start by itself is only added."""
    lazy = spec("lazy:0", autostart=False)
    assert difference(None, configuration(spec("web:0"), lazy)) == Plan(
        (
            Entry("web:0", Action.START, (), "added to the configuration"),
            Entry("lazy:0", Action.ADJUST, (), "added, autostart is off"),
        )
    )


def test_the_same_configuration_keeps_everything() -> None:
    """An equal value plans nothing, even if it is another object."""
    one, other = configuration(spec()), configuration(spec())
    assert difference(one, other) == Plan((Entry("web:0", Action.KEEP, (), "unchanged"),))


def test_a_changed_program_restarts() -> None:
    """Whatever exec sees needs another run; the plan names the values."""
    plan = difference(configuration(spec()), configuration(spec(program=OTHER)))
    changes = (Change("program.argv", "serve", "serve, --fast"),)
    assert plan.entries == (Entry("web:0", Action.RESTART, changes, "program.argv changed"),)


def test_other_changes_are_taken_over_in_place() -> None:
    """A policy or a ladder needs no restart."""
    new = spec(restart=RestartPolicy(delay=5.0), stop=(Rung(9, Target.TREE, 1.0),))
    (entry,) = difference(configuration(spec()), configuration(new)).entries
    assert entry.action is Action.ADJUST
    assert entry.changes[0] == Change("restart.delay", "0.1", "5")
    assert entry.changes[1].new == "signal=9 to=tree wait=1"
    assert entry.why == "restart.delay, stop changed, no restart needed"


def test_removed_instances_come_last() -> None:
    """What the new file does not name is stopped."""
    plan = difference(configuration(spec("a:0"), spec("b:0")), configuration(spec("b:0")))
    assert [(entry.instance, entry.action) for entry in plan.entries] == [
        ("b:0", Action.KEEP),
        ("a:0", Action.STOP),
    ]


def test_scaling_touches_only_what_is_new() -> None:
    """Ten instances more start ten and leave the others alone."""
    some = [spec(f"web:{number}") for number in range(10)]
    more = [spec(f"web:{number}") for number in range(20)]
    plan = difference(configuration(*some), configuration(*more))
    actions = [entry.action for entry in plan.entries]
    assert actions == [Action.KEEP] * 10 + [Action.START] * 10


def test_values_of_the_environment_stay_hidden() -> None:
    """A plan is printed; it says which variable differs, never how."""
    old = replace(PROGRAM, environment=(("KEY", "secret"), ("A", "1")))
    new = replace(PROGRAM, environment=(("KEY", "hush"), ("B", "2"), ("A", "1")))
    plan = difference(configuration(spec(program=old)), configuration(spec(program=new)))
    assert plan.entries[0].changes == (
        Change("program.environment.B", "none", "(hidden)"),
        Change("program.environment.KEY", "(hidden)", "(hidden)"),
    )
    assert "secret" not in repr(plan)


def test_the_order_of_the_environment_is_a_change() -> None:
    """Two programs that differ in anything differ in the plan."""
    old = replace(PROGRAM, environment=(("A", "1"), ("B", "2")))
    new = replace(PROGRAM, environment=(("B", "2"), ("A", "1")))
    plan = difference(configuration(spec(program=old)), configuration(spec(program=new)))
    assert plan.entries[0].changes == (Change("program.environment", "order A B", "order B A"),)


def test_channels_and_deadlines_are_mentioned() -> None:
    """What lies outside the instances is listed by its path."""
    old = configuration(channels=(pipe("lines"), pipe("gone")))
    new = configuration(channels=(pipe("lines", 65536), pipe("fresh")), stop_deadline=5.0)
    assert difference(old, new).changes == (
        Change("channels.lines.size", "none", "65536"),
        Change("channels.fresh", "none", "pipe size=none"),
        Change("channels.gone", "pipe size=none", "none"),
        Change("stop_deadline", "none", "5"),
    )


def planned(fleet: Fleet, *specs: object) -> dict[str, tuple[Action, str]]:
    plan = fleet.plan(configuration(*specs))  # type: ignore[arg-type]
    return {entry.instance: (entry.action, entry.why) for entry in plan.entries}


def test_what_is_down_is_not_restarted() -> None:
    """A stopped instance takes the new program at its next start."""
    fleet = Fleet()
    fleet.step(Configured(configuration(spec(autostart=False))), 1.0)
    what = planned(fleet, spec(autostart=False, program=OTHER))
    assert what["web:0"] == (Action.ADJUST, "program.argv changed, not up")
    assert planned(fleet)["web:0"] == (Action.STOP, "removed from the configuration, not up")


def test_what_is_going_down_starts_after_it() -> None:
    """Added back while the removed one still stops: a start, but not yet."""
    fleet = Fleet()
    fleet.step(Configured(configuration(spec())), 1.0)
    fleet.step(Spawned("web:0", 1, 7), 2.0)
    fleet.step(Configured(configuration()), 3.0)
    assert planned(fleet, spec())["web:0"] == (
        Action.START,
        "added back, starts when its last run is down",
    )


def test_strangers_are_known_to_the_plan() -> None:
    """What was found alive is kept where it is declared, and stopped where it is not."""
    fleet = Fleet()
    fleet.step(Spawned("web:0", 3, 7), 1.0)
    fleet.step(Spawned("old:0", 9, 8), 1.0)
    what = planned(fleet, spec("web:0"))
    assert what["web:0"] == (Action.KEEP, "found alive, adopted")
    assert what["old:0"] == (Action.STOP, "unknown to the configuration")


def test_planning_changes_nothing() -> None:
    """A plan may be asked for at any time."""
    fleet = Fleet()
    fleet.step(Configured(configuration(spec())), 1.0)
    fleet.step(StopRequested(("web:0",)), 2.0)
    before = dict(fleet.instances)
    planned(fleet, spec(program=OTHER))
    assert dict(fleet.instances) == before


ROLLING = UpdatePolicy(Strategy.ROLLING, 2, 5.0)


def test_the_plan_says_how_instances_are_replaced() -> None:
    """A strategy other than all at once stands beside what it concerns, and only there."""
    (entry,) = difference(
        configuration(spec(update=ROLLING)), configuration(spec(update=ROLLING, program=OTHER))
    ).entries
    assert (entry.action, entry.how) == (Action.RESTART, "rolling, 2 at a time, 5s between")
    (same,) = difference(configuration(spec()), configuration(spec(update=ROLLING))).entries
    assert (same.action, same.how) == (Action.ADJUST, "")


def test_what_is_down_is_not_rolled_out() -> None:
    """It takes the new program over in place, whatever the strategy."""
    fleet = Fleet()
    fleet.step(Configured(configuration(spec(autostart=False, update=ROLLING))), 1.0)
    plan = fleet.plan(configuration(spec(autostart=False, update=ROLLING, program=OTHER)))
    assert (plan.entries[0].action, plan.entries[0].how) == (Action.ADJUST, "")


def test_readiness_matters_from_the_next_run_on() -> None:
    """It is taken over in place, but a run that is up is ready already."""
    ready = Readiness(TcpProbe("127.0.0.1", 80))
    (entry,) = difference(configuration(spec()), configuration(spec(ready=ready))).entries
    assert entry.action is Action.ADJUST
    assert entry.why == "ready changed, from the next run on"


def test_a_job_that_waits_for_its_time_is_not_restarted() -> None:
    """Its next run is by the new program anyway."""
    job: dict[str, Any] = {"kind": Kind.JOB, "schedule": Schedule(every=60.0)}
    fleet = Fleet()
    fleet.step(Configured(configuration(spec(**job))), 1.0)
    plan = fleet.plan(configuration(spec(**job, program=OTHER)))
    assert plan.entries[0].action is Action.ADJUST
    assert plan.entries[0].why == "program.argv changed, no restart needed"


def test_what_waits_for_a_dependency_is_not_restarted() -> None:
    """Nothing of it runs."""
    waits: dict[str, Any] = {"dependencies": (Dependency("db"),)}
    fleet = Fleet()
    fleet.step(Configured(configuration(spec(**waits))), 1.0)
    assert planned(fleet, spec(**waits, program=OTHER))["web:0"][0] is Action.ADJUST


def test_scales_are_mentioned() -> None:
    """That an operator's number comes or goes is a change outside the instances."""
    old = configuration(scales=(Scale("web", 1, 8), Scale("mail", 1, 2)))
    new = configuration(scales=(Scale("web", 1, 9), Scale("api", 1, 3)))
    assert difference(old, new).changes == (
        Change("scale.web", "8", "9"),
        Change("scale.api", "none", "3"),
        Change("scale.mail", "2", "none"),
    )
