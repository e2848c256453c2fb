"""Where lines go beyond the log of their own stream: `taps`, `logs` and the daemon's own log.

Whose lines a tap or a forward means is settled here, so that nobody asks later: names and selector
become the list of workers.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.fleet import Fleet
from supervisord_lite.config.interpolation import fill
from supervisord_lite.config.model import File, Worker
from supervisord_lite.config.output import Forward, Logs, OwnLog, Selected, SharedTap, Written
from supervisord_lite.config.paths import SOCKET_PATH_MAX, Claims, PathTemplate
from supervisord_lite.config.place import Place
from supervisord_lite.config.streams import Outlet, rotation_of
from supervisord_lite.core import log
from supervisord_lite.core.log import Destination, Outlets, Selection, View
from supervisord_lite.core.selector import BadSelector, selector

_STREAMS = ("stdout", "stderr")
_SOCKETS = {
    Destination.SYSLOG: "/dev/log",
    Destination.JOURNALD: "/run/systemd/journal/socket",
}
# The keys that only some destinations have a use for.
_KEYS_OF = {
    "facility": (Destination.SYSLOG,),
    "format": (Destination.STDOUT, Destination.STDERR),
    "socket": tuple(_SOCKETS),
}


def outlets_of(file: File, root: Place, fleet: Fleet, claims: Claims) -> Outlets:
    """All that the file wants of output beyond the log of each stream."""
    if fleet.streams.keys() != file.workers.keys():
        return Outlets()  # the workers were refused as a whole
    choosing = _Choosing(file.workers, fleet)
    logs = file.logs or Logs()
    section = (file.supervisor.log if file.supervisor else None) or OwnLog()
    own = _own(section, root.within("supervisor", "log"), claims)
    return Outlets(
        max_total=_max_total(logs, root.within("logs", "max_total"), fleet, own),
        taps=tuple(
            _tap(name, tap, root.within("taps", name), choosing, claims)
            for name, tap in (file.taps or {}).items()
        ),
        forwards=_forwards(logs.forward or {}, root.within("logs", "forward"), choosing),
        own=own,
    )


def _max_total(logs: Logs, place: Place, fleet: Fleet, own: log.OwnLog) -> int | None:
    """The budget of all logs. One that a single file can exceed is a mistake."""
    sizes = [
        (outlet.pattern.rotation.size, f"{worker}.{name}")
        for worker in fleet.streams
        for name, outlet in _outlets(fleet, worker)
        if not outlet.pattern.direct  # we do not rotate it
    ]
    if own.path is not None:
        sizes.append((own.rotation.size, "supervisor.log"))
    largest, whose = max(
        ((size, whose) for size, whose in sizes if size is not None), default=(0, "")
    )
    if logs.max_total is not None and logs.max_total < largest:
        text = f"cannot hold all logs in {logs.max_total} bytes: {whose} alone may have {largest}"
        place.refuse(f"{text} (raise it, or lower its rotate.size)")
    return logs.max_total


def _outlets(fleet: Fleet, worker: str) -> Iterator[tuple[str, Outlet]]:
    """The streams of a worker that have a log which can be read back, each with its name."""
    streams = fleet.streams[worker]
    for name, outlet in zip(_STREAMS, (streams.stdout, streams.stderr), strict=True):
        if outlet.readable:
            yield name, outlet


class _Choosing:
    """Finds the workers that somebody's `workers`, `select` and `stream` mean."""

    def __init__(self, workers: Mapping[str, Worker], fleet: Fleet) -> None:
        self._workers = workers
        self._fleet = fleet

    def selection(self, section: Selected, place: Place) -> Selection:
        """The workers, in file order. What is named must be there and have a log; of what is
        chosen otherwise, those that have a log are meant.
        """
        stream = str(section.stream) if section.stream else None
        named = [
            name
            for number, name in enumerate(section.workers or ())
            if self._is_usable(name, stream, place.within("workers", number))
        ]
        if section.workers == []:
            place.within("workers").refuse("cannot be empty (leave it out to mean all)")
        pool = named if section.workers else [name for name in self._workers if self._has(name)]
        chosen = frozenset(self._chosen(pool, section, place))
        meant = tuple(one for one in self._workers if one in chosen and self._has(one, stream))
        if not meant and self._workers and not (section.workers and not named):
            self._refuse_none(section, place)
        return Selection(meant, stream)

    def _has(self, worker: str, stream: str | None = None) -> bool:
        return any(stream in (None, name) for name, _ in _outlets(self._fleet, worker))

    def _is_usable(self, name: str, stream: str | None, place: Place) -> bool:
        if name not in self._workers:
            hint = suggestion(name, self._workers)
            place.refuse(f"cannot find a worker named {quoted(name)}{hint}")
        elif not self._has(name, stream):
            what = f"its {stream} has" if stream else "its output has"
            place.refuse(f"cannot read lines of {quoted(name)}: {what} no log that can be read")
        else:
            return True
        return False

    def _chosen(self, pool: list[str], section: Selected, place: Place) -> list[str]:
        if section.select is None:
            return pool
        try:
            holds = selector(section.select)
        except BadSelector as error:
            place.within("select").refuse(str(error))
            return pool
        return [name for name in pool if any(map(holds, self._labels[name]))]

    @cached_property
    def _labels(self) -> Mapping[str, list[dict[str, str]]]:
        """By worker, those of each of its instances; where it has none now, those of its first."""
        known: dict[str, dict[tuple[tuple[str, str], ...], None]] = {}
        for spec in self._fleet.instances:
            known.setdefault(spec.worker, {})[spec.labels] = None
        return {
            name: [dict(labels) for labels in known[name]]
            if name in known
            else [_first(name, worker)]
            for name, worker in self._workers.items()
        }

    def _refuse_none(self, section: Selected, place: Place) -> None:
        if section.select is not None:
            known = {
                f"{key}={value}"
                for several in self._labels.values()
                for labels in several
                for key, value in labels.items()
            }
            hint = suggestion(section.select, sorted(known))
            text = f"cannot find a logged worker with the labels {quoted(section.select)}{hint}"
            place.within("select").refuse(text)
        else:
            place.refuse("cannot find a log to read lines from (give the workers a log)")


def _first(name: str, worker: Worker) -> dict[str, str]:
    """The labels of the first instance that the worker would have."""
    return {
        key: fill(text, name, 0, {})
        for key, text in (worker.labels or {}).items()
        if "{channel." not in text
    }


def _tap(
    name: str, section: SharedTap, place: Place, choosing: _Choosing, claims: Claims
) -> log.SharedTap:
    place.require("path")
    template = PathTemplate.at(place.within("path"), section.path or "tap")
    path = template.path(name, 0)
    if section.path is not None:
        claims.claim(path, template)
    selection = choosing.selection(section, place)
    given = _given(view=section.format, mode=section.mode)
    return log.SharedTap(name, path, selection, **given)


def _forwards(
    sections: Mapping[str, Forward], place: Place, choosing: _Choosing
) -> tuple[log.Forward, ...]:
    found: dict[tuple[Destination, str | None, Selection], log.Forward] = {}
    for name, section in sections.items():
        forward = _forward(name, section, place.within(name), choosing)
        if section.to is None:
            continue
        other = found.setdefault((forward.to, forward.socket, forward.of), forward)
        if other is not forward:
            text = f"cannot forward the same lines to {forward.to} twice"
            place.within(name).refuse(f"{text} ({quoted(other.name)} does)")
    return tuple(found.values())


def _forward(name: str, section: Forward, place: Place, choosing: _Choosing) -> log.Forward:
    place.require("to")
    to = section.to or Destination.STDOUT
    selection = choosing.selection(section, place)
    for key, destinations in _KEYS_OF.items():
        if section.to is not None and to not in destinations and key in section.given():
            text = f"cannot use {key} with {to} (only with {' or '.join(destinations)})"
            place.within(key).refuse(text)
    socket = _socket(name, section, to, place.within("socket"))
    given = _given(facility=section.facility, view=section.format and View(section.format))
    return log.Forward(name, to, selection, socket=socket, **given)


def _socket(name: str, section: Forward, to: Destination, place: Place) -> str | None:
    if to not in _SOCKETS or section.socket is None:
        return _SOCKETS.get(to)
    path = PathTemplate.at(place, section.socket).path(name, 0)
    if (length := len(os.fsencode(path))) > SOCKET_PATH_MAX:
        text = f"cannot connect to {quoted(path)}: it has {length} bytes"
        place.refuse(f"{text}, a socket's path at most {SOCKET_PATH_MAX}")
    return path


def _own(section: OwnLog, place: Place, claims: Claims) -> log.OwnLog:
    path = None
    if section.path is not None:
        template = PathTemplate.at(place.within("path"), section.path)
        path = template.path("supervisord-lite", 0)
        claims.claim(path, template)
    else:
        if section.rotate is not None:
            place.within("rotate").refuse("cannot rotate without a file (add path)")
        if section.stderr is False:
            place.within("stderr").refuse("cannot be off without a file: nobody would be told")
    given = _given(
        level=section.level,
        view=View.JSON if section.format is Written.JSON else None,
        stderr=section.stderr,
        rotation=section.rotate and rotation_of(section.rotate, place.within("rotate")),
    )
    return log.OwnLog(path=path, **given)


def _given(**values: Any) -> dict[str, Any]:
    """What the file says; what it does not is left to `core.log`."""
    return {key: value for key, value in values.items() if value is not None}
