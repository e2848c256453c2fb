"""What the data plane tells of itself: one event a change, never one a write.

They are reported in the data plane's threads; whoever takes them hands them on at once.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TroubleBegan:
    """The stream's log cannot be written; `text` says why ("cannot write PATH: ...")."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class TroubleEnded:
    """The log is written again. Between, so much was lost (nothing, if the worker waited)."""

    stream: str
    text: str
    dropped_bytes: int
    dropped_lines: int


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something about the stream that is worth one line and changes nothing: a rotation that
    failed, a file system that refuses splice, an index or a tap that cannot be had.
    """

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class StallBegan:
    """The disk below `place` has not answered for 5 seconds; writers of its logs wait."""

    place: str
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StallEnded:
    """The disk below `place` answers again."""

    place: str


@dataclass(frozen=True, slots=True)
class TapOpened:
    """Someone reads the stream's tap."""

    stream: str
    path: str


@dataclass(frozen=True, slots=True)
class TapClosed:
    """Nobody reads the stream's tap any more."""

    stream: str
    path: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """The stream's log at `path` has one more older file, and goes on in a fresh one."""

    stream: str
    path: str


LogEvent = (
    TroubleBegan
    | TroubleEnded
    | Noticed
    | StallBegan
    | StallEnded
    | TapOpened
    | TapClosed
    | Rotated
)


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream as the data plane last saw it. `bytes` is the size of the present file; dropped
    and limited counts (what the rate limit left out) are those since the stream was attached, as is
    what its channel was not given; `stalled_since` is CLOCK_MONOTONIC.
    """

    path: str
    bytes: int
    dropped_bytes: int
    dropped_lines: int
    trouble: str | None
    stalled_since: float | None
    limited_bytes: int = 0
    limited_lines: int = 0
    channel_lost_bytes: int = 0
