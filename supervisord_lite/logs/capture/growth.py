"""Telling when a log grows that its worker writes itself: inotify(7), since its bytes never pass
through here. Nothing is watched unless somebody wants to know.

The path is what counts: who renames the file and makes another one, as logrotate does, is noticed
by the directory, and the file may also come later. Where the kernel has no instance or no watch
left, the file is looked at once a second.
"""

import os
import time
from collections.abc import Callable
from functools import partial

from supervisord_lite.linux.inotify import (
    EXHAUSTED,
    IN_CREATE,
    IN_MODIFY,
    IN_MOVED_TO,
    IN_ONLYDIR,
    Change,
    Inotify,
)
from supervisord_lite.logs import poller
from supervisord_lite.logs.capture.timeouts import Timeouts
from supervisord_lite.logs.poller import Poller

_LOOK = 1.0  # seconds

Tell = Callable[[], None]


class Growths:
    """The paths that are watched in one lane, by its thread."""

    def __init__(self, wait: Poller, timeouts: Timeouts) -> None:
        self._poller = wait
        self._timeouts = timeouts
        self._inotify: Inotify | None = None
        self._told: dict[str, Tell] = {}
        self._files: dict[int, str] = {}  # by watch; a path may have had several files
        self._directories: dict[int, str] = {}

    def watch(self, path: str, tell: Tell) -> None:
        """Call `tell` whenever what is at this path may have grown."""
        self._told[path] = tell
        self._aim(path)
        tell()  # it may have grown before

    def unwatch(self, path: str) -> None:
        """Tell no more."""
        self._timeouts.clear((self, path))
        if self._told.pop(path, None) is None or self._inotify is None:
            return
        left = {os.path.dirname(other) for other in self._told}
        for watches, over in (
            (self._files, lambda one: one == path),
            (self._directories, lambda one: one not in left),
        ):
            for watch in [watch for watch, one in watches.items() if over(one)]:
                del watches[watch]
                self._inotify.unwatch(watch)

    def aim_again(self, path: str) -> None:
        """The file, or its directory, may be there only now."""
        if path in self._told:
            self._aim(path)

    def close(self) -> None:
        """Give back the inotify instance."""
        if self._inotify is not None:
            self._poller.remove(self._inotify.fd)
            self._inotify.close()

    def _aim(self, path: str) -> None:
        directory = os.path.dirname(path)
        for watches, what, mask in (
            (self._directories, directory, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR),
            (self._files, path, IN_MODIFY),
        ):
            try:
                watches[self._instance().watch(what, mask)] = what
            except OSError as error:  # or there is none yet
                if error.errno in EXHAUSTED:
                    at = time.monotonic() + _LOOK
                    self._timeouts.set((self, path), at, partial(self._look, path))

    def _instance(self) -> Inotify:
        if self._inotify is None:
            self._inotify = Inotify()
            self._poller.add(self._inotify.fd, poller.IN, self._dispatch)
        return self._inotify

    def _look(self, path: str) -> None:
        self._aim(path)
        self._told[path]()

    def _dispatch(self, _events: int) -> None:
        assert self._inotify is not None, "its descriptor told"
        for change in self._inotify.changes():
            for path in self._concerned(change):
                self._told[path]()

    def _concerned(self, change: Change) -> list[str]:
        """Whose logs may have grown."""
        if change.lost:
            for path in self._told:
                self._aim(path)
            return list(self._told)
        if change.ended:
            self._files.pop(change.watch, None)
            self._directories.pop(change.watch, None)
            return []
        path = self._files.get(change.watch, "")
        if not path:
            path = os.path.join(self._directories.get(change.watch, ""), change.name)
            self.aim_again(path)
        return [path] if path in self._told else []
