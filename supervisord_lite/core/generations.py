"""Which generation of a channel a worker is bound to.

A channel whose definition changes is changed in place where it can be; else there is another one by
that name from then on. Who has the old one must be restarted for that, although nothing that its
file says of it has changed. So every binding carries a number that grows with each replacement.
What a file compiles to knows nothing of that: it is filled in here, from what was applied before.
"""

from collections.abc import Iterable, Iterator

from supervisord_lite.core.handing import replaces
from supervisord_lite.core.spec import Configuration, InstanceSpec, Stream
from supervisord_lite.core.values import replace


def succeeding(old: Configuration | None, new: Configuration) -> Configuration:
    """`new` as it is when it comes after `old`."""
    if old is None or not new.channels:
        return new
    numbers = _generations(old)
    before = {channel.name: channel.kind for channel in old.channels}
    for channel in new.channels:
        if channel.name in before and replaces(before[channel.name], channel.kind):
            numbers[channel.name] = numbers.get(channel.name, 0) + 1
    numbers = {name: number for name, number in numbers.items() if number}
    if not numbers:
        return new
    return replace(
        new,
        instances=tuple(_numbered(spec, numbers) for spec in new.instances),
        spares=tuple(_numbered(spec, numbers) for spec in new.spares),
    )


def _generations(configuration: Configuration) -> dict[str, int]:
    """The newest generation of each channel that somebody is bound to."""
    found: dict[str, int] = {}
    for name, number in _bound((*configuration.instances, *configuration.spares)):
        found[name] = max(number, found.get(name, 0))
    return found


def _bound(specs: Iterable[InstanceSpec]) -> Iterator[tuple[str, int]]:
    for spec in specs:
        program = spec.program
        for binding in program.channels:
            yield binding.channel, binding.generation
        for stream in (program.stdin, program.stdout, program.stderr):
            if stream.channel is not None:
                yield stream.channel, stream.generation


def _numbered(spec: InstanceSpec, numbers: dict[str, int]) -> InstanceSpec:
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


def _leading(stream: Stream, numbers: dict[str, int]) -> Stream:
    if stream.channel not in numbers:
        return stream
    return replace(stream, generation=numbers[stream.channel])
