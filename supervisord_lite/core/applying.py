"""Making the instances those of a configuration, at once or, for some, by turns.

It compares, each time anew: what is declared with what is there. So applying a configuration,
going on with one that was cut short, and a roll-out that goes back are the same thing.
"""

from collections.abc import Iterable, Mapping

from supervisord_lite.core import reason
from supervisord_lite.core.command import Command, RememberFleet
from supervisord_lite.core.event import Added, InstanceEvent, SpecReplaced, Withdrawn
from supervisord_lite.core.plan import Plan, corrected, difference, restarts
from supervisord_lite.core.rolling import Rollouts
from supervisord_lite.core.roster import Roster
from supervisord_lite.core.spec import Configuration, InstanceSpec, Kind, Strategy
from supervisord_lite.core.state import Instance, live_run
from supervisord_lite.core.values import replace


class Applying:
    """The applied configuration, and the roll-outs towards it."""

    def __init__(self, roster: Roster, *, held: bool) -> None:
        self.configuration: Configuration | None = None
        self.held = held
        self.rollouts = Rollouts(self)
        self._roster = roster
        self._declared: dict[str, dict[str, InstanceSpec]] = {}
        self._overtaken: tuple[str, ...] = ()  # roll-outs towards what is declared no more

    def declare(self, configuration: Configuration | None) -> None:
        self.configuration = configuration
        self._declared = {}
        for spec in configuration.instances if configuration else ():
            self._declared.setdefault(spec.worker, {})[spec.name] = spec

    def adopt_configuration(self, configuration: Configuration, out: list[Command]) -> None:
        """From now on the instances are to become what it says."""
        before = self._declared
        self.declare(configuration)
        self._roster.lack(configuration)
        self._overtaken = tuple(
            worker
            for worker in self.rollouts.active()
            if worker in self._declared and before.get(worker) != self._declared[worker]
        )
        self.rollouts.forget_stopped(
            [worker for worker, specs in self._declared.items() if specs != before.get(worker)], out
        )
        out.append(RememberFleet(configuration))

    def plan(self, configuration: Configuration) -> Plan:
        """What lies between the instances as they are and a configuration."""
        known, instances = self.configuration, self._roster.instances
        ours = {name: one for name, one in instances.items() if not self.rollouts.is_spare(name)}
        if known is not None:  # while a roll-out goes on, some are not yet what they are to be
            specs = {spec.name: spec for spec in known.instances}
            specs |= {name: one.spec for name, one in ours.items() if name in specs}
            known = replace(known, instances=tuple(specs.values()))
        return corrected(difference(known, configuration), ours)

    def reconcile(
        self,
        now: float,
        out: list[Command],
        wishes: Mapping[str, bool] | None = None,
        *,
        recovering: bool = False,
    ) -> None:
        """Make the instances those of the configuration; equal ones are left alone. What restarts
        by turns is left to its roll-out; one that has stopped is not tried again because a manager
        has died. `wishes` are those of operators about new instances.
        """
        if self.configuration is None:
            return
        specs = self.configuration.instances
        self.rollouts.forget_others(self._declared, out)
        removed = self._removed()
        changed = [
            spec
            for spec in specs
            if self._differs(spec) and not (recovering and self.rollouts.has_stopped(spec.worker))
        ]
        by_turns: dict[str, list[str]] = {}
        for spec in changed:
            if self._by_turns(spec):
                by_turns.setdefault(spec.worker, []).append(spec.name)
        at_once = {
            one.name: one
            for one in changed
            if one.worker not in by_turns or self._roster.instances[one.name].retiring
        }
        self._replace(removed, at_once, now, out)
        for worker in {**by_turns, **dict.fromkeys(self._overtaken)}:
            overtaken = worker in self._overtaken
            if overtaken or not self.rollouts.is_to_replace(worker, by_turns[worker]):
                self.rollouts.begin(worker, reason.CHANGED, now, out, restart=False)
            else:
                self.rollouts.go_on(worker, now, out)
        self._overtaken = ()
        for spec in specs:
            if spec.name not in self._roster.instances:
                known = wishes if wishes and spec.remember else {}
                self.bring(spec, now, out, start=known.get(spec.name, spec.autostart))
        self._roster.lack(self.configuration)

    def _removed(self) -> list[str]:
        """The instances that nobody declares and no roll-out needs."""
        declared = {name for specs in self._declared.values() for name in specs}
        return [
            name
            for name in self._roster.instances
            if name not in declared and not self.rollouts.is_spare(name)
        ]

    def _replace(
        self,
        removed: Iterable[str],
        specs: Mapping[str, InstanceSpec],
        now: float,
        out: list[Command],
    ) -> None:
        """Take over new specs at once; who goes down does so before what it depends on."""
        restarted = [name for name, spec in specs.items() if self._restarts(spec)]
        events: dict[str, InstanceEvent] = dict.fromkeys(removed, Withdrawn())
        events |= {name: SpecReplaced(spec) for name, spec in specs.items()}
        self._roster.take_down(events, restarted, now, out)

    def _differs(self, spec: InstanceSpec) -> bool:
        known = self._roster.instances.get(spec.name)
        return known is not None and (known.retiring or known.spec != spec)

    def _restarts(self, spec: InstanceSpec) -> bool:
        known = self._roster.instances[spec.name]
        return live_run(known.state) is not None and restarts(known.spec, spec)

    def _by_turns(self, spec: InstanceSpec) -> bool:
        known = self._roster.instances[spec.name]
        turns = spec.update.strategy is not Strategy.RECREATE and not known.retiring
        turns = turns and spec.kind is Kind.SERVICE
        return turns and self._restarts(spec) and bool(known.spec.program.argv)

    # ------------------------------------------------------------- for the roll-outs

    def bring(
        self, spec: InstanceSpec, now: float, out: list[Command], *, start: bool = True
    ) -> None:
        """Have an instance that is not there, or bring one that is to its spec."""
        if spec.name in self._roster.instances:
            self._roster.advance(spec.name, SpecReplaced(spec), now, out)
            return
        self._roster.settle(None, Instance(spec, held=self.held))
        self._roster.advance(spec.name, Added(start), now, out)

    def advance(self, name: str, event: InstanceEvent, now: float, out: list[Command]) -> None:
        self._roster.advance_each((name,), event, now, out)

    def member(self, name: str) -> Instance | None:
        return self._roster.instances.get(name)

    def members(self, worker: str) -> Mapping[str, Instance]:
        return self._roster.members(worker)

    def declared(self, worker: str) -> Mapping[str, InstanceSpec]:
        return self._declared.get(worker, {})

    def spare(self, worker: str) -> InstanceSpec | None:
        spares = self.configuration.spares if self.configuration else ()
        return next((spec for spec in spares if spec.worker == worker), None)

    def lose(self, names: Iterable[str], now: float, out: list[Command]) -> None:
        self._roster.lose(names, now, out)

    def watch(self, workers: set[str], spares: set[str]) -> None:
        self._roster.watched = workers
        self._roster.bonds.set_spares(spares)
