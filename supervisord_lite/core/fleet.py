"""All instances together: the only mutable object of the core, and its whole interface.

`step` takes one event and returns the orders that follow; `deadline` says when the next alarm is
due. A fleet decides nothing about one instance (that is `worker.advance`); it hands events to
those whom they concern and keeps what spans several: the applied configuration, the channels'
writers, the shutdown, the earliest deadline. An event costs the same in a fleet of ten and of ten
thousand, except for those that name everybody.

What must survive the manager goes out before what follows from it. A new configuration is
remembered first, then the instances one by one, each with the spec it has; so a fleet that is
restored from any prefix compares the two and finishes what it finds begun (`recover`). With a
shutdown it is the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import assert_never

from supervisord_lite.core.command import (
    Bury,
    CloseWriters,
    Command,
    Finish,
    OpenWriters,
    RememberFleet,
)
from supervisord_lite.core.event import (
    Added,
    AlarmRang,
    Configured,
    Emptied,
    Event,
    Hastened,
    HoldLifted,
    InstanceEvent,
    KeeperFact,
    MainExited,
    Recovered,
    RestartRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    SpawnFailed,
    SpecReplaced,
    StartRequested,
    StopRequested,
    Withdrawn,
)
from supervisord_lite.core.plan import Plan, corrected, difference
from supervisord_lite.core.spec import Configuration, InstanceSpec, Program
from supervisord_lite.core.state import Exited, Instance, Shutdown, Stopped, due, live_run
from supervisord_lite.core.worker import advance

KILLED = 2  # the level of a shutdown at which every tree has been sent SIGKILL
STOP_DEADLINE_WITHOUT_CONFIGURATION = 60.0  # seconds
LAST_GRACE = 2.0  # seconds between the last kill of a shutdown and giving up on its survivors


class Fleet:
    """The instances by name, and what is decided for all of them."""

    def __init__(self, *, held: bool = False) -> None:
        self.configuration: Configuration | None = None
        self.held = held
        self.shutdown: Shutdown | None = None
        self._instances: dict[str, Instance] = {}
        self._alarms: list[tuple[float, str]] = []  # a heap; entries may be out of date
        self._writers: dict[str, int] = {}  # channel → instances that hold its write end
        self._live = 0
        self._finished = False

    @classmethod
    def restore(
        cls,
        configuration: Configuration | None,
        instances: Iterable[Instance],
        *,
        held: bool,
        shutdown: Shutdown | None,
    ) -> "Fleet":
        """The fleet that an earlier manager left, from what the keeper remembers of it. Ask it to
        `recover` first, then tell it the keeper's facts again, and only then configure it: what
        lives must be known before anything is started.
        """
        fleet = cls(held=held)
        fleet.configuration, fleet.shutdown = configuration, shutdown
        for instance in instances:
            fleet._settle(None, replace(instance, held=held or configuration is None))
        return fleet

    @property
    def instances(self) -> Mapping[str, Instance]:
        """By name, in the order of the configuration; those that leave it stand behind."""
        return self._instances

    @property
    def shutting_down(self) -> bool:
        return self.shutdown is not None

    def plan(self, configuration: Configuration) -> Plan:
        """What `Configured` would do now, and why."""
        return corrected(difference(self.configuration, configuration), self._instances)

    def deadline(self) -> float | None:
        """When `AlarmRang` is due at the latest; None while only events can change anything."""
        self._drop_outdated()
        deadlines = [self._alarms[0][0]] if self._alarms else []
        if self.shutdown is not None and not self._finished:
            deadlines.append(self.shutdown.deadline)
        return min(deadlines, default=None)

    def recover(self, now: float) -> list[Command]:
        """What must be said after a restore: orders that may have been lost, and the rest of a
        reload or a shutdown that was cut short.
        """
        out: list[Command] = [OpenWriters(channel) for channel in self._writers]
        for name in list(self._instances):
            self._advance(name, Recovered(), now, out)
        if self.shutdown is not None:
            self._end_all(self.shutdown, now, out)
        elif self.configuration is not None:
            self._reconcile(self.configuration, now, out)
        self._finish_if_empty(out)
        return out

    def step(self, event: Event, now: float) -> list[Command]:
        """Take one event; the orders are for the keeper and the shell, in this order."""
        out: list[Command] = []
        match event:
            case Spawned() | SpawnFailed() | MainExited() | Emptied():
                self._take_fact(event, now, out)
            case StartRequested() | RestartRequested():
                if not self.shutting_down:
                    self._advance_each(event.instances, event, now, out)
            case StopRequested() | SignalRequested():
                self._advance_each(event.instances, event, now, out)
            case Configured():
                if not self.shutting_down:
                    self._configure(event, now, out)
            case ShutdownRequested():
                self._shut_down(now, out)
            case Hastened():
                self._hasten(event.level, now, out)
            case AlarmRang():
                self._ring(now, out)
            case _:
                assert_never(event)
        self._finish_if_empty(out)
        return out

    # ------------------------------------------------------------- one instance

    def _advance_each(
        self, names: Iterable[str], event: InstanceEvent, now: float, out: list[Command]
    ) -> None:
        for name in names:
            if name in self._instances:
                self._advance(name, event, now, out)

    def _advance(self, name: str, event: InstanceEvent, now: float, out: list[Command]) -> None:
        before = self._instances[name]
        after, orders = advance(before, event, now)
        if after is before:
            out += orders
            return
        opened, closed = self._settle(before, after)
        out.append(orders[0])
        out += map(OpenWriters, opened)
        out += orders[1:]
        out += map(CloseWriters, closed)

    def _settle(
        self, before: Instance | None, after: Instance
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take over an instance's new value; tell which channels got their first writer by it,
        and which lost their last.
        """
        name = after.spec.name
        gone = after.retiring and isinstance(after.state, Stopped)
        if gone:
            self._instances.pop(name, None)
        else:
            self._instances[name] = after
        was, run = live_run(before.state) if before else None, live_run(after.state)
        self._live += (run is not None) - (was is not None)
        deadline = due(after.state)
        if deadline is not None and (before is None or after.state is not before.state):
            self._set_alarm(deadline, name)
        return self._count_writers(
            _writes(before) if before else (), () if gone else _writes(after)
        )

    def _count_writers(
        self, before: tuple[str, ...], after: tuple[str, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if before == after:
            return (), ()
        for channel in after:
            self._writers[channel] = self._writers.get(channel, 0) + 1
        for channel in before:
            self._writers[channel] -= 1
        opened = tuple(
            channel for channel in after if channel not in before and self._writers[channel] == 1
        )
        closed = tuple(channel for channel in before if not self._writers[channel])
        for channel in closed:
            del self._writers[channel]
        return opened, closed

    # ------------------------------------------------------------- facts

    def _take_fact(self, fact: KeeperFact, now: float, out: list[Command]) -> None:
        """Hand a fact to its instance. One that nobody has declared is a stranger: a run that the
        keeper found alive, perhaps before a configuration could tell what to do with it.
        """
        name = fact.instance
        stranger = name not in self._instances
        if stranger:
            if _is_over(fact):
                out.append(Bury(name, fact.run))
                return
            self._settle(None, Instance(_unknown_spec(name), held=True))
        self._advance(name, fact, now, out)
        if stranger and self.configuration is not None:
            self._advance(name, Withdrawn(), now, out)
        if self.shutdown is not None:
            instance = self._instances.get(name)
            if instance is not None and (stranger or instance.wanted):  # adopted just now
                self._end(name, self.shutdown, now, out)

    # ------------------------------------------------------------- configuration

    def _configure(self, event: Configured, now: float, out: list[Command]) -> None:
        configuration = event.configuration
        self.held = self.held and not event.lift_hold
        if configuration != self.configuration:
            self.configuration = configuration
            out.append(RememberFleet(configuration))
            self._reconcile(configuration, now, out)
            self._sort(configuration)
        if not self.held:
            self._advance_each(list(self._instances), HoldLifted(), now, out)

    def _reconcile(self, configuration: Configuration, now: float, out: list[Command]) -> None:
        """Make the instances those of the configuration; equal ones are left alone."""
        declared = {spec.name for spec in configuration.instances}
        removed = [name for name in self._instances if name not in declared]
        self._advance_each(removed, Withdrawn(), now, out)
        for spec in configuration.instances:
            instance = self._instances.get(spec.name)
            if instance is None:
                self._settle(None, Instance(spec, held=self.held))
                self._advance(spec.name, Added(), now, out)
            elif instance.retiring or instance.spec != spec:
                self._advance(spec.name, SpecReplaced(spec), now, out)

    def _sort(self, configuration: Configuration) -> None:
        """Put the instances into the order of the configuration, those that leave behind them."""
        declared = {spec.name: None for spec in configuration.instances}
        order = (name for name in {**declared, **self._instances} if name in self._instances)
        self._instances = {name: self._instances[name] for name in order}

    # ------------------------------------------------------------- shutdown

    def _shut_down(self, now: float, out: list[Command]) -> None:
        if self.shutdown is None:
            known = self.configuration
            wait = known.stop_deadline if known else STOP_DEADLINE_WITHOUT_CONFIGURATION
            self.shutdown = Shutdown(now + wait)
            out.append(RememberFleet(self.shutdown))
            self._end_all(self.shutdown, now, out)

    def _hasten(self, level: int, now: float, out: list[Command]) -> None:
        if self.shutdown is None or level <= self.shutdown.level:
            return
        deadline = self.shutdown.deadline if level < KILLED else now + LAST_GRACE
        self.shutdown = Shutdown(deadline, level)
        out.append(RememberFleet(self.shutdown))
        self._end_all(self.shutdown, now, out)

    def _end_all(self, shutdown: Shutdown, now: float, out: list[Command]) -> None:
        for name in list(self._instances):
            self._end(name, shutdown, now, out)

    def _end(self, name: str, shutdown: Shutdown, now: float, out: list[Command]) -> None:
        self._advance(name, ShutdownRequested(), now, out)
        if shutdown.level:
            self._advance_each((name,), Hastened(shutdown.level), now, out)

    def _finish_if_empty(self, out: list[Command]) -> None:
        if self.shutdown is not None and not self._finished and not self._live:
            self._finished = True
            out.append(Finish(()))

    # ------------------------------------------------------------- time

    def _ring(self, now: float, out: list[Command]) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heappop(self._alarms)
            if self._is_current(alarm):
                self._advance(alarm[1], AlarmRang(), now, out)
        if self.shutdown is None or self._finished or now < self.shutdown.deadline:
            return
        if self.shutdown.level < KILLED:
            self._hasten(KILLED, now, out)
            return
        self._finished = True
        alive = (name for name, one in self._instances.items() if live_run(one.state) is not None)
        out.append(Finish(tuple(alive)))

    def _set_alarm(self, deadline: float, name: str) -> None:
        """Entries that are out of date are dropped when they surface, or all at once when they
        have become the majority.
        """
        heappush(self._alarms, (deadline, name))
        if len(self._alarms) > 2 * len(self._instances) + 64:
            self._alarms = [alarm for alarm in set(self._alarms) if self._is_current(alarm)]
            heapify(self._alarms)

    def _drop_outdated(self) -> None:
        while self._alarms and not self._is_current(self._alarms[0]):
            heappop(self._alarms)

    def _is_current(self, alarm: tuple[float, str]) -> bool:
        instance = self._instances.get(alarm[1])
        return instance is not None and due(instance.state) == alarm[0]


def _writes(instance: Instance) -> tuple[str, ...]:
    """The channels whose write end the instance holds: those it writes to, unless it rests."""
    program = instance.spec.program
    first, second = program.stdout.channel, program.stderr.channel
    if (first is None and second is None) or isinstance(instance.state, Stopped | Exited):
        return ()
    if first == second or second is None:
        return () if first is None else (first,)
    return (second,) if first is None else (first, second)


def _is_over(fact: KeeperFact) -> bool:
    return isinstance(fact, SpawnFailed | Emptied) or (
        isinstance(fact, MainExited) and fact.emptied
    )


def _unknown_spec(name: str) -> InstanceSpec:
    """A spec for a run of which only the name is known. Its empty program never runs: the
    instance is held until a configuration declares it, and retired by one that does not.
    """
    worker, _, number = name.rpartition(":")
    known = worker if number.isdecimal() else name
    return InstanceSpec(name, known, int(number) if known == worker else 0, Program((), "/"))
