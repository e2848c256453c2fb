"""Which generation of a channel there is, and which a worker is bound to.

A channel whose definition changes is changed in place where it can be; else there is another one by
that name from then on. Who has the old one must be restarted for that, although nothing that its
file says of it has changed. So the channel and every binding carry a number that grows with each
replacement. What a file compiles to knows nothing of that: it is filled in here, from what was
applied before.
"""

from collections.abc import Collection, Iterable, Mapping

from supervisord_lite.core.channel import Channel
from supervisord_lite.core.handing import replaces
from supervisord_lite.core.spec import Configuration, InstanceSpec, Stream
from supervisord_lite.core.values import replace


def succeeding(
    old: Configuration | None, new: Configuration, lost: Collection[str] = ()
) -> Configuration:
    """`new` as it is when it comes after `old`; the `lost` channels are to be made anew."""
    if old is None or not new.channels:
        return new
    before = {channel.name: channel for channel in old.channels}
    channels = tuple(_after(before.get(one.name, one), one, lost) for one in new.channels)
    if not any(one.generation for one in channels):
        return new
    numbered = replace(new, channels=channels)
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


def _after(old: Channel, new: Channel, lost: Collection[str]) -> Channel:
    another = new.name in lost or replaces(old.kind, new.kind)
    return replace(new, generation=old.generation + another)


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
