"""What comes from outside: people, files, clocks, deaths of managers and keepers, and calm.

Each stimulus does what its dice say. In a calm nothing of it happens, all processes behave, and in
the end everything must be as it should (`rest`).
"""

from collections.abc import Callable, Collection
from itertools import chain, islice
from typing import TYPE_CHECKING

from supervisord_lite.core.command import hook_of
from supervisord_lite.core.event import (
    ClockSet,
    Configured,
    Hastened,
    ReloadRequested,
    RestartRequested,
    RolloutRequested,
    RolloutUndone,
    RunCondemned,
    RunRequested,
    ShutdownRequested,
    SignalRequested,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.generations import succeeding
from supervisord_lite.core.spec import Configuration, InstanceSpec
from supervisord_lite.core.state import Exit, Stopping
from supervisord_lite.core.values import replace

from . import clock
from .channels import used
from .dice import Dice
from .inspector import Inspector
from .keeper import Keeper
from .prober import extension
from .processes import Run, Stage
from .questions import ask_why
from .rest import at_rest, have_the_newest
from .stimuli import Stimulus

if TYPE_CHECKING:
    from .world import World

_Request = StartRequested | StopRequested | RestartRequested | RunRequested
_REQUESTS: tuple[Callable[[tuple[str, ...]], _Request], ...] = (
    StartRequested,
    StartRequested,
    StopRequested,
    RestartRequested,
    RunRequested,
)

CALM = 300.0  # seconds: longer than every delay, rung, probe and chain of dependencies together


class Outside:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._acts: dict[str, Callable[[Dice], None]] = {
            "ask": self._ask,
            "find": self._find,
            "reload": self._reload,
            "scale": self._scale,
            "roll out": self._roll_out,
            "set the clock": self._set_clock,
            "channel": self._channel,
            "edit channels": self._edit_channels,
            "doom": self._doom,
            "say again": self._say_again,
            "keeper dies": self._keeper_dies,
            "calm down": self._calm_down,
            "shut down": self._shut_down,
        }

    def act(self, stimulus: Stimulus) -> None:
        if not self._world.keeper.calm and not self._world.over:
            self._acts[stimulus.kind](Dice(stimulus.seed, stimulus.kind))

    # ------------------------------------------------------------- operators

    def _ask(self, dice: Dice) -> None:
        world = self._world
        many = dice.happens(0.15)
        names = world.file.names
        some = tuple(dice.sample(names, 4)) if many else (dice.choice(names),)
        luck = dice.random()
        if luck < 0.1:
            world.tell(SignalRequested(some, dice.choice((1, 9, 10, 15))))
        elif luck < 0.15:
            world.tell(ReloadRequested(some))
        else:
            world.tell(dice.choice(_REQUESTS)(some))

    def _find(self, dice: Dice) -> None:
        """Something is found out about a run: a broken rule, changed files, a wish for time."""
        world = self._world
        run = _any_run(world.keeper, dice)
        if run is None:
            return
        if dice.happens(0.7):
            why, failure = dice.choice((("too old", False), ("too much memory", True)))
            world.tell(RunCondemned(run.instance, run.number, why, failure))
            return
        instance = world.fleet.instances.get(run.instance)
        more = instance and extension(instance, world.keeper.now + dice.uniform(0.0, 5.0))
        if more:
            world.tell(more)

    def _roll_out(self, dice: Dice) -> None:
        kind = RolloutUndone if dice.happens(0.3) else RolloutRequested
        workers = self._world.file.workers()
        self._world.tell(kind(tuple(dice.sample(workers, 1 if dice.happens(0.8) else 2))))

    # ------------------------------------------------------------- the file

    def configure(self, lost: Collection[str] = ()) -> None:
        """What the file says now is applied. The `lost` channels are made anew."""
        world = self._world
        known = world.fleet.configuration
        compiled = world.file.configuration(known.scales if known else ())
        configuration = succeeding(known, compiled, lost)
        if lost or world.keeper.calm:
            world.fleet.plan(configuration)  # whoever asks gets an answer
        wishes: tuple[tuple[str, bool], ...] = ()
        if known is None:
            dice = Dice(world.setting.seed, "wishes")
            names = dice.sample(world.file.names, 2)
            wishes = tuple((name, dice.happens(0.5)) for name in names)
        world.tell(Configured(configuration, wishes=wishes))
        world.keeper.schedule(0.0, self._look_at_channels)

    def _look_at_channels(self) -> None:
        have_the_newest(self._world.fleet, self._world.keeper)

    def _reload(self, dice: Dice) -> None:
        self._world.file.edit(dice)
        self.configure()

    def _scale(self, dice: Dice) -> None:
        """One worker gets more or fewer instances, if its file is what was applied."""
        world = self._world
        known = world.fleet.configuration
        if known is None:
            return
        worker = dice.choice(world.file.workers())
        counted = world.file.configuration(known.scales, (worker, 1 + dice.below(5)))
        compiled = succeeding(known, counted)
        scaled = _with_scale(known, compiled, worker)
        if scaled is not None:
            world.tell(Configured(scaled, lift_hold=False))

    # ------------------------------------------------------------- channels

    def _edit_channels(self, dice: Dice) -> None:
        world = self._world
        world.file.edit_channels(dice)
        names = world.keeper.room.names()
        self.configure([dice.choice(names)] if names and dice.happens(0.3) else ())

    def _channel(self, dice: Dice) -> None:
        """One falls into trouble, or is well again."""
        world, room = self._world, self._world.keeper.room
        if not (names := room.names()):
            return
        name = dice.choice(names)
        if name in room.missing:
            room.heal(name)
        else:
            room.harm(name, dice)
        fleet = world.fleet
        wait = [one for one, known in fleet.instances.items() if name in used(known.spec)]
        ask_why(fleet, wait[:20], world.keeper.now)

    # ------------------------------------------------------------- clocks

    def _set_clock(self, dice: Dice) -> None:
        world = self._world
        world.offset = clock.reset(world.offset, world.keeper.now, dice)
        world.tell(ClockSet(world.offset))

    # ------------------------------------------------------------- deaths

    def _doom(self, _: Dice) -> None:
        self._world.doomed = True

    def _say_again(self, dice: Dice) -> None:
        """A fact that is told again is no news."""
        keeper = self._world.keeper
        if keeper.runs:
            keeper.facts.extend(keeper.levels(dice.choice(list(keeper.runs.values()))))

    def _keeper_dies(self, dice: Dice) -> None:
        """Both are dead. What lives is found and adopted, from the journal or without it."""
        world, keeper = self._world, self._world.keeper
        if keeper.shutdown is not None:
            return
        world.orders.clear()
        world.doomed = False
        keeper.writable.clear()
        for run in keeper.runs.values():
            run.swept = False
        if dice.happens(0.6):
            keeper.read_journal()
            world.inspector = Inspector()
            world.inspector.offset = world.offset
            world.succeed()
            return
        keeper.lose_memory()
        world.reborn()
        keeper.schedule(dice.uniform(0, 0.001), self.configure)

    # ------------------------------------------------------------- the end

    def _shut_down(self, dice: Dice) -> None:
        """Ask until it is begun: a request dies with the manager that it was made to."""
        world, keeper = self._world, self._world.keeper
        if world.over:
            return
        if keeper.shutdown is None:
            world.tell(ShutdownRequested())
            keeper.schedule(0.5, self._shut_down, dice)
        elif dice.happens(0.5):
            world.tell(Hastened(min(2, keeper.shutdown.level + 1)))
            keeper.schedule(dice.uniform(0, 3), self._shut_down, dice)

    # ------------------------------------------------------------- calm

    def _calm_down(self, dice: Dice) -> None:
        """Faults stop. In the end whatever no rung could end is ended by hand."""
        world, keeper = self._world, self._world.keeper
        if keeper.shutdown is not None:
            return
        keeper.calm, world.doomed = True, False
        world.calm_until = keeper.now + CALM
        self.configure()
        for part in (0.3, 0.6, 0.9):
            keeper.schedule(CALM * part, self._help)
        keeper.schedule(CALM, self._look_around, dice)

    def _help(self) -> None:
        world = self._world
        for name, run in list(world.keeper.runs.items()):
            hook = hook_of(name)
            instance = world.fleet.instances.get(hook[1] if hook else name)
            stuck = instance is not None and isinstance(instance.state, Stopping)
            if hook is not None or stuck:
                world.keeper.end_by_hand(run)

    def _look_around(self, dice: Dice) -> None:
        world, keeper = self._world, self._world.keeper
        if keeper.shutdown is not None:
            return  # a critical worker has ended, in all calm
        at_rest(world)
        keeper.calm = False
        for run in keeper.runs.values():
            if run.stage is Stage.ALIVE:
                keeper.schedule(dice.uniform(0, 60), keeper.exit_by_itself, run, Exit(1))


def _any_run(keeper: Keeper, dice: Dice) -> Run | None:
    """Some run of an instance: the first one after some place in the row of all runs."""
    runs = keeper.runs.values()
    here = dice.below(len(runs) + 1)
    row = chain(islice(runs, here, None), islice(runs, here))
    return next((run for run in row if hook_of(run.instance) is None), None)


def _with_scale(known: Configuration, compiled: Configuration, worker: str) -> Configuration | None:
    """The applied configuration with this worker scaled; None if its file has changed since."""
    before = {spec.name: spec for spec in known.instances if spec.worker == worker}
    after = [spec for spec in compiled.instances if spec.worker == worker]
    if not before or not after or any(before.get(one.name, one) != one for one in after):
        return None
    if not any(spec.name in before for spec in after):
        return None
    instances: list[InstanceSpec] = []
    for spec in known.instances:
        if spec.worker != worker:
            instances.append(spec)
        elif spec.number == 0:
            instances += after
    spares = [spec for spec in known.spares if spec.worker != worker]
    spares += [spec for spec in compiled.spares if spec.worker == worker]
    return replace(known, instances=tuple(instances), spares=tuple(spares), scales=compiled.scales)
