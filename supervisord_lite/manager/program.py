"""The program that a manager runs: the files that its modules were imported from.

Some modules are imported only when they are wanted, so a manager whose files an upgrade replaces
while it runs would put new modules beside old ones, and read what a newer compiler wrote. It ends
instead, at the first of these, and the next manager, which is all new, goes on. Nothing here looks
at files in between: an upgrade that nobody has noticed changes nothing.
"""

import os
import sys
from collections.abc import Callable

_PACKAGE = __package__.partition(".")[0]


class Program:
    """Watches over imports: an entry of `sys.meta_path`, which finds nothing itself."""

    def __init__(self, end: Callable[[str], object]) -> None:
        """`end` ends this process; it is given the reason, a line."""
        self._end = end
        self._marks: dict[str, int | None] = {}

    def guard(self) -> None:
        """Take the files as they are now for those of this program, and look at them again
        whenever one more is imported.
        """
        self._learn()
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Asked by the interpreter before a module is looked for (`importlib.abc`)."""
        if name.partition(".")[0] == _PACKAGE:
            self.check()
            self._learn()

    def check(self) -> None:
        """End, if there is another program now in the place of this one."""
        root = sys.modules[_PACKAGE].__file__
        if root is None or _mark(root) is None:
            return  # there is no other one: taken away, or about to come
        if any(_mark(path) != mark for path, mark in self._marks.items()):
            self._end("its program was replaced by another version\n")

    def _learn(self) -> None:
        for name, module in tuple(sys.modules.items()):
            if name.partition(".")[0] == _PACKAGE and (path := module.__file__):
                self._marks.setdefault(path, _mark(path))


def _mark(path: str) -> int | None:
    """What tells a file from its successor; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return hash((status.st_ino, status.st_mtime_ns, status.st_size))
