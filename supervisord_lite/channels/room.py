"""All channels of a configuration: made, held by the keeper, found again, changed, let go of.

The keeper has every descriptor under `channel/NAME/PART`, so whatever is in a channel survives its
workers and the manager; a fresh manager is given all of them and goes on. We keep a duplicate of
each, to show what is in it, and to pass it on should we have to take the keeper's place.

A channel that cannot be made is a trouble, said once and tried again each second; its workers
cannot start meanwhile. Nothing here knows what a worker is doing.
"""

import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from supervisord_lite.channels import (
    anonymous,
    definition,
    fifos,
    memory,
    pairs,
    queues,
    sockets,
    wire,
)
from supervisord_lite.channels.parts import Parts
from supervisord_lite.core.channel import (
    Binding,
    Channel,
    Fifo,
    Kind,
    Lock,
    Pipe,
    Queue,
    Semaphore,
    Socket,
    SocketPair,
    Value,
)
from supervisord_lite.core.handing import hand_over, replaces
from supervisord_lite.linux.descriptors import close_all
from supervisord_lite.linux.lock_file import AlreadyRunning

Hold = Callable[[str, int], None]
Drop = Callable[[str], None]
Later = Callable[[float, Callable[[], None]], object]  # as loop.call_later

# A type is a module: it makes the parts, mends, changes and looks at them.
CRAFTS: Mapping[type, ModuleType] = {
    Pipe: anonymous,
    Fifo: fifos,
    Socket: sockets,
    SocketPair: pairs,
    Queue: queues,
    Lock: memory,
    Semaphore: memory,
    Value: memory,
}
RETRY = 1.0  # seconds
_PREFIX = "channel/"


def held_name(channel: str, part: str) -> str:
    """The name under which the keeper holds a part of a channel."""
    return f"{_PREFIX}{channel}/{part}"


@dataclass(frozen=True, slots=True)
class Handover:
    """What a run is given of its channels, in the words of the spawn order: variables, and what
    the keeper holds by the number that it has in the worker.
    """

    environment: tuple[tuple[str, str], ...] = ()
    extra: dict[str, str] = field(default_factory=dict)


class Channels:
    """The channels that there are. `say` hears of a channel's trouble, and None once it is over."""

    def __init__(
        self,
        held: Mapping[str, int],
        hold: Hold,
        drop: Drop,
        later: Later,
        say: Callable[[str, str | None], None],
    ) -> None:
        """`held` is what an earlier manager left; the descriptors of channels become ours."""
        self._hold, self._drop, self._later, self._say = hold, drop, later, say
        self._wanted: dict[str, Kind] = {}
        self._made: dict[str, Kind] = {}
        self._parts: dict[str, Parts] = {}
        self._closed: set[str] = set()  # pipes that nobody is to write to now
        self._retrying = False
        self.troubles: dict[str, str] = {}
        for name, descriptor in held.items():
            if name.startswith(_PREFIX):
                channel, _, part = name.removeprefix(_PREFIX).rpartition("/")
                self._parts.setdefault(channel, {})[part] = descriptor

    # ---------------------------------------------------------------- the configuration

    def declare(self, specs: Iterable[Channel]) -> None:
        """Have these channels: make what is new, change what is different, let the rest go."""
        self._wanted = {spec.name: spec.kind for spec in specs}
        for name in [name for name in self._parts if name not in self._wanted]:
            self._let_go(name)
        for name in [name for name in self.troubles if name not in self._wanted]:
            self._well(name)
        for name in self._wanted:
            self._settle(name)
        self._retry_later()

    def _settle(self, name: str) -> None:
        """Have the channel be what is wanted, or a trouble."""
        try:
            self._become(name, self._wanted[name])
        except (OSError, AlreadyRunning) as error:
            self._trouble(name, error)
        else:
            self._well(name)

    def _become(self, name: str, kind: Kind) -> None:
        had = self._found(name, kind)
        if had == kind:
            return
        if had is not None and replaces(had, kind):
            self._let_go(name)
            had = None
        craft = CRAFTS[type(kind)]
        if had is None:
            self._parts[name] = craft.make(kind, name)
            self._closed.discard(name)
            for part, descriptor in self._parts[name].items():
                self._hold(held_name(name, part), descriptor)
        else:
            craft.adjust(kind, self._parts[name])
        self._define(name, kind)

    def _found(self, name: str, kind: Kind) -> Kind | None:
        """What the channel is now; None if it is not, or not all of it, which is let go of then."""
        if name in self._made:
            return self._made[name]
        if name not in self._parts:
            return None
        parts = self._parts[name]
        noted = definition.read(parts[definition.DEFINITION]) if _has_note(parts) else None
        had = kind if noted is None else noted  # found by a keeper that had its own place only
        there = set(parts)
        if not CRAFTS[type(had)].mend(parts):
            self._let_go(name)
            return None
        for part in parts.keys() - there:
            self._hold(held_name(name, part), parts[part])
        if noted is None:
            _let_block(parts)
            self._define(name, kind)
        self._made[name] = had
        if isinstance(had, Pipe) and anonymous.WRITE not in parts:
            self._closed.add(name)
        return had

    def _define(self, name: str, kind: Kind) -> None:
        """Note what it was made as: last, so that what has a note is whole."""
        parts = self._parts[name]
        if _has_note(parts):
            os.close(parts.pop(definition.DEFINITION))
        note = parts[definition.DEFINITION] = definition.write(name, kind)
        self._hold(held_name(name, definition.DEFINITION), note)
        self._made[name] = kind

    def _let_go(self, name: str) -> None:
        self._made.pop(name, None)
        self._closed.discard(name)
        for part, descriptor in self._parts.pop(name, {}).items():
            self._drop(held_name(name, part))
            os.close(descriptor)

    # ---------------------------------------------------------------- trouble

    def _trouble(self, name: str, error: OSError | AlreadyRunning) -> None:
        text = _words(error)
        if self.troubles.get(name) != text:
            self.troubles[name] = text
            self._say(name, text)

    def _well(self, name: str) -> None:
        if self.troubles.pop(name, None) is not None:
            self._say(name, None)

    def _retry_later(self) -> None:
        if self.troubles and not self._retrying:
            self._retrying = True
            self._later(RETRY, self._retry)

    def _retry(self) -> None:
        self._retrying = False
        for name in tuple(self.troubles):
            self._settle(name)
        self._retry_later()

    # ---------------------------------------------------------------- workers

    def open_writers(self, channel: str) -> None:
        """A writer is coming: a pipe must have a write end for it. OSError."""
        if channel in self._closed:
            parts = self._parts[channel]
            end = parts[anonymous.WRITE] = anonymous.write_end(parts)
            self._hold(held_name(channel, anonymous.WRITE), end)
            self._closed.discard(channel)

    def close_writers(self, channel: str) -> None:
        """No writer is left or wanted: the readers of a pipe see the end once they have read what
        is there. Whatever else a channel is has no end.
        """
        if isinstance(self._made.get(channel), Pipe) and channel not in self._closed:
            self._closed.add(channel)
            self._drop(held_name(channel, anonymous.WRITE))
            os.close(self._parts[channel].pop(anonymous.WRITE))

    def handover(self, bindings: Iterable[Binding], taken: Collection[int] = ()) -> Handover:
        """What a worker with these channels is given. Raises OSError if one of them is not there,
        after one more try to make it.
        """
        bindings = tuple(bindings)
        if not bindings:
            return Handover()
        for binding in bindings:
            self._be_there(binding.channel)
        extra: dict[str, str] = {}
        try:
            handed = hand_over(bindings, self._wanted, taken)
        except ValueError as error:  # numbers that were good when the configuration was read
            raise OSError(errno.EBADF, str(error)) from None
        for one in handed:
            self._be_there(one.channel)
            for part, number in one.numbers:
                if part == anonymous.WRITE:
                    self.open_writers(one.channel)
                extra[str(number)] = f"held:{held_name(one.channel, part)}"
        environment = wire.environment(handed, self._wanted)
        return Handover(tuple(environment.items()), extra)

    def _be_there(self, name: str) -> None:
        if name in self.troubles:
            self._settle(name)
        if name not in self._made:  # one that is there is good, if not yet as it should be
            raise OSError(errno.ENXIO, f"channel {name}: {self.troubles.get(name, 'not declared')}")

    # ---------------------------------------------------------------- others

    def names(self) -> Collection[str]:
        """All that are declared, in their order."""
        return self._wanted.keys()

    def kind(self, name: str) -> Kind:
        """As it is declared. KeyError."""
        return self._wanted[name]

    def duplicates(self, name: str) -> Parts:
        """The parts of a channel, for the caller to close; nothing if there are none. OSError."""
        parts: Parts = {}
        try:
            for part, descriptor in self._parts.get(name, {}).items():
                if part != definition.DEFINITION:
                    parts[part] = os.dup(descriptor)
        except OSError:
            close_all(parts.values())
            raise
        return parts

    def to_pass_on(self) -> dict[str, int]:
        """Every descriptor by the name under which it is held: for whom we make room."""
        return {
            held_name(name, part): descriptor
            for name, parts in self._parts.items()
            for part, descriptor in parts.items()
        }

    def close(self) -> None:
        """Let go of our duplicates; what is held stays held."""
        close_all(self.to_pass_on().values())
        self._parts.clear()
        self._made.clear()


def _has_note(parts: Parts) -> bool:
    return definition.DEFINITION in parts


def _let_block(parts: Parts) -> None:
    """Whoever found these in a worker has opened them so that nothing of it could hang."""
    for part, descriptor in parts.items():
        os.set_blocking(descriptor, part != queues.BELL)


def _words(error: OSError | AlreadyRunning) -> str:
    """`cannot …: why`, without a number."""
    if isinstance(error, AlreadyRunning):
        return str(error)
    why = error.strerror or str(error)
    return (
        f"cannot make it: {error.filename}: {why}" if error.filename else f"cannot make it: {why}"
    )
