"""`python`: functions as programs; `signals` and `forward`."""

import json
import sys
from collections.abc import Callable
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.spec import InstanceSpec

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


def only(compiled: Compiled) -> InstanceSpec:
    (spec,) = compiled.configuration.instances
    return spec


def call_of(spec: InstanceSpec) -> dict[str, object]:
    found: dict[str, object] = json.loads(dict(spec.program.environment)["SUPERVISORD_LITE_CALL"])
    return found


def test_a_function_is_a_command(compiled: Compile) -> None:
    """It is run by the daemon's interpreter, and told nothing if there is nothing to tell."""
    program = only(compiled("workers: {a: {python: 'shop.images:resize'}}")).program
    command = (sys.executable, "-m", "supervisord_lite.worker.run", "shop.images:resize")
    assert program.argv == command
    assert program.environment == ()


def test_arguments_have_types(compiled: Compile) -> None:
    """What is plain and reads as JSON is JSON, all else is text; names are filled in."""
    text = """
    workers:
      a:
        python: "m:f"
        args: [1, -2.5, "3", true, "true", null, 0660, no, 1e999, "{name}.{instance}", {k: [4]}]
        kwargs: {x: "${HOME}", y: {}}
    """
    assert call_of(only(compiled(text, HOME="7"))) == {
        "args": [1, -2.5, "3", True, "true", None, "0660", "no", "1e999", "a.0", {"k": [4]}],
        "kwargs": {"x": "7", "y": {}},
    }


def test_arguments_differ_between_instances(compiled: Compile) -> None:
    """Each instance is called with its own number."""
    text = "workers: {a: {python: 'm:f', instances: 2, args: ['{instance}']}}"
    found = compiled(text).configuration.instances
    assert [call_of(spec)["args"] for spec in found] == [["0"], ["1"]]


@pytest.mark.parametrize(
    ("worker", "problem"),
    [
        ("python: f", 'python: cannot read "f" as a function (write package.module:function)'),
        ("python: 'm:f', command: x", "command: cannot use command beside python"),
        ("python: 'm:f', args: 1", "args: cannot be a single value (write a list)"),
        ("python: 'm:f', kwargs: [1]", "kwargs: cannot be a list (write names and values)"),
        ("command: x, args: [1]", "args: cannot use args without python"),
        ("args: [1]", "args: cannot use args without python"),
        ("python: 'm:f', args: ['{channel.x}']", "cannot replace {channel.x}"),
        ("command: x, signals: {TREM: INT}", 'cannot read "TREM" as a signal'),
        ("command: x, signals: {KILL: INT}", "signals: cannot send anything instead of KILL"),
    ],
)
def test_what_is_no_function(refused: Refuse, worker: str, problem: str) -> None:
    """What does not go together is refused where it stands."""
    assert [line for line in refused(f"workers: {{a: {{{worker}}}}}") if problem in line]


def test_what_is_run_is_said_once(compiled: Compile) -> None:
    """A worker's own word goes before what `defaults` has of the other kind."""
    text = "defaults: {command: x, shell: true}\nworkers: {a: {python: 'm:f'}}"
    assert only(compiled(text)).program.argv[-1] == "m:f"
    text = "defaults: {python: 'm:f', args: [1]}\nworkers: {a: {command: x}}"
    program = only(compiled(text)).program
    assert (program.argv, program.environment) == (("x",), ())


def test_signals_are_numbers(compiled: Compile) -> None:
    """What is sent instead of what, in one order however it was written."""
    text = "workers: {a: {command: x, signals: {TERM: SIGINT, 1: usr2}}}"
    assert only(compiled(text)).signals == ((SIGHUP, SIGUSR2), (SIGTERM, SIGINT))


def test_signals_to_forward(compiled: Compile) -> None:
    """One, or a list."""
    for text, numbers in (("USR1", (SIGUSR1,)), ("[WINCH, USR1]", (SIGUSR1, SIGWINCH))):
        found = compiled(f"supervisor: {{forward: {text}}}\nworkers: {{}}").configuration
        assert found.forward == numbers


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("TERM", "SIGTERM: the daemon shuts down for it"),
        ("HUP", "SIGHUP: the daemon reloads for it"),
        ("RTMIN+1", "SIGRTMIN+1: the daemon leaves for it"),
        ("KILL", "SIGKILL: nobody can catch it"),
        ("CHLD", "SIGCHLD: it tells the daemon of the end of its children"),
    ],
)
def test_signals_that_mean_something_to_the_daemon(refused: Refuse, name: str, why: str) -> None:
    """They are not passed on."""
    (line,) = refused(f"supervisor: {{forward: [USR1, {name}]}}\nworkers: {{}}")
    assert f"supervisor.forward[1]: cannot forward {why}" in line
