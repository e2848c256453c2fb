"""The resolved configuration as rows: each value with the file and line that it came from.

What a worker has through `defaults` or an anchor is shown with the worker and with the line where
it really stands. What nobody gave is shown once, under `defaults`, with the origin "default".
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.errors import Path, dotted
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
    ("stdout", "rotate", "size"): "10MiB",
    ("stdout", "rotate", "keep"): "5",
    ("stdout", "on_full"): "drop",
    ("stderr",): "joined",
    ("no_new_privileges",): "false",
}


def rows_of(document: Mapping, configuration: Configuration) -> list[Row]:
    """Every value that was given, in the order of the file, and those that nobody gave."""
    unsaid: dict[Path, Any] = {
        ("supervisor", "name"): configuration.name,
        ("supervisor", "runtime_dir"): configuration.runtime_dir,
        ("supervisor", "stop_deadline"): f"{configuration.stop_deadline:g}s",
        ("supervisor", "control", "socket"): configuration.control.socket,
        ("supervisor", "control", "mode"): f"{configuration.control.mode:04o}",
    }
    for path, value in BUILT_IN.items():
        unsaid["defaults", *path] = value
    rows = [
        Row(dotted(path), value, "default")
        for path, value in unsaid.items()
        if _is_open(document, path)
    ]
    return rows + list(_given(document, ()))


def _given(node: Node, path: Path) -> Iterator[Row]:
    if isinstance(node, Mapping):
        for key, value in node.entries.items():
            yield from _given(value, (*path, key))
    elif not isinstance(node, Scalar) or not node.null:
        yield Row(dotted(path), plain(node), f"{node.mark.file}:{node.mark.line}")


def _is_open(document: Mapping, path: Path) -> bool:
    """Whether the file leaves this value open: it gives neither it nor another form of it."""
    for length in range(2, len(path) + 1):
        node = node_at(document, path[:length])
        if node is None or (isinstance(node, Scalar) and node.null):
            return True
        if not isinstance(node, Mapping) or "channel" in node.entries:
            return False
    return False
