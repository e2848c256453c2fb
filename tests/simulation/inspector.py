"""The invariants: what must hold of every instance that a step has touched, and of all at rest.

The keeper judges what it is asked to do; this judges what the fleet says it has decided.
"""

from dataclasses import replace

from supervisord_lite.core.command import Command, Remember, Spawn
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Emptied,
    Event,
    MainExited,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.state import (
    Backoff,
    Exited,
    Fatal,
    Instance,
    Running,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    due,
    live_run,
)

from .keeper import Keeper, require

FACTS = (Spawned, SpawnFailed, MainExited, Emptied)


class Inspector:
    """What the outside remembers in order to judge: answered stops, and failed starts."""

    def __init__(self) -> None:
        self.stopped: dict[str, bool] = {}  # the stop was answered and nothing came since
        self.failed: dict[str, list[float]] = {}
        self.fresh: dict[str, bool] = {}  # somebody has asked for a start with a clean slate

    def forget(self, names: list[str]) -> None:
        for name in names:
            self.stopped.pop(name, None)
            self.failed.pop(name, None)

    def step(self, fleet: Fleet, event: Event, commands: list[Command], now: float) -> list[str]:
        """Check one step; returns the names of the instances that it touched."""
        touched: dict[str, Instance] = {}
        for command in commands:
            if isinstance(command, Remember):
                touched[command.instance] = command.value
            elif isinstance(command, Spawn):
                value = touched.get(command.instance)
                require(not fleet.shutting_down, "ordered a spawn during a shutdown", command)
                require(value is None or not value.held, "started in spite of the hold", command)
        if touched:
            deadline = fleet.deadline()
            for name, value in touched.items():
                present = fleet.instances.get(name)
                if present is None:
                    require(value.retiring, "an instance vanished", name)
                    self.forget([name])
                    continue
                require(present is value, "what is remembered is not what is", name)
                self._instance(present, event, deadline, now)
                self._failures(present, event, now)
                if present.retiring:
                    self.forget([name])  # what comes back by this name will be another
                elif self.stopped.get(name):
                    require(not present.wanted, "a stopped instance came back", name, event)
        return list(touched)

    def answered(self, fleet: Fleet, event: Event) -> None:
        """All orders of the step have left: from here on it binds."""
        if isinstance(event, StopRequested):
            for name in event.instances:
                instance = fleet.instances.get(name)
                self.stopped[name] = instance is not None and not instance.retiring

    def asked(self, event: Event) -> None:
        """What takes an earlier stop back, whether or not it is carried out."""
        if isinstance(event, StartRequested | RestartRequested):
            for name in event.instances:
                self.stopped.pop(name, None)
                self.fresh[name] = True

    def _instance(
        self, instance: Instance, event: Event, deadline: float | None, now: float
    ) -> None:
        state, wanted = instance.state, instance.wanted
        at = due(state)
        if at is not None:
            require(deadline is not None and deadline <= at, "nobody waits for it", instance)
            rang = isinstance(event, AlarmRang)
            require(at > now or not rang, "it is due and nothing has happened", instance)
        match state:
            case Waiting() | Fatal():
                require(wanted and state.reason, "down without a reason", instance)
            case Backoff() | Starting() | Running():
                require(wanted, "up, but not wanted", instance)
            case Stopped() | Exited():
                require(not wanted, "wanted, but nothing is done about it", instance)
            case Stopping():
                unanswered = state.pid is None and state.exit is None
                require(at is not None or unanswered or state.stuck, "stops for ever", instance)
        run = live_run(state)
        require(run is None or run == instance.last_run, "an earlier run lives", instance)

    def _failures(self, instance: Instance, event: Event, now: float) -> None:
        """Another try after a failed start is taken only below the limit, in every window."""
        name, limit = instance.spec.name, instance.spec.restart.limit
        if isinstance(event, Configured):
            self.fresh[name] = True
        starts = isinstance(instance.state, Starting)
        if starts and not instance.attempts and self.fresh.pop(name, False):
            self.failed.pop(name, None)
        retries = isinstance(instance.state, Backoff) or (starts and instance.attempts)
        if not retries or not isinstance(event, FACTS):
            return
        if limit is None:
            self.failed.pop(name, None)
            return
        recent = [time for time in self.failed.get(name, ()) if now - time <= limit.within]
        recent.append(now)
        self.failed[name] = recent
        require(len(recent) < limit.count, "too many tries in a window", instance, recent)


def at_rest(fleet: Fleet, keeper: Keeper) -> None:
    """Once the faults have stopped for a while, everybody agrees and every wish is fulfilled."""
    live, written = {}, set()
    for name, instance in fleet.instances.items():
        state = instance.state
        remembered = keeper.remembered.get(name)
        require(remembered is not None, "the keeper does not remember", instance)
        assert remembered is not None
        same = replace(remembered, held=instance.held) == instance  # a hold is each manager's own
        require(same, "the keeper remembers another", instance)
        require(not instance.retiring, "removed but still there", instance)
        if instance.wanted:
            require(isinstance(state, Running | Fatal), "wanted, but not up", instance)
        else:
            require(isinstance(state, Stopped | Exited), "not wanted, but not down", instance)
        if not isinstance(state, Stopped | Exited):
            written |= {instance.spec.program.stdout.channel, instance.spec.program.stderr.channel}
        run = live_run(state)
        if run is not None:
            live[name] = run
    writable = {channel for channel, is_open in keeper.writable.items() if is_open}
    require(written - {None} == writable, "the wrong write ends are open", written, writable)
    unburied = {name: run.number for name, run in keeper.runs.items()}
    require(live == unburied, "fleet and keeper disagree", live, unburied)
    names = {spec.name for spec in fleet.configuration.instances} if fleet.configuration else set()
    require(names == set(fleet.instances), "not the configured instances", names)
    require(names == set(keeper.remembered), "records of others", set(keeper.remembered) - names)
