"""What the outside sees of an instance: a JSON object (docs/api.md).

The core counts in CLOCK_MONOTONIC; people read wall-clock times, so they are converted here, at
the moment of looking, and stay right when the clock is set. What was shown once is kept as text
until something about it changes: a fleet of thousands is asked for often, and changes seldom.
What most workers do not have (labels, health, a schedule, rules) has no key where it is not.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from supervisord_lite.core.brief import why
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.signals import signal_name
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exit,
    Exited,
    Fatal,
    Instance,
    JobRun,
    Parting,
    Preparing,
    Readying,
    Running,
    Starting,
    Stopping,
    live_run,
    word,
)
from supervisord_lite.logs.event import StreamStatus

_STREAMS = ("stdout", "stderr")
_Logs = tuple[StreamStatus | None, ...]
_Extra = tuple[str, str, tuple[tuple[str, float], ...], tuple[str, ...]]
_NOTHING: _Extra = ("", "", (), ())


class Extras(Protocol):
    """What is known of a run that the core does not know: it is lost with the manager."""

    def status_text(self, name: str) -> str:
        """What the worker says of itself (STATUS= of sd_notify(3)), or nothing."""

    def last_answer(self, name: str) -> str:
        """What the last try of its probe said, or nothing."""

    def usage(self, name: str) -> Mapping[str, float]:
        """What its rules are about, by resource, as it was last sampled."""

    def breaches(self, name: str) -> Sequence[str]:
        """The rules that are broken now, in words."""


class Views:
    """The instances of a fleet as JSON text."""

    def __init__(
        self, fleet: Fleet, log_status: Callable[[str], StreamStatus | None], extras: Extras
    ) -> None:
        self._fleet = fleet
        self._log_status = log_status
        self._extras = extras
        self._shown: dict[str, tuple[Instance, _Logs, _Extra, str]] = {}
        self._offset = 0.0

    def array(self, names: Sequence[str]) -> bytes:
        """A JSON array of these instances, in this order; those that are gone are left out."""
        offset = clocks_apart()
        if abs(offset - self._offset) > 0.001:  # somebody has set the clock
            self._offset = offset
            self._shown.clear()
        instances = self._fleet.instances
        texts = (self._text(instances[name]) for name in names if name in instances)
        return f"[{','.join(texts)}]".encode()

    def _text(self, instance: Instance) -> str:
        name = instance.spec.name
        logs = tuple(self._log_status(f"{name}/{stream}") for stream in _STREAMS)
        extra = self._extra(instance)
        shown = self._shown.get(name)
        if shown is not None and shown[0] is instance and shown[1] == logs and shown[2] == extra:
            return shown[3]
        by_stream = dict(zip(_STREAMS, logs, strict=True))
        row = view(instance, by_stream, self._offset)
        if extra is not _NOTHING:
            row.update(_of_extra(extra))
        text = json.dumps(row)
        if len(self._shown) > 2 * len(self._fleet.instances):
            self._shown.clear()  # most of it is about instances that are gone
        self._shown[name] = (instance, logs, extra, text)
        return text

    def _extra(self, instance: Instance) -> _Extra:
        spec, extras = instance.spec, self._extras
        if spec.ready is None and spec.health is None and spec.watchdog is None and not spec.rules:
            return _NOTHING
        name = spec.name
        usage, breaches = tuple(extras.usage(name).items()), tuple(extras.breaches(name))
        return extras.status_text(name), extras.last_answer(name), usage, breaches


def clocks_apart() -> float:
    """How far the wall clock is ahead of CLOCK_MONOTONIC now, in seconds."""
    return time.time() - time.monotonic()


def view(
    instance: Instance, logs: Mapping[str, StreamStatus | None], offset: float
) -> dict[str, Any]:
    """One instance, as the API shows it; `offset` turns CLOCK_MONOTONIC into wall-clock time."""
    state = instance.state
    since = _since(instance)
    shown = {
        "name": instance.spec.name,
        "worker": instance.spec.worker,
        "number": instance.spec.number,
        "state": word(state),
        "wanted": instance.wanted,
        "run": live_run(state) or instance.last_run,
        "pid": pid_of(instance),
        "since": None if since is None else round(since + offset, 3),
        "restarts": max(0, instance.last_run - 1),
        "last_exit": exit_view(instance.last_exit),
        "next": _next(instance, offset),
        "why": why(instance),
        "logs": {stream: _log(status) for stream, status in logs.items() if status is not None},
    }
    shown.update(_optional(instance, offset))
    return shown


def pid_of(instance: Instance) -> int | None:
    state = instance.state
    return state.pid if isinstance(state, Running | Readying | Parting | Stopping) else None


def _since(instance: Instance) -> float | None:
    match instance.state:
        case (
            Running(since=since)
            | Preparing(since=since)
            | Starting(since=since)
            | Readying(since=since)
            | Parting(since=since)
            | Stopping(since=since)
        ):
            return since
        case Exited(at=at) | Fatal(at=at) | Blocked(at=at):
            return at
        case _:
            return None


def _next(instance: Instance, offset: float) -> float | None:
    """When something happens by itself: the next try, or the next time of the schedule."""
    if isinstance(instance.state, Backoff):
        return round(instance.state.until + offset, 3)
    return None if instance.timetable is None else round(instance.timetable.next, 3)


def _optional(instance: Instance, offset: float) -> dict[str, Any]:
    """What only those have to whom it was given."""
    spec, state = instance.spec, instance.state
    found: dict[str, Any] = {}
    if spec.labels:
        found["labels"] = dict(spec.labels)
    if spec.ready is not None:
        found["ready"] = isinstance(state, Running)
    if isinstance(state, Readying):
        found["deadline"] = round(state.deadline + offset, 3)
    if spec.health is not None and isinstance(state, Running):
        found["health"] = state.health.value
    if instance.timetable is not None and instance.timetable.queued:
        found["queued"] = instance.timetable.queued
    if instance.hooks:
        found["hooks"] = [
            {
                "point": hook.point.value,
                "run": hook.run,
                "deadline": round(hook.deadline + offset, 3),
            }
            for hook in instance.hooks
        ]
    return found


def _of_extra(extra: _Extra) -> dict[str, Any]:
    status, answer, usage, breaches = extra
    known = {
        "status": status,
        "probe": answer,
        "usage": dict(usage),
        "breaches": list(breaches),
    }
    return {key: value for key, value in known.items() if value}


def exit_view(status: Exit | None) -> dict[str, Any] | None:
    if status is None:
        return None
    name = None if status.signal is None else signal_name(status.signal)
    return {"code": status.code, "signal": name, "core_dumped": status.core_dumped}


def _log(status: StreamStatus) -> dict[str, Any]:
    shown = {
        "path": status.path,
        "size": status.bytes,
        "dropped": status.dropped_bytes,
        "trouble": status.trouble if status.stalled_since is None else "the disk does not answer",
    }
    if status.limited_bytes:
        limited = {"limited_bytes": status.limited_bytes, "limited_lines": status.limited_lines}
        shown |= limited
    if status.channel_lost_bytes:
        shown["channel_lost_bytes"] = status.channel_lost_bytes
    return shown


def job_run_view(name: str, run: JobRun) -> dict[str, Any]:
    """One run of a job, past or under way (`seconds` is null then)."""
    return {
        "name": name,
        "run": run.run,
        "began": round(run.began, 3),
        "seconds": None if run.seconds is None else round(run.seconds, 3),
        "exit": exit_view(run.exit),
        "why": run.why,
    }
