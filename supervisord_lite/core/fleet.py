"""All instances together: the only mutable object of the core, and its whole interface.

`step` takes one event and returns the orders that follow; `deadline` says when the next alarm is
due. A fleet decides nothing about one instance (that is `worker.advance`); it hands events to
those whom they concern and keeps what spans several: the instances and their bonds (`roster`), the
applied configuration and its roll-outs (`applying`), the shutdown. An event costs the same in a
fleet of ten and of ten thousand, except for those that name everybody.

What must survive the manager goes out before what follows from it. A new configuration is
remembered first, then the instances one by one, each with the spec it has; so a fleet that is
restored from any prefix compares the two and finishes what it finds begun (`recover`). With a
shutdown and with a roll-out it is the same.
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

from supervisord_lite.core import reason
from supervisord_lite.core.applying import Applying
from supervisord_lite.core.bonds import Bonds
from supervisord_lite.core.command import (
    Bury,
    Command,
    Finish,
    Note,
    RememberFleet,
    hook_of,
)
from supervisord_lite.core.critical import (
    RestartAll,
    ending,
    exit_code,
    has_just_ended,
    place_of,
)
from supervisord_lite.core.event import (
    AlarmRang,
    BecameReady,
    ChannelFound,
    ClockSet,
    Configured,
    Emptied,
    Event,
    Hastened,
    HealthFound,
    HoldLifted,
    HookTold,
    KeeperFact,
    MainExited,
    Recovered,
    ReloadRequested,
    RestartRequested,
    RolloutRequested,
    RolloutUndone,
    RunCondemned,
    RunRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
    TimeExtended,
    Withdrawn,
    is_over,
)
from supervisord_lite.core.hooks import end
from supervisord_lite.core.moment import Clock
from supervisord_lite.core.plan import Plan
from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.roster import Roster, stranger_called
from supervisord_lite.core.spec import (
    Configuration,
    HookPoint,
    OnExit,
)
from supervisord_lite.core.state import Instance, Shutdown
from supervisord_lite.core.values import replace

KILLED = 2  # the level of a shutdown at which every tree has been sent SIGKILL
LAST_GRACE = 2.0  # seconds between the last kill of a shutdown and giving up on its survivors

_Request = (
    StartRequested
    | StopRequested
    | RestartRequested
    | SignalRequested
    | RunRequested
    | ReloadRequested
    | RolloutRequested
    | RolloutUndone
)


class Fleet:
    """The instances by name, and what is decided for all of them. `clock` knows the time zones;
    `stop_deadline` holds where the configuration has none, in seconds.
    """

    def __init__(
        self, *, held: bool = False, clock: Clock | None = None, stop_deadline: float = 60.0
    ) -> None:
        self.shutdown: Shutdown | None = None
        self._stop_deadline = stop_deadline
        self._roster = Roster(clock or Clock())
        self._applying = Applying(self._roster, held=held)
        self._restart_all = RestartAll(self._roster)
        self._finished = False

    @classmethod
    def restore(
        cls,
        configuration: Configuration | None,
        instances: Iterable[Instance],
        *,
        held: bool,
        shutdown: Shutdown | None,
        rollouts: Iterable[Rollout] = (),
        clock: Clock | None = None,
        stop_deadline: float = 60.0,
    ) -> "Fleet":
        """The fleet that an earlier manager left, from what the keeper remembers of it. Ask it to
        `recover` first, then tell it the keeper's facts again, and only then configure it: what
        lives must be known before anything is started.
        """
        fleet = cls(held=held, clock=clock, stop_deadline=stop_deadline)
        fleet._take_over_shutdown(shutdown)
        fleet._applying.declare(configuration)
        fleet._applying.rollouts.restore(rollouts)
        unsure = held or configuration is None
        fleet._roster.restore(replace(instance, held=unsure) for instance in instances)
        fleet._roster.lack(configuration)
        return fleet

    # ------------------------------------------------------------- what it is

    @property
    def instances(self) -> Mapping[str, Instance]:
        """By name, in the order of the configuration; those that leave it stand behind."""
        return self._roster.instances

    @property
    def configuration(self) -> Configuration | None:
        return self._applying.configuration

    @property
    def rollouts(self) -> Mapping[str, Rollout]:
        """The last roll-out of each worker that has had one."""
        return self._applying.rollouts.by_worker

    @property
    def bonds(self) -> Bonds:
        return self._roster.bonds

    @property
    def clock(self) -> Clock:
        return self._roster.clock

    @property
    def held(self) -> bool:
        return self._applying.held

    @property
    def shutting_down(self) -> bool:
        return self.shutdown is not None

    def cannot_undo(self, worker: str) -> str:
        """Why the last roll-out of a worker cannot be undone, in a line; nothing if it can be."""
        return self._applying.rollouts.cannot_undo(worker)

    def plan(self, configuration: Configuration) -> Plan:
        """What `Configured` would do now, and why."""
        return self._applying.plan(configuration)

    def deadline(self) -> float | None:
        """When `AlarmRang` is due at the latest; None while only events can change anything."""
        turns, restarts = self._applying.rollouts.alarms, self._restart_all.pending
        times: tuple[float, ...] = ()
        if self.shutdown is not None:
            times = () if self._finished else (self.shutdown.deadline,)
        elif (turns or restarts) and not self._applying.held:
            times = (*turns.values(), *restarts.values())
        first = self._roster.alarms.next()
        return min(times, default=None) if first is None else min((first, *times))

    # ------------------------------------------------------------- what happens

    def miss(self, channels: Mapping[str, str]) -> None:
        """These cannot be had now, and why: to be told before `recover`."""
        for channel, trouble in channels.items():
            self._roster.miss(channel, trouble)

    def recover(self, now: float, wishes: Mapping[str, bool] | None = None) -> list[Command]:
        """What must be said after a restore: orders that may have been lost, and the rest of a
        reload or a shutdown that was cut short. `wishes` are as in `Configured`.
        """
        out: list[Command] = self._roster.write_ends(self.configuration)
        self._roster.advance_each(list(self.instances), Recovered(), now, out)
        if self.shutdown is not None:
            self._end_all(self.shutdown, now, out)
        else:
            self._applying.reconcile(now, out, wishes, recovering=True)
            recent = (one for one in self.instances.values() if has_just_ended(one, now))
            self._roster.ended.extend(recent)
        if (known := self.configuration) is not None:
            self._roster.sort(spec.name for spec in known.instances)
        self._roster.moved |= dict.fromkeys(self._applying.rollouts.active())
        self._settle_all(now, out)
        return out

    def step(self, event: Event, now: float) -> list[Command]:
        """Take one event; the orders are for the keeper and the shell, in this order."""
        out: list[Command] = []
        match event:
            case Spawned() | SpawnFailed() | MainExited() | Emptied():
                self._take_fact(event, now, out)
            case BecameReady() | TimeExtended() | HealthFound() | RunCondemned() | ChannelFound():
                self._roster.find(event, now, out)
            case AlarmRang():
                self._ring(now, out)
            case ClockSet():
                self._roster.set_clock(event, now, out, ticking=not self.shutting_down)
            case Configured():
                if not self.shutting_down:
                    self._configure(event, now, out)
            case ShutdownRequested():
                out += self._shut_down(now)
            case Hastened():
                self._hasten(event.level, now, out)
            case _:
                self._take_request(event, now, out)
        self._settle_all(now, out)
        return out

    def _take_request(self, event: _Request, now: float, out: list[Command]) -> None:
        roster = self._roster
        match event:
            case SignalRequested() | ReloadRequested():
                roster.advance_each(event.instances, event, now, out)
            case StopRequested():
                roster.take_down(dict.fromkeys(event.instances, event), event.instances, now, out)
            case _ if self.shutting_down:
                pass
            case StartRequested() | RunRequested():
                if needed := roster.bonds.needed(event.instances, self.instances):
                    roster.advance_each(needed, StartRequested(tuple(needed)), now, out)
                roster.advance_each(event.instances, event, now, out)
            case RestartRequested():
                needed = roster.bonds.needed(event.instances, self.instances)
                others = tuple(name for name in needed if name not in event.instances)
                roster.advance_each(others, StartRequested(others), now, out)
                roster.take_down(dict.fromkeys(event.instances, event), event.instances, now, out)
            case RolloutRequested() | RolloutUndone():
                for worker in roster.bonds.workers_downwards(event.workers):
                    self._roll_out(worker, event, now, out)
            case _:
                assert_never(event)

    def _roll_out(
        self, worker: str, event: RolloutRequested | RolloutUndone, now: float, out: list[Command]
    ) -> None:
        rollouts = self._applying.rollouts
        if isinstance(event, RolloutUndone):
            rollouts.undo(worker, now, out)
        elif self._roster.members(worker):
            rollouts.begin(worker, event.why or reason.ROLLOUT, now, out, restart=True)
        self._roster.moved[worker] = None

    def _settle_all(self, now: float, out: list[Command]) -> None:
        """Deal with what the step meant to others, until nothing moves any more."""
        roster = self._roster
        while roster.agenda or roster.ended or roster.moved:
            if roster.ended:
                self._act_on_end(roster.ended.popleft(), now, out)
            roster.work_off(now, out)
            if roster.ended:
                continue
            if roster.moved and not self.held and not self.shutting_down:
                worker = next(iter(roster.moved))
                del roster.moved[worker]
                self._applying.rollouts.drive(worker, now, out)
            else:
                roster.moved.clear()
        if self.shutdown is not None and not self._finished and not roster.busy:
            self._finished = True
            out.append(Finish((), self.shutdown.code))

    def _act_on_end(self, instance: Instance, now: float, out: list[Command]) -> None:
        """A critical instance has ended for good."""
        why = reason.critical(instance.spec.name, ending(instance))
        if self.shutting_down:
            return
        if instance.spec.on_exit is OnExit.SHUTDOWN:
            shutdown, *follows = self._shut_down(now, exit_code(instance), why)
            out.insert(place_of(instance, out), shutdown)  # it is remembered before the end is
            out += [Note(why, problem=True), *follows]
            return
        if not self.held:
            self._restart_all.ended(instance, now, out)

    # ------------------------------------------------------------- facts

    def _take_fact(self, fact: KeeperFact, now: float, out: list[Command]) -> None:
        """Hand a fact to its instance, or to the instance whose hook it is about. One that nobody
        has declared is a stranger: a run that the keeper found alive, perhaps before a
        configuration could tell what to do with it.
        """
        name, roster = fact.instance, self._roster
        if (hook := hook_of(name)) is not None:
            self._take_hook_fact(*hook, fact, now, out)
            return
        stranger = name not in roster.instances
        if stranger:
            if is_over(fact):
                out.append(Bury(name, fact.run))
                return
            roster.settle(None, stranger_called(name))
        roster.advance(name, fact, now, out)
        if stranger and self.configuration is not None:
            roster.advance(name, Withdrawn(), now, out)
        if self.shutdown is not None:
            instance = roster.instances.get(name)
            if instance is not None and (stranger or instance.wanted):  # adopted just now
                self._end((name,), self.shutdown, now, out)

    def _take_hook_fact(
        self, point: HookPoint, name: str, fact: KeeperFact, now: float, out: list[Command]
    ) -> None:
        if name in self.instances:
            self._roster.advance(name, HookTold(point, fact), now, out)
        elif is_over(fact):
            out.append(Bury(fact.instance, fact.run))
        elif isinstance(fact, Spawned):  # of an instance that nobody remembers
            out += end(fact.instance, fact.run)

    # ------------------------------------------------------------- configuration

    def _configure(self, event: Configured, now: float, out: list[Command]) -> None:
        applying, configuration = self._applying, event.configuration
        applying.held = applying.held and not event.lift_hold
        if configuration != self.configuration:
            applying.adopt_configuration(configuration, out)
            applying.reconcile(now, out, dict(event.wishes))
            self._roster.sort(spec.name for spec in configuration.instances)
        if not self.held:
            held = [name for name, one in self.instances.items() if one.held]
            self._roster.advance_each(held, HoldLifted(), now, out)
            self._roster.moved |= dict.fromkeys(applying.rollouts.active())

    # ------------------------------------------------------------- shutdown

    def _shut_down(self, now: float, code: int = 0, why: str = "") -> list[Command]:
        if self.shutdown is not None:
            return []
        known = self.configuration.stop_deadline if self.configuration else None
        wait = self._stop_deadline if known is None else known
        self.shutdown = Shutdown(now + wait, code=code, why=why)
        out: list[Command] = [RememberFleet(self.shutdown)]
        self._end_all(self.shutdown, now, out)
        return out

    def _take_over_shutdown(self, shutdown: Shutdown | None) -> None:
        self.shutdown = shutdown
        self._roster.hurry = shutdown.level if shutdown else 0

    def _hasten(self, level: int, now: float, out: list[Command]) -> None:
        if self.shutdown is None or level <= self.shutdown.level:
            return
        deadline = self.shutdown.deadline if level < KILLED else now + LAST_GRACE
        self._take_over_shutdown(replace(self.shutdown, deadline=deadline, level=level))
        out.append(RememberFleet(self.shutdown))
        self._end_all(self.shutdown, now, out)

    def _end_all(self, shutdown: Shutdown, now: float, out: list[Command]) -> None:
        self._end(self.bonds.downwards(list(self.instances)), shutdown, now, out)

    def _end(
        self, names: Iterable[str], shutdown: Shutdown, now: float, out: list[Command]
    ) -> None:
        for name in names:
            self._roster.advance_each((name,), ShutdownRequested(), now, out)
            if shutdown.level:
                self._roster.advance_each((name,), Hastened(shutdown.level), now, out)

    # ------------------------------------------------------------- time

    def _ring(self, now: float, out: list[Command]) -> None:
        while (name := self._roster.alarms.take(now)) is not None:
            self._roster.advance(name, AlarmRang(), now, out)
        self._roster.moved |= dict.fromkeys(self._applying.rollouts.due(now))
        if not self.held and not self.shutting_down:
            self._restart_all.ring(now, out)
        if self.shutdown is None or self._finished or now < self.shutdown.deadline:
            return
        if self.shutdown.level < KILLED:
            self._hasten(KILLED, now, out)
            return
        self._finished = True
        alive = tuple(name for name in self.instances if name in self._roster.busy)
        out.append(Finish(alive, self.shutdown.code))
