"""Chance that can be asked for by name: numbers that follow from a key and from nothing else.

Each process, each stimulus and each worker of the file has dice of its own. So a world from which
one of them is left out rolls the same numbers for all others, and a failing trace can be made
shorter without becoming another one.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


class Dice:
    """SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""

    __slots__ = ("_key", "_state")

    def __init__(self, *key: object) -> None:
        digest = blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
        self._key = self._state = int.from_bytes(digest, "big")

    def begin_again(self, time: float) -> None:
        """From here on the numbers follow from the key and this time."""
        self._state = self._key ^ (hash(time) * _GAMMA & _MASK)

    def random(self) -> float:
        """Between 0 and 1, the 1 excluded."""
        self._state = mixed = (self._state + _GAMMA) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def happens(self, probability: float) -> bool:
        return self.random() < probability

    def below(self, bound: int) -> int:
        return int(self.random() * bound)

    def choice(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Some of the items, each at most once."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]
