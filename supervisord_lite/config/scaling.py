"""How many instances each worker has: what the file says, or what an operator asked for.

A number that was asked for holds while the file says what it said then. The file is the last to be
changed by somebody who thought about it: when its number changes, it is the one that counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.model import Worker
from supervisord_lite.config.place import Place
from supervisord_lite.config.values import MAX_INSTANCES
from supervisord_lite.core.spec import Scale


@dataclass(frozen=True, slots=True)
class Scaling:
    """`asked` are the numbers that hold in any case, by worker; `kept` are those of before."""

    asked: tuple[tuple[str, int], ...] = ()
    kept: tuple[Scale, ...] = ()


def read_options(arguments: Sequence[str]) -> tuple[list[str], Scaling]:
    """The files and the scaling that `FILE... [--scale NAME=COUNT] [--keep NAME=DECLARED:COUNT]`
    names. Raises ValueError.
    """
    files: list[str] = []
    asked: dict[str, int] = {}
    kept: list[Scale] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--scale":
            name, numbers = _option(next(rest, ""), 1)
            asked[name] = numbers[0]
        elif argument == "--keep":
            name, numbers = _option(next(rest, ""), 2)
            kept.append(Scale(name, declared=numbers[0], count=numbers[1]))
        else:
            files.append(argument)
    return files, Scaling(tuple(asked.items()), tuple(kept))


def _option(text: str, length: int) -> tuple[str, list[int]]:
    name, _, numbers = text.partition("=")
    found = numbers.split(":")
    if not name or len(found) != length or not all(n.isascii() and n.isdigit() for n in found):
        raise ValueError(f"cannot read {quoted(text)} as a scale (try web=8)")
    return name, [int(number) for number in found]


def counts_of(
    workers: Mapping[str, Worker], scaling: Scaling, place: Place
) -> tuple[dict[str, int], tuple[Scale, ...]]:
    """How many instances each worker has, and the scales that hold. `place` is that of all
    workers.
    """
    declared = {
        name: 1 if worker.instances is None else worker.instances
        for name, worker in workers.items()
    }
    wanted = {
        scale.worker: scale.count
        for scale in scaling.kept
        if declared.get(scale.worker) == scale.declared
    }
    for name, count in scaling.asked:
        if name not in workers:
            text = f"cannot scale {quoted(name)}: there is no such worker"
            place.refuse(text + suggestion(name, workers))
        elif count > MAX_INSTANCES:
            text = f"cannot scale to {count}: there can be {MAX_INSTANCES} instances at most"
            place.within(name, "instances").refuse(text)
        else:
            wanted[name] = count
    scales = tuple(
        Scale(name, number, wanted[name])
        for name, number in declared.items()
        if wanted.get(name, number) != number
    )
    return {**declared, **{scale.worker: scale.count for scale in scales}}, scales
