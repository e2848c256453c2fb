"""Which lines of which logs a client wants to see, and what it is sent. What finds them is `lines`,
which nobody imports before a client asks.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from supervisord_lite.core.log import Format
from supervisord_lite.logs.line import Source
from supervisord_lite.logs.reading.matching import Matcher

__all__ = ["Form", "Matcher", "Opened", "Reading", "Shown"]


class Form(StrEnum):
    """How lines are written out."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Reading:
    """Which lines: the last so many (None: all) of those between two times, in nanoseconds since
    the epoch, that match.
    """

    lines: int | None
    since: int | None = None
    until: int | None = None
    matching: Matcher | None = None
    form: Form = Form.JSON


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that is read: its stream's full name ("web:0/stdout"), whose it is, from where, and
    from which position, if from a certain one.
    """

    name: str
    source: Source
    path: str
    position: str | None
    max_line: int = 64 * 1024
    format: Format = Format.RAW


class Shown(NamedTuple):
    """A line as it is sent: its cursor, and its text with an end of line."""

    cursor: str
    text: bytes
