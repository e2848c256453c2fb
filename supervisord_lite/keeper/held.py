"""The descriptors that must outlive every manager, by name.

Pipes, and the sockets and the memory of channels, are noted in the journal with their inode, so
that a fresh keeper finds them again through the processes that have them open (/proc/PID/fd,
proc(5)). What perhaps no worker has open, the channels' ends, the hops and the control socket, is
also given to the service manager's descriptor store, if there is one; whatever else is needed can
be made anew. Without that store, a channel that nobody has open is lost with its keeper.
"""

import os
from collections.abc import Iterable, Iterator

from supervisord_lite.keeper import trail
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
        self._traced: set[str] = set()  # those that the journal says how to find
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
        if (found := trail.of(name, descriptor)) is not None:
            self._journal.append({"pipe": name, "inode": found.inode, "access": found.access})
            self._traced.add(name)

    def drop(self, name: str) -> None:
        descriptor = self._by_name.pop(name, None)
        if descriptor is None:
            return
        if _only_here(name):
            self._notifier.forget((name,))
        if name in self._traced:
            self._traced.discard(name)
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
        """Find what the journal names, and we do not hold, in these processes. The two ends of a
        pipe are one inode.
        """
        missing: dict[tuple[str, int], list[tuple[str, trail.Trail]]] = {}
        for name, noted in self._journal.contents.pipes.items():
            if name not in self._by_name:
                found = trail.Trail(*noted)
                missing.setdefault((found.kind, found.inode), []).append((name, found))
        for pid in pids:
            for number in trail.descriptors_of(pid):
                for name, found in missing.pop(trail.at(pid, number), ()):
                    descriptor = trail.take(pid, number, found)
                    if descriptor is None:
                        again = missing.setdefault((found.kind, found.inode), [])
                        again.append((name, found))
                    else:
                        self.hold(name, descriptor)
            if not missing:
                return


def _only_here(name: str) -> bool:
    """Whether a fresh keeper might find this nowhere else. An instance's stream ("web:0/stdout")
    is open in its worker too, and a helper's output ("@plan") is short-lived.
    """
    return not name.startswith("@") and ":" not in name.partition("/")[0]
