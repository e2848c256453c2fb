"""The keys of the file and the type of each, for pydantic; short forms are written out by now.

The model says only what a value may be on its own. What depends on other values, on users, on
paths or on channels is looked at in `resolve`. A key that was not given is None: the defaults
are those of `core.spec`, which has them once.

Scalars arrive as text and each has its own parser, so every message is ours; pydantic walks the
tree, finds unknown keys and collects all that is wrong.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    PlainValidator,
    Tag,
)

from supervisord_lite.config import values
from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.core.spec import ChannelType, Kind, OnFull, Target, When

T = TypeVar("T")

MAX_INSTANCES = 20_000
MIN_ROTATION = 4096  # bytes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OURS = re.compile(r"SUPERVISORD_LITE_.*|(NOTIFY|WATCHDOG|LISTEN)_.*")  # set by the daemon


def shape(value: object) -> str:
    """What a value of the document is, for messages."""
    names = {dict: "a mapping", list: "a list", type(None): "empty"}
    return names.get(type(value), "a single value")


def _scalar(parse: Callable[[str], T]) -> PlainValidator:
    def validate(value: object) -> T:
        if isinstance(value, str):
            return parse(value)
        raise ValueError(f"cannot be {shape(value)} (write a value)")

    return PlainValidator(validate)


def text(value: str) -> str:
    """Any text that can be handed to the kernel."""
    if "\0" in value:
        raise ValueError(f"cannot use {quoted(value)}: it contains a NUL byte")
    return value


def _path(value: str) -> str:
    if not value:
        raise ValueError("cannot be empty (write a path)")
    return text(value)


def _name(value: str) -> str:
    if NAME.fullmatch(value):
        return value
    raise ValueError(
        f"cannot use {quoted(value)} as a name (up to 64 letters, digits, _ . -,"
        " a letter or digit first)"
    )


def _worker_name(value: str) -> str:
    if value == "all":
        raise ValueError('cannot use "all" as a name: it means every worker')
    return _name(value)


def variable_name(value: str) -> str:
    """The name of an environment variable that a file may set."""
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"cannot use {quoted(value)} as the name of a variable")
    if _OURS.fullmatch(value):
        raise ValueError(f"cannot set {value}: the daemon sets it")
    return value


def _one_of(choices: type[StrEnum], value: str) -> StrEnum:
    known = [str(choice) for choice in choices]
    if value in known:
        return choices(value)
    hint = suggestion(value, known) or f" (try {', '.join(known)})"
    raise ValueError(f"cannot read {quoted(value)} here{hint}")


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


def _rotation_size(value: str) -> int:
    """Bytes; 0 stands for a file that is never rotated."""
    if value == "none":
        return 0
    size = values.size(value)
    if size < MIN_ROTATION:  # a file for every line: what `keep` leaves of them is next to nothing
        hint = "try 4KiB or more" if size else "write none for no rotation"
        raise ValueError(f"cannot rotate at {quoted(value)} ({hint})")
    return size


def _command(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(text(word) for word in value)
    raise ValueError(f"cannot be {shape(value)} (write a command line, or a list of its words)")


def _cpus(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        return values.cpus(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(sorted({values.integer(item, 0, 4095) for item in value}))
    raise ValueError(f"cannot be {shape(value)} (try 0-3,5 or [0, 1])")


Text = Annotated[str, _scalar(text)]
PathText = Annotated[str, _scalar(_path)]
Name = Annotated[str, _scalar(_name)]
WorkerName = Annotated[str, _scalar(_worker_name)]
VariableName = Annotated[str, _scalar(variable_name)]
Boolean = Annotated[bool, _scalar(values.boolean)]
Duration = Annotated[float, _scalar(values.duration)]
Size = Annotated[int, _scalar(values.size)]
Mode = Annotated[int, _scalar(values.mode)]
Signal = Annotated[int, _scalar(values.signal_number)]


def _whole(low: int, high: int) -> PlainValidator:
    return _scalar(partial(values.integer, low=low, high=high))


def _decimal(low: float, high: float) -> PlainValidator:
    return _scalar(partial(values.number, low=low, high=high))


def _choice(choices: type[StrEnum]) -> PlainValidator:
    return _scalar(partial(_one_of, choices))


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid")

    def given(self) -> dict[str, Any]:
        """The keys that the file has, with their values; a null is as good as nothing."""
        return {key: value for key, value in self if value is not None}


class Control(Section):
    socket: PathText | None = None
    mode: Mode | None = None


class Supervisor(Section):
    name: Name | None = None
    control: Control | None = None
    runtime_dir: PathText | None = None
    stop_deadline: Duration | None = None


class Limit(Section):
    count: Annotated[int, _scalar(_attempts)] | None = None
    within: Duration | None = None


class Restart(Section):
    when: Annotated[When, _choice(When)] | None = None
    delay: Duration | None = None
    factor: Annotated[float, _decimal(1, 100)] | None = None
    max_delay: Duration | None = None
    jitter: Annotated[float, _decimal(0, 1)] | None = None
    limit: Limit | None = None
    stable_after: Duration | None = None
    success_codes: list[Annotated[int, _whole(0, 255)]] | None = None


class Rung(Section):
    signal: Signal | None = None
    to: Annotated[Target, _choice(Target)] | None = None
    wait: Duration | None = None


def _rungs(ladder: list[Rung]) -> list[Rung]:
    if ladder:
        return ladder
    raise ValueError("cannot be empty (write a wait, a signal, or a list of rungs)")


class Rotate(Section):
    size: Annotated[int, _scalar(_rotation_size)] | None = None
    keep: Annotated[int, _whole(0, 10_000)] | None = None


class Input(Section):
    channel: Name | None = None


class Output(Section):
    log: PathText | None = None
    rotate: Rotate | None = None
    on_full: Annotated[OnFull, _choice(OnFull)] | None = None
    tap: PathText | None = None
    channel: Name | None = None


class Word(StrEnum):
    """What an output can be told in one word."""

    DISCARD = "discard"
    INHERIT = "inherit"
    JOINED = "joined"


def _form(value: object) -> str:
    return "#word" if isinstance(value, str) else "#keys"


OutputOrWord = Annotated[
    Annotated[Word, _choice(Word), Tag("#word")] | Annotated[Output, Tag("#keys")],
    Discriminator(_form),
]


class Ulimit(Section):
    soft: Annotated[int | None, _scalar(values.limit_value)] = -1
    hard: Annotated[int | None, _scalar(values.limit_value)] = -1


class Worker(Section):
    command: Annotated[str | tuple[str, ...], PlainValidator(_command)] | None = None
    shell: Boolean | None = None
    type: Annotated[Kind, _choice(Kind)] | None = None
    working_dir: PathText | None = None
    user: Text | None = None
    group: Text | None = None
    umask: Mode | None = None
    environment: dict[VariableName, Text] | None = None
    env_file: list[PathText] | None = None
    clear_environment: Boolean | None = None
    instances: Annotated[int, _whole(0, MAX_INSTANCES)] | None = None
    autostart: Boolean | None = None
    restart: Restart | None = None
    stop: Annotated[list[Rung], AfterValidator(_rungs)] | None = None
    stdin: Input | None = None
    stdout: OutputOrWord | None = None
    stderr: OutputOrWord | None = None
    ulimits: dict[Annotated[str, _scalar(_limit_name)], Ulimit] | None = None
    nice: Annotated[int, _whole(-20, 19)] | None = None
    oom_score_adj: Annotated[int, _whole(-1000, 1000)] | None = None
    cpu_affinity: Annotated[tuple[int, ...], PlainValidator(_cpus)] | None = None
    no_new_privileges: Boolean | None = None


class Channel(Section):
    type: Annotated[ChannelType, _choice(ChannelType)]
    size: Size | None = None


class File(Section):
    """A whole document, `include` followed, `x-` keys taken out."""

    supervisor: Supervisor | None = None
    defaults: Worker | None = None
    channels: dict[Name, Channel] | None = None
    workers: dict[WorkerName, Worker]
