"""`depends_on`: its forms, what can never come true, and circles."""

from collections.abc import Callable

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.spec import Condition, Dependency, OnFailedDependency

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def dependencies(compiled: Compiled, worker: str) -> tuple[Dependency, ...]:
    """What the only instance of a worker waits for."""
    (spec,) = (spec for spec in compiled.configuration.instances if spec.worker == worker)
    return spec.dependencies


@pytest.mark.parametrize(
    "form", ["db", "[db]", "{db: ready}", "{db: {}}", "{db: {condition: ready, policy: fail}}"]
)
def test_every_form_means_the_same(compiled: Compile, form: str) -> None:
    """A name, a list, a word for the condition, a mapping: they differ in what they leave open."""
    found = compiled(f"workers: {{db: {{command: d}}, web: {{command: w, depends_on: {form}}}}}")
    assert dependencies(found, "web") == (Dependency("db"),)


def test_a_task_is_waited_for_until_it_has_succeeded(compiled: Compile) -> None:
    """Without a condition a service is to be ready and a task to be done."""
    text = """
    workers:
      db: {command: d}
      migrate: {command: m, type: task}
      web: {command: w, depends_on: [migrate, db]}
    """
    assert dependencies(compiled(text), "web") == (
        Dependency("db", Condition.READY),
        Dependency("migrate", Condition.SUCCEEDED),
    )


def test_each_edge_has_its_own_policy(compiled: Compile) -> None:
    """What becomes of the dependent is said for each of the workers that it waits for."""
    text = """
    workers:
      db: {command: d, healthcheck: {tcp: "127.0.0.1:1"}}
      web:
        command: w
        depends_on: {db: {condition: healthy, policy: wait, restart_with: true}}
    """
    expected = Dependency("db", Condition.HEALTHY, OnFailedDependency.WAIT, restart_with=True)
    assert dependencies(compiled(text), "web") == (expected,)


def test_the_order_of_dependencies_means_nothing(compiled: Compile) -> None:
    """Two files that differ in the order alone are one configuration."""
    text = "workers: {{a: {{command: a}}, b: {{command: b}}, c: {{command: c, depends_on: {}}}}}"
    one, other = (compiled(text.format(order)).configuration for order in ("[a, b]", "[b, a]"))
    assert one == other


def test_an_unknown_worker_is_refused_with_a_proposal(refused: Refuse) -> None:
    """A misspelt name is told the one that was probably meant."""
    (line,) = refused("workers: {database: {command: d}, web: {command: w, depends_on: databse}}")
    assert line.endswith(
        'workers.web.depends_on.databse: cannot find a worker named "databse"'
        ' (did you mean "database"?)'
    )


def test_a_worker_that_is_wrong_is_not_unknown(refused: Refuse) -> None:
    """One mistake does not turn into a second one elsewhere."""
    (line,) = refused("workers: {db: text, web: {command: w, depends_on: db}}")
    assert "workers.db: cannot be a single value" in line


@pytest.mark.parametrize(
    ("other", "condition", "problem"),
    [
        ("type: task", "ready", "to be ready: it is a task (try succeeded)"),
        ("type: task", "healthy", "to be healthy: it is a task (try succeeded)"),
        ("nice: 1", "healthy", "to be healthy: it has no healthcheck"),
        ("nice: 1", "succeeded", "to end: it is always restarted"),
        ("restart: always", "completed", "to end: it is always restarted"),
        ("type: job, schedule: {every: 1h}", "started", "a job comes and goes by its schedule"),
        ("type: job, schedule: {every: 1h}", "completed", "a job comes and goes by its schedule"),
    ],
)
def test_a_condition_that_never_holds_is_refused(
    refused: Refuse, other: str, condition: str, problem: str
) -> None:
    """Nobody is made to wait for what cannot come."""
    worker = f"{{command: w, depends_on: {{other: {condition}}}}}"
    (line,) = refused(f"workers: {{other: {{command: o, {other}}}, web: {worker}}}")
    assert line.startswith("t.yaml:1:")
    assert "workers.web.depends_on.other: cannot wait for other" in line
    assert line.endswith(problem)


@pytest.mark.parametrize(
    ("other", "condition"),
    [
        ("restart: never", "completed"),
        ("restart: on-failure", "succeeded"),
        ("type: task", "started"),
        ("type: task", "completed"),
        ("autostart: false", "ready"),
        ("instances: 0", "ready"),
    ],
)
def test_a_condition_that_may_hold_is_taken(compiled: Compile, other: str, condition: str) -> None:
    """What an operator can bring about, or what comes to an end, can be waited for."""
    worker = f"{{command: w, depends_on: {{other: {condition}}}}}"
    found = compiled(f"workers: {{other: {{command: o, {other}}}, web: {worker}}}")
    assert dependencies(found, "web") == (Dependency("other", Condition(condition)),)


def test_a_worker_does_not_wait_for_itself(refused: Refuse) -> None:
    """The shortest circle has words of its own."""
    (line,) = refused("workers: {a: {command: a, depends_on: a}}")
    assert line == "t.yaml:1:39: workers.a.depends_on.a: cannot depend on itself"


def test_a_circle_is_printed_whole(refused: Refuse) -> None:
    """The chain begins with the worker that stands first, where its edge is written."""
    text = """workers:
  z: {command: z, depends_on: b}
  a: {command: a, depends_on: {b: started, c: started}}
  b: {command: b, depends_on: [c]}
  c: {command: c, depends_on: {a: started}}
"""
    (line,) = refused(text)
    place = "t.yaml:3:32: workers.a.depends_on.b"
    assert line == f"{place}: cannot start any of these before the others: a -> b -> c -> a"


def test_each_circle_is_told(refused: Refuse) -> None:
    """Circles that have nothing to do with each other are all found at once."""
    text = """workers:
  a: {command: a, depends_on: b}
  b: {command: b, depends_on: a}
  c: {command: c, depends_on: [d, a]}
  d: {command: d, depends_on: c}
"""
    first, second = refused(text)
    assert first.endswith("a -> b -> a")
    assert second.endswith("c -> d -> c")


def test_two_ways_to_one_worker_are_no_circle(compiled: Compile) -> None:
    """A diamond is an order like any other."""
    text = """workers:
  top: {command: t, depends_on: [left, right]}
  left: {command: l, depends_on: bottom}
  right: {command: r, depends_on: bottom}
  bottom: {command: b}
"""
    assert len(compiled(text).configuration.instances) == 4


def test_a_long_chain_is_followed_to_its_end(refused: Refuse) -> None:
    """Thousands of workers in one circle are no deeper than three."""
    last = 3000
    workers = [f"  w{n}: {{command: w, depends_on: w{n + 1}}}\n" for n in range(last)]
    workers.append(f"  w{last}: {{command: w, depends_on: w0}}\n")
    (line,) = refused("workers:\n" + "".join(workers))
    assert line.startswith("t.yaml:2:32: workers.w0.depends_on.w1: cannot start any of these")
    assert line.endswith(f"w{last} -> w0")


def test_a_default_dependency_is_not_on_itself(compiled: Compile) -> None:
    """What all workers wait for does not wait for itself."""
    text = "defaults: {depends_on: db}\nworkers: {db: {command: d}, web: {command: w}}"
    found = compiled(text)
    assert dependencies(found, "db") == ()
    assert dependencies(found, "web") == (Dependency("db"),)


def test_dependencies_merge_by_name(compiled: Compile) -> None:
    """A worker adds to what `defaults` wait for, and takes away with a null."""
    text = """
    defaults: {depends_on: [a, b]}
    workers:
      a: {command: a, depends_on: {b: null}}
      b: {command: b, depends_on: null}
      c: {command: c, depends_on: {a: started, b: null}}
    """
    found = compiled(text)
    assert dependencies(found, "a") == dependencies(found, "b") == ()
    assert dependencies(found, "c") == (Dependency("a", Condition.STARTED),)
