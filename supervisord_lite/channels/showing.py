"""What is in the channels and who has them: for people.

Looking is I/O, and finding out who has what open is a pass over all processes: it belongs into a
thread. So a look begins with duplicates of the descriptors, which nobody can close under it.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from supervisord_lite.channels.parts import BELL, Facts, Parts
from supervisord_lite.channels.room import Channels, craft_of
from supervisord_lite.core.channel import Fifo, Kind, Lock, Pipe, Semaphore, Socket, Value
from supervisord_lite.core.handing import address_of, type_name
from supervisord_lite.linux.descriptors import close_all
from supervisord_lite.linux.openers import Inode, access_of, has_locked, inode_of, openers

_ACCESS = {os.O_RDONLY: "read", os.O_WRONLY: "write", os.O_RDWR: "both"}


@dataclass(frozen=True, slots=True)
class View:
    """A channel as it is. `holders` are the pids that have it open, and what of it; `owners` those
    of them that have locked it.
    """

    name: str
    type: str
    trouble: str | None = None
    where: str | None = None  # the path or the address that it is found at
    facts: Facts = field(default_factory=dict)
    holders: dict[int, tuple[str, ...]] = field(default_factory=dict)
    owners: tuple[int, ...] = ()


class _Holder(NamedTuple):
    """A place where a part of a channel is open."""

    pid: int
    descriptor: int
    part: str


@dataclass(frozen=True, slots=True)
class _Glimpse:
    name: str
    kind: Kind
    trouble: str | None
    parts: Parts


class Look:
    """One look at some channels. Made where the room is, finished by `views` or by `close`."""

    def __init__(self, room: Channels, names: Collection[str]) -> None:
        """KeyError for a channel that is not declared, OSError for want of descriptors."""
        self._glimpses: list[_Glimpse] = []
        try:
            for name in names:
                kind, trouble = room.kind(name), room.troubles.get(name)
                self._glimpses.append(_Glimpse(name, kind, trouble, room.duplicates(name)))
        except BaseException:
            self.close()
            raise

    def views(self, but: Collection[int] = ()) -> list[View]:
        """What is seen now; of the holders, all but these: the daemon itself."""
        try:
            holders = self._holders(but)
            return [_view(one, holders.get(one.name, ())) for one in self._glimpses]
        finally:
            self.close()

    def _holders(self, but: Collection[int]) -> dict[str, list[_Holder]]:
        """Who has them open, by channel."""
        inodes: dict[Inode, tuple[str, str]] = {}
        for one in self._glimpses:
            for part, descriptor in one.parts.items():
                if part != BELL:  # all eventfds are one inode
                    inodes[inode_of(descriptor)] = one.name, part
        found: dict[str, list[_Holder]] = {}
        for (name, part), pid, descriptor in openers(inodes):
            if pid not in but:
                found.setdefault(name, []).append(_Holder(pid, descriptor, part))
        return found

    def close(self) -> None:
        for glimpse in self._glimpses:
            close_all(glimpse.parts.values())
        self._glimpses.clear()


def _view(one: _Glimpse, holders: Sequence[_Holder]) -> View:
    return View(
        name=one.name,
        type=type_name(one.kind),
        trouble=one.trouble,
        where=_where(one.kind),
        facts=_facts(one),
        holders=_uses(one.kind, holders),
        owners=_owners(one.kind, holders),
    )


def _where(kind: Kind) -> str | None:
    match kind:
        case Fifo(path=path):
            return path
        case Socket():
            return address_of(kind)
    return None


def _facts(one: _Glimpse) -> Facts:
    """Nothing, if it could not be made."""
    if not one.parts:
        return {}
    facts: Facts = craft_of(one.kind).look(one.kind, one.parts)
    return facts


def _uses(kind: Kind, holders: Sequence[_Holder]) -> dict[int, tuple[str, ...]]:
    """By pid, the parts that it has open. The ends of a pipe are one inode: told by the access."""
    uses: dict[int, set[str]] = {}
    for holder in holders:
        part = holder.part
        if isinstance(kind, Pipe | Fifo):
            access = access_of(holder.pid, holder.descriptor)
            part = part if access is None else _ACCESS[access]
        uses.setdefault(holder.pid, set()).add(part)
    return {pid: tuple(sorted(parts)) for pid, parts in sorted(uses.items())}


def _owners(kind: Kind, holders: Sequence[_Holder]) -> tuple[int, ...]:
    if not isinstance(kind, Lock | Semaphore | Value):
        return ()
    return tuple(sorted({one.pid for one in holders if has_locked(one.pid, one.descriptor)}))
