"""The paths of files that the daemon makes, and who of them writes where.

A `PathTemplate` is a path as it was written, `Claims` sees to it that no file has two writers.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path as FilePath

from supervisord_lite.config.errors import Mark, Path, dotted, quoted
from supervisord_lite.config.interpolation import fill
from supervisord_lite.config.place import Place

SHARED = ("/dev/std", "/dev/fd/", "/proc/")  # somebody else's descriptors: any number may write
SOCKET_PATH_MAX = 107  # unix(7): sun_path has 108 bytes, the last is NUL
_PACKED = (".gz", ".zst")  # what a compressed older file is called beyond its number


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


class Claims:
    """Who writes to which file; a second writer is refused, and so is a directory."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Mark, Path]] = {}
        self._numbered: dict[str, str] = {}
        self._directories: dict[str, str] = {}

    def claim(self, path: str, template: PathTemplate) -> None:
        if path.startswith(SHARED):
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
        stem = _stem(real)
        if stem:
            self._numbered[stem] = real
        other = self._rival(real, stem)
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


def _stem(path: str) -> str:
    """The log whose older file this could be by its name; an empty text if none."""
    for ending in _PACKED:
        path = path.removesuffix(ending)
    stem, _, number = path.rpartition(".")
    return stem if number.isdigit() else ""
