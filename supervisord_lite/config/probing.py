"""`ready`, `healthcheck`: typed sections to the values of `core.probe`.

Of the probes that a section can name it names one. An address, a path or a pattern is looked at
after the instance's number was put into it, since that may be what makes it one.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from supervisord_lite.config.errors import quoted
from supervisord_lite.config.filling import Filling
from supervisord_lite.config.lifecycle import PROBES, ActiveProbes, Http, Ready, SignalTo, Verdict
from supervisord_lite.config.lifecycle import HealthCheck as HealthSection
from supervisord_lite.config.place import Place
from supervisord_lite.core.probe import (
    ActiveProbe,
    DescriptorProbe,
    ExecProbe,
    FileProbe,
    HealthCheck,
    HttpProbe,
    LogProbe,
    NotifyProbe,
    OnUnhealthy,
    Probe,
    Readiness,
    TcpProbe,
    UnixProbe,
)

_SOCKET_PATH_MAX = 107  # unix(7): sun_path has 108 bytes, the last is NUL
_UNSAID: ActiveProbe = FileProbe("")  # stands in where the file has a mistake instead


def readiness_of(section: Ready, place: Place, filling: Filling, *, logged: bool) -> Readiness:
    """When a run is ready; `logged`: any of the worker's output is kept in a log."""
    given = section.given()
    key = _chosen(given, place)
    probe: Probe = _UNSAID
    if key in _ACTIVE:
        probe = _active(key, given, place, filling)
    elif key == "notify":
        probe = NotifyProbe()
    elif key == "fd":
        probe = DescriptorProbe(given["fd"])
    elif key == "log":
        probe = LogProbe(_pattern(given["log"], place.within("log"), filling))
        if not logged:
            text = "cannot wait for a line of output: none of the worker's output is logged"
            place.within("log").refuse(text)
    return Readiness(probe, **_timing(given, "timeout", "interval"))


def health_of(section: HealthSection, place: Place, filling: Filling) -> HealthCheck:
    """How a running instance is looked after."""
    given = section.given()
    key = _chosen(given, place)
    probe = _active(key, given, place, filling) if key else _UNSAID
    how = _timing(given, "interval", "timeout", "retries", "start_period", "jitter")
    match given.get("on_unhealthy"):
        case Verdict() as verdict:
            how["on_unhealthy"] = OnUnhealthy(verdict.value)
        case SignalTo(signal=number):
            how["on_unhealthy"] = OnUnhealthy.SIGNAL
            how["signal"] = number
            place.within("on_unhealthy").require("signal")
    return HealthCheck(probe, **how)


def _timing(given: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given[key] for key in keys if key in given}


def _chosen(given: dict[str, Any], place: Place) -> str:
    """The one probe that is given; an empty text if there is none."""
    chosen = [key for key in PROBES if key in given]
    if not chosen:
        if not any(place.is_given(key) for key in PROBES):
            section = ActiveProbes if place.path[-1] == "healthcheck" else Ready
            known = [key for key in PROBES if key in section.model_fields]
            place.refuse(f"cannot be without a probe (write one of {', '.join(known)})")
        return ""
    if len(chosen) > 1:
        place.within(chosen[1]).refuse(f"cannot have {chosen[1]} beside {chosen[0]} (one probe)")
    return chosen[0]


def _active(key: str, given: dict[str, Any], place: Place, filling: Filling) -> ActiveProbe:
    return _ACTIVE[key](given[key], place.within(key), filling)


def _tcp(value: str, place: Place, filling: Filling) -> ActiveProbe:
    text = filling.text(value, place)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = ":" in host and not bracketed
    if not colon or not _is_port(port) or bare or not (bracketed or _is_host(host)):
        text = f"cannot read {quoted(text)} as an address (try 127.0.0.1:5432 or [::1]:5432)"
        place.refuse(text)
        return _UNSAID
    return TcpProbe(host[1:-1] if bracketed else host, int(port))


def _is_host(text: str) -> bool:
    """Whether it can be looked up: no label of it is empty or too long."""
    try:
        return bool(text.encode("idna"))
    except UnicodeError:
        return False


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def _http(section: Http, place: Place, filling: Filling) -> ActiveProbe:
    if section.url is None:
        place.require("url")
        return _UNSAID
    url = filling.text(section.url, place.within("url"))
    problem = _url_problem(url)
    if problem:
        place.within("url").refuse(f"cannot read {quoted(url)} as an address: {problem}")
    headers = {
        name.lower(): filling.text(value, place.within("headers", name))
        for name, value in (section.headers or {}).items()
    }
    body = section.body
    return HttpProbe(
        url,
        tuple(sorted(set(section.status or ()))),
        tuple(sorted(headers.items())),
        None if body is None else filling.text(body, place.within("body")),
    )


@cache
def _url_problem(url: str) -> str:
    """What is wrong with an address, in words."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has characters that belong into no address"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error).lower()
    if parts.scheme != "http":
        return "it does not begin with http:// (https is not probed)"
    host = parts.hostname or ""
    if port == 0 or not (":" in host or _is_host(host)):
        return "it has no host (try http://127.0.0.1:8080/)"
    if parts.username is not None or parts.fragment:
        return "it has a user or a fragment"
    return ""


def _unix(value: str, place: Place, filling: Filling) -> ActiveProbe:
    path = filling.path(value, place)
    length = len(os.fsencode(path))
    if length > _SOCKET_PATH_MAX:
        text = f"cannot connect to {quoted(path)}: it has {length} bytes, a socket's path at most"
        place.refuse(f"{text} {_SOCKET_PATH_MAX}")
    return UnixProbe(path)


def _file(value: str, place: Place, filling: Filling) -> ActiveProbe:
    return FileProbe(filling.path(value, place))


def _exec(value: str | tuple[str, ...], place: Place, filling: Filling) -> ActiveProbe:
    return ExecProbe(filling.words(value, place, shell=False))


_ACTIVE: dict[str, Callable[..., ActiveProbe]] = {
    "tcp": _tcp,
    "http": _http,
    "unix": _unix,
    "file": _file,
    "exec": _exec,
}


def _pattern(value: str, place: Place, filling: Filling) -> str:
    pattern = filling.text(value, place)
    problem = _pattern_problem(pattern)
    if problem:
        text = f"cannot use {quoted(pattern)} as a pattern: {problem} (RE2 syntax)"
        place.refuse(text)
    return pattern


@cache
def _pattern_problem(pattern: str) -> str:
    import re2  # as the daemon matches it: in linear time, whatever the pattern

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        message = error.args[0] if error.args else b""
        return message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    return ""
