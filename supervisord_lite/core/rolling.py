"""Carrying out roll-outs: which workers are in one, and doing what `rollout.judge` says.

A roll-out brings the instances of a worker to what the configuration declares. Going back is the
same with a configuration in which the worker is again what it was before. So whatever is cut short
is found again by comparing the instances with the configuration, as everywhere.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from supervisord_lite.core import reason
from supervisord_lite.core.command import Command, Note, RememberRollout
from supervisord_lite.core.event import (
    InstanceEvent,
    RestartRequested,
    SpecReplaced,
    Withdrawn,
)
from supervisord_lite.core.generations import as_now, lacking
from supervisord_lite.core.plan import restarts
from supervisord_lite.core.rollout import (
    Complete,
    Failed,
    Judgement,
    Progress,
    Rollout,
    Turn,
    Wait,
    judge,
    why_not_undone,
)
from supervisord_lite.core.spec import Configuration, InstanceSpec, Kind, Strategy, UpdatePolicy
from supervisord_lite.core.state import Fatal, Instance, live_run
from supervisord_lite.core.values import replace


class Host(Protocol):
    """What a roll-out needs of the fleet."""

    configuration: Configuration | None

    def member(self, name: str) -> Instance | None: ...

    def members(self, worker: str) -> Mapping[str, Instance]: ...

    def declared(self, worker: str) -> Mapping[str, InstanceSpec]: ...

    def spare(self, worker: str) -> InstanceSpec | None: ...

    def adopt_configuration(self, configuration: Configuration, out: list[Command]) -> None: ...

    def bring(self, spec: InstanceSpec, now: float, out: list[Command]) -> None: ...

    def advance(self, name: str, event: InstanceEvent, now: float, out: list[Command]) -> None: ...

    def lose(self, names: Iterable[str], now: float, out: list[Command]) -> None: ...

    def watch(self, workers: set[str], spares: set[str]) -> None: ...


class Rollouts:
    """All roll-outs of a fleet, past ones among them, by worker. `alarms` are the times at which
    those under way are to be driven on.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.by_worker: dict[str, Rollout] = {}
        self.alarms: dict[str, float] = {}

    def due(self, now: float) -> list[str]:
        return [worker for worker, at in self.alarms.items() if at <= now]

    def is_spare(self, name: str) -> bool:
        """Whether an instance that nobody has declared belongs to a roll-out under way."""
        rollout = self.by_worker.get(name.rpartition(":")[0])
        return rollout is not None and rollout.active and rollout.spare == name

    def is_to_replace(self, worker: str, names: Iterable[str]) -> bool:
        """Whether one under way leads these to what is declared. An earlier manager may have died
        when it had remembered a new configuration, and not yet the roll-out towards that.
        """
        known = self.by_worker.get(worker)
        if known is None or not known.active:
            return False
        before = {spec.name: spec for spec in known.before}
        declared = self._host.declared(worker).items()
        back = all(before.get(name, spec) == spec for name, spec in declared)
        leads_there = back or known.progress is Progress.UNDER_WAY
        return leads_there and set(names) <= dict(known.runs).keys()

    def has_stopped(self, worker: str) -> bool:
        """Whether its last one has ended before all were replaced, and nothing was changed back."""
        known = self.by_worker.get(worker)
        return known is not None and known.progress is Progress.STOPPED

    def forget_stopped(self, workers: Iterable[str], out: list[Command]) -> None:
        """These are to become something else: what could not be finished is of no account."""
        for worker in filter(self.has_stopped, workers):
            del self.by_worker[worker]
            out.append(RememberRollout(worker, None))

    def active(self) -> list[str]:
        return [worker for worker, one in self.by_worker.items() if one.active]

    def restore(self, rollouts: Iterable[Rollout]) -> None:
        """Take over what an earlier fleet left."""
        self.by_worker = {one.worker: one for one in rollouts}
        self._tell_host()

    def _tell_host(self) -> None:
        active = {worker: one for worker, one in self.by_worker.items() if one.active}
        spares = {one.spare for one in active.values() if one.spare is not None}
        self._host.watch(set(active), spares)

    # ------------------------------------------------------------- beginning

    def begin(
        self, worker: str, why: str, now: float, out: list[Command], *, restart: bool
    ) -> None:
        """Bring the instances to the declared specs, each in its turn: those that are up and have
        to be restarted for that or, if that is asked for (`restart`), all that are up. What was
        given up begins: if it stayed FATAL, the others would wait for it for ever.
        """
        members, declared = self._host.members(worker), self._host.declared(worker)
        ours = {name: one for name, one in members.items() if name in declared}
        known = self.by_worker.get(worker)
        going = known if known is not None and known.active else None
        every = restart or (going is not None and going.restarts)
        runs = {
            name: one.last_run
            for name, one in ours.items()
            if _is_given_up(one) or (_is_up(one) and (every or restarts(one.spec, declared[name])))
        }
        before = self._as_now(one.spec for one in ours.values())
        if going is not None:
            before = self._as_now(going.before)
            if not restart:  # what that has replaced already is still to be seen to be good
                runs |= {
                    name: run
                    for name, run in going.runs
                    if name in ours and ours[name].last_run > run
                }
                if going.spare is not None and going.spare in ours:
                    runs[going.spare] = 0  # the worker has grown, and it is no spare any more
        if runs:  # what is new begins with the new program, and may fail with it
            runs |= {name: 0 for name in declared if name not in ours}
        turns = tuple(runs.items())
        rollout = Rollout(worker, Progress.UNDER_WAY, before, turns, now, why, restarts=every)
        spare = self._host.spare(worker)
        if _policy(declared).strategy is Strategy.START_FIRST and spare is not None and runs:
            rollout = replace(rollout, spare=spare.name)
        self._remember(rollout, out)
        if known is not None and known.active and known.spare != rollout.spare:
            self._release(known, now, out)
        if rollout.spare is not None and self._host.member(rollout.spare) is not None:
            self._bring_spare(rollout, now, out)  # it may have to become another program
        self._adjust(rollout, now, out)

    def _bring_spare(self, rollout: Rollout, now: float, out: list[Command]) -> None:
        spare = self._host.spare(rollout.worker)
        if spare is not None and spare.name == rollout.spare:
            self._host.bring(spare, now, out)

    def go_on(self, worker: str, now: float, out: list[Command]) -> None:
        """One that an earlier manager began may have been cut short when it had hardly begun."""
        self._adjust(self.by_worker[worker], now, out)

    def _adjust(self, rollout: Rollout, now: float, out: list[Command]) -> None:
        """What needs no turn has its spec at once."""
        turns = dict(rollout.runs)
        for name, spec in self._host.declared(rollout.worker).items():
            instance = self._host.member(name)
            if instance is None or instance.spec == spec:
                continue
            if name not in turns or not restarts(instance.spec, spec):
                self._host.advance(name, SpecReplaced(spec), now, out)

    def undo(self, worker: str, now: float, out: list[Command]) -> None:
        """Back to what was before the last roll-out, by another one."""
        known = self.by_worker.get(worker)
        if why := self.cannot_undo(worker):
            out.append(Note(why, problem=True))
        if why or known is None or self._host.configuration is None:
            return
        before = self._as_now(known.before)
        self._host.adopt_configuration(_with(self._host.configuration, before), out)
        self.begin(worker, reason.UNDONE, now, out, restart=False)

    def cannot_undo(self, worker: str) -> str:
        """Why the last roll-out of a worker cannot be undone, in a line; nothing if it can be."""
        members, declared = self._host.members(worker), self._host.declared(worker)
        known = self.by_worker.get(worker)
        if known is not None:
            known = replace(known, before=self._as_now(known.before))
        why = why_not_undone(known, members, declared)
        if known is not None and not why:
            channel = lacking(known.before, self._host.configuration)
            why = reason.no_way_back(channel) if channel is not None else ""
        return reason.cannot_undo(worker, why) if why else ""

    def _as_now(self, specs: Iterable[InstanceSpec]) -> tuple[InstanceSpec, ...]:
        """Going back leads to an earlier program, but never to a channel that is no more."""
        return as_now(specs, self._host.configuration)

    def forget_others(self, workers: Iterable[str], out: list[Command]) -> None:
        """Only these workers are left."""
        for worker in [one for one in self.by_worker if one not in workers]:
            del self.by_worker[worker]
            self.alarms.pop(worker, None)
            out.append(RememberRollout(worker, None))
        self._tell_host()

    # ------------------------------------------------------------- going on

    def drive(self, worker: str, now: float, out: list[Command]) -> None:
        """Do what can be done now."""
        self.alarms.pop(worker, None)
        while (rollout := self.by_worker.get(worker)) is not None and rollout.active:
            if rollout.spare is not None and self._host.member(rollout.spare) is None:
                self._bring_spare(rollout, now, out)
            members, declared = self._host.members(worker), self._host.declared(worker)
            policy = _policy(declared)
            judgement = judge(rollout, policy, members, declared, now)
            if not self._obey(rollout, judgement, now, out):
                return

    def _obey(self, rollout: Rollout, judgement: Judgement, now: float, out: list[Command]) -> bool:
        """Whether there may be more to do at once."""
        match judgement:
            case Turn(names):
                self._turn(rollout, names, now, out)
                return True
            case Wait(until, _):
                if until is not None:
                    self.alarms[rollout.worker] = until
                return False
            case Failed(problem):
                self._go_back(rollout, problem, now, out)
                return True
            case Complete():
                back = rollout.progress is Progress.GOING_BACK
                self._end(rollout, Progress.WENT_BACK if back else Progress.DONE, now, out)
                return False

    def _turn(
        self, rollout: Rollout, names: tuple[str, ...], now: float, out: list[Command]
    ) -> None:
        declared = self._host.declared(rollout.worker)
        self._host.lose(names, now, out)
        for name in names:
            instance = self._host.member(name)
            if instance is None:
                continue
            spec = declared.get(name, instance.spec)
            why = rollout.why if rollout.restarts else reason.ROLLOUT
            event: InstanceEvent = RestartRequested((name,), why)
            if instance.spec != spec:
                event = SpecReplaced(spec)
            self._host.advance(name, event, now, out)

    def _go_back(self, rollout: Rollout, problem: str, now: float, out: list[Command]) -> None:
        worker, configuration = rollout.worker, self._host.configuration
        declared = self._host.declared(worker)
        rollout = replace(rollout, before=self._as_now(rollout.before))
        before = {spec.name: spec for spec in rollout.before}
        same = all(before.get(name, spec) == spec for name, spec in declared.items())
        stays = same or rollout.progress is Progress.GOING_BACK
        stays = stays or not _policy(declared).abort_on_failure
        if not stays and (channel := lacking(rollout.before, configuration)) is not None:
            stays, problem = True, f"{problem}; {reason.no_way_back(channel)}"
        text = reason.rollout_failed(worker, problem, goes_back=not stays)
        out.append(Note(text, problem=True))
        if stays or configuration is None:
            self._end(replace(rollout, problem=problem), Progress.STOPPED, now, out)
            return
        self._host.adopt_configuration(_with(configuration, rollout.before), out)
        members = self._host.members(worker)
        for name in members:
            if name not in before and name != rollout.spare:  # it never was anything else
                self._host.advance(name, Withdrawn(), now, out)
        runs = tuple(
            (name, one.last_run)
            for name, one in members.items()
            if name in before
            and (_is_given_up(one) or (one.wanted and restarts(one.spec, before[name])))
        )
        changed = replace(
            rollout, progress=Progress.GOING_BACK, runs=runs, problem=problem, spare=None
        )
        self._remember(changed, out)
        self._release(rollout, now, out)
        self._adjust(changed, now, out)

    def _end(self, rollout: Rollout, progress: Progress, now: float, out: list[Command]) -> None:
        self._remember(replace(rollout, progress=progress, ended=now, spare=None), out)
        out.append(Note(reason.rollout_ended(rollout.worker, progress)))
        self._release(rollout, now, out)

    def _release(self, rollout: Rollout, now: float, out: list[Command]) -> None:
        """The spare is needed no more, unless the worker has grown and counts it among its own."""
        if rollout.spare is None or rollout.spare in self._host.declared(rollout.worker):
            return
        if self._host.member(rollout.spare) is not None:
            self._host.advance(rollout.spare, Withdrawn(), now, out)

    def _remember(self, rollout: Rollout, out: list[Command]) -> None:
        self.by_worker[rollout.worker] = rollout
        self._tell_host()
        out.append(RememberRollout(rollout.worker, rollout))


def _is_up(instance: Instance) -> bool:
    return live_run(instance.state) is not None and instance.wanted


def _is_given_up(instance: Instance) -> bool:
    return instance.wanted and isinstance(instance.state, Fatal)


def _policy(declared: Mapping[str, InstanceSpec]) -> UpdatePolicy:
    """Only what runs all the time can take turns. Going back may lead to instances of several
    kinds, where a roll-out was cut short before.
    """
    turns = (spec.update for spec in declared.values() if spec.kind is Kind.SERVICE)
    return next(turns, UpdatePolicy())


def _with(configuration: Configuration, specs: tuple[InstanceSpec, ...]) -> Configuration:
    """The configuration with a worker that is again what these specs say."""
    before = {spec.name: spec for spec in specs}
    workers = {spec.worker for spec in specs}
    instances = (
        before.get(spec.name, spec)
        for spec in configuration.instances
        if spec.name in before or spec.worker not in workers
    )
    return replace(configuration, instances=tuple(instances))
