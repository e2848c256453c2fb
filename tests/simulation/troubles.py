"""The judge of channels that cannot be had: they cost nobody a failed start, and whoever waits for
one goes on once it is there.
"""

from supervisord_lite.core.event import ChannelFound, SpawnFailed
from supervisord_lite.core.state import Backoff, Fatal, Instance, Waiting

from .channels import REFUSED, used
from .invariant import require
from .keeper import Keeper
from .step import Step


class Troubles:
    def __init__(self) -> None:
        self._unknown: set[tuple[str, int]] = set()  # refused before this manager was there

    def manager_died(self, keeper: Keeper) -> None:
        runs = keeper.runs.values()
        self._unknown = {(one.instance, one.number) for one in runs if one.error[0] == REFUSED}

    def found(self, step: Step, event: ChannelFound) -> None:
        """Before the commands are read."""
        if event.trouble is None:
            step.view.missing.pop(event.channel, None)
        else:
            step.view.missing[event.channel] = event.trouble

    def ended(self, step: Step) -> None:
        event = step.event
        if isinstance(event, ChannelFound):
            for instance in step.view.instances.values():
                if isinstance(instance.state, Waiting) and event.channel in used(instance.spec):
                    require(not _may_go_on(step, instance), "waits for a channel", instance)
        elif isinstance(event, SpawnFailed) and event.stage == REFUSED:
            self._refused(step, event)

    def _refused(self, step: Step, event: SpawnFailed) -> None:
        for before, after in step.changes:
            if after.spec.name != event.instance or before is None:
                continue
            unknown = (event.instance, event.run) in self._unknown
            if unknown and not step.view.misses(after.spec):
                continue  # it was mended when nobody was there to hear of it
            costs = after.attempts > before.attempts or len(after.failures) > len(before.failures)
            failed = isinstance(after.state, Backoff | Fatal)
            require(not costs and not failed, "a missing channel is a failed start", before, after)


def _may_go_on(step: Step, instance: Instance) -> bool:
    ends = step.view.shutdown is not None or instance.held or instance.hooks
    return not ends and step.view.may_start(instance.spec)
