"""Which worker has which channel: uses, ends, numbers, names, and who is missing."""

from collections.abc import Callable

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.core.channel import Binding, Use
from supervisord_lite.core.log import Deliver
from supervisord_lite.core.spec import InstanceSpec, Program, Route, Stream

Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]

CHANNELS = """
channels:
  lines: {type: pipe}
  jobs: {type: fifo, path: /run/j}
  web: {type: socket, listen: "tcp://[::1]:80"}
  door: {type: socket, listen: "unix:/run/d"}
  duo: {type: socketpair}
  work: {type: queue}
  guard: {type: lock}
  total: {type: value, code: q, lock: guard}
workers:
"""


def specs(compiled: Compiled) -> dict[str, InstanceSpec]:
    return {spec.worker: spec for spec in compiled.configuration.instances}


def programs(compiled: Compiled) -> dict[str, Program]:
    return {name: spec.program for name, spec in specs(compiled).items()}


def test_every_form_of_use(compiled: Compile) -> None:
    """A name, a list, a mapping with words or keys; what is not said is the usual."""
    text = f"""{CHANNELS}
      a: {{command: x, channels: work}}
      b: {{command: x, channels: [work, jobs, guard, web]}}
      c:
        command: x
        channels: {{work: put, lines: {{use: read, fd: 9}}, web: listen, total: {{}}}}
    """
    found = programs(compiled(text))
    assert found["a"].channels == (Binding("work", Use.BOTH),)
    assert found["b"].channels == (
        Binding("work", Use.BOTH),
        Binding("jobs", Use.BOTH),
        Binding("guard"),
        Binding("web"),
    )
    assert found["c"].channels == (
        Binding("work", Use.PUT),
        Binding("lines", Use.READ, 9),
        Binding("web"),
        Binding("total"),
    )


def test_the_ends_of_a_socketpair(compiled: Compile) -> None:
    """The first worker that does not say has a, the second b; or what the others leave."""
    first = f"{CHANNELS}\n  a: {{command: x, channels: duo}}\n  b: {{command: x, channels: duo}}"
    other = (
        f"{CHANNELS}\n  a: {{command: x, channels: {{duo: a}}}}\n  b: {{command: x, channels: duo}}"
    )
    for text in (first, other):
        found = programs(compiled(text))
        ends = [found[name].channels[0].use for name in ("a", "b")]
        assert ends == [Use.A, Use.B]


def test_a_third_end(refused: Refuse) -> None:
    """A socketpair has two; who wants to share one says which."""
    workers = "\n".join(f"  {name}: {{command: x, channels: duo}}" for name in "abc")
    (line,) = refused(CHANNELS + workers)
    assert "workers.c.channels.duo: cannot have an end of its own: both are taken" in line


@pytest.mark.parametrize(
    ("channels", "problem"),
    [
        ("lines", "cannot tell which end is meant ({lines: read} or {lines: write})"),
        ("{lines: put}", 'cannot use a pipe for "put" (try read or write)'),
        ("{lines: both}", 'cannot use a pipe for "both"'),
        ("{guard: read}", 'cannot use a lock for "read": it is the same for all (leave it out)'),
        ("{work: {fd: 1}}", 'cannot use "1" as the number of a descriptor'),
        ("{work: {fd: 3}, guard: {fd: 5}}", "cannot use descriptor 5: it is taken"),
        ("{guard: {fd: 3}, web: {}}", "cannot give descriptor 3 to anything but web"),
        ("[wrok]", 'cannot find a channel named "wrok" (did you mean "work"?)'),
        ("[[work]]", "cannot use this (write the name of a channel)"),
        ("{work: {us: put}}", 'cannot find a key named "us" (did you mean "use"?)'),
    ],
)
def test_what_cannot_be_had(refused: Refuse, channels: str, problem: str) -> None:
    """Each misuse is one line at its place."""
    (line,) = refused(f"{CHANNELS}  a: {{command: x, channels: {channels}}}")
    assert problem in line


def test_a_descriptor_that_readiness_has(refused: Refuse) -> None:
    """The number of `ready: {fd: N}` is for nothing else."""
    text = f"{CHANNELS}  a: {{command: x, ready: {{fd: 7}}, channels: {{guard: {{fd: 7}}}}}}"
    (line,) = refused(text)
    assert "workers.a.channels: cannot use descriptor 7: it is taken" in line


def test_two_channels_of_one_variable(refused: Refuse) -> None:
    """Their names must differ in what a variable's name can have."""
    text = """
    channels: {a-b: {type: lock}, a.b: {type: lock}}
    workers: {w: {command: x, channels: [a-b, a.b]}}
    """
    (line,) = refused(text)
    assert "cannot have a.b beside a-b: both would be called CHANNEL_A_B" in line


def test_channels_in_a_command(compiled: Compile) -> None:
    """Numbers are as they will be handed over; paths and addresses need no binding."""
    text = f"""{CHANNELS}
      a:
        command: "x {{channel.web}} {{channel.work}} {{channel.jobs.path}} {{channel.web.address}}"
        environment: {{D: "{{channel.door.path}}", L: "{{channel.lines}}"}}
        channels: {{work: get, web: {{}}}}
        stdin: {{channel: lines}}
    """
    program = programs(compiled(text))["a"]
    assert program.argv == ("x", "3", "5", "/run/j", "tcp://[::1]:80")
    assert dict(program.environment) == {"D": "/run/d", "L": "0"}


def test_a_channel_that_is_not_had(refused: Refuse) -> None:
    """There is no number for it."""
    (line,) = refused(f'{CHANNELS}  a: {{command: "x {{channel.work}}"}}')
    assert "cannot replace {channel.work}: the worker is not connected to it" in line


def test_streams_take_pipes_and_fifos(compiled: Compile, refused: Refuse) -> None:
    """Both can be read line by line; nothing else can."""
    text = "  a: {{command: x, stdin: {{channel: {0}}}, stdout: {{channel: {0}}}}}"
    for name in ("lines", "jobs"):
        program = programs(compiled(CHANNELS + text.format(name)))["a"]
        assert program.stdin == program.stdout == Stream(Route.CHANNEL, name)
    one, other = refused(CHANNELS + text.format("work"))
    assert "a.stdin.channel: cannot read a queue so (it takes a pipe or a fifo)" in one
    assert "a.stdout.channel: cannot write a queue so" in other


def test_a_log_beside_a_channel(compiled: Compile) -> None:
    """The log says so, and error messages stay out of what is copied."""
    text = "  a: {command: x, stdout: {log: a.log, channel: lines, deliver: lossy}}"
    spec = specs(compiled(CHANNELS + text))["a"]
    assert spec.stdout_log is not None
    assert (spec.stdout_log.channel, spec.stdout_log.deliver) == ("lines", Deliver.LOSSY)
    assert spec.program.stdout == spec.program.stderr == Stream(Route.LOG)
    assert spec.stderr_log is not None
    assert spec.stderr_log.path.endswith("/logs/a.0.stderr.log")
    assert spec.stderr_log.channel is None


@pytest.mark.parametrize(
    ("stdout", "problem"),
    [
        ("{channel: lines, rotate: 1MiB}", "rotate: cannot use rotate on a stream that leads to"),
        ("{channel: lines, deliver: all}", "deliver: cannot use deliver on a stream that leads to"),
        ("{log: l, deliver: all}", "deliver: cannot use deliver without a channel"),
        ("{log: l, channel: lines, direct: true}", "channel: cannot use channel with direct"),
    ],
)
def test_what_does_not_go_together(refused: Refuse, stdout: str, problem: str) -> None:
    """Only output that passes through us into a log can be copied."""
    (line,) = refused(f"{CHANNELS}  a: {{command: x, stdout: {stdout}}}")
    assert problem in line


def test_who_is_missing_is_a_warning(compiled: Compile) -> None:
    """Channels that nobody uses or only one side does compile: others may open them."""
    text = f"""{CHANNELS}
      a:
        command: "x {{channel.jobs.path}}"
        stdout: {{channel: lines}}
        channels: {{work: get, duo: a}}
      b: {{command: x, channels: [web, total]}}
    """
    assert [line.partition(": ")[2] for line in compiled(text).warnings] == [
        "channels.lines: no worker reads from this channel",
        "channels.door: no worker uses this channel",
        "channels.duo: no worker has end b of this channel",
        "channels.work: no worker puts into this channel",
    ]
