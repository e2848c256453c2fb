"""The instances by name, and what a change of one of them sets off.

The only place where an instance's value is replaced. What that means to others is put on an agenda
(`bonds` knows whom it concerns) and dealt with in the same step, until nothing moves any more.
Nothing is decided here, neither about one instance nor about the whole.
"""

from collections import deque
from collections.abc import Iterable, Mapping

from supervisord_lite.core import reason
from supervisord_lite.core.alarms import Alarms
from supervisord_lite.core.bonds import NOBODY, Bonds
from supervisord_lite.core.channel import Kind as ChannelKind
from supervisord_lite.core.channel import Pipe
from supervisord_lite.core.command import CloseWriters, Command, OpenWriters
from supervisord_lite.core.event import (
    ChannelFound,
    ClockSet,
    DependencyLost,
    Finding,
    GateMoved,
    Hastened,
    InstanceEvent,
    RunCondemned,
    SpawnFailed,
    SpecReplaced,
)
from supervisord_lite.core.generations import lacked_by
from supervisord_lite.core.moment import ALONE, OPEN, Around, Clock, Gate
from supervisord_lite.core.spec import Configuration, InstanceSpec, OnExit, Program
from supervisord_lite.core.state import (
    Blocked,
    Exited,
    Fatal,
    Instance,
    Parting,
    Starting,
    Stopped,
    Waiting,
    due,
    is_busy,
    live_run,
)
from supervisord_lite.core.values import replace
from supervisord_lite.core.worker import advance
from supervisord_lite.core.writers import Writers, used_by

_CLOSED = Gate(reason.SHUTDOWN)
GATE_MOVED = GateMoved()
_LOOKING = (Waiting, Blocked, Parting)  # the states that others may end by a change of theirs


class Roster:
    """`watched` are the workers whose changes are noted in `moved`; `ended` is a critical instance
    that has ended for good; `hurry` is the level of a shutdown. Whoever has an interest in these
    sets and clears them. `agenda` is what the changes so far mean to others.
    """

    def __init__(self, clock: Clock) -> None:
        self.instances: dict[str, Instance] = {}
        self.bonds = Bonds()
        self.alarms = Alarms()
        self.watched: set[str] = set()
        self.moved: dict[str, None] = {}
        self.ended: deque[Instance] = deque()
        self.hurry = 0
        self.busy: set[str] = set()  # who has a process, its own or a hook's
        self._ends_all = False  # that is a shutdown, and nothing begins any more
        self._missing: dict[str, Gate] = {}  # channels that cannot be had
        self._kinds: Mapping[str, ChannelKind] = {}  # of the channels that are declared
        self._gone: dict[str, Gate] = {}  # channels that somebody lacks, as they are declared
        self._excused: set[tuple[str, int]] = set()  # runs whose spawn may fail for that
        self._writers = Writers()
        self.agenda: deque[tuple[str, InstanceEvent]] = deque()
        self._alone = replace(ALONE, clock=clock)

    @property
    def clock(self) -> Clock:
        return self._alone.clock

    def set_clock(self, event: ClockSet, now: float, out: list[Command], *, ticking: bool) -> None:
        """The wall clock is another one; schedules are looked at again if they are `ticking`."""
        clock = replace(self.clock, offset=event.offset)
        self._alone = replace(self._alone, clock=clock)
        jobs = [name for name, one in self.instances.items() if one.timetable is not None]
        self.advance_each(jobs if ticking else (), event, now, out)

    def write_ends(self, configuration: Configuration | None) -> list[Command]:
        """Which are to be open now, and which closed: whether that was said when their last writer
        let go, nobody knows. What nobody has ever written to has no end to see, and stays open.
        """
        written = self._writers.open()
        pipes = configuration.channels if configuration else ()
        left = [one.name for one in pipes if isinstance(one.kind, Pipe) and one.name not in written]
        return [*map(OpenWriters, written), *map(CloseWriters, left)]

    def miss(self, channel: str, trouble: str | None) -> None:
        """A channel cannot be had; None: it can."""
        if trouble is None:
            self._missing.pop(channel, None)
        else:
            self._missing[channel] = Gate(reason.waits_for_channel(channel, trouble))
        self._excuse(channel)

    def lack(self, configuration: Configuration | None) -> None:
        """Who is not yet what is declared, and was to be given a channel that is declared no more,
        or only as something that cannot be used so, waits until it is another program, or the
        channel is declared again.
        """
        if configuration is None:
            return
        self._kinds = {channel.name: channel.kind for channel in configuration.channels}
        declared = {spec.name: spec for spec in configuration.instances}
        before, self._gone = self._gone, {}
        for name, one in self.instances.items():
            if one.spec is declared.get(name) or one.spec == declared.get(name):
                continue
            if (channel := lacked_by(one.spec, self._kinds)) is not None:
                known = channel in self._kinds
                why = reason.waits_for_removed_channel(channel, declared=known)
                self._gone[channel] = Gate(why)
        for channel in before.keys() - self._gone.keys():
            self._look_again(channel)

    def _look_again(self, channel: str) -> None:
        """Those that wait for it, perhaps."""
        for name, one in self.instances.items():
            if isinstance(one.state, Waiting | Blocked) and channel in used_by(one.spec):
                self.agenda.append((name, GATE_MOVED))

    def _excuse(self, channel: str) -> None:
        """Starts that were ordered before this was known may have been refused for it, whatever
        else they would have to wait for now, and even if it is there again.
        """
        self._excused = {
            (name, one.last_run)
            for name, one in self.instances.items()
            if isinstance(one.state, Starting)
            and ((name, one.last_run) in self._excused or channel in used_by(one.spec))
        }

    def restore(self, instances: Iterable[Instance]) -> None:
        """Take over what an earlier fleet left; what it means to others is looked at later."""
        for instance in instances:
            self.settle(None, instance)
        self.agenda.clear()

    def sort(self, names: Iterable[str]) -> None:
        """Put the instances into this order, those that are not named behind the others."""
        order = (name for name in {**dict.fromkeys(names), **self.instances})
        self.instances = {name: self.instances[name] for name in order if name in self.instances}

    # ------------------------------------------------------------- events

    def advance_each(
        self, names: Iterable[str], event: InstanceEvent, now: float, out: list[Command]
    ) -> None:
        for name in names:
            if name in self.instances:
                self.advance(name, event, now, out)

    def advance(self, name: str, event: InstanceEvent, now: float, out: list[Command]) -> None:
        """Let an event happen to one instance."""
        before = self.instances[name]
        spec = event.spec if isinstance(event, SpecReplaced) else before.spec
        around = self._around(spec)
        if self._excused and isinstance(event, SpawnFailed):
            around = replace(around, excused=(name, event.run) in self._excused)
        after, orders = advance(before, event, now, around)
        if after is before:
            out += orders
            return
        opened, closed = self.settle(before, after)
        if opened:
            out += (orders[0], *map(OpenWriters, opened), *orders[1:])
        else:
            out += orders
        out += map(CloseWriters, closed)
        if self.hurry and len(after.hooks) > len(before.hooks):  # this one must hurry too
            self.agenda.append((name, Hastened(self.hurry)))

    def work_off(self, now: float, out: list[Command]) -> None:
        """Deal with what the changes so far mean to others, and so on to the end, or until a
        critical instance has ended: that comes before all else.
        """
        while self.agenda and not self.ended:
            name, event = self.agenda.popleft()
            if name in self.instances:
                self.advance(name, event, now, out)

    def _around(self, spec: InstanceSpec) -> Around:
        """What the others mean for an instance; for most of them nothing."""
        clear = not self.bonds.going_down or self.bonds.clear(spec.worker)
        if self._ends_all:
            return Around(_CLOSED, clear, self._alone.clock)
        gate = self.bonds.gate(spec) if spec.dependencies else OPEN
        if (self._missing or self._gone) and gate is OPEN:
            gate = self._channel_gate(spec)
        if clear and gate is OPEN:
            return self._alone
        return Around(gate, clear, self._alone.clock)

    def _channel_gate(self, spec: InstanceSpec) -> Gate:
        lacked = lacked_by(spec, self._kinds) if self._gone else None
        if lacked is not None and lacked in self._gone:
            return self._gone[lacked]
        shut = (self._missing.get(channel) for channel in used_by(spec))
        return next(filter(None, shut), OPEN)

    # ------------------------------------------------------------- values

    def settle(
        self, before: Instance | None, after: Instance
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take over an instance's new value, and put on the agenda what it means to others; tell
        which channels got their first writer by it, and which lost their last.
        """
        name = after.spec.name
        gone = after.retiring and isinstance(after.state, Stopped) and not after.hooks
        if gone:
            self.instances.pop(name, None)
        else:
            self.instances[name] = after
        if is_busy(after):
            self.busy.add(name)
        else:
            self.busy.discard(name)
        self.alarms.set(name, None if gone else due(after))
        left = None if gone else after
        self._tell_others(before, left)
        if after.spec.on_exit is not OnExit.NOTHING and _has_just_ended(before, after):
            self.ended.append(after)
            self._ends_all = self._ends_all or after.spec.on_exit is OnExit.SHUTDOWN
        return self._writers.count(before, left)

    def _tell_others(self, before: Instance | None, after: Instance | None) -> None:
        known = after or before
        assert known is not None
        worker = known.spec.worker
        if worker in self.watched:
            self.moved[worker] = None
        moved = self.bonds.note(before, after)
        if moved is NOBODY:
            return
        for cleared in moved.cleared:
            for name, instance in self.bonds.members(cleared).items():
                if isinstance(instance.state, Parting):
                    self.agenda.append((name, GATE_MOVED))
        if moved.changed:
            dependents = self.bonds.dependents(worker)
            lost = [
                name
                for name, dependency in dependents
                if dependency.restart_with and dependency.condition in moved.lost
            ]
            if lost:  # and with them, before them, what is restarted with those
                for name in self.bonds.downwards([*self._along(lost), *lost]):
                    self.agenda.append((name, DependencyLost(worker)))
            for name, _ in dependents:  # who comes to wait later finds the gate as it is then
                if isinstance(self.instances[name].state, _LOOKING):
                    self.agenda.append((name, GATE_MOVED))

    # ------------------------------------------------------------- several at once

    def find(self, event: Finding | ChannelFound, now: float, out: list[Command]) -> None:
        """Something is found out about a channel, or about a run. If that is to be restarted for
        it, as if somebody had asked, it takes those along that are restarted with it.
        """
        if isinstance(event, ChannelFound):
            self.miss(event.channel, event.trouble)
            self._look_again(event.channel)
            return
        instance = self.instances.get(event.instance)
        if instance is None:
            return
        if isinstance(event, RunCondemned) and not event.failure:
            falls = (event.instance,) if live_run(instance.state) == event.run else ()
            self.take_down({event.instance: event}, falls, now, out)
        else:
            self.advance(event.instance, event, now, out)

    def take_down(
        self,
        events: Mapping[str, InstanceEvent],
        falling: Iterable[str],
        now: float,
        out: list[Command],
    ) -> None:
        """Let these events happen to instances, of which those that are `falling` take along what
        is restarted with them. Dependents come first, and what is up before what is down: nothing
        is to start upon what is about to go.
        """
        names = [name for name in falling if name in self.instances]
        counting = [
            other
            for name in names
            for other in self.bonds.counting_on(self.instances[name])
            if other not in events
        ]
        along = dict.fromkeys((*counting, *self._along((*names, *counting))))
        concerned = [name for name in {**along, **events} if name in self.instances]
        for name in sorted(self.bonds.downwards(concerned), key=self._is_down):
            if name in along:
                self._lose(name, now, out)
            if name in events and name in self.instances:
                self.advance(name, events[name], now, out)

    def _is_down(self, name: str) -> bool:
        return live_run(self.instances[name].state) is None

    def _is_starting(self, name: str) -> bool:
        return name in self.instances and isinstance(self.instances[name].state, Starting)

    def members(self, worker: str) -> Mapping[str, Instance]:
        """The instances of a worker that are not about to leave."""
        known = self.bonds.members(worker)
        return {name: one for name, one in known.items() if not one.retiring}

    def lose(self, names: Iterable[str], now: float, out: list[Command]) -> None:
        """What is restarted with these goes down before them."""
        for name in self.bonds.downwards(self._along(names)):
            self._lose(name, now, out)

    def _along(self, names: Iterable[str]) -> list[str]:
        """What is restarted with those of these that are up; starts under way, too, even if they
        are named themselves.
        """
        falling = {name for name in names if name in self.instances and not self._is_down(name)}
        along = self.bonds.restarted_with(name.rpartition(":")[0] for name in falling)
        return [one for one in along if one not in falling or self._is_starting(one)]

    def _lose(self, name: str, now: float, out: list[Command]) -> None:
        dependencies = self.instances[name].spec.dependencies
        lost = next((one.worker for one in dependencies if one.restart_with), "")
        self.advance(name, DependencyLost(lost), now, out)


def stranger_called(name: str) -> Instance:
    """One for a run of which only the name is known. Its empty program never runs: the instance is
    held until a configuration declares it, and retired by one that does not.
    """
    worker, _, number = name.rpartition(":")
    known = worker if number.isdecimal() else name
    spec = InstanceSpec(name, known, int(number) if known == worker else 0, Program((), "/"))
    return Instance(spec, held=True)


def _has_just_ended(before: Instance | None, after: Instance) -> bool:
    """Whether that is the end of a critical instance. Who waits for a failed dependency may yet be
    started, but a daemon that is there for it alone has nothing to wait for.
    """
    states: tuple[type, ...] = (Exited, Fatal)
    if after.spec.on_exit is OnExit.SHUTDOWN:
        states = (Exited, Fatal, Blocked)
    return (
        isinstance(after.state, states)
        and before is not None
        and not isinstance(before.state, states)
    )
