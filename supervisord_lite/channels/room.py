"""All channels of a configuration: made, held by the keeper, found again, changed, let go of.

The keeper has every descriptor under `channel/NAME/PART`, so whatever is in a channel survives its
workers and the manager; a fresh manager is given all of them and goes on. We keep a duplicate of
each, to show what is in it, and to pass it on should we have to take the keeper's place.

A channel that cannot be made is a trouble, said once and tried again each second; its workers
wait for it meanwhile. One whose path leads to it no more is a trouble, too, but works for those who
have it. Nothing here knows what a worker is doing.
"""

import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType

from supervisord_lite.channels import anonymous, definition, wire
from supervisord_lite.channels.parts import BELL, Parts
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

# A type is a module: it makes the parts, mends, changes and looks at them. None is imported before
# there is such a channel.
_CRAFTS = {
    Pipe: "anonymous",
    Fifo: "fifos",
    Socket: "sockets",
    SocketPair: "pairs",
    Queue: "queues",
    Lock: "memory",
    Semaphore: "memory",
    Value: "memory",
}
RETRY = 1.0  # seconds
_PREFIX = "channel/"


def craft_of(kind: Kind) -> ModuleType:
    """The module of its type."""
    return import_module(f"supervisord_lite.channels.{_CRAFTS[type(kind)]}")


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
        self._wanted: dict[str, Channel] = {}
        self._made: dict[str, Channel] = {}
        self._parts: dict[str, Parts] = {}
        self._retrying = False
        self.troubles: dict[str, str] = {}
        for name, descriptor in held.items():
            if name.startswith(_PREFIX):
                channel, _, part = name.removeprefix(_PREFIX).rpartition("/")
                self._parts.setdefault(channel, {})[part] = descriptor

    # ---------------------------------------------------------------- the configuration

    def declare(self, specs: Iterable[Channel]) -> None:
        """Have these channels: make what is new, change what is different, let the rest go."""
        self._wanted = {spec.name: spec for spec in specs}
        self._rename()
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
            self._be_found(name)
        except (OSError, AlreadyRunning) as error:
            self._trouble(name, error)
        else:
            self._well(name)

    def _become(self, name: str, wanted: Channel) -> None:
        had = self._found(name, wanted)
        if had == wanted:
            return
        if had is None or had.generation != wanted.generation or replaces(had.kind, wanted.kind):
            made = self._make(had, wanted)
            self._let_go(name)
            self._parts[name] = made
            for part, descriptor in made.items():
                self._hold(held_name(name, part), descriptor)
        else:
            craft_of(wanted.kind).adjust(wanted.kind, self._parts[name])
        self._define(wanted)

    def _make(self, had: Channel | None, wanted: Channel) -> Parts:
        """Another channel than there was, which stays until there is this one if both can be."""
        name, kind = wanted.name, wanted.kind
        made: Parts
        if had is not None and isinstance(kind, Socket) and _are_neighbours(had.kind, kind):
            made = craft_of(kind).succeed(kind, self._parts[name])
        else:
            self._let_go(name)
            made = craft_of(kind).make(kind, name)
        return made

    def _found(self, name: str, wanted: Channel) -> Channel | None:
        """What the channel is now; None if it is not, or not all of it, which is let go of then."""
        if name in self._made:
            return self._made[name]
        if name not in self._parts:
            return None
        parts = self._parts[name]
        noted = self._noted(name)
        had = wanted if noted is None else noted  # found by a keeper that had its own place only
        there = set(parts)
        if not craft_of(had.kind).mend(parts):
            self._let_go(name)
            return None
        for part in parts.keys() - there:
            self._hold(held_name(name, part), parts[part])
        for part in there - parts.keys():
            self._drop(held_name(name, part))
        if noted is None:
            _let_block(parts)
        if noted is None or there != parts.keys():
            self._define(had)
        self._made[name] = had
        return had

    def _noted(self, name: str) -> Channel | None:
        """What it was made as, by its note."""
        note = self._parts[name].get(definition.DEFINITION)
        return None if note is None else definition.read(name, note)

    def _define(self, wanted: Channel) -> None:
        """Note what it was made as: last, so that what has a note is whole."""
        name = wanted.name
        parts = self._parts[name]
        if definition.DEFINITION in parts:
            os.close(parts.pop(definition.DEFINITION))
        note = parts[definition.DEFINITION] = definition.write(wanted)
        self._hold(held_name(name, definition.DEFINITION), note)
        self._made[name] = wanted

    def _let_go(self, name: str) -> None:
        self._made.pop(name, None)
        for part, descriptor in self._parts.pop(name, {}).items():
            self._drop(held_name(name, part))
            os.close(descriptor)

    # ---------------------------------------------------------------- addresses

    def _rename(self) -> None:
        """What has a place of its own, an address or a path, is the same under another name."""
        gone: dict[object, Channel] = {}
        for name in self._parts.keys() - self._wanted.keys():
            had = self._noted(name)
            if had is not None and (place := _place(had.kind)) is not None:
                gone[place] = had
        for name, wanted in self._wanted.items():
            old = gone.get(_place(wanted.kind)) if name not in self._parts else None
            if old is not None:
                self._move(old, Channel(name, old.kind, wanted.generation))

    def _move(self, old: Channel, new: Channel) -> None:
        parts = self._parts[new.name] = self._parts.pop(old.name)
        self._made.pop(old.name, None)
        for part, descriptor in parts.items():
            self._hold(held_name(new.name, part), descriptor)
        for part in parts:
            self._drop(held_name(old.name, part))
        self._define(new)

    def _be_found(self, name: str) -> None:
        """Raises OSError if its path leads to it no more: those who have it go on with it."""
        if (why := self._lost(name)) is not None:
            raise OSError(errno.ENOENT, f"{why} (a reload makes it anew)")

    def _lost(self, name: str) -> str | None:
        kind = self._made[name].kind
        craft = craft_of(kind)
        if not isinstance(kind, Fifo | Socket):
            return None
        why: str | None = craft.lost(kind, self._parts[name])
        return why

    def lost(self) -> list[str]:
        """Those whose paths lead to them no more, as they are now."""
        return [name for name in self._wanted if name in self._made and self._lost(name)]

    def look_again(self, names: Iterable[str]) -> None:
        """Whether what is made can still be found: somebody wants to know."""
        for name in names:
            if name in self._made:
                self._settle(name)
        self._retry_later()

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
        self.try_again()
        self._retry_later()

    def try_again(self) -> None:
        """What was in the way may have gone."""
        for name in tuple(self.troubles):
            self._settle(name)

    def missing(self) -> dict[str, str]:
        """Those that nobody can be given, and why."""
        return {name: why for name, why in self.troubles.items() if name not in self._made}

    # ---------------------------------------------------------------- workers

    def open_writers(self, channel: str) -> None:
        """A writer is coming: a pipe must have a write end for it. OSError."""
        if channel not in self._made or not isinstance(self._made[channel].kind, Pipe):
            return
        parts = self._parts[channel]
        if anonymous.WRITE not in parts:
            end = parts[anonymous.WRITE] = anonymous.write_end(parts)
            self._hold(held_name(channel, anonymous.WRITE), end)
        self._let_go_of(channel, anonymous.UNWRITTEN)

    def close_writers(self, channel: str) -> None:
        """No writer is left or wanted: the readers of a pipe see the end once they have read what
        is there, if there ever was one. Whatever else a channel is has no end.
        """
        if channel in self._made and isinstance(self._made[channel].kind, Pipe):
            if anonymous.WRITE in self._parts[channel]:  # both: a manager died in `open_writers`
                self._let_go_of(channel, anonymous.UNWRITTEN)
            self._let_go_of(channel, anonymous.WRITE)

    def _let_go_of(self, channel: str, part: str) -> None:
        if part in self._parts[channel]:
            self._drop(held_name(channel, part))
            os.close(self._parts[channel].pop(part))

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
            handed = hand_over(bindings, self._kinds(), taken)
        except ValueError as error:  # numbers that were good when the configuration was read
            raise OSError(errno.EBADF, str(error)) from None
        for one in handed:
            self._be_there(one.channel)
            for part, number in one.numbers:
                if part == anonymous.WRITE:
                    self.open_writers(one.channel)
                extra[str(number)] = f"held:{held_name(one.channel, part)}"
        environment = wire.environment(handed, self._kinds())
        return Handover(tuple(environment.items()), extra)

    def _kinds(self) -> dict[str, Kind]:
        return {name: wanted.kind for name, wanted in self._wanted.items()}

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
        return self._wanted[name].kind

    def duplicates(self, name: str) -> Parts:
        """The parts of a channel, for the caller to close; nothing if there are none. OSError."""
        parts: Parts = {}
        try:
            for part, descriptor in self._parts.get(name, {}).items():
                if part != definition.DEFINITION:
                    known = anonymous.WRITE if part == anonymous.UNWRITTEN else part
                    parts[known] = os.dup(descriptor)
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


def _place(kind: Kind) -> object:
    """Where others find it: a path, or what a socket listens at; None where there is none."""
    match kind:
        case Fifo(path=path):
            return Fifo, path
        case Socket():
            return kind.transport, kind.host, kind.port, kind.path
    return None


def _are_neighbours(had: Kind, wanted: Socket) -> bool:
    """Whether they are at one port, at the same address perhaps or at one that contains it."""
    if not isinstance(had, Socket) or had.path or wanted.path:
        return False
    return (had.transport, had.port) == (wanted.transport, wanted.port)


def _let_block(parts: Parts) -> None:
    """Whoever found these in a worker has opened them so that nothing of it could hang."""
    for part, descriptor in parts.items():
        os.set_blocking(descriptor, part != BELL)


def _words(error: OSError | AlreadyRunning) -> str:
    """`cannot …: why`, without a number."""
    if isinstance(error, AlreadyRunning):
        return str(error)
    why = error.strerror or str(error)
    return (
        f"cannot make it: {error.filename}: {why}" if error.filename else f"cannot make it: {why}"
    )
