"""All that looks after instances beside the core: probes, rules, file watches, lasting wishes.

Each of them is told every value of every instance and acts by it as a level; so a manager that
has just begun goes on where the last one stopped, by telling them all instances once. What they
find out they tell the core as events.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from supervisord_lite.core.spec import Configuration, InstanceSpec
from supervisord_lite.core.state import Instance
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.manager.lasting import Lasting
from supervisord_lite.manager.prober import Preparation, Prober
from supervisord_lite.manager.resources import Sampler
from supervisord_lite.manager.watching import FileWatch


class Follower(Protocol):
    """One who looks after instances."""

    def follow(self, instance: Instance) -> None: ...

    def forget(self, name: str) -> None: ...


class Care:
    """The followers of one manager."""

    def __init__(
        self, prober: Prober, sampler: Sampler, file_watch: FileWatch, lasting: Lasting
    ) -> None:
        self._prober, self._sampler = prober, sampler
        self._file_watch, self._lasting = file_watch, lasting
        self._followers: tuple[Follower, ...] = (prober, sampler, file_watch, lasting)

    def configure(self, configuration: Configuration) -> None:
        """Where things are kept from now on; before any instance is followed."""
        self._prober.use_directory(configuration.runtime_dir)
        self._lasting.keep_in(configuration.state_dir)

    def wishes(self) -> tuple[tuple[str, bool], ...]:
        return self._lasting.wishes()

    def follow(self, instance: Instance) -> None:
        for follower in self._followers:
            follower.follow(instance)

    def forget(self, name: str) -> None:
        for follower in self._followers:
            follower.forget(name)

    def settle(self) -> None:
        """All instances of the fleet were followed."""
        self._prober.settle()

    def prepare(self, spec: InstanceSpec, run: int) -> Preparation:
        return self._prober.prepare(spec, run)

    def sift(self, fact: Packet) -> list[Packet]:
        return self._prober.sift(fact)

    async def close(self) -> None:
        self._prober.close()
        self._sampler.close()
        self._file_watch.close()
        await self._lasting.settled()

    # For those who ask for status (`views.Extras`).

    def status_text(self, name: str) -> str:
        return self._prober.status_of(name) or ""

    def last_answer(self, name: str) -> str:
        return self._prober.last_answer(name) or ""

    def usage(self, name: str) -> Mapping[str, float]:
        return self._sampler.usage(name)

    def breaches(self, name: str) -> Sequence[str]:
        return self._sampler.breaches(name)
