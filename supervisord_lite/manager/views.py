"""What the outside sees of an instance: a JSON-ready dictionary (docs/api.md).

The core counts in CLOCK_MONOTONIC; people read wall-clock times, so they are converted here, at
the moment of looking, and stay right when the clock is set.
"""

import time
from typing import Any

from supervisord_lite.core.reason import exited
from supervisord_lite.core.signals import signal_name
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Instance,
    Running,
    Starting,
    Stopping,
    Waiting,
    live_run,
    word,
)
from supervisord_lite.logs.event import StreamStatus


def view(instance: Instance, logs: dict[str, StreamStatus | None]) -> dict[str, Any]:
    """One instance, as the API shows it."""
    state = instance.state
    offset = time.time() - time.monotonic()
    since = _since(instance)
    return {
        "name": instance.spec.name,
        "worker": instance.spec.worker,
        "number": instance.spec.number,
        "state": word(state),
        "wanted": instance.wanted,
        "run": live_run(state) or instance.last_run,
        "pid": state.pid if isinstance(state, Running | Stopping) else None,
        "since": None if since is None else round(since + offset, 3),
        "restarts": max(0, instance.last_run - 1),
        "last_exit": _exit(instance.last_exit),
        "next": round(state.until + offset, 3) if isinstance(state, Backoff) else None,
        "why": _why(instance),
        "logs": {stream: _log(status) for stream, status in logs.items() if status is not None},
    }


def _since(instance: Instance) -> float | None:
    match instance.state:
        case Starting(since=since) | Running(since=since) | Stopping(since=since):
            return since
        case Exited(at=at) | Fatal(at=at):
            return at
        case _:
            return None


def _why(instance: Instance) -> str:
    match instance.state:
        case Waiting(reason=reason) | Backoff(reason=reason) | Fatal(reason=reason):
            return reason
        case Exited(exit=status):
            return exited(status)
        case Stopping(exit=status) as state:
            if state.stuck:
                return instance.problem or "cannot be ended"
            return f"{exited(status)}; what it left is being ended" if status else ""
        case _:
            return ""


def _exit(status: Exit | None) -> dict[str, Any] | None:
    if status is None:
        return None
    name = None if status.signal is None else signal_name(status.signal)
    return {"code": status.code, "signal": name, "core_dumped": status.core_dumped}


def _log(status: StreamStatus) -> dict[str, Any]:
    return {
        "path": status.path,
        "size": status.bytes,
        "dropped": status.dropped_bytes,
        "trouble": status.trouble if status.stalled_since is None else "the disk does not answer",
    }
