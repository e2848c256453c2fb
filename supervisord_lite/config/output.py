"""The keys that say where output goes: into which files, how those are rotated, to whom else. Part
of `model`, and written as that is.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Discriminator, Tag

from supervisord_lite.config import values
from supervisord_lite.config.errors import quoted
from supervisord_lite.config.scalars import (
    Boolean,
    Mode,
    Name,
    PathText,
    Section,
    Text,
    choice,
    form,
    scalar,
    whole,
)
from supervisord_lite.core.log import Compression, Deliver, Destination, Format, Level, OnFull, View

# What is done to output on its way through us, and so not where the worker has the file itself.
OURS = ("format", "on_full", "rate_limit", "rotate")
MIN_ROTATION = 4096  # bytes
_LINES = (64, 1 << 20)  # bytes that `max_line` can be: the most is what a pipe of ours holds


def _rotation_size(value: str) -> int:
    """Bytes; 0 stands for a file that is not rotated for its size."""
    if value == "none":
        return 0
    size = values.size(value)
    if size < MIN_ROTATION:  # a file for every line: what `keep` leaves of them is next to nothing
        hint = "try 4KiB or more" if size else "write none for no rotation"
        raise ValueError(f"cannot rotate at {quoted(value)} ({hint})")
    return size


def _some(value: str) -> int:
    size = values.size(value)
    if size == 0:
        raise ValueError(f"cannot use {quoted(value)}: nothing fits (try 1MiB)")
    return size


def _period(value: str) -> float:
    seconds = values.duration(value)
    if seconds < 1:
        raise ValueError(f"cannot use {quoted(value)}: it is too short (try 1s or more)")
    return seconds


def _longest_line(value: str) -> int:
    size = values.size(value)
    if _LINES[0] <= size <= _LINES[1]:
        return size
    raise ValueError(f"cannot use {quoted(value)} as the length of a line (try 64 to 1MiB)")


class Rotate(Section):
    size: Annotated[int, scalar(_rotation_size)] | None = None
    daily: Annotated[str, scalar(values.time_of_day)] | None = None
    every: Annotated[float, scalar(_period)] | None = None
    keep: Annotated[int, whole(0, 10_000)] | None = None
    max_total: Annotated[int, scalar(_some)] | None = None
    max_age: Annotated[float, scalar(_period)] | None = None
    compress: Annotated[Compression, choice(Compression)] | None = None


class RateLimit(Section):
    lines: Annotated[int, whole(1, 1_000_000_000)] | None = None
    bytes: Annotated[int, scalar(_some)] | None = None


class Tap(Section):
    path: PathText | None = None
    format: Annotated[View, choice(View)] | None = None


class Output(Section):
    log: PathText | None = None
    format: Annotated[Format, choice(Format)] | None = None
    direct: Boolean | None = None
    rotate: Rotate | None = None
    on_full: Annotated[OnFull, choice(OnFull)] | None = None
    rate_limit: RateLimit | None = None
    max_line: Annotated[int, scalar(_longest_line)] | None = None
    tap: Tap | None = None
    channel: Name | None = None
    deliver: Annotated[Deliver, choice(Deliver)] | None = None


class Word(StrEnum):
    """What an output can be told in one word."""

    DISCARD = "discard"
    INHERIT = "inherit"
    JOINED = "joined"


OutputOrWord = Annotated[
    Annotated[Word, choice(Word), Tag("#word")] | Annotated[Output, Tag("#keys")],
    Discriminator(form),
]


class Logged(StrEnum):
    """The streams of which there can be a log."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Selected(Section):
    """Whose lines are meant: of these workers, of those with these labels, of one stream."""

    workers: list[Name] | None = None
    select: Text | None = None
    stream: Annotated[Logged, choice(Logged)] | None = None


class SharedTap(Selected):
    path: PathText | None = None
    format: Annotated[View, choice(View)] | None = None
    mode: Mode | None = None


class Shown(StrEnum):
    """The views that tell whose line it is."""

    PREFIXED = "prefixed"
    JSON = "json"


class Forward(Selected):
    to: Annotated[Destination, choice(Destination)] | None = None
    format: Annotated[Shown, choice(Shown)] | None = None
    socket: PathText | None = None
    facility: Annotated[int, scalar(values.facility)] | None = None


class Logs(Section):
    max_total: Annotated[int, scalar(_some)] | None = None
    forward: dict[Name, Forward] | None = None


class Written(StrEnum):
    """How the daemon writes down what it says of itself."""

    TEXT = "text"
    JSON = "json"


class OwnLog(Section):
    path: PathText | None = None
    level: Annotated[Level, choice(Level)] | None = None
    format: Annotated[Written, choice(Written)] | None = None
    stderr: Boolean | None = None
    rotate: Rotate | None = None
