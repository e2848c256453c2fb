"""Hypothesis drives the same world: it chooses what comes from outside and when, and shrinks what
fails in its own way.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from .stimuli import ALL, EACH, Stimulus
from .world import Setting, World

MOST_TURNS = 20_000  # a calm takes some; a world that goes on for ever is none of ours

kinds = st.sampled_from(sorted(kind for kind in ALL | EACH if kind not in ("calm down", "doom")))
seeds = st.integers(0, 2**16)


class WorldMachine(RuleBasedStateMachine):
    """A machine with up to a dozen instances, to which things happen."""

    world: World

    @initialize(seed=seeds, size=st.integers(1, 12))
    def boot(self, seed: int, size: int) -> None:
        self.world = World(Setting(f"hypothesis.{seed}", size, stimuli=()))
        self._go_on(50)

    @rule(kind=kinds, seed=seeds, turns=st.integers(0, 40))
    def something_happens(self, kind: str, seed: int, turns: int) -> None:
        self.world.stimulate(Stimulus(self.world.keeper.now, kind, seed))
        self._go_on(turns)

    @rule(turns=st.integers(0, 30))
    def the_manager_is_doomed(self, turns: int) -> None:
        """It dies over its next step, after any of its packets."""
        self.world.stimulate(Stimulus(self.world.keeper.now, "doom", 0))
        self._go_on(turns)

    @rule(turns=st.integers(1, 300))
    def time_passes(self, turns: int) -> None:
        self._go_on(turns)

    @rule()
    def all_comes_to_rest(self) -> None:
        """The invariants of rest are asked at the end of the calm."""
        self.world.stimulate(Stimulus(self.world.keeper.now, "calm down", 0))
        for _ in range(MOST_TURNS):
            if not self.world.keeper.calm:
                return
            self._go_on(1)

    @invariant()
    def nothing_is_overdue(self) -> None:
        """All others are asked at each step, by the world itself."""
        if hasattr(self, "world") and not self.world.over:
            deadline = self.world.fleet.deadline()
            behind = self.world.keeper.facts or self.world.orders
            assert behind or deadline is None or deadline >= self.world.keeper.now - 1e-9

    def _go_on(self, turns: int) -> None:
        for _ in range(turns):
            if self.world.over or self.world.quiet:
                return
            self.world.turn()


TestWorld = WorldMachine.TestCase
TestWorld.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
