"""A room of channels without a keeper: what it would hold is kept here, by name."""

import os
from collections.abc import Callable, Iterator

import pytest

from supervisord_lite.channels.room import Channels
from supervisord_lite.core.channel import Channel, Kind


class Place:
    """What outlives a room: the descriptors that it wants held, and what it says."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.said: list[tuple[str, str | None]] = []
        self.due: list[Callable[[], None]] = []
        self.room = self._fresh()

    def _fresh(self) -> Channels:
        given = {name: os.dup(descriptor) for name, descriptor in self.held.items()}
        return Channels(given, self.hold, self.drop, self._later, self._say)

    def hold(self, name: str, descriptor: int) -> None:
        self.drop(name)
        self.held[name] = os.dup(descriptor)

    def drop(self, name: str) -> None:
        if name in self.held:
            os.close(self.held.pop(name))

    def _later(self, _seconds: float, call: Callable[[], None]) -> None:
        self.due.append(call)

    def _say(self, name: str, text: str | None) -> None:
        self.said.append((name, text))

    def declare(self, **kinds: Kind) -> Channels:
        """Declare these in the room."""
        self.room.declare(Channel(name, kind) for name, kind in kinds.items())
        return self.room

    def retry(self) -> None:
        """The second has passed."""
        due, self.due = self.due, []
        for call in due:
            call()

    def replace_manager(self) -> Channels:
        """Another room, which finds what the last one has left."""
        self.room.close()
        self.room = self._fresh()
        return self.room

    def inode(self, name: str) -> int:
        return os.fstat(self.held[f"channel/{name}"]).st_ino

    def close(self) -> None:
        self.room.close()
        for descriptor in self.held.values():
            os.close(descriptor)


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()
