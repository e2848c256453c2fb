"""The keys of the file and the type of each, for pydantic; short forms are written out by now.

The model says only what a value may be on its own. What depends on other values, on users, on
paths or on channels is looked at in `resolve` and below it. A key that was not given is None: the
defaults are those of `core.spec`, which has them once. How a worker lives beside others is said in
`lifecycle`, where its output goes in `output`.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from supervisord_lite.config import lifecycle, output, sharing, values
from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.scalars import (
    Boolean,
    Command,
    Duration,
    Mode,
    Name,
    PathText,
    Section,
    Signal,
    Span,
    Text,
    VariableName,
    WorkerName,
    choice,
    decimal,
    scalar,
    shape,
    whole,
)
from supervisord_lite.core.spec import HookPoint, Kind, OnExit, Target, When

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _limit_name(value: str) -> str:
    name = value.lower().removeprefix("rlimit_")
    if name in values.LIMIT_NAMES:
        return name
    raise ValueError(
        f"cannot find a limit named {quoted(value)}{suggestion(name, values.LIMIT_NAMES)}"
    )


def _attempts(value: str) -> int:
    """A count; 0 stands for no limit."""
    return 0 if value in ("none", "unlimited") else values.integer(value, 1, 1_000_000)


def _cpus(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        return values.cpus(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(sorted({values.integer(item, 0, 4095) for item in value}))
    raise ValueError(f"cannot be {shape(value)} (try 0-3,5 or [0, 1])")


class Control(Section):
    socket: PathText | None = None
    mode: Mode | None = None


class Supervisor(Section):
    name: Name | None = None
    control: Control | None = None
    runtime_dir: PathText | None = None
    state_dir: PathText | None = None
    stop_deadline: Duration | None = None
    forward: list[Signal] | None = None
    log: output.OwnLog | None = None


class Limit(Section):
    count: Annotated[int, scalar(_attempts)] | None = None
    within: Duration | None = None


class Restart(Section):
    when: Annotated[When, choice(When)] | None = None
    delay: Duration | None = None
    factor: Annotated[float, decimal(1, 100)] | None = None
    max_delay: Duration | None = None
    jitter: Annotated[float, decimal(0, 1)] | None = None
    limit: Limit | None = None
    stable_after: Span | None = None
    success_codes: list[Annotated[int, whole(0, 255)]] | None = None


class Rung(Section):
    signal: Signal | None = None
    to: Annotated[Target, choice(Target)] | None = None
    wait: Duration | None = None


def _rungs(ladder: list[Rung]) -> list[Rung]:
    if ladder:
        return ladder
    raise ValueError("cannot be empty (write a wait, a signal, or a list of rungs)")


class Input(Section):
    channel: Name | None = None


class Ulimit(Section):
    soft: Annotated[int | None, scalar(values.limit_value)] = -1
    hard: Annotated[int | None, scalar(values.limit_value)] = -1


def _function(value: str) -> str:
    if _FUNCTION.fullmatch(value):
        return value
    raise ValueError(f"cannot read {quoted(value)} as a function (write package.module:function)")


def _list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    raise ValueError(f"cannot be {shape(value)} (write a list)")


def _mapping(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"cannot be {shape(value)} (write names and values)")


class Worker(Section):
    command: Command | None = None
    shell: Boolean | None = None
    python: Annotated[str, scalar(_function)] | None = None
    args: Annotated[list[object], PlainValidator(_list)] | None = None
    kwargs: Annotated[dict[str, object], PlainValidator(_mapping)] | None = None
    type: Annotated[Kind, choice(Kind)] | None = None
    working_dir: PathText | None = None
    user: Text | None = None
    group: Text | None = None
    umask: Mode | None = None
    environment: dict[VariableName, Text] | None = None
    env_file: list[PathText] | None = None
    clear_environment: Boolean | None = None
    instances: Annotated[int, whole(0, values.MAX_INSTANCES)] | None = None
    autostart: Boolean | None = None
    restart: Restart | None = None
    stop: Annotated[list[Rung], AfterValidator(_rungs)] | None = None
    stdin: Input | None = None
    stdout: output.OutputOrWord | None = None
    stderr: output.OutputOrWord | None = None
    channels: dict[Name, sharing.Binding] | None = None
    ulimits: dict[Annotated[str, scalar(_limit_name)], Ulimit] | None = None
    nice: Annotated[int, whole(-20, 19)] | None = None
    oom_score_adj: Annotated[int, whole(-1000, 1000)] | None = None
    cpu_affinity: Annotated[tuple[int, ...], PlainValidator(_cpus)] | None = None
    no_new_privileges: Boolean | None = None
    labels: dict[Name, Text] | None = None
    depends_on: dict[Name, lifecycle.Dependency] | None = None
    ready: lifecycle.Ready | None = None
    healthcheck: lifecycle.HealthCheck | None = None
    watchdog: Span | None = None
    schedule: lifecycle.Schedule | None = None
    hooks: dict[Annotated[HookPoint, choice(HookPoint)], lifecycle.Hook] | None = None
    max_memory: lifecycle.MemoryRule | None = None
    max_cpu: lifecycle.CpuRule | None = None
    max_age: lifecycle.AgeRule | None = None
    watch: lifecycle.Watch | None = None
    update: lifecycle.Update | None = None
    signals: dict[Signal, Signal] | None = None
    reload: lifecycle.SignalTo | None = None
    on_exit: Annotated[OnExit, choice(OnExit)] | None = None
    remember: Boolean | None = None


class File(Section):
    """A whole document, `include` followed, `x-` keys taken out."""

    supervisor: Supervisor | None = None
    defaults: Worker | None = None
    channels: dict[Name, sharing.Channel] | None = None
    taps: dict[Name, output.SharedTap] | None = None
    logs: output.Logs | None = None
    workers: dict[WorkerName, Worker]
