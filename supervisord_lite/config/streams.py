"""Where a worker's standard streams lead: the forms of `stdin`, `stdout` and `stderr`.

An outlet is decided once for a worker; only its paths differ between instances. How a log is
written and rotated is decided here for whatever has one.
"""

import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from supervisord_lite.config.bindings import Sharing
from supervisord_lite.config.errors import quoted
from supervisord_lite.config.output import OURS, Output, Rotate, Tap, Word
from supervisord_lite.config.paths import Claims, PathTemplate
from supervisord_lite.config.place import Place
from supervisord_lite.core.channel import Use
from supervisord_lite.core.log import Compression, Format, Log, RateLimit, Rotation, View
from supervisord_lite.core.spec import Route, Stream

DEFAULT_LOG = "logs/{name}.{instance}.log"
ERROR_LOG = "logs/{name}.{instance}.stderr.log"
_WORDS = {Word.DISCARD: Route.NULL, Word.INHERIT: Route.INHERIT, Word.JOINED: Route.JOINED}


_PLAIN = Log("")


def _is_device(path: str) -> bool:
    return path.startswith(("/dev/", "/proc/")) and not path.startswith("/dev/shm/")  # noqa: S108 - none is made here


@dataclass(frozen=True, slots=True)
class Outlet:
    """A stream, and the log of those that have one; `pattern` is that log without its paths."""

    stream: Stream
    log: PathTemplate | None = None
    tap: PathTemplate | None = None
    pattern: Log = _PLAIN

    @property
    def readable(self) -> bool:
        """Whether there is a log that can be read back, unlike a terminal or somebody's pipe."""
        return self.log is not None and not _is_device(self.log.text)


def log_of(outlet: Outlet, name: str, instance: int, claims: Claims) -> Log | None:
    """The log of one instance."""
    if outlet.log is None:
        return None
    path = outlet.log.path(name, instance)
    claims.claim(path, outlet.log)
    tap = None
    if outlet.tap is not None:
        tap = outlet.tap.path(name, instance)
        claims.claim(tap, outlet.tap)
    return replace(outlet.pattern, path=path, tap=tap)


def input_of(channel: str | None, place: Place, sharing: Sharing) -> Stream:
    if channel is None:
        return Stream(Route.NULL)
    sharing.stream(channel, Use.READ, place.within("channel"))
    return Stream(Route.CHANNEL, channel)


def output_of(
    value: Output | Word | None, place: Place, unsaid: Outlet, sharing: Sharing
) -> Outlet:
    """The outlet of `stdout` or `stderr`; `unsaid` serves where the file does not say."""
    if value is None:
        return unsaid
    if isinstance(value, Word):
        if value is Word.JOINED and place.path[-1] == "stdout":
            place.refuse("cannot join stdout to itself (stderr can be joined)")
        return Outlet(Stream(_WORDS[value]))
    if value.channel is not None:
        sharing.stream(value.channel, Use.WRITE, place.within("channel"))
        if value.log is None:
            for key in value.given().keys() - {"channel"}:
                text = f"cannot use {key} on a stream that leads to a channel alone (add log)"
                place.within(key).refuse(text)
            return Outlet(Stream(Route.CHANNEL, value.channel))
    elif value.deliver is not None:
        place.within("deliver").refuse("cannot use deliver without a channel beside the log")
    return _logged(value, place, unsaid)


def _logged(value: Output, place: Place, unsaid: Outlet) -> Outlet:
    log = unsaid.log if value.log is None else PathTemplate.at(place.within("log"), value.log)
    if log is None:
        place.refuse("cannot keep this stream without a path (add log)")
    if value.direct:
        _refuse_ours(value, place)
        pattern = Log("", **_given(value, "direct", "max_line"))
    else:
        pattern = Log("", **_given(value, "format", "max_line", "on_full"), **_kept(value, place))
    if value.channel is not None:
        pattern = replace(pattern, **_given(value, "channel", "deliver"))
    tap = None
    if value.tap is not None:
        tap, view = _tap(value.tap, place.within("tap"))
        pattern = replace(pattern, tap_view=view)
    outlet = Outlet(Stream(Route.LOG), log, tap, pattern)
    if tap is not None and log is not None and not outlet.readable:
        text = f"cannot show what goes to {quoted(log.text)}: it cannot be read back"
        place.within("tap").refuse(text)
    return outlet


def _given(value: Output, *keys: str) -> dict[str, Any]:
    return {key: item for key, item in value.given().items() if key in keys}


def _kept(value: Output, place: Place) -> dict[str, Any]:
    """What the file says of how much is kept."""
    found: dict[str, Any] = {}
    if value.rotate is not None:
        found["rotation"] = rotation_of(value.rotate, place.within("rotate"))
    if value.rate_limit is not None:
        found["rate_limit"] = RateLimit(**value.rate_limit.given())
        if not any(place.is_given("rate_limit", key) for key in ("lines", "bytes")):
            place.within("rate_limit").refuse("cannot be empty (give lines or bytes)")
    return found


def _refuse_ours(value: Output, place: Place) -> None:
    for key in value.given().keys() & {*OURS, "channel"}:
        if value.given()[key] != Format.RAW:
            text = f"cannot use {key} with direct: the worker writes into the file itself"
            place.within(key).refuse(text)


def _tap(value: Tap, place: Place) -> tuple[PathTemplate | None, View]:
    view = value.format or View.RAW
    if value.path is None:
        place.require("path")
        return None, view
    return PathTemplate.at(place.within("path"), value.path), view


def rotation_of(value: Rotate, place: Place) -> Rotation:
    """How a log is rotated; what the file does not say is as ever."""
    given = value.given()
    if given.get("size") == 0:
        given["size"] = None
    rotation = Rotation(**given)
    if rotation.compress is Compression.ZSTD and not _has_zstd():
        text = "cannot compress with zstd: Python lacks it (pip install supervisord-lite[zstd])"
        place.within("compress").refuse(text)
    if rotation.compress is Compression.NONE and rotation.keep:
        _refuse_too_little(rotation.max_total, rotation.size, place)
    return rotation


def _refuse_too_little(total: int | None, size: int | None, place: Place) -> None:
    if total is not None and size is not None and total < size:
        text = f"cannot keep older files in {total} bytes: each has {size}"
        place.within("max_total").refuse(f"{text} (raise it, lower size, or set keep to 0)")


def _has_zstd() -> bool:
    """Whether what compresses could be imported; the standard library has it from 3.14 on."""
    return sys.version_info >= (3, 14) or find_spec("zstandard") is not None
