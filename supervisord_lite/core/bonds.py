"""What instances mean to each other: whose condition holds, who has to wait, who goes down first.

The fleet tells of every change of an instance (`note`) and asks what it means for the others: the
gate of a start, whether the way down is clear, whom the change concerns. Nobody is started or
stopped here. Only workers that somebody depends on are counted, so the others cost nothing, and a
change costs the same however many instances a worker has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from supervisord_lite.core import reason
from supervisord_lite.core.moment import OPEN, Gate
from supervisord_lite.core.restart import succeeded
from supervisord_lite.core.spec import (
    Condition,
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
    Stopping,
)

_HOLDS: dict[Condition, int] = {condition: 1 << n for n, condition in enumerate(Condition)}
_FAILED: dict[Condition, int] = {condition: 256 << n for n, condition in enumerate(Condition)}
_ALL_HOLD, _ALL_FAILED = sum(_HOLDS.values()), sum(_FAILED.values())
_UP = (Condition.STARTED, Condition.READY, Condition.HEALTHY)


def _mask(bits: Mapping[Condition, int], *conditions: Condition) -> int:
    return sum(bits[condition] for condition in conditions)


_ENDED = _mask(_HOLDS, Condition.SUCCEEDED, Condition.COMPLETED)
_STARTED = _mask(_HOLDS, Condition.STARTED)
_READY = _mask(_HOLDS, Condition.STARTED, Condition.READY)
_HEALTHY = _mask(_HOLDS, *_UP)
_SUCCEEDED = _mask(_HOLDS, Condition.SUCCEEDED, Condition.COMPLETED) | _mask(_FAILED, *_UP)
_NOT_SUCCEEDED = _mask(_HOLDS, Condition.COMPLETED) | _mask(_FAILED, *_UP, Condition.SUCCEEDED)
_BLOCKED = _mask(_FAILED, *Condition)


def meaning(instance: Instance) -> int:
    """Which conditions hold for it, and which cannot come true by themselves, as bits."""
    state = instance.state
    match state:
        case Running():
            return _HEALTHY if state.health is Health.HEALTHY else _READY
        case Readying():
            return _STARTED
        case Exited():
            good = succeeded(instance.spec.restart, state.exit)
            return _SUCCEEDED if good else _NOT_SUCCEEDED
        case Fatal():
            return _NOT_SUCCEEDED
        case Blocked():
            return _BLOCKED
        case _:
            return 0


def meets(instance: Instance, condition: Condition) -> bool:
    """Whether the condition holds as far as this instance is concerned."""
    return bool(meaning(instance) & _HOLDS[condition])


def goes_down(instance: Instance) -> bool:
    """Whether those that it depends on have to wait for its end before their own."""
    state = instance.state
    if isinstance(state, Parting) or (isinstance(state, Stopping) and not state.stuck):
        return True
    return bool(instance.hooks) and any(
        hook.point is HookPoint.POST_STOP and not hook.killed for hook in instance.hooks
    )


class _Tally:
    """How many instances of a worker mean the same, and what all of them mean together: which
    conditions hold for each of them, and which have failed for one, as bits.
    """

    __slots__ = ("_counts", "verdict")

    def __init__(self) -> None:
        self.verdict = 0
        self._counts: dict[int, int] = {}

    def move(self, old: int | None, new: int | None) -> None:
        """One of them means something else now; None: it does not count."""
        counts = self._counts
        if new is not None:
            counts[new] = counts.get(new, 0) + 1
        if old is not None:
            counts[old] -= 1
            if not counts[old]:
                del counts[old]
        holds, failed = _ALL_HOLD if counts else 0, 0
        for one in counts:
            holds, failed = holds & one, failed | one
        self.verdict = holds | (failed & _ALL_FAILED)


@dataclass(frozen=True, slots=True)
class Moved:
    """Whom a change of an instance may concern: `cleared` workers have nobody to wait for on their
    way down. The dependents of its worker have to look at their gates if `changed`, and have lost
    some conditions.
    """

    cleared: tuple[str, ...] = ()
    lost: tuple[Condition, ...] = ()
    changed: bool = False


NOBODY = Moved()


class Bonds:
    """Kept up to date by `note`; all questions are about the fleet as it is then."""

    def __init__(self) -> None:
        self._members: dict[str, dict[str, Instance]] = {}
        self._dependents: dict[str, dict[str, Dependency]] = {}
        self._tallies: dict[str, _Tally] = {}
        self._gates: dict[tuple[str, Condition, bool], Gate] = {}  # those that were ever closed
        self.going_down: dict[str, int] = {}  # worker → instances it has to wait for, if any
        self._spares: set[str] = set()
        self._ranked: dict[str, int] | None = None  # until a dependency changes

    # ------------------------------------------------------------- keeping up to date

    def note(self, before: Instance | None, after: Instance | None) -> Moved:
        """An instance has changed (None: it is not there). Answers whom that may concern."""
        known = after or before
        assert known is not None
        worker = known.spec.worker
        if after is None:
            self._members.get(worker, {}).pop(known.spec.name, None)
        elif worker in self._members:
            self._members[worker][known.spec.name] = after
        else:
            self._members[worker] = {known.spec.name: after}
        cleared = self._note_bonds(before, after)
        tally = self._tallies.get(worker)
        if tally is None:
            return Moved(cleared) if cleared else NOBODY
        was, old, new = tally.verdict, self._meant(before), self._meant(after)
        if old != new:
            tally.move(old, new)
        if was == tally.verdict:
            return Moved(cleared) if cleared else NOBODY
        lost = tuple(
            condition for condition, bit in _HOLDS.items() if was & bit and not tally.verdict & bit
        )
        return Moved(cleared, lost, changed=True)

    def _note_bonds(self, before: Instance | None, after: Instance | None) -> tuple[str, ...]:
        """Keep the index of dependents, and the count of those that go down; answers the workers
        that have nobody to wait for any more.
        """
        old = before.spec.dependencies if before else ()
        new = after.spec.dependencies if after else ()
        if not old and not new:
            return ()
        name = (after or before).spec.name  # type: ignore[union-attr]
        if old != new or before is None or after is None:
            self._ranked = None
            for dependency in old:
                self._dependents[dependency.worker].pop(name, None)
            for dependency in new:
                self._dependents.setdefault(dependency.worker, {})[name] = dependency
                self._count(dependency.worker)
        waited = {d.worker for d in old} if before and goes_down(before) else set()
        waits = {d.worker for d in new} if after and goes_down(after) else set()
        if waited == waits:
            return ()
        for worker in waits - waited:
            self.going_down[worker] = self.going_down.get(worker, 0) + 1
        for worker in waited - waits:
            self.going_down[worker] -= 1
        cleared = tuple(worker for worker in waited - waits if not self.going_down[worker])
        for worker in cleared:
            del self.going_down[worker]
        return cleared

    def _count(self, worker: str) -> _Tally:
        """From now on somebody depends on this worker."""
        if worker in self._tallies:
            return self._tallies[worker]
        tally = self._tallies[worker] = _Tally()
        for instance in self._members.get(worker, {}).values():
            tally.move(None, self._meant(instance))
        return tally

    def set_spares(self, spares: set[str]) -> None:
        """These stand beside the others for a while: nobody depends on them."""
        for name in spares ^ self._spares:
            worker = name.rpartition(":")[0]
            instance, tally = self._members.get(worker, {}).get(name), self._tallies.get(worker)
            if instance is not None and tally is not None and not instance.retiring:
                meant = meaning(instance)
                tally.move(*((meant, None) if name in spares else (None, meant)))
        self._spares = spares

    def _meant(self, instance: Instance | None) -> int | None:
        """None for what does not count: it is not there, is about to leave, or is a spare."""
        if instance is None or instance.retiring or instance.spec.name in self._spares:
            return None
        return meaning(instance)

    # ------------------------------------------------------------- questions

    def gate(self, spec: InstanceSpec) -> Gate:
        """Whether the conditions of a start hold; else the first that does not, and a failed one
        before all others.
        """
        shut = OPEN
        for dependency in spec.dependencies:
            # Where the dependency is as new as the question, nobody has counted yet.
            tally = self._tallies.get(dependency.worker) or self._count(dependency.worker)
            verdict = tally.verdict
            if verdict & _HOLDS[dependency.condition]:
                continue
            failed = verdict & _FAILED[dependency.condition]
            if failed and dependency.policy is OnFailedDependency.IGNORE:
                continue
            if failed and dependency.policy is OnFailedDependency.FAIL:
                return self._closed(dependency, failed=True)
            if shut is OPEN:
                shut = self._closed(dependency, failed=False)
        return shut

    def _closed(self, dependency: Dependency, *, failed: bool) -> Gate:
        """A gate that is asked for again and again while it is closed."""
        about = (dependency.worker, dependency.condition, failed)
        if about not in self._gates:
            why = reason.cannot_be_met if failed else reason.waits_for
            self._gates[about] = Gate(why(dependency), failed)
        return self._gates[about]

    def clear(self, worker: str) -> bool:
        """Whether nothing that depends on this worker has to go down before it."""
        return worker not in self.going_down

    def has_dependents(self, worker: str) -> bool:
        return bool(self._dependents.get(worker))

    def dependents(self, worker: str) -> list[tuple[str, Dependency]]:
        """The instances that depend on a worker, and how."""
        known = self._dependents.get(worker)
        return list(known.items()) if known else []

    def members(self, worker: str) -> Mapping[str, Instance]:
        return self._members.get(worker, {})

    def restarted_with(self, workers: Iterable[str]) -> list[str]:
        """The instances that go down with these workers since they are to be restarted along,
        directly or through others, those furthest away last.
        """
        found: dict[str, None] = {}
        todo = list(dict.fromkeys(workers))
        for worker in todo:
            for name, dependency in self.dependents(worker):
                if dependency.restart_with and name not in found:
                    found[name] = None
                    todo.append(name.rpartition(":")[0])
        return list(found)

    def counting_on(self, instance: Instance) -> list[str]:
        """The instances that are restarted when this one, which has ended, is as if it had not."""
        worker, meant = instance.spec.worker, meaning(instance) & _ENDED
        if not meant or worker not in self._tallies:
            return []
        holds = self._tallies[worker].verdict & meant
        return [
            name
            for name, dependency in self.dependents(worker)
            if dependency.restart_with and _HOLDS[dependency.condition] & holds
        ]

    def needed(self, names: Iterable[str], instances: Mapping[str, Instance]) -> list[str]:
        """The instances that have to be started too if these are to start: of what they depend on,
        directly or through others, those that do not meet their condition.
        """
        found: dict[str, None] = {}
        todo = [name for name in names if name in instances]
        for name in todo:
            for dependency in instances[name].spec.dependencies:
                for other, instance in self.members(dependency.worker).items():
                    if other not in found and not meets(instance, dependency.condition):
                        found[other] = None
                        todo.append(other)
        return list(found)

    def downwards(self, names: Iterable[str]) -> list[str]:
        """These instances, dependents before what they depend on."""
        if not self._tallies:
            return list(names)
        return sorted(names, key=lambda name: -self._rank(name.rpartition(":")[0]))

    def workers_downwards(self, workers: Iterable[str]) -> list[str]:
        return sorted(workers, key=lambda worker: -self._rank(worker))

    def _rank(self, worker: str) -> int:
        if self._ranked is None:
            self._ranked = self._ranks()
        return self._ranked.get(worker, 0)

    def _ranks(self) -> dict[str, int]:
        """For each worker how long the longest chain of dependencies below it is. No configuration
        has a circle; but old and new specs may stand side by side, and then it counts as 0.
        """
        ranks: dict[str, int] = {}
        entered: set[str] = set()
        stack = list(self._members)
        while stack:
            worker = stack[-1]
            below = {
                dependency.worker
                for instance in self._members.get(worker, {}).values()
                for dependency in instance.spec.dependencies
            }
            todo = [one for one in below if one not in ranks and one not in entered]
            if worker not in entered:
                entered.add(worker)
                stack += todo
            if not todo or worker in ranks:
                ranks.setdefault(worker, max((1 + ranks.get(one, 0) for one in below), default=0))
                stack.pop()
        return ranks
