"""What the outside sees of an instance: a JSON object (docs/api.md).

The core counts in CLOCK_MONOTONIC; people read wall-clock times, so they are converted here, at
the moment of looking, and stay right when the clock is set. What was shown once is kept as text
until something about it changes: a fleet of thousands is asked for often, and changes seldom.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supervisord_lite.core.fleet import Fleet
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

_STREAMS = ("stdout", "stderr")
_Logs = tuple[StreamStatus | None, ...]


class Views:
    """The instances of a fleet as JSON text."""

    def __init__(self, fleet: Fleet, log_status: Callable[[str], StreamStatus | None]) -> None:
        self._fleet = fleet
        self._log_status = log_status
        self._shown: dict[str, tuple[Instance, _Logs, str]] = {}
        self._offset = 0.0

    def array(self, names: Sequence[str]) -> bytes:
        """A JSON array of these instances, in this order; those that are gone are left out."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > 0.001:  # somebody has set the clock
            self._offset = offset
            self._shown.clear()
        instances = self._fleet.instances
        texts = (self._text(instances[name]) for name in names if name in instances)
        return f"[{','.join(texts)}]".encode()

    def _text(self, instance: Instance) -> str:
        name = instance.spec.name
        logs = tuple(self._log_status(f"{name}/{stream}") for stream in _STREAMS)
        shown = self._shown.get(name)
        if shown is not None and shown[0] is instance and shown[1] == logs:
            return shown[2]
        text = json.dumps(view(instance, dict(zip(_STREAMS, logs, strict=True)), self._offset))
        if len(self._shown) > 2 * len(self._fleet.instances):
            self._shown.clear()  # most of it is about instances that are gone
        self._shown[name] = (instance, logs, text)
        return text


def view(
    instance: Instance, logs: Mapping[str, StreamStatus | None], offset: float
) -> dict[str, Any]:
    """One instance, as the API shows it; `offset` turns CLOCK_MONOTONIC into wall-clock time."""
    state = instance.state
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
