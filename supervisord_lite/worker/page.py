"""The page of a queue that is bounded in messages: how many were put and got, kept by its users.

Producers count under one lock, consumers under another, so that one of each never wait for each
other. Who counts says so first, by a flag: whoever finds the flag of one that was killed in between
counts what really is in the queue. Who sends or receives without knowing of the page is found out
by `recount`, too. The layout is described where channels are made.
"""

import mmap
from collections.abc import Callable
from typing import Any

from supervisord_lite.worker.mutex import Mutex, mutex_on
from supervisord_lite.worker.opening import open_again
from supervisord_lite.worker.owned import Owned

_MAGIC = int.from_bytes(b"SLQUEUE1", "little")
_MAGIC_WORD, _CAPACITY, _PUTTING, _GETTING, _PUTS, _GETS, _WAITING = range(7)  # u64 each


class Page:
    """`count` tells what is in the queue; it is called while `walking` is held."""

    def __init__(self, memory: Owned, count: Callable[[], int]) -> None:
        self._count = count
        self._opening = open_again(memory.fd)
        self._producers: Mutex = mutex_on(self._opening, 0)
        self._consumers: Mutex = mutex_on(self._opening, 1)
        self.walking: Mutex = mutex_on(self._opening, 2)
        self._words = memoryview(mmap.mmap(memory.fd, 0)).cast("Q")
        if self._words[_MAGIC_WORD] != _MAGIC:
            raise ValueError(f"cannot use descriptor {memory.fd} as the page of a queue")

    @property
    def capacity(self) -> int:
        """In messages; 0: there is none. It may grow."""
        return self._words[_CAPACITY]

    def depth(self) -> int:
        """How many messages are in the queue."""
        return max(self._words[_PUTS] - self._words[_GETS], 0)

    def put(self, send: Callable[[], bool]) -> bool | None:
        """Send and count a message. False: there was no room for so many messages, which consumers
        know now; None: `send` had no room for so many bytes.
        """
        return self._producers.during(lambda: self._send(send))

    def get(self, receive: Callable[[], Any | None]) -> tuple[Any | None, bool]:
        """Receive and count a message, None if there is none; and whether a producer waits for
        room that is worth to be told of: a half-empty queue saves a switch for every message.
        """
        found = self._consumers.during(
            lambda: None if self._words[_GETTING] else self._receive(receive)
        )
        if found is None:
            self.recount()
            found = self._consumers.during(lambda: self._receive(receive))
        return found

    def recount(self) -> None:
        """Set right what a killed process has left, or one that does not count."""
        self._producers.during(lambda: self._consumers.during(self._count_anew))

    def _send(self, send: Callable[[], bool]) -> bool | None:
        words = self._words
        if not self._has_room():
            words[_WAITING] = 1
            if not self._has_room():
                return False
        words[_PUTTING] = 1
        sent = send()
        if sent:
            words[_PUTS] += 1
        words[_PUTTING] = 0
        return sent or None

    def _receive(self, receive: Callable[[], Any | None]) -> tuple[Any | None, bool]:
        words = self._words
        words[_GETTING] = 1
        got = receive()
        if got is not None:
            words[_GETS] += 1
        words[_GETTING] = 0
        if not words[_WAITING] or 2 * self.depth() > words[_CAPACITY]:
            return got, False
        words[_WAITING] = 0
        return got, True

    def _has_room(self) -> bool:
        """Asked by the producer. A consumer at work may be one that was killed at it."""
        words = self._words
        if words[_PUTTING]:
            self._consumers.during(self._count_anew)
        if words[_PUTS] - words[_GETS] < words[_CAPACITY]:
            return True
        if words[_GETTING]:
            self._consumers.during(lambda: self._count_anew() if words[_GETTING] else None)
        return words[_PUTS] - words[_GETS] < words[_CAPACITY]

    def _count_anew(self) -> None:
        words = self._words
        inside = self.walking.during(self._count)
        if inside <= words[_PUTS]:
            words[_GETS] = words[_PUTS] - inside
        else:
            words[_PUTS] = words[_GETS] + inside
        words[_PUTTING] = words[_GETTING] = 0
