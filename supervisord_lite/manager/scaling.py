"""Scaling: the applied configuration with another number of instances of some workers.

The new instances come from the files, which are compiled again for that, and from the files as
they were applied: a worker whose instances would compile to something else by now is refused, so
that scaling never applies an edit by the way. Nothing but the workers named is touched.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from supervisord_lite.core.generations import succeeding
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import Configuration, InstanceSpec
from supervisord_lite.manager.compiling import LOOK, Compiled, Compiler
from supervisord_lite.manager.outcome import Refused


class _Owned(Protocol):
    """What belongs to a worker."""

    @property
    def worker(self) -> str: ...


_OfWorker = TypeVar("_OfWorker", bound=_Owned)


async def scaled(
    compiler: Compiler,
    applied: Callable[[], Configuration],
    listing: Sequence[dict[str, Any]],
    counts: Mapping[str, int],
) -> Compiled:
    """What is applied when the files have been compiled, scaled. Raises `BadConfiguration` where
    the files do not allow it, and `Refused` where they have changed.
    """
    compiled = await compiler.compile(LOOK, kept=applied().scales, asked=counts)
    configuration = applied()
    refuse_unknown(counts, listing)
    fresh = succeeding(configuration, compiled.configuration)
    for worker in counts:
        configuration = with_instances(configuration, fresh, worker)
    return as_compiled(configuration, listing)


def refuse_unknown(workers: Iterable[str], listing: Sequence[dict[str, Any]]) -> None:
    """Raise `Refused` for a worker that the applied files did not have: one without any instances
    stands in their listing nevertheless.
    """
    known = {row["path"] for row in listing}
    for worker in workers:
        if known.isdisjoint((f"workers.{worker}.command", f"workers.{worker}.python")):
            raise Refused(f"cannot scale {worker}: it has not been applied yet, reload first")


def as_compiled(configuration: Configuration, listing: Sequence[dict[str, Any]]) -> Compiled:
    """A configuration that no compilation has led to, in the form that is remembered."""
    rows = list(listing)
    document = {"configuration": to_plain(configuration, compact=True), "listing": rows}
    return Compiled(configuration, rows, json.dumps(document, separators=(",", ":")))


def with_instances(applied: Configuration, compiled: Configuration, worker: str) -> Configuration:
    """The applied configuration with the worker's instances, spare and scale as compiled."""
    present = {spec.name: spec for spec in applied.instances if spec.worker == worker}
    fresh = [spec for spec in compiled.instances if spec.worker == worker]
    if any(spec.name in present and _differ(spec, present[spec.name]) for spec in fresh):
        raise Refused(
            f"cannot scale {worker}: its file has changed since it was applied, reload first"
        )
    place = next(
        (at for at, spec in enumerate(applied.instances) if spec.worker == worker),
        len(applied.instances),
    )
    others = [spec for spec in applied.instances if spec.worker != worker]
    return replace(
        applied,
        instances=(*others[:place], *fresh, *others[place:]),
        spares=_exchanged(applied.spares, compiled.spares, worker),
        scales=_exchanged(applied.scales, compiled.scales, worker),
    )


def _differ(one: InstanceSpec, other: InstanceSpec) -> bool:
    """Apart from the update policy: a share of the instances is another number for more of them."""
    return one != replace(other, update=one.update)


def _exchanged(
    applied: tuple[_OfWorker, ...], compiled: tuple[_OfWorker, ...], worker: str
) -> tuple[_OfWorker, ...]:
    return (
        *(one for one in applied if one.worker != worker),
        *(one for one in compiled if one.worker == worker),
    )
