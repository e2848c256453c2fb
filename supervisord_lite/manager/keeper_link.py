"""The manager's side of the link: what the keeper has for us at the start, then orders and facts.

An order is durable the moment the kernel has it; `drained` tells when that is true of all.
"""

import asyncio
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from supervisord_lite.keeper.protocol import BrokenLink, Link, Packet

Order = dict[str, Any]


@dataclass(slots=True)
class Inheritance:
    """What a keeper gives to each new manager: its greeting, the records by name, the held
    descriptors by name (ours to close), and the facts of all unburied runs.
    """

    greeting: Packet = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    facts: list[Packet] = field(default_factory=list)


class KeeperLink:
    """The link, first in a blocking manner (`inherit`), then inside an event loop (`attach`)."""

    def __init__(self, end: socket.socket) -> None:
        self._link = Link(end)
        self._seen = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._broken = False
        self._drained = asyncio.Event()
        self._on_fact: Callable[[Packet], None] = lambda _: None
        self._on_broken: Callable[[], None] = lambda: None

    def inherit(self) -> Inheritance:
        """Wait for all that the keeper has. Raises `BrokenLink` if it dies meanwhile."""
        given = Inheritance()
        poller = select.poll()
        poller.register(self._link.fileno(), select.POLLIN)
        while True:
            poller.poll()
            for packet, descriptors in self._link.receive(most=1):
                self._seen = packet.get("n", self._seen)
                match packet.get("tell"):
                    case "welcome":
                        given.greeting = packet
                    case "records":
                        given.records = packet["records"]
                    case "held":
                        given.held.update(zip(packet["names"], descriptors, strict=True))
                    case "restored":
                        self._link.send({"ack": self._seen})
                        return given
                    case _:
                        given.facts.append(packet)

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        on_fact: Callable[[Packet], None],
        on_broken: Callable[[], None],
    ) -> None:
        """Facts come in the loop's thread from now on; `on_broken`: the keeper is gone."""
        self._loop, self._on_fact, self._on_broken = loop, on_fact, on_broken
        loop.add_reader(self._link.fileno(), self._receive)
        if self._broken:
            self._lose()
        else:
            self._sent(whole=not self._link.pending)

    def order(self, orders: Sequence[Order], descriptors: Sequence[int] = ()) -> None:
        """Send orders that belong together: the keeper gets all of them or none."""
        try:
            self._sent(self._link.send({"orders": list(orders)}, descriptors))
        except BrokenLink:
            self._lose()

    def is_alone(self) -> bool:
        """Whether the keeper is gone, noticed or not yet. For any thread."""
        poller = select.poll()
        poller.register(self._link.fileno(), 0)  # a hang-up is told in any case
        return bool(poller.poll(0))

    async def drained(self) -> None:
        """Return once every order so far is durable."""
        if self._link.pending:
            await self._drained.wait()

    def _receive(self) -> None:
        before = self._seen
        try:
            for packet, _ in self._link.receive():
                self._seen = packet.get("n", self._seen)
                self._on_fact(packet)
            if self._seen != before:
                self._sent(self._link.send({"ack": self._seen}))
        except BrokenLink:
            self._lose()

    def _sent(self, whole: bool) -> None:
        if whole or self._loop is None:
            return
        self._drained.clear()
        self._loop.add_writer(self._link.fileno(), self._flush)

    def _flush(self) -> None:
        assert self._loop is not None
        try:
            if self._link.flush():
                self._loop.remove_writer(self._link.fileno())
                self._drained.set()
        except BrokenLink:
            self._lose()

    def _lose(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._link.fileno())
            self._loop.remove_writer(self._link.fileno())
            self._loop.call_soon(self._on_broken)
            self._loop = None
            self._drained.set()
        self._broken = True
