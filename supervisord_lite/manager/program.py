"""The program that a manager runs: the files that its modules were imported from.

Some modules are imported only when they are wanted, so a manager whose files an upgrade replaces
while it runs would put new modules beside old ones, and read what a newer compiler wrote. It ends
instead, at the first of these, and the next manager, which is all new, goes on. Nothing here looks
at files in between: an upgrade that nobody has noticed changes nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence

_PACKAGE = __package__.partition(".")[0]
_QUIET = 1.0  # seconds without a change, after which an upgrade is taken to be whole
_PATIENCE = 5.0  # seconds that this is waited for; the keeper's watchdog has more


class Program:
    """Watches over imports: an entry of `sys.meta_path`, which finds nothing itself."""

    def __init__(self) -> None:
        """To be made before most of the program is imported: of each module the file is known as
        it was before that.
        """
        self._end: Callable[[str], object] | None = None
        self._marks: dict[str, int | None] = {}
        for name, module in tuple(sys.modules.items()):
            if name.partition(".")[0] == _PACKAGE and (path := module.__file__):
                self._marks[path] = _mark(path)
        sys.meta_path.insert(0, self)

    def guard(self, end: Callable[[str], object]) -> None:
        """Look at the files, now and whenever one more is imported. `end` ends this process, if
        another one would come after it; it is given the reason, a line.
        """
        self._end = end
        self.check()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: object = None
    ) -> None:
        """Asked by the interpreter before a module is looked for (`importlib.abc`)."""
        if name.partition(".")[0] == _PACKAGE:
            self.check()
            self._learn(name.rpartition(".")[2], path or ())

    def check(self) -> None:
        """End, if there is another program now in the place of this one."""
        root = sys.modules[_PACKAGE].__file__
        if self._end is None or root is None or _mark(root) is None:
            return  # there is no other one: taken away, or about to come
        if any(_mark(path) != mark for path, mark in self._marks.items()):
            _let_it_come(os.path.dirname(root))
            if _mark(root) is not None:
                self._end("its program was replaced by another version\n")

    def _learn(self, module: str, directories: Sequence[str]) -> None:
        for directory in directories:
            for path in (f"{directory}/{module}/__init__.py", f"{directory}/{module}.py"):
                if (mark := _mark(path)) is not None:
                    self._marks.setdefault(path, mark)
                    return


def _let_it_come(package: str) -> None:
    """Wait until no more files come: of half a program there would be no other manager."""
    deadline = time.monotonic() + _PATIENCE
    while time.time() - _last_change(package) < _QUIET and time.monotonic() < deadline:
        time.sleep(0.05)


def _last_change(package: str) -> float:
    """When anything in a package was made, moved or written, in seconds since the epoch."""
    times = [0.0]
    for directory, below, names in os.walk(package):
        below[:] = [name for name in below if name != "__pycache__"]
        for path in (directory, *(f"{directory}/{name}" for name in names)):
            try:
                times.append(os.stat(path).st_ctime)
            except OSError:
                times.append(time.time())  # it is being replaced right now
    return max(times)


def _mark(path: str) -> int | None:
    """What tells a file from its successor; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return hash((status.st_ino, status.st_mtime_ns, status.st_size))
