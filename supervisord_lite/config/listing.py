"""The resolved configuration as rows: each value with the file and line that it came from.

What a worker has through `defaults` or an anchor is shown with the worker and with the line where
it really stands. What nobody gave is shown once, under `defaults`, with the origin "default".
"""

from typing import Any, NamedTuple

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.errors import Path, dotted, quotable
from supervisord_lite.config.overlay import leads_to_a_channel
from supervisord_lite.config.place import node_at
from supervisord_lite.config.streams import DEFAULT_LOG
from supervisord_lite.config.validate import plain
from supervisord_lite.core.spec import Configuration


class Row(NamedTuple):
    """`origin` is "file:line", or "default"; `value` is a text or a list."""

    path: str
    value: Any
    origin: str


# What a worker has that nobody gave it, as one would write it.
BUILT_IN: dict[Path, Any] = {
    ("type",): "service",
    ("shell",): "false",
    ("working_dir",): ".",
    ("clear_environment",): "false",
    ("instances",): "1",
    ("autostart",): "true",
    ("restart", "when"): "always",
    ("restart", "delay"): "100ms",
    ("restart", "factor"): "2",
    ("restart", "max_delay"): "30s",
    ("restart", "jitter"): "0.1",
    ("restart", "limit", "count"): "10",
    ("restart", "limit", "within"): "5m",
    ("restart", "stable_after"): "1s",
    ("restart", "success_codes"): ["0"],
    ("stop",): [
        {"signal": "TERM", "to": "group", "wait": "10s"},
        {"signal": "KILL", "to": "tree", "wait": "5s"},
    ],
    ("stdout", "log"): DEFAULT_LOG,
    ("stdout", "format"): "raw",
    ("stdout", "direct"): "false",
    ("stdout", "rotate", "size"): "10MiB",
    ("stdout", "rotate", "keep"): "5",
    ("stdout", "rotate", "compress"): "none",
    ("stdout", "on_full"): "drop",
    ("stdout", "max_line"): "64KiB",
    ("stderr",): "joined",
    ("no_new_privileges",): "false",
    ("ready", "timeout"): "60s",
    ("ready", "interval"): "250ms",
    ("healthcheck", "interval"): "30s",
    ("healthcheck", "timeout"): "5s",
    ("healthcheck", "retries"): "3",
    ("healthcheck", "start_period"): "0s",
    ("healthcheck", "jitter"): "0.1",
    ("healthcheck", "on_unhealthy"): "restart",
    ("schedule", "timezone"): "UTC",
    ("schedule", "overlap"): "skip",
    ("schedule", "missed"): "skip",
    ("max_memory", "action"): "restart",
    ("max_cpu", "window"): "1m",
    ("max_cpu", "action"): "restart",
    ("max_age", "action"): "restart",
    ("watch", "debounce"): "500ms",
    ("update", "strategy"): "recreate",
    ("update", "max_unavailable"): "1",
    ("update", "pause"): "0s",
    ("update", "abort_on_failure"): "true",
    ("on_exit",): "nothing",
    ("remember",): "false",
}


def rows_of(document: Mapping, configuration: Configuration) -> list[Row]:
    """Every value that was given, in the order of the file, and those that nobody gave."""
    unsaid: dict[Path, Any] = {
        ("supervisor", "name"): configuration.name,
        ("supervisor", "runtime_dir"): configuration.runtime_dir,
        ("supervisor", "state_dir"): configuration.state_dir,
        ("supervisor", "stop_deadline"): "60s, or 9s as PID 1",
        ("supervisor", "control", "socket"): configuration.control.socket,
        ("supervisor", "control", "mode"): f"{configuration.control.mode:04o}",
        ("supervisor", "log", "level"): "info",
        ("supervisor", "log", "format"): "text",
        ("supervisor", "log", "stderr"): "true",
    }
    for path, value in BUILT_IN.items():
        unsaid["defaults", *path] = value
    rows = [
        Row(dotted(path), value, "default")
        for path, value in unsaid.items()
        if _is_open(document, path)
    ]
    _collect(document, "", rows)
    return rows


def _collect(node: Node, path: str, rows: list[Row]) -> None:
    """Add the values in the node. Every boot goes through all of them, so this has to be quick."""
    if isinstance(node, Mapping):
        for key, value in node.entries.items():
            _collect(value, f"{path}.{quotable(key)}" if path else quotable(key), rows)
    elif not isinstance(node, Scalar):
        rows.append(Row(path, plain(node), f"{node.mark.file}:{node.mark.line}"))
    elif not node.null:
        rows.append(Row(path, node.text, f"{node.mark.file}:{node.mark.line}"))


def _is_open(document: Mapping, path: Path) -> bool:
    """Whether the file leaves this value open: it gives neither it nor another form of it."""
    for length in range(2, len(path) + 1):
        node = node_at(document, path[:length])
        if node is None or (isinstance(node, Scalar) and node.null):
            return True
        if not isinstance(node, Mapping) or leads_to_a_channel(node):
            return False
    return False
