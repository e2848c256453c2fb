"""The descriptors that must outlive every manager, by name.

Pipes are noted in the journal with their inode, so that a fresh keeper finds them again through
the processes that have them open (/proc/PID/fd, proc(5)). What no worker may have open, the
channels' ends, the hops and the control socket, is also given to the service manager's descriptor
store, if there is one; whatever else is needed can be made anew.
"""

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator

from supervisord_lite.keeper.journal import Journal
from supervisord_lite.linux.descriptors import MOST_PER_MESSAGE, DescriptorLimit
from supervisord_lite.linux.notify import Notifier


class Held:
    """Names and descriptors; only the main thread's table has them, so no child inherits one."""

    def __init__(
        self,
        journal: Journal,
        notifier: Notifier,
        limit: DescriptorLimit,
        stored: dict[str, int],
    ) -> None:
        """`stored` are descriptors that the service manager kept for us."""
        self._journal = journal
        self._limit = limit
        self._notifier = notifier
        self._by_name: dict[str, int] = {}
        for name, descriptor in stored.items():
            self.hold(name, descriptor)
        # Else a later start would be given these again, when they have long been replaced.
        notifier.forget(name for name in stored if not _only_here(name))

    def __getitem__(self, name: str) -> int:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def items(self) -> Iterable[tuple[str, int]]:
        return self._by_name.items()

    def hold(self, name: str, descriptor: int) -> None:
        """Keep a descriptor (it is ours from here on); an earlier one of that name is closed."""
        self.drop(name)
        descriptor = self._by_name[name] = self._limit.settle(descriptor)
        if _only_here(name):
            self._notifier.store({name: descriptor})
        if (inode := pipe_at(f"/proc/self/fd/{descriptor}")) != 0:
            access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
            self._journal.append({"pipe": name, "inode": inode, "access": access})

    def drop(self, name: str) -> None:
        descriptor = self._by_name.pop(name, None)
        if descriptor is None:
            return
        if _only_here(name):
            self._notifier.forget((name,))
        if pipe_at(f"/proc/self/fd/{descriptor}") != 0:  # a named one is found by its name
            self._journal.append({"pipe": name, "inode": 0, "access": 0})
        os.close(descriptor)

    def forget_stored(self) -> None:
        """The end: nobody is to be given these again."""
        self._notifier.forget(self._by_name)

    def batches(self) -> Iterator[tuple[list[str], list[int]]]:
        """All of it, in portions that fit into a message."""
        names = list(self._by_name)
        for start in range(0, len(names), MOST_PER_MESSAGE):
            portion = names[start : start + MOST_PER_MESSAGE]
            yield portion, [self._by_name[name] for name in portion]

    def recover_from(self, pids: Iterable[int]) -> None:
        """Find the pipes that the journal names, and we do not hold, in these processes."""
        missing = {
            inode: (name, access)
            for name, (inode, access) in self._journal.contents.pipes.items()
            if name not in self._by_name
        }
        for pid in pids:
            for path in descriptors_of(pid):
                inode = pipe_at(path)
                if inode not in missing:
                    continue
                name, access = missing[inode]
                descriptor = _open_pipe(path, inode, access)
                if descriptor is not None:
                    del missing[inode]
                    self.hold(name, descriptor)
            if not missing:
                return


def _only_here(name: str) -> bool:
    """Whether a fresh keeper might find this nowhere else. An instance's stream ("web:0/stdout")
    is open in its worker too, and a helper's output ("@plan") is short-lived.
    """
    return not name.startswith("@") and ":" not in name.partition("/")[0]


def descriptors_of(pid: int) -> list[str]:
    """The links in /proc that stand for what a process has open, as far as we may see them."""
    try:
        return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def pipe_at(path: str) -> int:
    """The inode of the pipe that a link in /proc/PID/fd leads to; 0 if it leads elsewhere."""
    try:
        kind, _, rest = os.readlink(path).partition(":[")
    except OSError:
        return 0
    return int(rest.rstrip("]")) if kind == "pipe" else 0


def _open_pipe(path: str, inode: int, access: int) -> int | None:
    """Open the pipe behind a link that belongs to a process of somebody else, who may put another
    file there at any time: what was found is looked at before it is opened with our rights.
    """
    try:
        anchor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None  # gone meanwhile, or not ours to look at: adopted without output
    try:
        found = os.fstat(anchor)
        if not stat.S_ISFIFO(found.st_mode) or found.st_ino != inode:
            return None
        return os.open(f"/proc/self/fd/{anchor}", access | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(anchor)
