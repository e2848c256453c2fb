"""The judge of roll-outs: none takes an instance down that would leave too few RUNNING."""

from supervisord_lite.core.spec import Kind, Strategy
from supervisord_lite.core.state import Instance, Parting, Running, Stopping

from .invariant import require
from .step import BY_TURNS, Step


class Turns:
    """Deaths by themselves, and what operators do, are nobody's fault."""

    def changed(self, step: Step, after: Instance) -> None:
        """It was RUNNING."""
        state, worker = after.state, after.spec.worker
        if not isinstance(state, Parting | Stopping) or not state.asked:
            return
        if after.retiring or not after.wanted or BY_TURNS.isdisjoint(step.whys(after.spec.name)):
            return
        rollout = step.view.rollouts.get(worker)
        declared = step.view.declared.get(worker, {})
        if rollout is None or not rollout.active or after.spec.name not in declared:
            return
        services = (spec.update for spec in declared.values() if spec.kind is Kind.SERVICE)
        policy = next(services, None)
        if policy is None or policy.strategy is Strategy.RECREATE:
            return
        if after.spec.kind is not Kind.SERVICE:
            return
        members = step.view.members(worker)
        count = sum(one.wanted for one in members if one.spec.name in declared)
        running = sum(isinstance(one.state, Running) for one in members)
        away = policy.max_unavailable
        if policy.strategy is Strategy.START_FIRST:
            # There is no spare on the way back, nor once it has ended or belongs to the worker.
            beside = [one for one in members if one.spec.name == rollout.spare and one.wanted]
            away = 0 if beside and rollout.spare not in declared else 1
        require(running >= count - away, "a roll-out went below its floor", after, running, count)
