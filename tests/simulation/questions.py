"""What people ask at any time: why an instance is as it is, and what a reload would do. There is
always an answer, and it names the channel that somebody waits for.
"""

from collections.abc import Iterable

from supervisord_lite.core.brief import why
from supervisord_lite.core.explain import explain
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.situation import Situation
from supervisord_lite.core.state import Waiting

from .invariant import require


def ask_why(fleet: Fleet, names: Iterable[str], now: float) -> None:
    situation = Situation(
        fleet.instances,
        fleet.bonds,
        fleet.rollouts,
        fleet.configuration,
        fleet.shutdown,
        now,
        str,
        str,
        lambda _: "",
    )
    for name in names:
        instance = fleet.instances[name]
        said = explain(name, situation)
        require(said.causes and why(instance) is not None, "nobody knows why", instance)
        state = instance.state
        if isinstance(state, Waiting) and state.reason.startswith("waits for channel"):
            told = any(state.reason in cause.text for cause in said.causes)
            require(told, "the channel is not told of", instance, said)
