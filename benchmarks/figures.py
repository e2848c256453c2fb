"""What was measured: collected by peer, told as a table of medians and as JSON."""

import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Value = float | str

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: which figure, in words, its unit, and at which percentile."""

    title: str
    figure: str
    unit: str = ""
    percentile: int = 50
    digits: int = 2


@dataclass(slots=True)
class Figures:
    """The values of one peer, by figure, in the order in which they were measured."""

    values: dict[str, list[Value]] = field(default_factory=lambda: defaultdict(list))

    def add(self, figure: str, value: Value) -> None:
        self.values[figure].append(value)

    def cell(self, row: Row) -> str:
        """The figure at its percentile, with smallest and largest; or the verdicts."""
        values = self.values.get(row.figure, [])
        words = dict.fromkeys(value for value in values if isinstance(value, str))
        if words:
            return " / ".join(words)
        numbers = sorted(value for value in values if not isinstance(value, str))
        if not numbers:
            return _NOTHING
        digits = row.digits
        chosen = f"{percentile(numbers, row.percentile):.{digits}f} {row.unit}".strip()
        return f"{chosen} ({numbers[0]:.{digits}f} to {numbers[-1]:.{digits}f})"


def percentile(numbers: list[float], percent: int) -> float:
    """Of sorted numbers; the median of an even count is the mean of the middle two."""
    if percent == 50:
        return statistics.median(numbers)
    return numbers[min(len(numbers) - 1, len(numbers) * percent // 100)]


def table(rows: Iterable[Row], peers: dict[str, Figures]) -> str:
    """Markdown: medians, with the smallest and the largest value in brackets."""
    lines = [
        "| | " + " | ".join(peers) + " |",
        "|---" * (len(peers) + 1) + "|",
    ]
    for row in rows:
        cells = [figures.cell(row) for figures in peers.values()]
        if any(cell != _NOTHING for cell in cells):
            lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 2),
    }


def to_json(about: dict[str, Any], peers: dict[str, Figures]) -> str:
    """Every single value, for whoever wants more than medians."""
    plain = {name: dict(figures.values) for name, figures in peers.items()}
    return json.dumps({"machine": about, "peers": plain}, indent=1) + "\n"
