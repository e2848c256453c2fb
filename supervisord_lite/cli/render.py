"""Text for people: rows in columns, states in colour, times in words.

Everything that comes from a worker, a file or the daemon goes through `escape` before it reaches
a terminal: a log line must not be able to rewrite the screen, or pretend to be another line.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

_COLOURS = {
    "RUNNING": "green",
    "STARTING": "cyan",
    "STOPPING": "cyan",
    "WAITING": "yellow",
    "BACKOFF": "yellow",
    "FATAL": "red",
}
# C0 and C1 control characters, DEL, and what reorders or breaks lines in Unicode.
_HARMFUL = [*range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _HARMFUL}
_ESCAPES_IN_LOGS = {code: text for code, text in _ESCAPES.items() if chr(code) not in "\t\n"}


def escape(text: str) -> str:
    """One line that shows its control characters instead of obeying them."""
    return text if text.isprintable() else text.translate(_ESCAPES)


def escape_lines(text: str) -> str:
    """The same for text of many lines."""
    return text if text.isprintable() else text.translate(_ESCAPES_IN_LOGS)


def complain(text: str) -> None:
    """One line to stderr."""
    sys.stderr.write(f"{escape(text)}\n")


def is_coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def never_fail_on_characters() -> None:
    """Where the locale cannot say a character, print its number."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed: somebody does not want to know
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name, state and detail of each instance, as `supervisorctl status` shows them."""
    now = time.time()
    width = max((len(row["name"]) for row in rows), default=0)
    colour = is_coloured()
    return "".join(
        f"{escape(row['name']):<{width}}  {_state(row['state'], colour=colour)}  "
        f"{detail(row, now)}".rstrip()
        + "\n"
        for row in rows
    )


def _state(name: str, *, colour: bool) -> str:
    padded = f"{name:<8}"
    return click.style(padded, fg=_COLOURS.get(name)) if colour else padded


def detail(row: Mapping[str, Any], now: float) -> str:
    """What there is to say of one instance beyond its state."""
    return ", ".join(part for part in _details(row, now) if part)


def _details(row: Mapping[str, Any], now: float) -> Iterator[str]:
    state = row["state"]
    if row["pid"] is not None:
        yield f"pid {row['pid']}"
    if state == "RUNNING" and row["since"] is not None:
        yield f"uptime {clock(now - row['since'])}"
    if row["why"]:
        yield escape(row["why"])
    elif state in {"EXITED", "BACKOFF"} and row["last_exit"]:
        yield ending(row["last_exit"])
    if row.get("health") == "healthy":
        yield "healthy"
    if "status" in row:
        yield f'"{escape(row["status"])}"'
    yield from _times(row, now)
    yield from _hooks(row)
    if "usage" in row:
        yield from _usage(row["usage"])
    yield from map(escape, row.get("breaches", ()))
    yield from (escape(log["trouble"]) for log in row["logs"].values() if log["trouble"])


def _hooks(row: Mapping[str, Any]) -> Iterator[str]:
    """The hooks under way that the reason of the state has not told yet."""
    points = [hook["point"] for hook in row.get("hooks", ())]
    yield from (f"{point} hook under way" for point in points if point not in row["why"])


def _times(row: Mapping[str, Any], now: float) -> Iterator[str]:
    """When something happens by itself, and what stands in line."""
    if row["next"] is not None and row["state"] == "BACKOFF":
        yield f"next try in {length(row['next'] - now)}"
    elif row["next"] is not None:
        yield f"next run {moment(row['next'])}"
    if "deadline" in row:
        yield f"{length(row['deadline'] - now)} left for that"
    if "queued" in row:
        yield f"{row['queued']} queued"


def _usage(usage: Mapping[str, float]) -> Iterator[str]:
    if "memory" in usage:
        yield f"memory {usage['memory'] / 2**20:.1f} MiB"
    if "cpu" in usage:
        yield f"cpu {usage['cpu']:.0%}"


def rollout(one: Mapping[str, Any]) -> str:
    """How far the roll-out of a worker is, and why it did not get on."""
    text = f"{escape(one['worker'])}: {one['progress']}, {one['replaced']} of {one['of']} replaced"
    return f"{text}: {escape(one['problem'])}" if one["problem"] else text


def ending(last_exit: Mapping[str, Any]) -> str:
    """How a run ended, in words."""
    if last_exit["signal"] is not None:
        core = " (core dumped)" if last_exit["core_dumped"] else ""
        return f"killed by {last_exit['signal']}{core}"
    if last_exit["code"] is not None:
        return f"exit code {last_exit['code']}"
    return "exit status unknown"


def length(seconds: float) -> str:
    """How long something took or will take, as far as it matters: `0.3s`, `0:01:23`."""
    return f"{max(0.0, seconds):.1f}s" if seconds < 60 else clock(seconds)


def clock(seconds: float) -> str:
    """A length of time as supervisord shows it: `0:01:23`, `3 days, 4:05:06`."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour}:{minute:02}:{second:02}"
    return f"{days} day{'s' if days > 1 else ''}, {text}" if days else text


def moment(wall: float) -> str:
    """A time in the time zone of whoever looks."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))
