"""What a manager finds out about runs, virtually: that they are ready, how healthy they are.

It follows each instance as the real one does: what is to be found out is a level of its state, and
nothing about it outlives the manager. The verdicts come from the virtual processes.
"""

from collections.abc import Callable
from math import isinf

from supervisord_lite.core.event import BecameReady, Finding, HealthFound, TimeExtended
from supervisord_lite.core.state import Instance, Readying, Running, Stopping

from .keeper import Keeper
from .processes import Run, Stage

Followed = tuple[str, int]


class Prober:
    """`tell` hands a finding to the manager of the moment."""

    def __init__(self, keeper: Keeper, tell: Callable[[Finding], None]) -> None:
        self._keeper = keeper
        self._tell = tell
        self._followed: dict[str, Followed] = {}
        self._said: dict[str, bool] = {}  # instance → the last verdict about its health

    def follow(self, instance: Instance) -> None:
        name, state = instance.spec.name, instance.state
        what: Followed | None = None
        if isinstance(state, Readying) and instance.spec.ready is not None:
            what = ("ready", state.run)
        elif isinstance(state, Running) and instance.spec.health is not None:
            what = ("health", state.run)
        if what == self._followed.get(name):
            return
        self._said.pop(name, None)
        if what is None:
            self._followed.pop(name, None)
            return
        self._followed[name] = what
        self._begin(name, what)

    def _begin(self, name: str, what: Followed) -> None:
        run = self._run(name, what[1])
        if run is None:
            return
        keeper = self._keeper
        if what[0] == "health":
            keeper.schedule(run.dice.uniform(0.2, 4.0), self._check, name, what)
            return
        if not isinf(run.ready):
            keeper.schedule(max(0.0, run.ready - keeper.now), self._succeed, name, what)
        if run.dice.happens(0.2):
            keeper.schedule(run.dice.uniform(0.0, 2.0), self._extend, name, what)

    def _run(self, name: str, number: int) -> Run | None:
        run = self._keeper.runs.get(name)
        return run if run is not None and run.number == number else None

    def _succeed(self, name: str, what: Followed) -> None:
        """News of a run that is over may still be on its way."""
        run = self._run(name, what[1])
        if run is not None and (self._followed.get(name) == what or run.dice.happens(0.2)):
            self._tell(BecameReady(name, what[1]))

    def _extend(self, name: str, what: Followed) -> None:
        run = self._run(name, what[1])
        if run is not None and self._followed.get(name) == what and not self._keeper.calm:
            until = self._keeper.now + run.dice.uniform(0.0, 8.0)
            self._tell(TimeExtended(name, what[1], until))

    def _check(self, name: str, what: Followed) -> None:
        run = self._run(name, what[1])
        if run is None or run.stage is not Stage.ALIVE or self._followed.get(name) != what:
            return
        healthy = self._keeper.calm or run.dice.happens(0.8)
        self._keeper.schedule(run.dice.uniform(2.0, 20.0), self._check, name, what)
        if self._said.get(name) != healthy:
            self._said[name] = healthy
            self._tell(HealthFound(name, what[1], healthy, "no answer"))


def extension(instance: Instance, until: float) -> TimeExtended | None:
    """A run that is going down asks for more time."""
    state = instance.state
    if isinstance(state, Stopping) and state.deadline is not None:
        return TimeExtended(instance.spec.name, state.run, until)
    return None
