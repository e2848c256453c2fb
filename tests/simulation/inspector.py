"""The invariants: every step is read command by command and put before the judges.

The keeper judges what it is asked to do; this judges what the fleet says it has decided.
"""

from collections.abc import Callable
from typing import Any

from supervisord_lite.core.command import (
    Command,
    Forget,
    Note,
    Remember,
    RememberFleet,
    RememberRollout,
    Spawn,
)
from supervisord_lite.core.event import (
    ChannelFound,
    ClockSet,
    Event,
    MainExited,
    Recovered,
    RestartRequested,
    RunRequested,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import Kind, OnExit
from supervisord_lite.core.state import Exited, Fatal, Instance, Readying, Running, Stopping

from .invariant import ViolationError, require
from .keeper import Keeper
from .lives import Lives, Tries, Wishes
from .order import Starts, Stops, has_ended
from .step import Step
from .times import Times
from .troubles import Troubles
from .turns import Turns
from .view import View


class Inspector:
    """What the outside remembers in order to judge."""

    def __init__(self) -> None:
        self.view = View()
        self.offset = 0.0
        self._starts, self._stops = Starts(), Stops()
        self._turns, self._times = Turns(), Times()
        self._lives, self._tries, self._wishes = Lives(), Tries(), Wishes()
        self._troubles = Troubles()
        self._owed: set[str] = set()  # critical instances whose end means a shutdown
        # Who is told of what; of all other events and commands nobody.
        self._told: dict[type, Callable[[Step, Any], None]] = {
            MainExited: self._starts.told,
            ChannelFound: self._troubles.found,
            ClockSet: self._times.told,
            StartRequested: self._wishes.told,
            RunRequested: self._wishes.told,
            RestartRequested: self._wishes.told,
        }
        self._ordered: dict[type, Callable[[Step, Any], None]] = {
            Remember: self._remember,
            RememberFleet: self._apply,
            RememberRollout: self._apply,
            Forget: self._apply,
            Spawn: self._spawn,
        }

    # ------------------------------------------------------------- steps

    def step(
        self,
        fleet: Fleet,
        event: Event | Recovered,
        commands: list[Command],
        deadline: float | None,
        now: float,
    ) -> Step:
        step = Step(fleet, event, now, commands, deadline, self.view, self.offset)
        told = self._told.get(type(event))
        if told is not None:
            told(step, event)
        for command in commands:
            ordered = self._ordered.get(type(command))
            if ordered is not None:
                ordered(step, command)
        if step.changes:
            self._stops.ended(step)
            self._look_at_all(step)
        if isinstance(event, ChannelFound | SpawnFailed):
            self._troubles.ended(step)
        return step

    def _apply(self, step: Step, command: RememberFleet | RememberRollout | Forget) -> None:
        step.view.apply(command)

    def _spawn(self, step: Step, command: Spawn) -> None:
        ends = step.view.shutdown is not None and not isinstance(step.event, Recovered)
        require(not ends, "ordered a spawn during a shutdown", command)

    def _remember(self, step: Step, command: Remember) -> None:
        """Each judge is asked only about what he has an opinion on: most changes are no matter of
        most of them.
        """
        before, after = step.view.instances.get(command.instance), command.value
        step.view.put(after)
        step.changes.append((before, after))
        if before is None or before.spec is not after.spec:
            self._lives.changed(step, before, after)
        self._starts.changed(step, before, after)
        self._tries.changed(step, before, after)
        if isinstance(after.state, Stopping):
            self._stops.changed(step, before, after)
        if before is not None and isinstance(before.state, Running) and self.view.rollouts:
            self._turns.changed(step, after)
        if after.spec.kind is Kind.JOB:
            self._times.changed(step, before, after)
        if after.retiring:
            self._wishes.changed(after)

    def _look_at_all(self, step: Step) -> None:
        fleet = step.fleet
        firsts: dict[str, Instance | None] = {}
        for before, after in step.changes:
            name = after.spec.name
            first = firsts.setdefault(name, before)
            present, known = fleet.instances.get(name), self.view.instances.get(name)
            if present is not known:
                raise ViolationError("what is remembered is not what is", name, known)
            if present is None:
                self._forget([name])
            elif present is after:
                self._lives.ended(step, first, present)
                self._wishes.ended(step, present)
            if after.spec.on_exit is not OnExit.NOTHING:
                self._judge_critical(step, before, after)

    def _judge_critical(self, step: Step, before: Instance | None, after: Instance) -> None:
        """The end of a critical instance is the end of all, or of all runs."""
        if not has_ended(before, after, Exited, Fatal) or before is None:
            return
        if after.spec.on_exit is OnExit.SHUTDOWN:
            require(step.view.shutdown, "a critical end came to nothing", after)
            self._owed.add(after.spec.name)
            return
        # All are restarted now, or later, or it is told that they are not any more.
        told = any(isinstance(command, Note) for command in step.commands)
        ends = step.view.shutdown is not None or step.fleet.held
        if not ends and not told and step.deadline is None:
            up = [
                name
                for name, one in step.view.instances.items()
                if isinstance(one.state, Running | Readying)
            ]
            require(not up, "a critical end did not restart all", after, up)

    # ------------------------------------------------------------- between steps

    def answered(self, step: Step) -> None:
        """All orders of the step have left."""
        if isinstance(step.event, StopRequested):
            self._wishes.answered(step)

    def manager_died(self, keeper: Keeper, step: Step | None) -> None:
        """Only what has reached the keeper is true."""
        self._forget([after.spec.name for _, after in step.changes] if step else [])
        self.view = View.of(keeper)
        self._troubles.manager_died(keeper)
        self._owed = {name for name in self._owed if self._has_ended(name)}

    def recovered(self, fleet: Fleet) -> None:
        """What was decided and is half done has been finished."""
        require(not self._owed or fleet.shutdown, "a critical end was forgotten", self._owed)

    def _has_ended(self, name: str) -> bool:
        instance = self.view.instances.get(name)
        return instance is not None and isinstance(instance.state, Exited | Fatal)

    def _forget(self, names: list[str]) -> None:
        for judge in (self._wishes, self._times, self._tries):
            judge.forget(names)
