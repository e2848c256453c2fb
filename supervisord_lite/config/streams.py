"""Where a worker's standard streams lead: the forms of `stdin`, `stdout` and `stderr`.

An outlet is decided once for a worker; only its paths differ between instances. `Claims` sees to
it that no file has two writers.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from supervisord_lite.config.errors import Mark, Path, dotted, quoted, suggestion
from supervisord_lite.config.interpolation import fill
from supervisord_lite.config.model import Output, Word
from supervisord_lite.config.place import Place
from supervisord_lite.core.log import Log, OnFull, Rotation
from supervisord_lite.core.spec import Route, Stream

DEFAULT_LOG = "logs/{name}.{instance}.log"
_SHARED = ("/dev/std", "/dev/fd/", "/proc/")  # somebody else's descriptors: any number may write
_WORDS = {Word.DISCARD: Route.NULL, Word.INHERIT: Route.INHERIT, Word.JOINED: Route.JOINED}


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path before `{name}` and `{instance}` are replaced, and what it is relative to."""

    text: str
    place: Place
    mark: Mark
    directory: str

    @classmethod
    def at(cls, place: Place, text: str) -> "PathTemplate":
        try:
            fill(text, "", 0, {})
        except ValueError as error:
            place.refuse(str(error))
            text = "{name}.{instance}"
        return cls(text, place, place.mark, place.directory)

    def path(self, name: str, instance: int) -> str:
        """Absolute, but not resolved: a symbolic link in it may change while we run."""
        text = fill(self.text, name, instance, {})
        if text == ".":
            return self.directory
        whole = os.path.join(self.directory, text)
        # The costly tidying is for the few that need it: thousands of instances pass here.
        return (
            str(FilePath(whole)) if "/." in whole or "//" in whole or whole[-1:] == "/" else whole
        )


@dataclass(frozen=True, slots=True)
class Outlet:
    """A stream, and the log of those that have one."""

    stream: Stream
    log: PathTemplate | None = None
    tap: PathTemplate | None = None
    rotation: Rotation = field(default_factory=Rotation)
    on_full: OnFull = OnFull.DROP


class Claims:
    """Who writes to which file; a second writer is refused, and so is a directory."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Mark, Path]] = {}
        self._numbered: dict[str, str] = {}
        self._directories: dict[str, str] = {}

    def claim(self, path: str, template: PathTemplate) -> None:
        if path.startswith(_SHARED):
            return
        real = self._real(path)
        kind = _kind(real)
        if stat.S_ISDIR(kind):
            text = f"cannot write to {quoted(path)}: it is a directory"
            template.place.problems.add(template.mark, template.place.path, text)
        elif not stat.S_ISCHR(kind):
            self._own(real, path, template)

    def _own(self, real: str, path: str, template: PathTemplate) -> None:
        mark, place = template.mark, template.place
        stem, _, number = real.rpartition(".")
        if number.isdigit():
            self._numbered[stem] = real
        other = self._rival(real, stem if number.isdigit() else "")
        self._owners.setdefault(real, (mark, place.path))
        if other is None:
            return
        owner, key = self._owners[other]
        text = f"cannot write to {quoted(path)}: {dotted(key)} at {owner} does"
        if owner == mark:
            many, word = ("instances", "instance") if key == place.path else ("workers", "name")
            text = f"cannot write to {quoted(path)} from several {many} (put {{{word}}} into it)"
        place.problems.add(mark, place.path, text)

    def _rival(self, real: str, stem: str) -> str | None:
        """Who writes there already: the same file, or one whose rotation would take its name."""
        if real in self._owners:
            return real
        if stem in self._owners:
            return stem
        return self._numbered.get(real)

    def _real(self, path: str) -> str:
        """The path without symbolic links. Most logs share a directory: it is resolved once."""
        directory, name = os.path.split(path)
        if directory not in self._directories:
            self._directories[directory] = os.path.realpath(directory)
        whole = f"{self._directories[directory]}/{name}"
        return os.path.realpath(whole) if name in (".", "..") or os.path.islink(whole) else whole


def _kind(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


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
    return Log(path, outlet.rotation, outlet.on_full, tap)


def input_of(channel: str | None, place: Place) -> Stream:
    if channel is None:
        return Stream(Route.NULL)
    return _connected(channel, place)


def output_of(value: Output | Word | None, place: Place, unsaid: Outlet) -> Outlet:
    """The outlet of `stdout` or `stderr`; `unsaid` serves where the file does not say."""
    if value is None:
        return unsaid
    if isinstance(value, Word):
        if value is Word.JOINED and place.path[-1] == "stdout":
            place.refuse("cannot join stdout to itself (stderr can be joined)")
        return Outlet(Stream(_WORDS[value]))
    if value.channel is not None:
        for key in value.given().keys() - {"channel"}:
            text = f"cannot use {key} on a stream that leads to a channel: no log is kept of it yet"
            place.within(key).refuse(text)
        return Outlet(_connected(value.channel, place))
    return _logged(value, place, unsaid)


def _logged(value: Output, place: Place, unsaid: Outlet) -> Outlet:
    log = unsaid.log if value.log is None else PathTemplate.at(place.within("log"), value.log)
    if log is None:
        place.refuse("cannot keep this stream without a path (add log)")
    tap = None if value.tap is None else PathTemplate.at(place.within("tap"), value.tap)
    return Outlet(Stream(Route.LOG), log, tap, _rotation(value), value.on_full or OnFull.DROP)


def _rotation(value: Output) -> Rotation:
    given = value.rotate.given() if value.rotate else {}
    if given.get("size") == 0:
        given["size"] = None
    return Rotation(**given)


def _connected(channel: str, place: Place) -> Stream:
    declared = place.document.entries.get("channels")
    known = getattr(declared, "entries", {})
    if channel not in known:
        text = f"cannot find a channel named {quoted(channel)}{suggestion(channel, known)}"
        place.within("channel").refuse(text)
    return Stream(Route.CHANNEL, channel)
