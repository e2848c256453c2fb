"""Users of channels are killed by SIGKILL at random: no message is lost or doubled, nothing stays
locked, capacities stay right.
"""

import multiprocessing
import os
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from queue import Empty, Full
from typing import Any

import pytest

from tests.worker.made import Made

pytestmark = [
    pytest.mark.soak,
    # They are forked while the test runner may have threads.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

KILLS = 600 if os.environ.get("SOAK") == "1" else 30
DEADLINE = 60.0
CAPACITY = 20
forking = multiprocessing.get_context("fork")


class Crew:
    """Processes that run one function, each with a number of its own, until they are killed."""

    def __init__(self, work: Callable[[int], None], size: int) -> None:
        self._work = work
        self.started = 0
        self.killed: list[int] = []
        self._members: dict[int, Any] = {}
        for _ in range(size):
            self._start()

    def kill_one(self, dice: random.Random) -> None:
        """One that dice choose; another one takes its place."""
        self._kill(dice.choice(list(self._members)))
        self._start()

    def kill_all(self) -> None:
        for number in list(self._members):
            self._kill(number)

    def _start(self) -> None:
        number = self.started
        self.started += 1
        process = forking.Process(target=self._work, args=(number,), daemon=True)
        process.start()
        self._members[number] = process

    def _kill(self, number: int) -> None:
        process = self._members.pop(number)
        process.kill()
        process.join()
        process.close()
        self.killed.append(number)


class Ledger:
    """What each process has done, in files that outlive it: a line is written by one call."""

    _LINE = struct.Struct("=qq")

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, who: str) -> Callable[[int, int], object]:
        """What writes lines of this one."""
        path = self._directory / who
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return lambda first, second: os.write(fd, self._LINE.pack(first, second))

    def of(self, who: str) -> list[tuple[int, int]]:
        path = self._directory / who
        data = path.read_bytes() if path.exists() else b""
        return [(first, second) for first, second in self._LINE.iter_unpack(data)]

    def size(self, kind: str) -> int:
        return sum(path.stat().st_size for path in self._directory.glob(f"{kind}-*"))


@contextmanager
def at_work(*crews: Crew) -> Iterator[None]:
    try:
        yield
    finally:
        for crew in crews:
            crew.kill_all()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, "nothing moves any more"
        time.sleep(0.0005)


def kill_at_random(crews: list[Crew], moved: Callable[[], int], times: int) -> None:
    """Kill members of the crews, each when a few more things have been done."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(times):
        goal = moved() + dice.randrange(1, 40) * 16
        wait_for(lambda goal=goal: moved() >= goal)  # type: ignore[misc]
        dice.choice(crews).kill_one(dice)


def producing(queue: Any, ledger: Ledger) -> Callable[[int], None]:
    """Puts (who, which), and notes each before and after."""

    def produce(number: int) -> None:
        note = ledger.note(f"put-{number}")
        body = bytes(50_000) if number % 3 == 0 else b""  # some go by memfd
        for which in count():
            note(which, 0)
            queue.put((number, which, body))
            note(which, 1)

    return produce


def consuming(queue: Any, ledger: Ledger) -> Callable[[int], None]:
    """Notes what it gets."""

    def consume(number: int) -> None:
        note = ledger.note(f"got-{number}")
        while True:
            note(*queue.get()[:2])

    return consume


def drain(queue: Any, ledger: Ledger) -> int:
    """Get what is left, as a consumer that is not killed; tell how much it was."""
    note = ledger.note("got-drain")
    for got in count():
        try:
            note(*queue.get_nowait()[:2])
        except Empty:
            return got
    raise AssertionError


def check(ledger: Ledger, producers: Crew, consumers: Crew) -> None:
    """Every message is there once, or was in the hands of a consumer that was killed."""
    put: set[tuple[int, int]] = set()
    begun: set[tuple[int, int]] = set()
    for number in range(producers.started):
        for which, is_done in ledger.of(f"put-{number}"):
            (put if is_done else begun).add((number, which))
    got: Counter[tuple[int, int]] = Counter()
    for name in (*range(consumers.started), "drain"):
        lines = ledger.of(f"got-{name}")
        got.update(lines)
        last: dict[int, int] = {}
        for producer, which in lines:
            assert last.get(producer, -1) < which, "the order of a producer is not kept"
            last[producer] = which
    assert not [message for message, times in got.items() if times != 1], "got twice"
    assert got.keys() <= begun, "got, but never put"
    lost = put - got.keys()
    print(f"{len(put)} put, {len(got)} got, {len(lost)} in dead hands")
    assert len(lost) <= len(consumers.killed)


@pytest.mark.parametrize("capacity", [0, CAPACITY])
def test_messages_survive_their_users(made: Made, tmp_path: Path, capacity: int) -> None:
    """What was put is got once, or was in the hands of a consumer that was killed."""
    made.queue("jobs", capacity, size=1 << 20)
    queue, ledger = made.channels()["jobs"], Ledger(tmp_path)
    producers, consumers = (
        Crew(producing(queue, ledger), 3),
        Crew(consuming(queue, ledger), 3),
    )
    with at_work(producers, consumers):
        kill_at_random([producers, consumers], lambda: ledger.size("got"), KILLS)
    drain(queue, ledger)
    check(ledger, producers, consumers)


@pytest.mark.parametrize("capacity", [0, CAPACITY])
def test_dead_producers_lose_nothing(made: Made, tmp_path: Path, capacity: int) -> None:
    """Where no consumer is killed, every message that was put is got."""
    made.queue("jobs", capacity, size=1 << 20)
    queue, ledger = made.channels()["jobs"], Ledger(tmp_path)
    producers, note = Crew(producing(queue, ledger), 3), ledger.note("got-drain")
    dice = random.Random()
    with at_work(producers):
        for _ in range(KILLS // 2):
            goal = ledger.size("got") + dice.randrange(1, 40) * 16
            while ledger.size("got") < goal:
                note(*queue.get(timeout=DEADLINE)[:2])
            producers.kill_one(dice)
    drain(queue, ledger)
    check(ledger, producers, Crew(consuming(queue, ledger), 0))


def test_the_capacity_is_right_after_kills(made: Made, tmp_path: Path) -> None:
    """Never more than that are in it, and afterwards exactly so many go in."""
    made.queue("jobs", CAPACITY)
    queue, ledger = made.channels()["jobs"], Ledger(tmp_path)
    for _ in range(KILLS // 10):
        producers, consumers = (
            Crew(producing(queue, ledger), 2),
            Crew(consuming(queue, ledger), 2),
        )
        with at_work(producers, consumers):
            kill_at_random([producers, consumers], lambda: ledger.size("got"), 4)
        assert drain(queue, ledger) <= CAPACITY
        for number in range(CAPACITY):
            queue.put_nowait((0, number))
        assert queue.qsize() == CAPACITY
        with pytest.raises(Full):
            queue.put_nowait((0, CAPACITY))
        assert [queue.get_nowait()[1] for _ in range(CAPACITY)] == list(range(CAPACITY))
        for path in tmp_path.iterdir():
            path.unlink()


def test_no_lock_stays_held(made: Made, tmp_path: Path) -> None:
    """A lock whose holders are killed is free again, and what it guards is as the last one left it:
    two values that are changed together differ by the change of one holder at most.
    """
    made.lock("guard")
    made.array("pair", "q", 2, lock="guard")
    channels = made.channels()
    guard, pair = channels["guard"], channels["pair"]

    def change(_: int) -> None:
        while True:
            with guard:
                pair[0] += 1
                pair[1] += 1

    crew = Crew(change, 3)
    with at_work(crew):
        kill_at_random([crew], lambda: int(pair.get_obj()[1]) * 16, KILLS)
    assert guard.acquire(timeout=DEADLINE)
    guard.release()
    first, second = pair[:]
    assert 0 <= first - second <= len(crew.killed)


def test_no_slot_of_a_semaphore_stays_held(made: Made, tmp_path: Path) -> None:
    """Never more holders than it has, and all are free after their deaths."""
    made.semaphore("slots", 2)
    made.value("inside", "q")
    made.value("turns", "q")
    channels = made.channels()
    slots, turns = channels["slots"], channels["turns"]

    def hold(_: int) -> None:
        while True:
            with slots, turns:
                turns.value += 1

    crew = Crew(hold, 4)
    with at_work(crew):
        kill_at_random([crew], lambda: int(turns.get_obj().value) * 16, KILLS)
    assert slots.get_value() == 2
