"""Random configuration files, and what a person may do to one between two reloads.

A file is a list of workers. Each has a seed that its fields follow from, so leaving one out, or
changing one, leaves all others as they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from supervisord_lite.core.channel import Channel
from supervisord_lite.core.spec import (
    Configuration,
    Control,
    Dependency,
    InstanceSpec,
    Scale,
    Strategy,
)
from supervisord_lite.core.values import replace

from . import fields
from .dice import Dice

STOP_DEADLINE = 40.0


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of the file: the spec that its instances have in common, and how many it has."""

    spec: InstanceSpec
    count: int

    @property
    def name(self) -> str:
        return self.spec.worker

    def instances(self, count: int) -> tuple[InstanceSpec, ...]:
        return tuple(self.instance(number) for number in range(count))

    def instance(self, number: int) -> InstanceSpec:
        return replace(self.spec, name=f"{self.name}:{number}", number=number)


class File:
    """The configuration file as it is now; `configuration` compiles it."""

    def __init__(self, seed: str, size: int, left_out: Iterable[str] = ()) -> None:
        self._seed = seed
        self._left_out = frozenset(left_out)
        self.order = [f"w{number}" for number in range((size + 3) // 4)]
        self._size = size
        self._workers = {name: self._worker(name, Dice(seed, name)) for name in self.order}
        self._channels = dict(fields.CHANNELS)
        # The instances that the file declares, or some time may declare.
        self.names = tuple(
            f"{name}:{number}" for name in self.workers() for number in range(self._count(name) + 1)
        )

    def workers(self) -> list[str]:
        return [name for name in self.order if name not in self._left_out]

    def _count(self, name: str) -> int:
        return min(4, self._size - 4 * self.order.index(name))

    # ------------------------------------------------------------- compiling

    def configuration(
        self, kept: Iterable[Scale] = (), asked: tuple[str, int] | None = None
    ) -> Configuration:
        """The file, compiled; a scale is kept while the file says what it said then."""
        counts = {name: worker.count for name, worker in self._present().items()}
        scales = {
            scale.worker: scale for scale in kept if counts.get(scale.worker) == scale.declared
        }
        if asked is not None and asked[0] in counts:
            name, count = asked
            scales[name] = Scale(name, counts[name], count)
        scales = {name: one for name, one in scales.items() if one.count != one.declared}
        counts |= {name: scale.count for name, scale in scales.items()}
        present = self._present().values()
        return Configuration(
            "shop",
            Control("/run/shop.sock"),
            runtime_dir="/run/shop",
            stop_deadline=STOP_DEADLINE,
            instances=tuple(
                spec for worker in present for spec in worker.instances(counts[worker.name])
            ),
            spares=tuple(
                worker.instance(counts[worker.name])
                for worker in present
                if worker.spec.update.strategy is Strategy.START_FIRST
            ),
            scales=tuple(scales.values()),
            channels=tuple(Channel(name, kind) for name, kind in self._channels.items()),
        )

    def _present(self) -> dict[str, Worker]:
        """The workers, without dependencies on those, and channels, that are not there."""
        here = {
            name: worker for name, worker in self._workers.items() if name not in self._left_out
        }
        whole = len(self._channels) == len(fields.CHANNELS)
        return {
            name: replace(
                one,
                spec=_among(one.spec if whole else fields.among(one.spec, self._channels), here),
            )
            for name, one in here.items()
        }

    # ------------------------------------------------------------- editing

    def edit(self, dice: Dice) -> None:
        """Change, remove and add a few workers; sometimes nothing at all."""
        for name in dice.sample(self.order, dice.choice((0, 1, 1, 2))):
            what, fresh = dice.random(), Dice(dice.random(), name)
            worker = self._workers.get(name)
            if worker is None:
                self._workers[name] = self._worker(name, fresh)
            elif what < 0.12:
                del self._workers[name]
            elif what < 0.2:
                self._workers[name] = self._worker(name, fresh)
            elif what < 0.35:
                count = 1 + dice.below(self._count(name))
                self._workers[name] = replace(worker, count=count)
            elif what < 0.7:
                changed = fields.running(worker.spec, fields.program(fresh))
                self._workers[name] = replace(worker, spec=changed)
            else:
                spec = self._adjusted(worker.spec, fresh)
                self._workers[name] = replace(worker, spec=spec)
        self._workers = {name: self._workers[name] for name in self.order if name in self._workers}

    def edit_channels(self, dice: Dice) -> None:
        """Change, remove or bring back one of the channels."""
        name = dice.choice(tuple(fields.CHANNELS))
        if name not in self._channels:
            self._channels[name] = fields.CHANNELS[name]
        elif dice.happens(0.3):
            del self._channels[name]
        else:
            self._channels[name] = fields.changed(self._channels[name], dice)

    def _worker(self, name: str, dice: Dice) -> Worker:
        spec = fields.spec(name, self._before(name), dice)
        return Worker(spec, 1 + dice.below(self._count(name)))

    def _before(self, name: str) -> list[str]:
        """The workers that this one may depend on: no file has a circle."""
        return self.order[: self.order.index(name)]

    def _adjusted(self, spec: InstanceSpec, dice: Dice) -> InstanceSpec:
        """Another spec with the same program."""
        fresh = fields.spec(spec.worker, self._before(spec.worker), dice)
        return fields.running(fresh, spec.program)


def _among(spec: InstanceSpec, here: dict[str, Worker]) -> InstanceSpec:
    def known(dependency: Dependency) -> bool:
        return dependency.worker in here

    if all(map(known, spec.dependencies)):
        return spec
    return replace(spec, dependencies=tuple(filter(known, spec.dependencies)))
