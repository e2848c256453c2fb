"""The keys that say how a worker lives beside others: what it waits for, how it is looked after,
when it runs, what is done about it. Part of `model`, and written as that is.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Discriminator, Tag

from supervisord_lite.config import values
from supervisord_lite.config.errors import quoted
from supervisord_lite.config.scalars import (
    Boolean,
    Command,
    Duration,
    PathText,
    Section,
    Signal,
    Span,
    Text,
    choice,
    decimal,
    form,
    scalar,
    whole,
)
from supervisord_lite.core.schedule import Missed, Overlap
from supervisord_lite.core.spec import Condition, OnBroken, OnFailedDependency, Strategy


class Dependency(Section):
    condition: Annotated[Condition, choice(Condition)] | None = None
    policy: Annotated[OnFailedDependency, choice(OnFailedDependency)] | None = None
    restart_with: Boolean | None = None


class Notify(StrEnum):
    """The protocols by which a worker can say that it is ready."""

    SYSTEMD = "systemd"


class Http(Section):
    url: Text | None = None
    status: list[Annotated[int, whole(100, 599)]] | None = None
    headers: dict[Text, Text] | None = None
    body: Text | None = None


class ActiveProbes(Section):
    """The probes that somebody carries out; of all the probes in a section one is given."""

    tcp: Text | None = None
    http: Http | None = None
    unix: PathText | None = None
    file: PathText | None = None
    exec: Command | None = None


class Ready(ActiveProbes):
    notify: Annotated[Notify, choice(Notify)] | None = None
    fd: Annotated[int, whole(3, 299)] | None = None
    log: Text | None = None
    timeout: Span | None = None
    interval: Span | None = None


class Verdict(StrEnum):
    """What can be done about an unhealthy worker in one word."""

    RESTART = "restart"
    REPORT = "report"


def _verdict(value: str) -> Verdict:
    if value in list(Verdict):
        return Verdict(value)
    raise ValueError(f"cannot read {quoted(value)} here (try restart, report or {{signal: USR1}})")


class SignalTo(Section):
    signal: Signal | None = None


VerdictOrSignal = Annotated[
    Annotated[Verdict, scalar(_verdict), Tag("#word")] | Annotated[SignalTo, Tag("#keys")],
    Discriminator(form),
]


class HealthCheck(ActiveProbes):
    interval: Span | None = None
    timeout: Span | None = None
    retries: Annotated[int, whole(1, 1000)] | None = None
    start_period: Duration | None = None
    jitter: Annotated[float, decimal(0, 1)] | None = None
    on_unhealthy: VerdictOrSignal | None = None


PROBES = (*ActiveProbes.model_fields, "notify", "fd", "log")
TIMES = ("cron", "every")


class Schedule(Section):
    cron: Text | None = None
    every: Span | None = None
    timezone: Text | None = None
    overlap: Annotated[Overlap, choice(Overlap)] | None = None
    missed: Annotated[Missed, choice(Missed)] | None = None


class Hook(Section):
    command: Command | None = None
    shell: Boolean | None = None
    timeout: Span | None = None


class Rule(Section):
    action: Annotated[OnBroken, choice(OnBroken)] | None = None


def _memory(value: str) -> int:
    size = values.size(value)
    if size == 0:
        raise ValueError(f"cannot use {value} as a limit: everything is above it")
    return size


class MemoryRule(Rule):
    limit: Annotated[int, scalar(_memory)] | None = None


class CpuRule(Rule):
    limit: Annotated[float, scalar(values.processors)] | None = None
    window: Span | None = None


class AgeRule(Rule):
    limit: Span | None = None


class Watch(Section):
    paths: list[PathText] | None = None
    ignore: list[PathText] | None = None
    debounce: Duration | None = None


class Update(Section):
    strategy: Annotated[Strategy, choice(Strategy)] | None = None
    max_unavailable: Annotated[values.Share, scalar(values.share)] | None = None
    pause: Duration | None = None
    abort_on_failure: Boolean | None = None
