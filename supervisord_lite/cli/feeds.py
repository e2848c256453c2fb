"""Feeds in words: who is fed output, and how far behind each is."""

from collections.abc import Mapping, Sequence
from typing import Any

from supervisord_lite.cli.render import escape, length

_HEAD = ("NAME", "KIND", "TO", "FORMAT", "STREAMS", "LAG", "STATE")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A feed a line, in columns."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in cells
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    words = [escape(row[key]) for key in ("name", "kind", "to", "format")]
    return (*words, str(row["streams"]), _lag(row["lag"]), _state(row))


def _lag(lag: Mapping[str, float] | None) -> str:
    if lag is None:
        return "-"
    return f"{lag['bytes']} bytes, {length(lag['seconds'])}" if lag["bytes"] else "none"


def _state(row: Mapping[str, Any]) -> str:
    if not row["read"]:
        return "no reader"
    return escape(row["trouble"]) if row["trouble"] else "ok"
