"""The world: one clock, a manager around the fleet, a keeper, and everything that befalls them.

Orders and facts travel in two queues, so that they cross. A manager may die between any two
packets; those that were sent are obeyed before the next manager is made from what the keeper
remembers, through the same plain data that the real one writes. What comes from outside is a script
of stimuli. A world is a function of its seed, its size, its script and of what is left out.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from supervisord_lite.core.command import Command, Forget, packets
from supervisord_lite.core.event import AlarmRang, ChannelFound, ClockSet, Event, Recovered
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.moment import Clock
from supervisord_lite.core.state import Shutdown, has_left

from . import clock
from .dice import Dice
from .files import File
from .inspector import Inspector
from .invariant import require
from .keeper import Keeper
from .outside import Outside
from .prober import Prober
from .step import Step
from .stimuli import Stimulus, script

RECENT = 20  # steps, as many as are shown when something does not hold
FACT_FIRST = 2 / 3  # where a fact and orders are both on their way


@dataclass(frozen=True, slots=True)
class Setting:
    """What a world is a function of. Without stimuli they follow from the seed."""

    seed: str
    size: int
    stimuli: tuple[Stimulus, ...] | None = None
    left_out: tuple[str, ...] = ()


class World:
    """One machine, from its boot until its daemon has ended. `turn` lets one thing happen; `events`
    counts what the fleet has been told.
    """

    def __init__(self, setting: Setting, fleet: type[Fleet] = Fleet) -> None:
        self.setting = setting
        self.events = 0
        self.over = False
        self.quiet = False  # nothing will happen any more
        self.played: list[Stimulus] = []
        self.recent: deque[tuple[float, Event | Recovered, list[Command]]] = deque(maxlen=RECENT)
        self._dice = Dice(setting.seed, "turns")
        self.file = File(setting.seed, setting.size, setting.left_out)
        self.keeper = Keeper(setting.seed)
        self.keeper.room.found = self._find_channel
        self.prober = Prober(self.keeper, self.tell)
        self.inspector = Inspector()
        self.orders: deque[list[Command]] = deque()
        self.offset = clock.BEGAN - self.keeper.now
        self._moment = 0.0
        self.calm_until = 0.0
        self.doomed = False
        self._deadline: float | None = None
        self.ending: float | None = None  # when the shutdown must be through
        self._make = fleet
        self.fleet = self._make(clock=self._clock())
        self.outside = Outside(self)
        self._coming = self._script()
        self._begin()

    def _begin(self) -> None:
        """A machine has booted."""
        self.tell(ClockSet(self.offset))
        self.keeper.schedule(0.0, self.outside.configure)
        self._arm()

    def _script(self) -> Iterator[Stimulus]:
        setting = self.setting
        if setting.stimuli is not None:
            return iter(setting.stimuli)
        return script(setting.seed, setting.size)

    def _arm(self) -> None:
        """Wait for the next stimulus. In a calm there is none."""
        stimulus = next(self._coming, None)
        while stimulus is not None and 1000.0 + stimulus.time < self.calm_until:
            stimulus = next(self._coming, None)
        if stimulus is not None:
            delay = max(0.0, 1000.0 + stimulus.time - self.keeper.now)
            self.keeper.schedule(delay, self._stimulate, stimulus)

    def _stimulate(self, stimulus: Stimulus) -> None:
        self._arm()
        self.stimulate(stimulus)

    def stimulate(self, stimulus: Stimulus) -> None:
        self.quiet = False
        self.played.append(stimulus)
        self.outside.act(stimulus)

    # ------------------------------------------------------------- one turn

    def turn(self) -> None:
        """A fact arrives, or a packet of orders does; time passes once all have."""
        keeper, orders = self.keeper, self.orders
        if keeper.facts and (not orders or self.dice().happens(FACT_FIRST)):
            self.tell(keeper.facts.popleft())
        elif orders:
            keeper.obey(orders.popleft())
        elif not keeper.happenings:
            self.quiet = True
        elif self._deadline is not None and self._deadline <= keeper.happenings[0][0]:
            keeper.now = max(keeper.now, self._deadline)
            self.tell(AlarmRang())
        else:
            keeper.happen()
        if keeper.shutdown is not None:
            self._watch_shutdown(keeper.shutdown)

    def dice(self) -> Dice:
        """Those of this moment: what has come before has no part in how they fall."""
        if self.keeper.now != self._moment:
            self._moment = self.keeper.now
            self._dice.begin_again(self._moment)
        return self._dice

    def _watch_shutdown(self, shutdown: Shutdown) -> None:
        if self.ending is None:
            self.ending = shutdown.deadline + 4.0
        require(self.keeper.now <= self.ending, "the shutdown takes too long")
        self.over = self.keeper.finished is not None

    def tell(self, event: Event) -> None:
        """One step of the manager."""
        self.events += 1
        now = self.keeper.now
        if isinstance(event, ClockSet):
            self.inspector.offset = event.offset
        commands = self.fleet.step(event, now)
        self._deadline = self.fleet.deadline()
        self.recent.append((now, event, commands))
        step = self.inspector.step(self.fleet, event, commands, self._deadline, now)
        if commands:
            self._send(commands, step)
        else:
            self.inspector.answered(step)

    def _find_channel(self, name: str) -> None:
        """What is told is how it is now, and before all answers to what was refused for it."""
        if not self.over:
            self.tell(ChannelFound(name, self.keeper.room.missing.get(name)))

    def _send(self, commands: list[Command], step: Step) -> None:
        """All packets, or those that left before the manager died; then there is a new one."""
        grouped = packets(commands)
        if self.doomed:
            self.doomed = False
            sent = self.dice().below(len(grouped) + 1)
            self.orders.extend(grouped[:sent])
            if sent == len(grouped):
                self.inspector.answered(step)
            self.succeed(step)
            return
        self.orders.extend(grouped)
        self.inspector.answered(step)
        for _, after in step.changes:
            self.prober.follow(after)

    # ------------------------------------------------------------- managers

    def _clock(self) -> Clock:
        return Clock(zone=ZoneInfo)

    def succeed(self, step: Step | None = None) -> None:
        """The keeper reads the dead manager's socket to its end and makes a new manager."""
        keeper = self.keeper
        while self.orders:
            keeper.obey(self.orders.popleft())
        if keeper.finished is not None:
            return
        keeper.leaving.clear()
        keeper.room.look_again()
        self.inspector.manager_died(keeper, step)
        known, ends = keeper.configuration, keeper.shutdown
        self.fleet = self._make.restore(
            keeper.records.read("configuration", known) if known is not None else None,
            [
                keeper.records.read(name, value)
                for name, value in keeper.remembered.items()
                if not has_left(value)
            ],
            held=not keeper.calm and self.dice().happens(0.15),
            shutdown=keeper.records.read("shutdown", ends) if ends is not None else None,
            rollouts=[
                keeper.records.read(f"rollout/{name}", one) for name, one in keeper.rollouts.items()
            ],
            clock=self._clock(),
        )
        self.tell_all_again()
        self.prober = Prober(keeper, self.tell)
        left = [name for name, value in keeper.remembered.items() if has_left(value)]
        keeper.obey(map(Forget, left))
        self.fleet.miss(keeper.room.missing)
        self._recover()

    def _recover(self) -> None:
        keeper, calm = self.keeper, self.keeper.calm
        self.doomed = not calm and self.dice().happens(0.25)
        again = not calm and self.dice().happens(0.5)
        commands = self.fleet.recover(keeper.now)
        self._deadline = self.fleet.deadline()
        self.recent.append((keeper.now, Recovered(), commands))
        told = Recovered()
        step = self.inspector.step(self.fleet, told, commands, self._deadline, keeper.now)
        self.inspector.recovered(self.fleet)
        fleet = self.fleet
        if commands:
            self._send(commands, step)
        if self.fleet is not fleet:
            return  # it has died over it
        for instance in list(fleet.instances.values()):
            self.prober.follow(instance)
        self.tell(ClockSet(self.offset))
        if again:
            keeper.schedule(self.dice().uniform(0.0, 10.0), self.outside.configure)

    def tell_all_again(self) -> None:
        self.keeper.facts.clear()
        for run in self.keeper.runs.values():
            self.keeper.facts.extend(self.keeper.levels(run))

    def reborn(self) -> None:
        """A manager that knows nothing, of a keeper that knows nothing. What lives it is told
        before it can hear of anything else.
        """
        self.inspector = Inspector()
        self.prober = Prober(self.keeper, self.tell)
        self.fleet = self._make(clock=self._clock())
        self.tell(ClockSet(self.offset))
        self.tell_all_again()
        while self.keeper.facts:
            self.tell(self.keeper.facts.popleft())


def worlds(seed: int, size: int, fleet: type[Fleet] = Fleet) -> Iterator[World]:
    """One machine after the other, each with a seed that follows."""
    number = 0
    while True:
        yield World(Setting(f"{seed}.{number}", size), fleet)
        number += 1
