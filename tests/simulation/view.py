"""What the fleet has told the outside, taken together: the newest value of each thing remembered.

Judges look at it instead of at the fleet, and it is brought forward command by command, so that
each decision is judged by what was known when it was made. The few questions that judges share are
answered the slow and plain way, by looking at every instance of a worker.
"""

from collections.abc import Iterable, Iterator

from supervisord_lite.core.command import Forget, RememberFleet, RememberRollout
from supervisord_lite.core.hooks import under_way
from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.spec import (
    Condition,
    Configuration,
    Dependency,
    HookPoint,
    InstanceSpec,
    OnFailedDependency,
)
from supervisord_lite.core.state import (
    Blocked,
    Exited,
    Fatal,
    Health,
    Instance,
    Parting,
    Readying,
    Running,
    Shutdown,
    Stopping,
    has_left,
)

from .channels import used
from .keeper import Keeper


class View:
    """Instances, configuration, roll-outs and shutdown as they were last remembered."""

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self.workers: dict[str, dict[str, Instance]] = {}
        self.dependents: dict[str, set[str]] = {}  # worker → instances that depend on it
        self.rollouts: dict[str, Rollout] = {}
        self.configuration: Configuration | None = None
        self.declared: dict[str, dict[str, InstanceSpec]] = {}
        self._spares: dict[str, InstanceSpec] = {}
        self._channels: set[str] = set()
        self.shutdown: Shutdown | None = None
        self.missing: dict[str, str] = {}  # channels, and why they cannot be had

    @classmethod
    def of(cls, keeper: Keeper) -> "View":
        """What is known after a manager's death: what the keeper remembers."""
        view = cls()
        for value in keeper.remembered.values():
            if not has_left(value):
                view.put(value)
        view.missing = dict(keeper.room.missing)
        view.rollouts = dict(keeper.rollouts)
        view.shutdown = keeper.shutdown
        if keeper.configuration is not None:
            view._declare(keeper.configuration)
        return view

    # ------------------------------------------------------------- going forward

    def apply(self, command: RememberFleet | RememberRollout | Forget) -> None:
        """Something other than an instance is remembered, or an instance is no more."""
        match command:
            case RememberFleet(Configuration() as configuration):
                self._declare(configuration)
            case RememberFleet(Shutdown() as shutdown):
                self.shutdown = shutdown
            case RememberRollout(worker, None):
                self.rollouts.pop(worker, None)
            case RememberRollout(worker, Rollout() as rollout):
                self.rollouts[worker] = rollout
            case Forget(instance):
                self._drop(instance)

    def _declare(self, configuration: Configuration) -> None:
        self.configuration, self.declared = configuration, {}
        for spec in configuration.instances:
            self.declared.setdefault(spec.worker, {})[spec.name] = spec
        self._channels = {one.name for one in configuration.channels}
        self._spares = {spec.name: spec for spec in configuration.spares}

    def put(self, value: Instance) -> None:
        name, before = value.spec.name, self.instances.get(value.spec.name)
        old = before.spec.dependencies if before is not None else ()
        if old is not value.spec.dependencies:
            self._bind(name, old, value.spec.dependencies)
        self.instances[name] = value
        if before is None:
            self.workers.setdefault(value.spec.worker, {})
        self.workers[value.spec.worker][name] = value

    def _drop(self, name: str) -> None:
        value = self.instances.pop(name, None)
        if value is not None:
            self._bind(name, value.spec.dependencies, ())
            self.workers[value.spec.worker].pop(name, None)

    def _bind(self, name: str, old: Iterable[Dependency], new: Iterable[Dependency]) -> None:
        for dependency in old:
            self.dependents.get(dependency.worker, set()).discard(name)
        for dependency in new:
            self.dependents.setdefault(dependency.worker, set()).add(name)

    # ------------------------------------------------------------- questions

    def declares(self, spec: InstanceSpec) -> bool:
        """Whether the configuration has this spec, for an instance or for a spare."""
        declared = self.declared.get(spec.worker, {}).get(spec.name)
        return spec in (declared, self._spares.get(spec.name))

    def members(self, worker: str) -> list[Instance]:
        """The instances of a worker that are not about to leave."""
        return [one for one in self.workers.get(worker, {}).values() if not one.retiring]

    def _relied_on(self, worker: str) -> list[Instance]:
        """The instances that dependents may rely on: a roll-out's spare is none of them."""
        rollout = self.rollouts.get(worker)
        spare = rollout.spare if rollout is not None and rollout.active else None
        return [one for one in self.members(worker) if one.spec.name != spare]

    def holds(self, dependency: Dependency) -> bool:
        members = self._relied_on(dependency.worker)
        return bool(members) and all(_meets(one, dependency.condition) for one in members)

    def is_lost(self, dependency: Dependency) -> bool:
        """Whether the condition cannot come true by itself any more."""
        return any(_misses(one, dependency.condition) for one in self._relied_on(dependency.worker))

    def may_start(self, spec: InstanceSpec) -> bool:
        """Whether its channels are there, and the conditions of its start hold, or are to be
        ignored.
        """
        if self.misses(spec):
            return False
        ignored = OnFailedDependency.IGNORE
        return all(
            self.holds(one) or (one.policy is ignored and self.is_lost(one))
            for one in spec.dependencies
        )

    def misses(self, spec: InstanceSpec) -> bool:
        """Whether it has to wait for a channel that is not there, or is no more."""
        return any(one in self.missing or one not in self._channels for one in used(spec))

    def is_blocked(self, spec: InstanceSpec) -> bool:
        """Whether a condition of its start has failed for good, by its own rule."""
        fail = OnFailedDependency.FAIL
        return any(
            one.policy is fail and self.is_lost(one) and not self.holds(one)
            for one in spec.dependencies
        )

    def going_down_after(self, worker: str) -> Iterator[str]:
        """The instances that depend on a worker and are on their way down, `post_stop` included."""
        for name in self.dependents.get(worker, ()):
            instance = self.instances[name]
            state = instance.state
            parts = isinstance(state, Parting) or (isinstance(state, Stopping) and not state.stuck)
            post_stop = under_way(instance, HookPoint.POST_STOP)
            if parts or (post_stop is not None and not post_stop.killed):
                yield name

    def below(self, names: Iterable[str]) -> set[str]:
        """These instances, and all that they depend on, directly or through others."""
        todo, found = [name for name in names if name in self.instances], set[str]()
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                for dependency in self.instances[name].spec.dependencies:
                    todo += self.workers.get(dependency.worker, ())
        return found


def _meets(instance: Instance, condition: Condition) -> bool:
    state, codes = instance.state, instance.spec.restart.success_codes
    match condition:
        case Condition.STARTED:
            return isinstance(state, Running | Readying)
        case Condition.READY:
            return isinstance(state, Running)
        case Condition.HEALTHY:
            return isinstance(state, Running) and state.health is Health.HEALTHY
        case Condition.SUCCEEDED:
            return isinstance(state, Exited) and state.exit.code in codes
        case Condition.COMPLETED:
            return isinstance(state, Exited | Fatal)


def _misses(instance: Instance, condition: Condition) -> bool:
    """Exited, FATAL or blocked: only somebody else can change that."""
    if isinstance(instance.state, Blocked):
        return True
    return isinstance(instance.state, Exited | Fatal) and not _meets(instance, condition)
