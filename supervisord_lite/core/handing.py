"""Which descriptors of its channels a worker is given, and at which numbers.

A channel is one descriptor or several, its parts; each part is handed over at a number of its
own. Sockets come first, from 3 on and without a gap, as sd_listen_fds(3) wants them; then the
others, in the order of the bindings, at the lowest numbers that nobody has asked for. The parts of
one channel follow each other. A value guarded by a lock brings that lock along.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from supervisord_lite.core.channel import (
    Binding,
    Fifo,
    Kind,
    Lock,
    Pipe,
    Queue,
    Semaphore,
    Socket,
    SocketPair,
    Transport,
    Use,
    Value,
)

FIRST = 3  # after stdin, stdout and stderr; SD_LISTEN_FDS_START
QUEUE_PARTS = ("in", "out", "page", "bell")
VARIABLE = "CHANNEL_"
_TYPES: Mapping[type, str] = {
    Pipe: "pipe",
    Fifo: "fifo",
    Socket: "socket",
    SocketPair: "socketpair",
    Queue: "queue",
    Lock: "lock",
    Semaphore: "semaphore",
}


@dataclass(frozen=True, slots=True)
class Handed:
    """A channel as a worker has it: the number of each part. `asked` is whether the worker named
    it, or it came along with what it guards.
    """

    channel: str
    use: Use
    numbers: tuple[tuple[str, int], ...]
    asked: bool = True

    @property
    def number(self) -> int:
        """The one that `{channel.NAME}` stands for: of a queue, the end that is used."""
        numbers = dict(self.numbers)
        return numbers["out"] if "out" in numbers and self.use is Use.GET else self.numbers[0][1]


def parts(kind: Kind, use: Use) -> tuple[str, ...]:
    """The names of the descriptors that make up a channel for whoever uses it so. ValueError."""
    match kind, use:
        case (Pipe(), Use.READ | Use.WRITE) | (Fifo(), Use.READ | Use.WRITE | Use.BOTH):
            return (use.value,)
        case Fifo(), Use.SHARE:
            return (Use.BOTH.value,)
        case SocketPair(), Use.A | Use.B:
            return (use.value,)
        case Queue(), Use.PUT | Use.GET | Use.BOTH | Use.SHARE:
            return QUEUE_PARTS
        case Socket(), Use.SHARE:
            return ("socket",)
        case ((Lock() | Semaphore() | Value()), Use.SHARE):
            return ("memory",)
    raise ValueError(f"cannot {use.value} a {type(kind).__name__.lower()}")


def hand_over(
    bindings: Iterable[Binding], kinds: Mapping[str, Kind], taken: Collection[int] = ()
) -> tuple[Handed, ...]:
    """Number the descriptors of these bindings; those in `taken` are for something else.

    Raises ValueError where the numbers that were asked for do not go together.
    """
    known = [one for one in bindings if one.channel in kinds]
    guards = tuple(Binding(name) for name in _guards(known, kinds))
    wanted = [*known, *guards]
    fixed = {one.channel: _run(one, one.fd, kinds) for one in wanted if one.fd is not None}
    used = _without_clash(fixed.values(), taken)
    free = [one for one in wanted if one.fd is None]
    sockets = [one for one in free if isinstance(kinds[one.channel], Socket)]
    placed = dict(fixed)
    for number, one in enumerate(sockets, FIRST):
        if number in used:
            raise ValueError(f"cannot give descriptor {number} to anything but {one.channel}")
        placed[one.channel] = _run(one, number, kinds)
    used |= set(range(FIRST, FIRST + len(sockets)))
    for one in free:
        if one.channel not in placed:
            placed[one.channel] = _run(one, _gap(used, len(_parts(one, kinds))), kinds)
            used |= {number for _, number in placed[one.channel]}
    return tuple(
        Handed(one.channel, one.use, placed[one.channel], asked=one not in guards) for one in wanted
    )


def _guards(bindings: Sequence[Binding], kinds: Mapping[str, Kind]) -> Iterator[str]:
    """The locks that values need and that the worker does not have anyway, each once."""
    there = {one.channel for one in bindings}
    for one in bindings:
        kind = kinds[one.channel]
        lock = kind.lock if isinstance(kind, Value) else None
        if lock is not None and lock in kinds and lock not in there:
            there.add(lock)
            yield lock


def _parts(binding: Binding, kinds: Mapping[str, Kind]) -> tuple[str, ...]:
    return parts(kinds[binding.channel], binding.use)


def _run(binding: Binding, first: int, kinds: Mapping[str, Kind]) -> tuple[tuple[str, int], ...]:
    return tuple((part, first + n) for n, part in enumerate(_parts(binding, kinds)))


def _without_clash(runs: Iterable[tuple[tuple[str, int], ...]], taken: Collection[int]) -> set[int]:
    used = set(taken)
    for _, number in (place for run in runs for place in run):
        if number in used or number < FIRST:
            raise ValueError(f"cannot use descriptor {number}: it is taken")
        used.add(number)
    return used


def _gap(used: Collection[int], length: int) -> int:
    """The first number from which on so many are free."""
    number = FIRST
    while any(number + n in used for n in range(length)):
        number += 1
    return number


def replaces(old: Kind, new: Kind) -> bool:
    """Whether a channel that was `old` must be made anew to be `new`. Else nothing has changed, or
    only what can be changed while it is used: sizes, a greater capacity, access, the backlog,
    whether others may have the port, too.
    """
    match old, new:
        case Queue(capacity=int(had)), Queue(capacity=int(has)):
            return has < had
        case Queue(), Queue():
            return old.capacity != new.capacity
        case Pipe(), Pipe():
            return False
        case Fifo(), Fifo():
            return old.path != new.path
        case Socket(), Socket():
            changed = replace(old, backlog=new.backlog, access=new.access)
            return replace(changed, reuse_port=new.reuse_port) != new
        case _:
            return old != new


def type_name(kind: Kind) -> str:
    """The type, in the words of the configuration."""
    if isinstance(kind, Value):
        return "value" if kind.length is None else "array"
    return _TYPES[type(kind)]


def address_of(kind: Socket) -> str:
    """As the configuration writes it: "tcp://127.0.0.1:80", "unix:/run/x.sock"."""
    if kind.transport in (Transport.TCP, Transport.UDP):
        host = f"[{kind.host}]" if ":" in kind.host else kind.host
        return f"{kind.transport}://{host}:{kind.port}"
    return f"{kind.transport}:{kind.path}"


def variable_of(channel: str) -> str:
    """The name of the variable with its descriptors: CHANNEL_JOBS for "jobs"."""
    kept = (one if one.isascii() and one.isalnum() else "_" for one in channel.upper())
    return VARIABLE + "".join(kept)
