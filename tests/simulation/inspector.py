"""The invariants: every step is read command by command and put before the judges.

The keeper judges what it is asked to do; this judges what the fleet says it has decided.
"""

from supervisord_lite.core.command import Command, Note, Remember, Spawn
from supervisord_lite.core.event import Event, Recovered
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import Kind, OnExit
from supervisord_lite.core.state import Exited, Fatal, Instance, Readying, Running, Stopping

from .keeper import Keeper, require
from .lives import Lives, Tries, Wishes
from .order import Starts, Stops, has_ended
from .step import Step
from .times import Times
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
        self._owed: set[str] = set()  # critical instances whose end means a shutdown

    # ------------------------------------------------------------- steps

    def step(
        self,
        fleet: Fleet,
        event: Event | Recovered,
        commands: list[Command],
        deadline: float | None,
        now: float,
    ) -> Step:
        step = Step(event, now, commands, self.view, self.offset)
        for judge in (self._starts, self._times, self._wishes):
            judge.told(step)
        view = self.view
        for command in commands:
            if isinstance(command, Remember):
                before = view.instances.get(command.instance)
                view.put(command.value)
                self._changed(step, before, command.value)
            elif isinstance(command, Spawn):
                ends = fleet.shutting_down and not isinstance(event, Recovered)
                require(not ends, "ordered a spawn during a shutdown", command)
            else:
                view.apply(command)
        if step.changes:
            self._stops.ended(step)
            self._look_at_all(step, fleet, deadline)
        return step

    def _changed(self, step: Step, before: Instance | None, after: Instance) -> None:
        """Each judge is asked only about what he has an opinion on: most changes are no matter of
        most of them.
        """
        step.changes.append((before, after))
        self._starts.changed(step, before, after)
        self._tries.changed(step, before, after)
        if isinstance(after.state, Stopping):
            self._stops.changed(step, before, after)
        if self.view.rollouts:
            self._turns.changed(step, before, after)
        if after.spec.kind is Kind.JOB:
            self._times.changed(step, before, after)
        if after.retiring:
            self._wishes.changed(after)

    def _look_at_all(self, step: Step, fleet: Fleet, deadline: float | None) -> None:
        firsts: dict[str, Instance | None] = {}
        for before, after in step.changes:
            name = after.spec.name
            first = firsts.setdefault(name, before)
            present, known = fleet.instances.get(name), self.view.instances.get(name)
            require(present is known, "what is remembered is not what is", name, known)
            if present is None:
                self._forget([name])
            elif present is after:
                self._lives.ended(step, first, present, deadline)
                self._wishes.ended(step, present)
            if after.spec.on_exit is not OnExit.NOTHING:
                self._judge_critical(step, before, after, deadline, held=fleet.held)

    def _judge_critical(
        self,
        step: Step,
        before: Instance | None,
        after: Instance,
        deadline: float | None,
        *,
        held: bool,
    ) -> None:
        """The end of a critical instance is the end of all, or of all runs."""
        if not has_ended(before, after, Exited, Fatal) or before is None:
            return
        if after.spec.on_exit is OnExit.SHUTDOWN:
            require(step.view.shutdown, "a critical end came to nothing", after)
            self._owed.add(after.spec.name)
            return
        # All are restarted now, or later, or it is told that they are not any more.
        told = any(isinstance(command, Note) for command in step.commands)
        if step.view.shutdown is None and not held and not told and deadline is None:
            up = [
                name
                for name, one in step.view.instances.items()
                if isinstance(one.state, Running | Readying)
            ]
            require(not up, "a critical end did not restart all", after, up)

    # ------------------------------------------------------------- between steps

    def answered(self, step: Step) -> None:
        """All orders of the step have left."""
        self._wishes.answered(step)

    def manager_died(self, keeper: Keeper, step: Step | None) -> None:
        """Only what has reached the keeper is true."""
        self._forget([after.spec.name for _, after in step.changes] if step else [])
        self.view = View.of(keeper)
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
