"""Hooks, rules, watched files, roll-outs, reload signals, ends that matter, labels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.spec import (
    Hook,
    HookPoint,
    InstanceSpec,
    OnBroken,
    OnExit,
    Resource,
    ResourceRule,
    Strategy,
    UpdatePolicy,
    Watch,
)

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def only(compiled: Compiled) -> InstanceSpec:
    (spec,) = compiled.configuration.instances
    return spec


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("\"notify {name} 'a b'\"", ("notify", "a", "a b")),
        ("[notify, '{name}']", ("notify", "a")),
        ("{command: 'x | y', shell: true}", ("/bin/sh", "-c", "x | y")),
    ],
)
def test_a_hook_is_a_command(compiled: Compile, form: str, words: tuple[str, ...]) -> None:
    """A line, a list of words, or a mapping; the worker's name can stand in it."""
    spec = only(compiled(f"workers: {{a: {{command: a, hooks: {{pre_start: {form}}}}}}}"))
    assert spec.hooks == (Hook(HookPoint.PRE_START, words),)


def test_hooks_have_an_order(compiled: Compile) -> None:
    """The order in the file means nothing."""
    points = [str(point) for point in HookPoint]
    texts = [", ".join(f"{point}: x" for point in order) for order in (points, points[::-1])]
    one, other = (
        only(compiled(f"workers: {{a: {{command: a, hooks: {{{text}}}}}}}")).hooks for text in texts
    )
    assert one == other
    assert [hook.point for hook in one] == list(HookPoint)


def test_hooks_merge_by_point(compiled: Compile) -> None:
    """A worker adds hooks to those of `defaults`, replaces them, and takes them away."""
    text = """
    defaults: {hooks: {pre_start: {command: x, timeout: 5s}, on_fatal: y, post_stop: {timeout: 1s}}}
    workers: {a: {command: a, hooks: {pre_start: z, on_fatal: null, post_start: w}}}
    """
    assert only(compiled(text)).hooks == (
        Hook(HookPoint.PRE_START, ("z",), 5.0),
        Hook(HookPoint.POST_START, ("w",)),
    )


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("{pre_stat: x}", 'cannot read "pre_stat" here (did you mean "pre_start"?)'),
        ("{pre_start: {timeout: 5s}}", "cannot be without command"),
        ("{pre_start: ''}", "cannot be empty (write the program to run)"),
        ("{pre_start: {command: [a], shell: true}}", "cannot be a list with shell: true"),
        ("{pre_start: {command: {a: b}}}", "cannot be a mapping (write a command line"),
    ],
)
def test_a_hook_that_is_none_is_refused(refused: Refuse, form: str, problem: str) -> None:
    """Each mistake in a hook is one line."""
    (line,) = refused(f"workers: {{a: {{command: a, hooks: {form}}}}}")
    assert "workers.a.hooks.pre_sta" in line
    assert problem in line


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("max_memory: 512MiB", ResourceRule(Resource.MEMORY, 512 << 20)),
        (
            "max_memory: {limit: 1GB, action: report}",
            ResourceRule(Resource.MEMORY, 10**9, 0, OnBroken.REPORT),
        ),
        ("max_cpu: 80%", ResourceRule(Resource.CPU, 0.8, 60.0)),
        ("max_cpu: 1.5", ResourceRule(Resource.CPU, 1.5, 60.0)),
        ("max_cpu: {limit: 250%, window: 5m}", ResourceRule(Resource.CPU, 2.5, 300.0)),
        ("max_age: 1d", ResourceRule(Resource.AGE, 86400.0)),
    ],
)
def test_a_rule_has_a_limit(compiled: Compile, text: str, rule: ResourceRule) -> None:
    """A value is short for the limit of a rule that restarts."""
    assert only(compiled(f"workers: {{a: {{command: a, {text}}}}}")).rules == (rule,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("max_memory: 0", "cannot use 0 as a limit"),
        ("max_memory: much", "as a size"),
        ("max_memory: {action: report}", "cannot be without limit"),
        ("max_memory: {limit: 1MiB, window: 5s}", 'cannot find a key named "window"'),
        ("max_cpu: 0%", "as a share of processors (try 80% or 1.5)"),
        ("max_cpu: 80 %", "as a share of processors"),
        ("max_age: 1", "as a duration (try 1s)"),
        ("max_age: {limit: 1h, action: stop}", "cannot read"),
    ],
)
def test_a_rule_that_is_none_is_refused(refused: Refuse, text: str, problem: str) -> None:
    """Each mistake in a rule is one line."""
    (line,) = refused(f"workers: {{a: {{command: a, {text}}}}}")
    assert problem in line


def test_what_is_watched_lies_beside_the_file(compiled: Compile, tmp_path: Path) -> None:
    """Globs become absolute; what is ignored is a name, or a path that becomes absolute too."""
    text = """
    workers:
      a:
        command: a
        watch: {paths: ["src/**/*.py", "/etc/{name}"], ignore: ["*.pyc", src/x], debounce: 2s}
    """
    paths = (f"{tmp_path}/src/**/*.py", "/etc/a")
    assert only(compiled(text)).watch == Watch(paths, ("*.pyc", f"{tmp_path}/src/x"), 2.0)


@pytest.mark.parametrize("form", ["x", "[x]", "{paths: x}"])
def test_one_path_needs_no_list(compiled: Compile, tmp_path: Path, form: str) -> None:
    """A single path is a list of one."""
    spec = only(compiled(f"workers: {{a: {{command: a, watch: {form}}}}}"))
    assert spec.watch == Watch((f"{tmp_path}/x",))


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("{ignore: x}", "workers.a.watch: cannot be without paths"),
        ("[]", "workers.a.watch.paths: cannot be empty (write a file, a directory or a glob)"),
        ("['']", "workers.a.watch.paths[0]: cannot be empty (write a path)"),
    ],
)
def test_nothing_is_not_watched(refused: Refuse, form: str, problem: str) -> None:
    """Who wants files to be watched says which."""
    (line,) = refused(f"workers: {{a: {{command: a, watch: {form}}}}}")
    assert line.endswith(problem)


@pytest.mark.parametrize(
    ("form", "policy"),
    [
        ("rolling", UpdatePolicy(Strategy.ROLLING)),
        ("{strategy: rolling, max_unavailable: 3}", UpdatePolicy(Strategy.ROLLING, 3)),
        ("{strategy: rolling, max_unavailable: 25%}", UpdatePolicy(Strategy.ROLLING, 2)),
        ("{strategy: rolling, max_unavailable: 1%}", UpdatePolicy(Strategy.ROLLING, 1)),
        (
            "{strategy: rolling, pause: 5s, abort_on_failure: false}",
            UpdatePolicy(Strategy.ROLLING, 1, 5.0, abort_on_failure=False),
        ),
    ],
)
def test_a_roll_out_has_a_policy(compiled: Compile, form: str, policy: UpdatePolicy) -> None:
    """A word is the strategy; a percentage is of the worker's instances, rounded down to one."""
    text = f"workers: {{a: {{command: a, instances: 10, update: {form}}}}}"
    configuration = compiled(text).configuration
    assert {spec.update for spec in configuration.instances} == {policy}
    assert configuration.spares == ()


def test_start_first_has_a_spare(compiled: Compile) -> None:
    """Beyond the last instance there is one more, which is like the others."""
    text = "workers: {a: {command: 'a {instance}', instances: 2, update: start-first}}"
    configuration = compiled(text).configuration
    (spare,) = configuration.spares
    assert [spec.name for spec in configuration.instances] == ["a:0", "a:1"]
    assert (spare.name, spare.number, spare.program.argv) == ("a:2", 2, ("a", "2"))
    assert spare.update.strategy is Strategy.START_FIRST


def test_no_instances_have_no_spare(compiled: Compile) -> None:
    """Where nothing runs there is nothing to roll out."""
    configuration = compiled(
        "workers: {a: {command: a, instances: 0, update: start-first}}"
    ).configuration
    assert configuration.spares == ()


def test_a_spare_has_its_own_log(refused: Refuse) -> None:
    """A spare that would write into the log of another instance is refused."""
    (line,) = refused("workers: {a: {command: a, update: start-first, stdout: x.log}}")
    assert "workers.a.stdout.log: cannot write to" in line
    assert line.endswith("(put {instance} into it)")


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("rollin", '(did you mean "rolling"?)'),
        ("{max_unavailable: 0}", "as a number of instances (try 1, 2 or 25%)"),
        ("{max_unavailable: 101%}", "as a number of instances"),
        ("{max_unavailable: half}", "as a number of instances"),
    ],
)
def test_a_policy_that_is_none_is_refused(refused: Refuse, form: str, problem: str) -> None:
    """Each mistake in a policy is one line."""
    (line,) = refused(f"workers: {{a: {{command: a, update: {form}}}}}")
    assert problem in line


def test_what_does_not_stay_is_not_rolled_out(refused: Refuse) -> None:
    """A task that has ended is no instance that became ready."""
    (line,) = refused("workers: {a: {command: a, type: task, update: rolling}}")
    assert "workers.a.update.strategy: cannot roll out a task so" in line


@pytest.mark.parametrize("form", ["HUP", "{signal: SIGHUP}"])
def test_a_worker_can_reload_itself(compiled: Compile, form: str) -> None:
    """A signal makes it read its own configuration again."""
    assert only(compiled(f"workers: {{a: {{command: a, reload: {form}}}}}")).reload_signal == 1


def test_a_reload_needs_a_signal(refused: Refuse) -> None:
    """An empty section is a mistake."""
    (line,) = refused("workers: {a: {command: a, reload: {}}}")
    assert line.endswith("workers.a.reload: cannot be without signal")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("on_exit: shutdown", OnExit.SHUTDOWN),
        ("on_exit: restart-all, type: task", OnExit.RESTART_ALL),
        ("on_exit: shutdown, restart: {when: on-failure, limit: none}", OnExit.SHUTDOWN),
        ("on_exit: nothing, restart: {limit: none}", OnExit.NOTHING),
    ],
)
def test_an_end_can_matter(compiled: Compile, text: str, meaning: OnExit) -> None:
    """A worker that can end for good says what that means to the others."""
    assert only(compiled(f"workers: {{a: {{command: a, {text}}}}}")).on_exit is meaning


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("restart: {limit: none}", "it is restarted for ever (give restart.limit)"),
        ("type: job, schedule: {every: 1h}", "a job has a next run"),
    ],
)
def test_an_end_that_never_comes_is_refused(refused: Refuse, text: str, problem: str) -> None:
    """What goes on for ever cannot mean anything by ending."""
    (line,) = refused(f"workers: {{a: {{command: a, on_exit: shutdown, {text}}}}}")
    assert "workers.a.on_exit: cannot wait for its end: " in line
    assert line.endswith(problem)


def test_remembering_is_asked_for(compiled: Compile) -> None:
    """What an operator wanted is forgotten at a boot unless the file says otherwise."""
    text = "workers: {a: {command: a}, b: {command: b, remember: true}}"
    assert [spec.remember for spec in compiled(text).configuration.instances] == [False, True]


def test_labels_are_sorted_and_merged(compiled: Compile) -> None:
    """A worker adds to the labels of `defaults`; each instance can have its own."""
    text = """
    defaults: {labels: {tier: web, team: a}}
    workers: {x: {command: x, instances: 2, labels: {team: b, slot: "{name}-{instance}"}}}
    """
    assert [spec.labels for spec in compiled(text).configuration.instances] == [
        (("slot", f"x-{number}"), ("team", "b"), ("tier", "web")) for number in (0, 1)
    ]


@pytest.mark.parametrize("label", ["a b: c", "x: 'a,b'", "x: 'a=b'", f"x: {'a' * 65}"])
def test_labels_can_be_selected(refused: Refuse, label: str) -> None:
    """What would not fit into a selector is no label."""
    (line,) = refused(f"workers: {{a: {{command: a, labels: {{{label}}}}}}}")
    assert "workers.a.labels." in line
    assert "cannot use" in line
