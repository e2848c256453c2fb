"""Showing what takes more than a line: why an instance is in its state, what a job has done."""

from collections.abc import Iterator, Mapping
from typing import Any

from supervisord_lite.cli.render import ending, escape, length, moment


def explanation(value: Mapping[str, Any]) -> Iterator[str]:
    """The state, the causes below it, each deeper than what it is the cause of, and what would
    change it.
    """
    yield f"{escape(value['instance'])}  {value['state']}"
    for cause in value["causes"]:
        arrow = "<- " if cause["depth"] else ""
        yield f"  {'  ' * cause['depth']}{arrow}{escape(cause['text'])}"
    for change in value["changes"]:
        yield f"  => {escape(change)}"


def job_run(value: Mapping[str, Any]) -> str:
    """One run of a job: when, how long, how it ended and what it was for."""
    parts = [f"{escape(value['name'])}  run {value['run']}  {moment(value['began'])}"]
    if value["seconds"] is None:
        parts.append("under way")
    else:
        parts.append(f"took {length(value['seconds'])}")
        parts.append(ending(value["exit"]) if value["exit"] else "never came to be")
    return "  ".join((*parts, escape(value["why"])))
