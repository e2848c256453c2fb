"""Chance that can be asked for by name: numbers that follow from a key and from nothing else.

Each process, each stimulus and each worker of the file has dice of its own. So a world from which
one of them is left out rolls the same numbers for all others, and a failing trace can be made
shorter without becoming another one.
"""

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

_FACTOR, _MODULUS = 48271, 2**31 - 1
_GAMMA = 0x9E3779B97F4A7C15


class Dice:
    """The minimal standard generator (Park, Miller: Random Number Generators: Good Ones Are Hard
    to Find, 1988; the multiplier is that of 1993), begun at a hash of the key: a world makes many
    dice and rolls them often. Each method rolls by itself, for a call would cost as much again.
    """

    __slots__ = ("_key", "_state")

    def __init__(self, *key: object) -> None:
        self._key = crc32(repr(key).encode()) * _GAMMA
        self._state = 1 + (self._key >> 32) % (_MODULUS - 1)

    def begin_again(self, time: float) -> None:
        """From here on the numbers follow from the key and this time."""
        self._state = 1 + ((self._key ^ hash(time)) * _GAMMA >> 32) % (_MODULUS - 1)

    def random(self) -> float:
        """Between 0 and 1, the 1 excluded."""
        self._state = state = self._state * _FACTOR % _MODULUS
        return state / _MODULUS

    def uniform(self, low: float, high: float) -> float:
        self._state = state = self._state * _FACTOR % _MODULUS
        return low + (high - low) * state / _MODULUS

    def happens(self, probability: float) -> bool:
        self._state = state = self._state * _FACTOR % _MODULUS
        return state < probability * _MODULUS

    def below(self, bound: int) -> int:
        self._state = state = self._state * _FACTOR % _MODULUS
        return state * bound // _MODULUS

    def choice(self, items: Sequence[T]) -> T:
        self._state = state = self._state * _FACTOR % _MODULUS
        return items[state * len(items) // _MODULUS]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Some of the items, each at most once."""
        chosen: dict[int, None] = {}
        while len(chosen) < min(count, len(items)):
            chosen[self.below(len(items))] = None
        return [items[index] for index in chosen]
