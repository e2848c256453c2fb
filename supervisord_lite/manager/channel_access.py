"""What the control API is lent of the channels: which there are, who has them, what is in them, and
their descriptors.

It decides nothing, and never waits for a worker: what cannot be done now is tried again for as long
as a client wants to wait, a few times a second.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from supervisord_lite.channels import wire
from supervisord_lite.channels.room import Channels
from supervisord_lite.channels.showing import Look, View
from supervisord_lite.core.channel import Binding, Use, Value
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.handing import hand_over
from supervisord_lite.keeper.protocol import MARK
from supervisord_lite.linux.process_table import environment_value
from supervisord_lite.manager.channel_doors import Door, Message, Unfit, door_to, values_in
from supervisord_lite.manager.naming import UnknownNames
from supervisord_lite.manager.outcome import Refused
from supervisord_lite.manager.views import pid_of

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between two tries
_LOOK = 1.0  # seconds that somebody else who looks into a queue is waited for

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Opened:
    """Descriptors of a channel, the caller's to close, and what they are: an object such as workers
    have in SUPERVISORD_LITE_CHANNELS, in which they have the `numbers`, in this order.
    """

    told: dict[str, Any]
    numbers: tuple[int, ...]
    descriptors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen in one look, which may be nothing."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, found: list[Message] | None) -> "_Seen | None":
        return None if found is None else cls(tuple(found))


class ChannelAccess:
    """The channels of a fleet. All raise `UnknownNames` for a channel that is not declared, and
    `Refused` for what cannot be done with it.
    """

    def __init__(self, fleet: Fleet, room: Channels) -> None:
        self._fleet = fleet
        self._room = room

    async def rows(self, name: str | None = None) -> list[dict[str, Any]]:
        """One row a channel: all of them, or the one."""
        names = list(self._room.names()) if name is None else [self._known(name)]
        runs = {
            pid: instance.spec.name
            for instance in self._fleet.instances.values()
            if (pid := pid_of(instance)) is not None
        }
        self._room.look_again(names)
        look = Look(self._room, names)
        views = await asyncio.to_thread(look.views, (os.getpid(), os.getppid()))
        marks = await asyncio.to_thread(
            _marks, {*list(runs)[:1], *(pid for view in views for pid in view.holders)}
        )
        return [_row(view, runs, marks) for view in views]

    async def put(self, name: str, data: bytes, wait: float) -> int:
        """Put a message into a queue, or bytes into a pipe, within `wait` seconds; answers how
        many bytes of it went in: of a message all or none.
        """
        if not data:
            raise Refused(f"cannot put nothing into {name}")
        sent = 0

        def attempt(door: Door) -> bool:
            nonlocal sent
            sent += door.put(data[sent:])
            return sent == len(data)

        await self._repeat(name, attempt, wait)
        return sent

    async def get(self, name: str, wait: float) -> Message | None:
        """Take a message, or what is in a pipe; None if nothing came within `wait` seconds."""
        return await self._repeat(name, lambda door: door.get(), wait)

    async def peek(self, name: str, most: int) -> list[Message]:
        """The next messages, or bytes, that stay where they are."""
        seen = await self._repeat(name, lambda door: _Seen.of(door.peek(most)), _LOOK)
        return [] if seen is None else list(seen.messages)

    def values(self, name: str) -> list[object] | None:
        """What a value or array holds; None for any other channel."""
        kind = self._room.kind(self._known(name))
        if not isinstance(kind, Value):
            return None
        parts = self._room.duplicates(name)
        try:
            return values_in(kind, parts)
        finally:
            _close(parts.values())

    def open(self, name: str, use: Use) -> Opened:
        """Its descriptors. Raises ValueError for a use that the type does not have."""
        kinds = {one: self._room.kind(one) for one in self._room.names()}
        handed = hand_over([Binding(self._known(name), use)], kinds)
        numbers: list[int] = []
        descriptors: list[int] = []
        try:
            for one in handed:
                parts = self._room.duplicates(one.channel)
                try:
                    for part, number in one.numbers:
                        descriptors.append(os.dup(parts[part]))
                        numbers.append(number)
                except KeyError:
                    why = self._why_not(one.channel)
                    raise Refused(f"cannot open {one.channel}: {why}") from None
                finally:
                    _close(parts.values())
        except BaseException:
            _close(descriptors)
            raise
        told = {one.channel: wire.described(one, kinds[one.channel]) for one in handed}
        return Opened(told, tuple(numbers), tuple(descriptors))

    # ---------------------------------------------------------------- in private

    def _known(self, name: str) -> str:
        if name not in self._room.names():
            raise UnknownNames(f"cannot find a channel named {name}")
        return name

    def _why_not(self, name: str) -> str:
        return self._room.troubles.get(name, "it is closed: none of its writers is up")

    async def _repeat(
        self, name: str, attempt: Callable[[Door], _Found], wait: float
    ) -> _Found | None:
        """Try until it is done or the time is up; None then."""
        deadline, pause = time.monotonic() + wait, _FIRST_PAUSE
        with self._door(name) as door:
            while not (found := attempt(door)):
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                await asyncio.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)
        return found

    @contextmanager
    def _door(self, name: str) -> Iterator[Door]:
        kind = self._room.kind(self._known(name))
        parts = self._room.duplicates(name)
        if not parts:
            raise Refused(f"cannot use {name}: {self._why_not(name)}")
        try:
            door = door_to(kind, parts)
            try:
                yield door
            finally:
                door.close()
        except Unfit as unfit:
            raise Refused(f"cannot use {name} so: {unfit}") from None


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _marks(pids: Iterable[int]) -> dict[int, tuple[str, str, int]]:
    """The daemon, instance and run that these processes say they belong to (`keeper.marks`)."""
    found: dict[int, tuple[str, str, int]] = {}
    for pid in pids:
        daemon, _, rest = (environment_value(pid, MARK) or "").partition("/")
        instance, _, run = rest.rpartition("/")
        if run.isdecimal():
            found[pid] = daemon, instance, int(run)
    return found


def _row(
    view: View, runs: Mapping[int, str], marks: Mapping[int, tuple[str, str, int]]
) -> dict[str, Any]:
    # A mark of another daemon says nothing of ours: which ours is, the main processes tell.
    daemons = {marks[pid][0] for pid in runs.keys() & marks.keys()}
    holders: list[dict[str, Any]] = []
    for pid, uses in view.holders.items():
        daemon, instance, run = marks.get(pid, ("", "", 0))
        known = daemon in daemons
        holders.append(
            {
                "pid": pid,
                "name": runs.get(pid, instance if known else None),
                "run": run if known else None,
                "main": pid in runs,
                "uses": list(uses),
                "owns": pid in view.owners,
            }
        )
    return {
        "name": view.name,
        "type": view.type,
        "trouble": view.trouble,
        "where": view.where,
        **view.facts,
        "holders": holders,
    }
