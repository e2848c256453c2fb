"""Lines of a log that were written with their time, or as objects: what the worker said, taken
out again, so that a view of them shows it once and in its own manner.

A line that does not look as its format would have it (a worker wrote the file before the format
was asked for, say) is left as it is.
"""

import base64
import calendar
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from supervisord_lite.core.log import Format
from supervisord_lite.logs.line import Line

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z")
_KEYS = ("time", "worker", "instance", "run", "stream", "message")
_ALL_KEYS = {*_KEYS, "partial", "raw"}
_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000


def unwrapped(line: Line, form: Format) -> Line:
    """The line as it was said."""
    if form is Format.TIMESTAMPED:
        return _without_time(line)
    if form is Format.JSON:
        return _out_of_object(line)
    return line


def _without_time(line: Line) -> Line:
    at = _time_of(line.text)
    if at is None or line.text[24:25] != b" ":
        return line
    return replace(line, time=at, text=line.text[25:])


def _out_of_object(line: Line) -> Line:
    try:
        said = json.loads(line.text)
    except (ValueError, RecursionError):
        return line
    if not isinstance(said, dict) or tuple(said)[:6] != _KEYS or not said.keys() <= _ALL_KEYS:
        return line
    at, run, text = _time_of(str(said["time"]).encode()), said["run"], _bytes_of(said)
    if at is None or type(run) is not int or b"\n" in text:  # a line would become two
        return line
    return Line(at, run, text, partial=bool(said.get("partial")))


def _bytes_of(said: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(said["raw"], validate=True)
    except (KeyError, TypeError, ValueError):
        return str(said["message"]).encode(errors="replace")


def _time_of(text: bytes) -> int | None:
    """Nanoseconds since the epoch; None if the text begins with no time of ours."""
    found = _STAMP.match(text)
    if found is None:
        return None
    second = _second_of(found[1])
    return None if second is None else second * _SECOND + int(found[2]) * _MILLISECOND


@lru_cache(maxsize=16)
def _second_of(text: bytes) -> int | None:
    try:
        return calendar.timegm(time.strptime(text.decode(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
