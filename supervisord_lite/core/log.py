"""What is wanted of output, as values: log files, how they rotate, taps, forwards.

As in `spec`, everything here is frozen, resolved and comparable, and nothing says how it is done.
Durations are seconds, sizes are bytes, paths are absolute.
"""

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What is written into a log file for each line of a worker."""

    RAW = "raw"  # the bytes themselves
    TIMESTAMPED = "timestamped"  # the time, a space, the bytes
    JSON = "json"  # an object with the time, whose line it is, and its text


class View(StrEnum):
    """How lines are shown to who reads them from a tap or is forwarded them."""

    RAW = "raw"
    PREFIXED = "prefixed"  # the name of the instance before each line
    JSON = "json"


class Compression(StrEnum):
    """What becomes of the older files of a log."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class OnFull(StrEnum):
    """What happens to output while its log cannot be written."""

    DROP = "drop"  # drained, counted, thrown away: the worker never waits
    BLOCK = "block"  # left in the pipe: the worker waits


class Deliver(StrEnum):
    """What a full channel does to output that is logged as well."""

    ALL = "all"  # log and worker wait for it
    LOSSY = "lossy"  # the channel misses what it has no room for


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a log is renamed to `.1`, at a line's end: near `size` bytes, at the `daily` time
    ("HH:MM", local), and `every` so many seconds; and which older files stay: at most `keep`, of
    at most `max_total` bytes together, none whose last byte is older than `max_age`.
    """

    size: int | None = 10 * 1024 * 1024  # None: whatever its size
    daily: str | None = None
    every: float | None = None
    keep: int = 5
    max_total: int | None = None
    max_age: float | None = None
    compress: Compression = Compression.NONE


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a stream may write a second; what is beyond is left out, counted, and marked."""

    lines: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """The file of one stream, and the FIFO, if any, that shows a live copy of it. `direct`: the
    worker has the file itself. `max_line` bounds a line wherever lines are looked at. `channel`, a
    pipe, is given a copy of the bytes.
    """

    path: str
    rotation: Rotation = Rotation()
    on_full: OnFull = OnFull.DROP
    tap: str | None = None
    tap_view: View = View.RAW
    format: Format = Format.RAW
    direct: bool = False
    rate_limit: RateLimit | None = None
    max_line: int = 64 * 1024
    channel: str | None = None
    deliver: Deliver = Deliver.ALL


@dataclass(frozen=True, slots=True)
class Selection:
    """The logged streams of these workers (resolved from names and selector; in file order), or
    one of "stdout" and "stderr" of them.
    """

    workers: tuple[str, ...]
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class SharedTap:
    """A FIFO with the lines of several logs."""

    name: str
    path: str
    of: Selection
    view: View = View.PREFIXED
    mode: int = 0o640


class Destination(StrEnum):
    """Where lines are forwarded to."""

    STDOUT = "stdout"  # the daemon's own
    STDERR = "stderr"
    SYSLOG = "syslog"
    JOURNALD = "journald"


@dataclass(frozen=True, slots=True)
class Forward:
    """Lines of several logs on their way to somebody else. `socket` and `facility` are those of
    syslog and journald.
    """

    name: str
    to: Destination
    of: Selection
    view: View = View.PREFIXED
    socket: str | None = None
    facility: int = 3  # daemon (RFC 5424, section 6.2.1)


class Level(StrEnum):
    """How grave it is what the daemon says of itself."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class OwnLog:
    """What the daemon says of itself: from `level` on, to stderr and to a file; `view` is RAW for
    text or JSON.
    """

    level: Level = Level.INFO
    view: View = View.RAW
    stderr: bool = True
    path: str | None = None
    rotation: Rotation = Rotation()


@dataclass(frozen=True, slots=True)
class Outlets:
    """All that a configuration wants of output beyond the log of each stream. `max_total` bounds
    all files of all logs.
    """

    max_total: int | None = None
    taps: tuple[SharedTap, ...] = ()
    forwards: tuple[Forward, ...] = ()
    own: OwnLog = OwnLog()
