"""Which worker has which channel, what it does with it and at which numbers: the `channels` of
workers, and what the file as a whole makes of them.

A channel that lacks somebody at its other end is no mistake: programs outside may open it. That is
worth a warning, though.
"""

from collections.abc import Iterable, Iterator, Mapping

from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.interpolation import mentioned
from supervisord_lite.config.model import Worker
from supervisord_lite.config.place import Place
from supervisord_lite.config.sharing import How
from supervisord_lite.core.channel import (
    Binding,
    Channel,
    Fifo,
    Kind,
    Pipe,
    Queue,
    Socket,
    SocketPair,
    Use,
    Value,
)
from supervisord_lite.core.handing import Handed, address_of, hand_over, type_name, variable_of

# What can be done with a channel of a type; the first is meant where the file does not say.
_USES: Mapping[type, tuple[How, ...]] = {
    Pipe: (How.READ, How.WRITE),
    Fifo: (How.BOTH, How.READ, How.WRITE),
    Queue: (How.BOTH, How.PUT, How.GET),
    SocketPair: (How.A, How.B),
    Socket: (How.LISTEN,),
}
# What there should be somebody for, by whoever does it.
_ENDS: Mapping[type, tuple[tuple[str, frozenset[Use]], ...]] = {
    Pipe: (("reads from", frozenset({Use.READ})), ("writes to", frozenset({Use.WRITE}))),
    Queue: (
        ("gets from", frozenset({Use.GET, Use.BOTH})),
        ("puts into", frozenset({Use.PUT, Use.BOTH})),
    ),
    SocketPair: (("has end a of", frozenset({Use.A})), ("has end b of", frozenset({Use.B}))),
}


class Sharing:
    """Who shares what; `place` is that of the document."""

    def __init__(
        self, channels: Iterable[Channel], workers: Mapping[str, Worker], place: Place
    ) -> None:
        self.kinds: dict[str, Kind] = {one.name: one.kind for one in channels}
        self._place = place.within("channels")
        self._ends = dict(self._free_ends(workers))
        self._uses: dict[str, set[Use]] = {name: set() for name in self.kinds}
        for kind in self.kinds.values():
            if isinstance(kind, Value) and kind.lock is not None:
                self._note(kind.lock, Use.SHARE)
        self._addresses = dict(_addresses(self.kinds))

    def bindings(self, worker: Worker, place: Place) -> tuple[Binding, ...]:
        """The channels of the worker at `place`, in the order of the file."""
        found = []
        for name, section in (worker.channels or {}).items():
            within = place.within("channels", name)
            if name not in self.kinds:
                self.refuse_unknown(name, within)
                continue
            use = self._use(name, section.use, within)
            if use is not None:
                self._note(name, use)
                found.append(Binding(name, use, section.fd))
        return tuple(found)

    def texts(
        self, worker: Worker, bindings: tuple[Binding, ...], place: Place
    ) -> dict[str, int | str]:
        """What `{channel.…}` stands for in the worker at `place`."""
        ready = worker.ready.fd if worker.ready else None
        try:
            handed = hand_over(bindings, self.kinds, () if ready is None else (ready,))
        except ValueError as error:
            place.within("channels").refuse(str(error))
            handed = ()
        _refuse_same_variables(handed, place.within("channels"))
        asked: dict[str, int | str] = {one.channel: one.number for one in handed if one.asked}
        return {**self._addresses, **asked}

    def note_mentioned(self, texts: Iterable[str]) -> None:
        """What is mentioned by its path or its address is used as well."""
        for name in (name for text in texts for name in mentioned(text)):
            self._note(name.rpartition(".")[0] if name in self._addresses else name, Use.SHARE)

    def stream(self, name: str, use: Use, place: Place) -> None:
        """One of a worker's standard streams at `place` leads to the channel, or from it."""
        if name not in self.kinds:
            self.refuse_unknown(name, place)
            return
        kind = self.kinds[name]
        self._note(name, use)
        if not isinstance(kind, Pipe | Fifo):
            place.refuse(f"cannot {use} a {type_name(kind)} so (it takes a pipe or a fifo)")

    def refuse_unknown(self, name: str, place: Place) -> None:
        """Refuse a channel that nobody has declared; one that is there but wrong was refused."""
        if not self._place.is_given(name):
            hint = suggestion(name, self.kinds)
            place.refuse(f"cannot find a channel named {quoted(name)}{hint}")

    def warn(self) -> None:
        """Say of which channels a part is never used; after all workers have been looked at."""
        for name, uses in self._uses.items():
            place = self._place.within(name)
            if not uses:
                place.warn("no worker uses this channel")
                continue
            for what, wanted in _ENDS.get(type(self.kinds[name]), ()):
                if not uses & wanted:
                    place.warn(f"no worker {what} this channel")

    def _note(self, name: str, use: Use) -> None:
        if name in self._uses:  # else it is wrong, and that has been said
            self._uses[name].add(use)

    def _use(self, name: str, how: How | None, place: Place) -> Use | None:
        kind = self.kinds[name]
        known = _USES.get(type(kind), ())
        if how is not None and how not in known:
            place.refuse(_misuse(how, type_name(kind), known))
            return None
        if isinstance(kind, Pipe) and how is None:
            text = f"cannot tell which end is meant ({{{name}: read}} or {{{name}: write}})"
            place.refuse(text)
            return None
        if isinstance(kind, SocketPair) and how is None:
            return self._end(name, place)
        meant = how or next(iter(known), How.LISTEN)
        return Use.SHARE if meant is How.LISTEN else Use(meant.value)

    def _end(self, name: str, place: Place) -> Use | None:
        end = self._ends.get((str(place.path[1]), name))
        if end is None:
            place.refuse("cannot have an end of its own: both are taken (say a or b to share one)")
        return end

    def _free_ends(self, workers: Mapping[str, Worker]) -> Iterator[tuple[tuple[str, str], Use]]:
        """The end of a socketpair for each worker that does not say which: one that nobody asks
        for, the first of them to the first worker in the file.
        """
        bound = [
            (channel, worker, section.use)
            for worker, item in workers.items()
            for channel, section in (item.channels or {}).items()
            if isinstance(self.kinds.get(channel), SocketPair)
        ]
        for channel in dict.fromkeys(channel for channel, _, _ in bound):
            asked = {how for name, _, how in bound if name == channel}
            free = [Use(how.value) for how in (How.A, How.B) if how not in asked]
            open_to = [worker for name, worker, how in bound if name == channel and how is None]
            yield from (
                ((worker, channel), end) for worker, end in zip(open_to, free, strict=False)
            )


def _misuse(how: How, type_: str, known: tuple[How, ...]) -> str:
    if not known:
        return f'cannot use a {type_} for "{how}": it is the same for all (leave it out)'
    return f'cannot use a {type_} for "{how}" (try {" or ".join(known)})'


def _addresses(kinds: Mapping[str, Kind]) -> Iterator[tuple[str, str]]:
    for name, kind in kinds.items():
        if isinstance(kind, Fifo | Socket) and kind.path:
            yield f"{name}.path", kind.path
        if isinstance(kind, Socket):
            yield f"{name}.address", address_of(kind)


def _refuse_same_variables(handed: Iterable[Handed], place: Place) -> None:
    names: dict[str, str] = {}
    for one in handed:
        variable = variable_of(one.channel)
        other = names.setdefault(variable, one.channel)
        if other != one.channel:
            text = f"cannot have {one.channel} beside {other}: both would be called {variable}"
            place.refuse(text)
