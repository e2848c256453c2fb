"""Showing a plan: what a reload would do, or has done, to each instance, and why."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from supervisord_lite.cli.options import dump
from supervisord_lite.cli.render import escape

_KEEP = "keep"


def show(plan: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a plan."""
    if as_json:
        dump(plan)
        return
    for line in lines(plan):
        sys.stdout.write(line + "\n")


def lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """One line for each instance that is not left alone, the changed values below it, a sum."""
    entries = [entry for entry in plan["entries"] if entry["action"] != _KEEP]
    width = max((len(entry["instance"]) for entry in entries), default=0)
    for entry in entries:
        how = f" ({escape(entry['how'])})" if entry["how"] else ""
        what = f"{entry['action']:<7}  {escape(entry['instance']):<{width}}"
        yield f"{what}  {escape(entry['why'])}{how}"
        yield from _changes(entry)
    yield from _changes(plan)
    yield summary(plan)


def summary(plan: Mapping[str, Any]) -> str:
    counts = Counter(entry["action"] for entry in plan["entries"])
    kept = counts.pop(_KEEP, 0)
    words = [f"{count} to {action}" for action, count in counts.items()]
    return ", ".join([*words, f"{kept} unchanged"])


def is_empty(plan: Mapping[str, Any]) -> bool:
    """Whether a reload would change nothing at all."""
    return not plan["changes"] and all(entry["action"] == _KEEP for entry in plan["entries"])


def _changes(owner: Mapping[str, Any]) -> Iterator[str]:
    for change in owner["changes"]:
        old, new = escape(change["old"]), escape(change["new"])
        yield f"         {escape(change['key'])}: {old} -> {new}"
