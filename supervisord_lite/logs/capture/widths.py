"""How wide the workers' pipes are: larger than the default for those that flood their logs.

A worker that finds its pipe full sleeps until it is emptied, and with the default size it does so
every 64 KiB. What a wide pipe takes from the user's quota (pipe(7), pipe-user-pages-soft) is
missing when others are made, so few are wide at a time, and none where the kernel refuses.
"""

from collections import OrderedDict

from supervisord_lite.linux import pipes

DEFAULT = 64 * 1024
WIDE = 256 * 1024
_MOST = 16  # wide pipes at a time
_PATIENCE = 16  # times that a pipe is found full before it is made wider


class Widths:
    """The pipes of one lane that flood or did, by descriptor, the last one last."""

    def __init__(self) -> None:
        self._found_full: dict[int, int] = {}
        self._wide: OrderedDict[int, None] = OrderedDict()

    def enter(self, pipe: int) -> None:
        """A pipe is read here from now on; a data plane before this one may have widened it."""
        if pipes.size(pipe) == WIDE:
            self._wide[pipe] = None

    def full(self, pipe: int) -> None:
        """A pipe was found full: its worker had to wait, or was about to."""
        times = self._found_full[pipe] = self._found_full.get(pipe, 0) + 1
        if times == _PATIENCE:
            del self._found_full[pipe]
            self._widen(pipe)

    def leave(self, pipe: int) -> None:
        """A pipe is not read here any more."""
        self._found_full.pop(pipe, None)
        self._wide.pop(pipe, None)

    def _widen(self, pipe: int) -> None:
        if pipe in self._wide:
            self._wide.move_to_end(pipe)
        elif pipes.size(pipe) == DEFAULT and self._has_room():
            pipes.resize(pipe, WIDE)
            self.enter(pipe)

    def _has_room(self) -> bool:
        """Whether one more may be wide; the one that has not been full for longest gives way."""
        if len(self._wide) >= _MOST:
            oldest = next(iter(self._wide))
            pipes.resize(oldest, DEFAULT)  # refused while it holds more than that
            if pipes.size(oldest) == DEFAULT:
                self.leave(oldest)
        return len(self._wide) < _MOST
