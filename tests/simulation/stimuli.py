"""Stimuli: all that comes from outside, each with a time and dice of its own.

A script is a list of them. It follows from a seed, or it is what is left of a longer one after
everything was removed that a violation did not need.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heapreplace

from .dice import Dice


@dataclass(frozen=True, slots=True)
class Stimulus:
    """`time` is in seconds since the machine was booted."""

    time: float
    kind: str
    seed: int


# The mean number of seconds between two of a kind. Operators and findings come more often the
# more instances there are: these two are for one instance.
EACH = {"ask": 12.0, "find": 25.0}
ALL = {
    "reload": 45.0,
    "scale": 90.0,
    "roll out": 60.0,
    "set the clock": 60.0,
    "channel": 20.0,
    "edit channels": 150.0,
    "doom": 40.0,
    "say again": 60.0,
    "keeper dies": 1500.0,
    "calm down": 700.0,
    "shut down": 900.0,
}


def script(seed: str, size: int) -> Iterator[Stimulus]:
    """What happens to a world of so many instances, without an end."""
    means = ALL | {kind: mean / size for kind, mean in EACH.items()}
    dice = {kind: Dice(seed, kind) for kind in means}
    coming = [(dice[kind].uniform(0.0, 2.0 * mean), kind) for kind, mean in means.items()]
    heapify(coming)
    while True:
        time, kind = coming[0]
        yield Stimulus(time, kind, dice[kind].below(1 << 32))
        heapreplace(coming, (time + dice[kind].uniform(0.0, 2.0 * means[kind]), kind))
