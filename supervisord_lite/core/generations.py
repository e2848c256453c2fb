"""Which generation of a channel there is, and which a worker is bound to.

A channel whose definition changes is changed in place where it can be; else there is another one by
that name from then on. Who has the old one must be restarted for that, although nothing that its
file says of it has changed. So the channel and every binding carry a number that grows with each
replacement. What a file compiles to knows nothing of that: it is filled in here, from what was
applied before.
"""

from collections.abc import Collection, Iterable, Mapping

from supervisord_lite.core.channel import Binding, Channel, Fifo, Kind, Pipe
from supervisord_lite.core.handing import parts, replaces
from supervisord_lite.core.spec import Configuration, InstanceSpec, Stream
from supervisord_lite.core.values import replace


def succeeding(
    old: Configuration | None, new: Configuration, lost: Collection[str] = ()
) -> Configuration:
    """`new` as it is when it comes after `old`; the `lost` channels are to be made anew."""
    if old is None:
        return new
    before = {channel.name: channel for channel in old.channels}
    last = {**dict(old.removed), **{name: one.generation for name, one in before.items()}}
    channels = tuple(_after(before.get(one.name), one, last, lost) for one in new.channels)
    there = {one.name for one in channels}
    removed = tuple((name, number) for name, number in last.items() if name not in there)
    if not removed and not any(one.generation for one in channels):
        return new
    numbered = replace(new, channels=channels, removed=removed)
    return replace(
        numbered,
        instances=as_now(new.instances, numbered),
        spares=as_now(new.spares, numbered),
    )


def as_now(
    specs: Iterable[InstanceSpec], configuration: Configuration | None
) -> tuple[InstanceSpec, ...]:
    """These specs, bound to the channels that there are now: no older one can be had any more."""
    channels = configuration.channels if configuration else ()
    numbers = {one.name: one.generation for one in channels}
    return tuple(_numbered(spec, numbers) for spec in specs)


def lacking(specs: Iterable[InstanceSpec], configuration: Configuration | None) -> str | None:
    """A channel that one of these is to be given and that there is no more, or only as something
    that cannot be used so.
    """
    kinds = {one.name: one.kind for one in configuration.channels} if configuration else {}
    found = (lacked_by(spec, kinds) for spec in specs)
    return next((channel for channel in found if channel is not None), None)


def lacked_by(spec: InstanceSpec, kinds: Mapping[str, Kind]) -> str | None:
    """The same of one, where these channels are declared."""
    program, copied = spec.program, (spec.stdout_log, spec.stderr_log)
    for one in (program.stdin, program.stdout, program.stderr, *copied):
        name = one.channel if one is not None else None
        if name is not None and not isinstance(kinds.get(name), Pipe | Fifo):
            return name
    for binding in program.channels:
        if binding.channel not in kinds or not _suits(binding, kinds[binding.channel]):
            return binding.channel
    return None


def _suits(binding: Binding, kind: Kind) -> bool:
    try:
        return bool(parts(kind, binding.use))
    except ValueError:
        return False


def _after(
    old: Channel | None, new: Channel, last: Mapping[str, int], lost: Collection[str]
) -> Channel:
    """What comes back under a name is another one, too: somebody may still have what had it."""
    if new.name not in last:
        return new
    another = old is None or new.name in lost or replaces(old.kind, new.kind)
    return replace(new, generation=last[new.name] + another)


def _numbered(spec: InstanceSpec, numbers: Mapping[str, int]) -> InstanceSpec:
    program = spec.program
    bound = replace(
        program,
        channels=tuple(
            replace(one, generation=numbers[one.channel]) if one.channel in numbers else one
            for one in program.channels
        ),
        stdin=_leading(program.stdin, numbers),
        stdout=_leading(program.stdout, numbers),
        stderr=_leading(program.stderr, numbers),
    )
    return spec if bound == program else replace(spec, program=bound)


def _leading(stream: Stream, numbers: Mapping[str, int]) -> Stream:
    if stream.channel is None or stream.channel not in numbers:
        return stream
    return replace(stream, generation=numbers[stream.channel])
