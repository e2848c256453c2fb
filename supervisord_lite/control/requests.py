"""What clients send, read strictly: unknown keys, wrong types and wild numbers are errors.

Values come out as frozen dataclasses, so that a handler never touches raw input. Nothing here
knows workers: whether a name exists is the manager's to say.
"""

import json
import math
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervisord_lite.control.when import moment
from supervisord_lite.core.channel import Use
from supervisord_lite.manager.naming import Choice
from supervisord_lite.manager.output.wanted import Form, Matcher, Reading

_LONGEST_WAIT = 7 * 24 * 3600.0
_DEFAULT_WAIT = 60.0
_MOST_NAMES = 10_000
_MOST_INSTANCES = 1_000_000
_MOST_LINES = 100_000
_MOST_MESSAGES = 1000
_LINES = "10"
_LINE_KEYS = frozenset({"since", "until", "grep", "format"})
_LOG_KEYS = {"name", "selector", "stream", "lines", "follow", "cursor", *_LINE_KEYS}


class BadRequest(Exception):
    """The request cannot be understood; the text says what and how it should be."""


@dataclass(frozen=True, slots=True)
class Order:
    """Start, stop or restart these; `timeout` in seconds bounds the waiting, not the doing."""

    choice: Choice
    wait: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class SignalOrder:
    """Send a signal, by number, to these."""

    choice: Choice
    signal: int


@dataclass(frozen=True, slots=True)
class ScaleOrder:
    """Have so many instances of these workers."""

    counts: tuple[tuple[str, int], ...]
    wait: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Whether to wait for the end of what was asked, and for how many seconds."""

    wait: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which output to show: the last `lines` of each stream, or from `cursors` (stream to cursor).

    `stream` None means every stream that has a log. With `reading`, lines in the order of time
    are wanted, else what was written, one stream after the other.
    """

    choice: Choice
    stream: str | None
    lines: int
    follow: bool
    cursors: tuple[tuple[str, str], ...]
    reading: Reading | None


def read_order(raw: bytes) -> Order:
    fields = _fields(raw, {"names", "selector", "wait", "timeout"})
    patience = _patience(fields)
    return Order(_choice(fields), patience.wait, patience.timeout)


def read_signal_order(raw: bytes) -> SignalOrder:
    fields = _fields(raw, {"names", "selector", "signal"})
    return SignalOrder(_choice(fields), _signal(fields.get("signal")))


def read_chosen(raw: bytes) -> Choice:
    return _choice(_fields(raw, {"names", "selector"}))


def read_scale_order(raw: bytes) -> ScaleOrder:
    fields = _fields(raw, {"counts", "wait", "timeout"})
    patience = _patience(fields)
    return ScaleOrder(_counts(fields.get("counts")), patience.wait, patience.timeout)


def read_patience(raw: bytes) -> Patience:
    return _patience(_fields(raw, {"wait", "timeout"}))


def read_nothing(raw: bytes) -> None:
    """The request takes no arguments; an empty body and `{}` both say so."""
    _fields(raw, set())


def read_choice(query: Sequence[tuple[str, str]]) -> Choice:
    """The `name` and `selector` parameters of a query that takes nothing else; none: all."""
    _allow((key for key, _ in query), {"name", "selector"})
    return _choice_of(query)


def read_no_query(query: Sequence[tuple[str, str]]) -> None:
    _allow((key for key, _ in query), set())


def read_channel_wait(query: Sequence[tuple[str, str]]) -> float:
    """For how many seconds to try; without a word, once."""
    _allow((key for key, _ in query), {"wait"})
    text = dict(query).get("wait", "0")
    try:
        return _seconds(float(text))
    except ValueError:
        raise BadRequest(f"cannot take wait {_shown(text)}: it is seconds") from None


def read_channel_count(query: Sequence[tuple[str, str]]) -> int:
    """How many messages to show."""
    _allow((key for key, _ in query), {"count"})
    return _whole("count", dict(query).get("count", "1"), _MOST_MESSAGES)


def read_channel_use(query: Sequence[tuple[str, str]]) -> Use:
    """What a channel is opened for; without a word, whatever its type is for."""
    _allow((key for key, _ in query), {"use"})
    text = dict(query).get("use", Use.SHARE)
    if text not in set(Use):
        raise BadRequest(f"cannot take use {_shown(text)}: it is one of {', '.join(Use)}")
    return Use(text)


def read_log_query(
    query: Sequence[tuple[str, str]], last_event: str | None, now: float
) -> LogQuery:
    """`last_event` is the Last-Event-ID of a client that comes back; `now` is seconds since the
    epoch.
    """
    _allow((key for key, _ in query), _LOG_KEYS)
    single = dict(query)
    cursors = [value for key, value in query if key == "cursor"]
    if last_event:
        cursors.append(last_event)
    stream = single.get("stream")
    if stream not in {None, "stdout", "stderr"}:
        raise BadRequest(f"cannot read stream {_shown(stream)}: it is stdout or stderr")
    follow = _switch("follow", single.get("follow", "0"))
    if follow and "until" in single:
        raise BadRequest("cannot follow logs until a time: leave out one of follow and until")
    return LogQuery(
        choice=_choice_of(query),
        stream=stream,
        lines=_whole("lines", single.get("lines", _LINES), _MOST_LINES),
        follow=follow,
        cursors=tuple(_cursor(value) for value in cursors),
        reading=_reading(single, now) if single.keys() & _LINE_KEYS else None,
    )


def _reading(single: Mapping[str, str], now: float) -> Reading:
    form = single.get("format", "json")
    if form not in set(Form):
        raise BadRequest(f"cannot take format {_shown(form)}: it is json or text")
    # Who says from when on, or which lines, means all of these.
    lines = single.get("lines", None if single.keys() & {"since", "grep"} else _LINES)
    return Reading(
        lines=None if lines is None else _whole("lines", lines, _MOST_LINES),
        since=_moment(single.get("since"), now),
        until=_moment(single.get("until"), now),
        matching=_matching(single.get("grep")),
        form=Form(form),
    )


def _moment(text: str | None, now: float) -> int | None:
    try:
        return None if text is None else moment(text, now)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _matching(pattern: str | None) -> Matcher | None:
    try:
        return None if pattern is None else Matcher(pattern)
    except ValueError as error:
        raise BadRequest(f"cannot use grep {_shown(pattern)}: {error}") from None


def _fields(raw: bytes, allowed: set[str]) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequest("cannot read the body as JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("cannot use the body: it is not a JSON object")
    _allow(value, allowed)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields


def _no_constant(text: str) -> float:
    raise ValueError(text)


def _allow(keys: Iterable[str], allowed: Collection[str]) -> None:
    for key in keys:
        if key not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise BadRequest(f"cannot take {_shown(key)}: known here are {known}")


def _choice_of(query: Sequence[tuple[str, str]]) -> Choice:
    names = tuple(value for key, value in query if key == "name")
    selectors = [value for key, value in query if key == "selector"]
    # Several selectors are one with all their conditions.
    return Choice(names or ("all",), ",".join(selectors) if selectors else None)


def _choice(fields: Mapping[str, Any]) -> Choice:
    """Whom an order is for. Nothing said is nobody meant."""
    selector = fields.get("selector")
    if selector is not None and not isinstance(selector, str):
        raise BadRequest(f"cannot take selector {_shown(selector)}: it is a text such as tier=web")
    if selector is not None and "names" not in fields:
        return Choice(("all",), selector)
    return Choice(_names(fields), selector)


def _counts(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict) or not value or len(value) > _MOST_NAMES:
        raise BadRequest('cannot take counts: they are numbers by worker, such as {"web": 8}')
    for name, count in value.items():
        if type(count) is not int or not 0 <= count <= _MOST_INSTANCES:
            raise BadRequest(f"cannot take {_shown(count)} for {_shown(name)}: it is a number")
    return tuple(value.items())


def _names(fields: Mapping[str, Any]) -> tuple[str, ...]:
    names = fields.get("names")
    if not isinstance(names, list) or not names or len(names) > _MOST_NAMES:
        raise BadRequest('cannot take names: they are a list such as ["web", "db:0"], or ["all"]')
    for name in names:
        if not isinstance(name, str) or not name:
            raise BadRequest(f"cannot take {_shown(name)} as a name: it is a text such as web:0")
    return tuple(names)


def _patience(fields: Mapping[str, Any]) -> Patience:
    wait = fields.get("wait", True)
    if not isinstance(wait, bool):
        raise BadRequest(f"cannot take wait {_shown(wait)}: it is true or false")
    return Patience(wait, _seconds(fields.get("timeout", _DEFAULT_WAIT)))


def _seconds(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 <= value <= _LONGEST_WAIT
    ):
        raise BadRequest(f"cannot take timeout {_shown(value)}: it is seconds, at most a week")
    return float(value)


def _signal(value: object) -> int:
    if isinstance(value, str):
        number = _SIGNALS.get(value.upper().removeprefix("SIG"))
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value if 1 <= value <= int(signal.SIGRTMAX) else None
    else:
        number = None
    if number is None:
        raise BadRequest(
            f"cannot take signal {_shown(value)}: it is a name such as HUP, or a number"
        )
    return number


def _whole(key: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        raise BadRequest(f"cannot take {key} {_shown(text)}: it is a number up to {most}")
    return min(int(text), most)


def _switch(key: str, text: str) -> bool:
    if text not in {"0", "1", "false", "true"}:
        raise BadRequest(f"cannot take {key} {_shown(text)}: it is 1 or 0")
    return text in {"1", "true"}


def _cursor(text: str) -> tuple[str, str]:
    stream, separator, cursor = text.rpartition("@")
    if not (separator and stream and cursor):
        raise BadRequest(f"cannot take cursor {_shown(text)}: it is the id of an earlier event")
    return stream, cursor


def _shown(value: object) -> str:
    """A client's value in an error: quoted, escaped, and not longer than it helps."""
    return json.dumps(value)[:80]


_SIGNALS = {member.name.removeprefix("SIG"): int(member) for member in signal.Signals}
