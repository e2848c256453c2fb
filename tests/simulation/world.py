"""The world: one clock, a manager around the fleet, a keeper, and everything that befalls them.

Orders and facts travel in two queues, so that they cross. A manager may die between any two
packets; those that were sent are obeyed before the next manager is made from what the keeper
remembers, through the same plain data that the real one writes. Whatever is random comes from one
seeded source, so a world is a function of its seed and size.
"""

import json
from collections import deque
from random import Random

from supervisord_lite.core.command import Command, packets
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Event,
    Hastened,
    RestartRequested,
    ShutdownRequested,
    SignalRequested,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import LAST_GRACE, Fleet
from supervisord_lite.core.plain import from_plain, to_plain
from supervisord_lite.core.state import Exit, Instance, Stopping

from .files import File
from .inspector import Inspector, at_rest
from .keeper import Keeper, require
from .processes import Stage

CALM = 120.0  # seconds: longer than every delay, rung and spawn deadline together


class World:
    """`turn` lets one thing happen; `events` counts what the fleet has been told."""

    def __init__(self, seed: int, size: int, fleet: type[Fleet] = Fleet) -> None:
        self.chance = Random(seed)
        self.size = size
        self.events = 0
        self.recent: deque[tuple[float, Event, list[Command]]] = deque(maxlen=200)
        self._make = fleet
        self._begin(1000.0)

    def _begin(self, now: float) -> None:
        """A machine that has just booted."""
        self.file = File(self.size, self.chance)
        self.keeper = Keeper(self.chance)
        self.keeper.now = now
        self.fleet = self._make()
        self.inspector = Inspector()
        self.orders: deque[list[Command]] = deque()
        self.doomed = False
        self.ending: float | None = None  # when the shutdown must be through
        later = self.keeper.schedule
        later(0.0, self._configure)
        later(self.chance.uniform(0, 20), self._operate)
        later(self.chance.uniform(0, 60), self._reload)
        later(self.chance.uniform(0, 100), self._doom)
        later(self.chance.uniform(0, 1500), self._keeper_dies)
        later(self.chance.uniform(0, 900), self._shut_down)
        later(self.chance.uniform(100, 500), self._calm_down)

    # ------------------------------------------------------------- one turn

    def turn(self) -> None:
        keeper, luck = self.keeper, self.chance.random()
        if keeper.facts and luck < 0.6:
            self.tell(keeper.facts.popleft())
        elif self.orders and luck < 0.9:
            keeper.obey(self.orders.popleft())
        elif not keeper.facts and not self.orders:
            self._let_time_pass()
        if keeper.finished is not None:
            self._ended()

    def _let_time_pass(self) -> None:
        keeper, deadline = self.keeper, self.fleet.deadline()
        if deadline is not None and deadline <= keeper.next_time():
            keeper.now = max(keeper.now, deadline)
            self.tell(AlarmRang())
        else:
            keeper.happen()

    def tell(self, event: Event) -> None:
        """One step of the manager."""
        self.events += 1
        self.inspector.asked(event)
        now = self.keeper.now
        commands = self.fleet.step(event, now)
        self.recent.append((now, event, commands))
        touched = self.inspector.step(self.fleet, event, commands, now)
        if self._send(commands):
            self.inspector.answered(self.fleet, event)
        else:
            self.inspector.forget(touched)

    def _send(self, commands: list[Command]) -> bool:
        """All packets, or those that left before the manager died; then there is a new one."""
        if not commands:
            return True
        grouped = packets(commands)
        if not self.doomed:
            self.orders.extend(grouped)
            return True
        self.doomed = False
        sent = self.chance.randint(0, len(grouped))
        self.orders.extend(grouped[:sent])
        self._succeed()
        return sent == len(grouped)

    # ------------------------------------------------------------- managers and keepers

    def _succeed(self) -> None:
        """The keeper reads the dead manager's socket to its end and makes a new manager."""
        keeper = self.keeper
        while self.orders:
            keeper.obey(self.orders.popleft())
        if keeper.finished is not None:
            return
        self.fleet = self._make.restore(
            keeper.configuration,
            [_through_json(value) for value in keeper.remembered.values()],
            held=not keeper.calm and self.chance.random() < 0.2,
            shutdown=keeper.shutdown,
        )
        self._tell_all_again()
        self.doomed = not keeper.calm and self.chance.random() < 0.3
        self._send(self.fleet.recover(keeper.now))
        keeper.schedule(self.chance.uniform(0, 10), self._configure)

    def _doom(self) -> None:
        self.doomed = not self.keeper.calm
        self.keeper.schedule(self.chance.uniform(0, 100), self._doom)

    def _keeper_dies(self) -> None:
        """Both are dead. What lives is found and adopted, from the journal or without it."""
        keeper = self.keeper
        keeper.schedule(self.chance.uniform(0, 3000), self._keeper_dies)
        if keeper.calm or self.ending is not None:
            return
        self.orders.clear()
        keeper.writable.clear()
        for run in keeper.runs.values():
            run.swept = False
        self.inspector = Inspector()
        if self.chance.random() < 0.5:
            keeper.read_journal()
            self._succeed()
            return
        keeper.lose_memory()
        self.fleet = self._make()
        self._tell_all_again()
        keeper.schedule(self.chance.uniform(0, 0.001), self._configure)

    def _tell_all_again(self) -> None:
        self.keeper.facts.clear()
        for run in self.keeper.runs.values():
            self.keeper.facts.extend(self.keeper.levels(run))

    # ------------------------------------------------------------- people

    def _operate(self) -> None:
        keeper, chance = self.keeper, self.chance
        keeper.schedule(chance.uniform(0, 20.0 / self.size), self._operate)
        if keeper.calm:
            return
        several = 1 if chance.random() < 0.9 else min(self.size, 4)
        names = tuple(chance.sample(self.file.names, several))
        kind = chance.choice((StartRequested, StopRequested, RestartRequested, None))
        self.tell(kind(names) if kind else SignalRequested(names, chance.choice((1, 9, 10, 15))))
        if keeper.runs and chance.random() < 0.05:  # a fact that is told again is no news
            keeper.facts.extend(keeper.levels(chance.choice(list(keeper.runs.values()))))

    def _configure(self) -> None:
        self.tell(Configured(self.file.configuration()))

    def _reload(self) -> None:
        self.keeper.schedule(self.chance.uniform(0, 60), self._reload)
        if not self.keeper.calm:
            self.file.edit()
            self._configure()

    def _shut_down(self) -> None:
        """Ask until it is begun: a request dies with the manager that it was made to."""
        keeper = self.keeper
        if keeper.calm:
            keeper.schedule(CALM, self._shut_down)
        elif keeper.shutdown is None:
            self.ending = (
                keeper.now + 40.0 + LAST_GRACE + 1.0 if self.ending is None else self.ending
            )
            self.tell(ShutdownRequested())
            keeper.schedule(0.5, self._shut_down)
        elif self.chance.random() < 0.5:
            self.tell(Hastened(min(2, keeper.shutdown.level + 1)))
            keeper.schedule(self.chance.uniform(0, 3), self._shut_down)

    def _ended(self) -> None:
        keeper = self.keeper
        require(self.ending is not None, "finished, and nobody asked for it")
        assert self.ending is not None
        require(keeper.now <= self.ending, "the shutdown took too long", keeper.now - self.ending)
        self._begin(keeper.now + 100.0)

    # ------------------------------------------------------------- calm

    def _calm_down(self) -> None:
        """Faults stop. In the end whatever no rung could end is ended by hand."""
        keeper = self.keeper
        if self.ending is not None:
            return
        keeper.calm, self.doomed = True, False
        self._configure()
        keeper.schedule(CALM - 10.0, self._help)
        keeper.schedule(CALM, self._look_around)

    def _help(self) -> None:
        for name, run in self.keeper.runs.items():
            if isinstance(self.fleet.instances[name].state, Stopping):
                self.keeper.end_by_hand(run)

    def _look_around(self) -> None:
        keeper = self.keeper
        at_rest(self.fleet, keeper)
        keeper.calm = False
        for run in keeper.runs.values():
            if run.stage is Stage.ALIVE:
                life = self.chance.uniform(0, 60)
                keeper.schedule(life, keeper.exit_by_itself, run, Exit(1))
        keeper.schedule(self.chance.uniform(100, 500), self._calm_down)


def _through_json(value: Instance) -> Instance:
    plain = json.loads(json.dumps(to_plain(value, compact=True)))
    return from_plain(Instance, plain)
