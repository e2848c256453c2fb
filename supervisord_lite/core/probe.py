"""What is asked of a worker to find out whether it is ready or healthy: values, nothing else.

How a probe is carried out is the shell's matter; what its outcome means is `worker`'s. Each kind of
probe is a value of its own that holds what it needs. Paths are absolute, durations are seconds.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class NotifyProbe:
    """The worker says READY=1 on its NOTIFY_SOCKET (sd_notify(3)). For readiness only."""


@dataclass(frozen=True, slots=True)
class DescriptorProbe:
    """The worker writes a newline to this descriptor, as s6 has it. For readiness only."""

    number: int


@dataclass(frozen=True, slots=True)
class LogProbe:
    """A line of the worker's output matches this regular expression. For readiness only."""

    pattern: str


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A connection to this address is accepted."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A GET of this address (`http://HOST:PORT/PATH`) is answered with one of these statuses (any
    2xx or 3xx if none are named), with these headers where they are named (names in lower case),
    and with a body that has this text in it where one is given.
    """

    url: str
    status: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None


@dataclass(frozen=True, slots=True)
class UnixProbe:
    """A connection to the stream socket at this path is accepted."""

    path: str


@dataclass(frozen=True, slots=True)
class FileProbe:
    """The file is there, and has been made or changed since the run began."""

    path: str


@dataclass(frozen=True, slots=True)
class ExecProbe:
    """The command, run like the worker itself, ends with exit code 0."""

    argv: tuple[str, ...]


ActiveProbe = TcpProbe | HttpProbe | UnixProbe | FileProbe | ExecProbe
"""A probe that somebody has to carry out again and again."""

Probe = NotifyProbe | DescriptorProbe | LogProbe | ActiveProbe


@dataclass(frozen=True, slots=True)
class Readiness:
    """When a run counts as RUNNING. `timeout` is all the time it has from its spawn to then; an
    active probe is tried every `interval` seconds, and each try has as long as that or a second,
    whichever is more.
    """

    probe: Probe
    timeout: float = 60.0
    interval: float = 0.25


class OnUnhealthy(StrEnum):
    """What is done about an unhealthy run."""

    RESTART = "restart"
    SIGNAL = "signal"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How a RUNNING instance is looked after. `retries` failures in a row make it unhealthy, one
    success makes it healthy. Failures in the `start_period` after it became RUNNING do not count.
    `jitter` is the share of `interval` by which the probes of instances are spread.
    """

    probe: ActiveProbe
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0
    jitter: float = 0.1
    on_unhealthy: OnUnhealthy = OnUnhealthy.RESTART
    signal: int | None = None  # where `on_unhealthy` is a signal
