"""What a watch is about, compared every few seconds: for when the kernel has no more watches.

It walks the same way as `watched_tree`, with the status of each file noted. A change that is undone
between two looks is missed, and a look costs as much as there are files; so it is taken less often
the longer it takes. Touches the disk: for a thread of its own (`file_observer`).
"""

import os
import time
from contextlib import suppress

from supervisord_lite.core.spec import Watch
from supervisord_lite.manager.files.globs import Globs, State
from supervisord_lite.manager.files.watched_tree import listed

_EVERY = 2.0  # seconds between two looks
_SHARE = 0.05  # of one processor, at most

Status = tuple[int, int, int]


class PolledTree:
    """All that one watch is about. `due` is when to `look` again, on CLOCK_MONOTONIC; `changed`
    holds what has changed, in order, until it is taken.
    """

    def __init__(self, watch: Watch) -> None:
        self.changed: dict[str, None] = {}
        self.due = 0.0
        self._globs = Globs(watch.paths, watch.ignore)
        self._files = self._scan()

    def look(self) -> None:
        """Compare with the last look."""
        former, self._files = self._files, self._scan()
        differing = former.items() ^ self._files.items()
        self.changed.update(dict.fromkeys(sorted({path for path, _ in differing})))

    def _scan(self) -> dict[str, Status]:
        began = time.monotonic()
        files: dict[str, Status] = {}
        seen: set[tuple[int, int, State]] = set()
        pending = [("/", self._globs.start)]
        while pending:
            path, state = pending.pop()
            with suppress(OSError):
                directory = os.stat(path)
                identity = (directory.st_dev, directory.st_ino, state)
                if identity in seen:
                    continue
                seen.add(identity)
                self._scan_one(path, state, files, pending)
        ended = time.monotonic()
        self.due = ended + max(_EVERY, (ended - began) / _SHARE)
        return files

    def _scan_one(
        self,
        path: str,
        state: State,
        files: dict[str, Status],
        pending: list[tuple[str, State]],
    ) -> None:
        for name, following, is_directory in listed(self._globs, path, state):
            below = os.path.join(path, name)
            if is_directory:
                pending.append((below, following))
            elif self._globs.accepts(following):
                with suppress(OSError):
                    status = os.stat(below)
                    files[below] = (status.st_mtime_ns, status.st_size, status.st_ino)
