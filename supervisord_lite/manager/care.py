"""All that looks after instances beside the core: probes, rules, file watches, lasting wishes.

Each of them is told every value of every instance and acts by it as a level; so a manager that
has just begun goes on where the last one stopped, by telling them all instances once. What they
find out they tell the core as events. None of them is even imported before an instance asks for
it: most never do, and workers are started the sooner for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from supervisord_lite.core.event import Event
from supervisord_lite.core.spec import Configuration, InstanceSpec
from supervisord_lite.core.state import Instance
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.probes.preparation import NOTHING, Preparation

if TYPE_CHECKING:
    from supervisord_lite.manager.files.watching import FileWatch
    from supervisord_lite.manager.lasting import Lasting
    from supervisord_lite.manager.probes.prober import Prober
    from supervisord_lite.manager.resources import Sampler

Hold = Callable[[str, int], None]
_PROBER_HOLDS = ("notify/", "status/", "ready/", "ready-write/", "@probe/")


class Care:
    """Those who look after the instances of one manager. `take` takes their events; `say` is for
    operators; `shutting_down` tells whether the daemon is about to end.
    """

    def __init__(
        self,
        link: KeeperLink,
        given: Inheritance,
        hold_with_packet: Hold,
        plane: DataPlane,
        take: Callable[[Event], None],
        say: Callable[[str], None],
        shutting_down: Callable[[], bool],
    ) -> None:
        self._link, self._given = link, given
        self._hold, self._plane = hold_with_packet, plane
        self._take, self._say, self._shutting_down = take, say, shutting_down
        self._configuration: Configuration | None = None
        self._prober: Prober | None = None
        self._sampler: Sampler | None = None
        self._file_watch: FileWatch | None = None
        self._lasting: Lasting | None = None
        if any(name.startswith(_PROBER_HOLDS) for name in given.held):
            self._need_prober()

    # ------------------------------------------------------------- instances

    def configure(self, configuration: Configuration) -> None:
        """Where things are kept from now on; before any instance is followed."""
        self._configuration = configuration
        if self._prober is not None:
            self._prober.use_directory(configuration.runtime_dir)
        if self._lasting is not None:
            self._lasting.keep_in(configuration.state_dir)

    def wishes(self) -> tuple[tuple[str, bool], ...]:
        """What operators wanted before the boot, where that is asked for."""
        if self._configuration is None or not any(
            spec.remember for spec in self._configuration.instances
        ):
            return ()
        return self._need_lasting().wishes()

    def follow(self, instance: Instance) -> None:
        """An instance is like this now."""
        spec = instance.spec
        if self._prober or spec.ready or spec.health or spec.watchdog:
            self._need_prober().follow(instance)
        if self._sampler or spec.rules:
            self._need_sampler().follow(instance)
        if self._file_watch or spec.watch:
            self._need_file_watch().follow(instance)
        if self._lasting or spec.remember:
            self._need_lasting().follow(instance)

    def forget(self, name: str) -> None:
        """An instance is no more."""
        for one in (self._prober, self._sampler, self._file_watch, self._lasting):
            if one is not None:
                one.forget(name)

    def settle(self) -> None:
        """All instances of the fleet were followed."""
        if self._prober is not None:
            self._prober.settle()

    # ------------------------------------------------------------- runs

    def prepare(self, spec: InstanceSpec, run: int) -> Preparation:
        """What the run that is about to be spawned is given. OSError."""
        if spec.ready is None and spec.watchdog is None:
            return NOTHING
        return self._need_prober().prepare(spec, run)

    def sift(self, fact: Packet) -> Sequence[Packet]:
        """The facts for the core, now that this one has come."""
        if self._prober is None and not fact.get("instance", "").startswith("@probe/"):
            return (fact,)
        return self._need_prober().sift(fact)

    # ------------------------------------------------------------- status (`views.Extras`)

    def status_text(self, name: str) -> str:
        return (self._prober.status_of(name) if self._prober else None) or ""

    def last_answer(self, name: str) -> str:
        return (self._prober.last_answer(name) if self._prober else None) or ""

    def usage(self, name: str) -> Mapping[str, float]:
        return self._sampler.usage(name) if self._sampler else {}

    def breaches(self, name: str) -> Sequence[str]:
        return self._sampler.breaches(name) if self._sampler else ()

    # ------------------------------------------------------------- their beginning and end

    def _need_prober(self) -> "Prober":
        if self._prober is None:
            from supervisord_lite.manager.probes.prober import Prober

            watch = self._plane.watch
            made = Prober(self._link, self._given, self._hold, watch, self._take, self._say)
            if self._configuration is not None:
                made.use_directory(self._configuration.runtime_dir)
            self._prober = made
        return self._prober

    def _need_sampler(self) -> "Sampler":
        if self._sampler is None:
            from supervisord_lite.manager.resources import Sampler

            self._sampler = Sampler(self._take, self._say)
        return self._sampler

    def _need_file_watch(self) -> "FileWatch":
        if self._file_watch is None:
            from supervisord_lite.manager.files.watching import FileWatch

            self._file_watch = FileWatch(self._take, self._say)
        return self._file_watch

    def _need_lasting(self) -> "Lasting":
        if self._lasting is None:
            from supervisord_lite.manager.lasting import Lasting

            self._lasting = Lasting(self._shutting_down, self._say)
            if self._configuration is not None:
                self._lasting.keep_in(self._configuration.state_dir)
        return self._lasting

    async def close(self) -> None:
        """The end: nothing is looked after any more, and what is to last is written."""
        for one in (self._prober, self._sampler, self._file_watch):
            if one is not None:
                one.close()
        if self._lasting is not None:
            await self._lasting.settled()
