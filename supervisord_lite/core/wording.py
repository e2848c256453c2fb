"""Configured things in words, as they stand within a sentence: probes, schedules, updates."""

from typing import assert_never

from supervisord_lite.core.probe import (
    DescriptorProbe,
    ExecProbe,
    FileProbe,
    HttpProbe,
    LogProbe,
    NotifyProbe,
    Probe,
    TcpProbe,
    UnixProbe,
)
from supervisord_lite.core.schedule import Overlap, Schedule
from supervisord_lite.core.span import span
from supervisord_lite.core.spec import RestartPolicy, Strategy, UpdatePolicy, When

_AFTER_EXIT = {
    When.ALWAYS: "whenever it ends it is started again",
    When.ON_FAILURE: "when it fails it is started again, when it succeeds it stays EXITED",
    When.NEVER: "when it ends it stays down",
}
_OVERLAPS = {
    Overlap.SKIP: "a time that comes during a run is skipped",
    Overlap.QUEUE: "a time that comes during a run is run afterwards",
    Overlap.REPLACE: "a time that comes during a run replaces that run",
}


def probe(asked: Probe) -> str:
    """What the probe waits for, such as "a connection to 127.0.0.1:5432"."""
    match asked:
        case NotifyProbe():
            return "READY=1 on its NOTIFY_SOCKET"
        case DescriptorProbe(number):
            return f"a newline on its descriptor {number}"
        case LogProbe(pattern):
            return f"a line of output that matches {pattern}"
        case TcpProbe(host, port):
            return f"a connection to {host}:{port}"
        case HttpProbe(url):
            return f"a good answer from {url}"
        case UnixProbe(path):
            return f"a connection to {path}"
        case FileProbe(path):
            return f"the file {path}"
        case ExecProbe(argv):
            return f"the success of {' '.join(argv)}"
        case _:
            assert_never(asked)


def schedule(times: Schedule) -> str:
    """Such as "cron 0 3 * * * (Europe/Berlin)" or "every 5m"."""
    if times.cron is not None:
        return f"cron {times.cron} ({times.timezone})"
    return f"every {span(times.every or 0.0)}"


def overlap(times: Schedule) -> str:
    return _OVERLAPS[times.overlap]


def after_exit(policy: RestartPolicy) -> str:
    """What follows a run that ends by itself."""
    return _AFTER_EXIT[policy.when]


def update(policy: UpdatePolicy) -> str:
    """How instances come to a new program, such as "rolling, 1 at a time, 5s between"."""
    if policy.strategy is Strategy.RECREATE:
        return "all at once"
    pause = f", {span(policy.pause)} between" if policy.pause else ""
    return f"{policy.strategy}, {policy.max_unavailable} at a time{pause}"
