"""Whoever uses channels is killed at random, and so is the manager; then everything is counted.

Who sends says so in a file before and after. Who receives does it into a file: the system call that
takes something out writes it into memory that is shared with that file, and no kill comes between
the two. So each message is known to be in the hands of one who received it, whatever became of him,
and the count is exact: all that was sent was received, once.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.client import ClientError
from tests.cli.conftest import until
from tests.daemon.conftest import Daemon

CAPACITY = 40
RECORD = 32  # bytes of one in the pipe: below PIPE_BUF, so written and read as a whole
MODULE = f"""
import mmap, os, socket, time
from supervisord_lite.worker import channels

RECORD = {RECORD}
"""
MODULE += """
class Hands:
    '''What is received comes to lie here, one behind the other, each RECORD bytes.'''

    def __init__(self, name):
        self._fd = os.open(f"{name}.{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._page, self._at = None, mmap.PAGESIZE

    def place(self):
        if self._at == mmap.PAGESIZE:
            end = os.fstat(self._fd).st_size
            os.ftruncate(self._fd, end + mmap.PAGESIZE)
            self._page, self._at = mmap.mmap(self._fd, mmap.PAGESIZE, offset=end), 0
            self._page[:] = bytes(mmap.PAGESIZE)  # so that no kill meets the fault for it
        return memoryview(self._page)[self._at : self._at + RECORD]

    def taken(self, count):
        self._at += RECORD if count else 0

class Receiving(socket.socket):
    def recvmsg(self, size, *more):
        place = hands.place()
        count, *others = self.recvmsg_into([place], *more)
        hands.taken(count)
        return bytes(place[:count]), *others

def _journal(name):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda what, item: os.write(fd, f"{what} {item}\\n".encode())

def _names():
    number = 0
    while True:
        number += 1
        yield f"{os.getpid()}.{number}"
        if not number % 50:
            time.sleep(0.005)  # else there are millions to count

def put():
    jobs, say = channels["jobs"], _journal("queue")
    for name in _names():
        say("trying", name)
        jobs.put(name.encode())
        say("sent", name)

def get():
    global hands
    hands, socket.socket = Hands("queue"), Receiving  # what the queue receives with
    jobs = channels["jobs"]
    while jobs.get() != b"end":
        pass
    time.sleep(100000)

def write():
    fd, say = channels["lines"].fileno(), _journal("pipe")
    for name in _names():
        say("trying", name)
        assert os.write(fd, name.encode().ljust(RECORD)) == RECORD
        say("sent", name)

def read():
    fd, hands, say = channels["lines"].fileno(), Hands("pipe"), _journal("pipe")
    while count := os.readv(fd, [hands.place()]):
        hands.taken(count)
    say("end", "of file")  # which comes when all writers are stopped by wish
    time.sleep(100000)

def add():
    pair, guard, say = channels["pair"].get_obj(), channels["guard"], _journal("memory")
    for name in _names():
        with guard:
            first, second = pair
            if first != second:  # its holder was killed in between
                say("torn", first - second)
                pair[1] = first
            pair[0] += 1
            pair[1] += 1
        say("sent", name)

def finish(readers):
    for _ in range(readers):
        channels["jobs"].put(b"end")
    with channels["guard"]:
        print("pair", *channels["pair"].get_obj())
    while not channels["jobs"].empty():
        time.sleep(0.01)
    print("empty", channels["jobs"].qsize())
    time.sleep(100000)
"""
USES: dict[str, dict[str, Any]] = {
    "put": {"jobs": "put"},
    "get": {"jobs": "get"},
    "write": {"lines": "write"},
    "read": {"lines": "read"},
    "add": {"guard": {}, "pair": {}},
}
CHANNELS = {
    "jobs": {"type": "queue", "capacity": CAPACITY},
    "lines": {"type": "pipe", "size": "4KiB"},
    "guard": {"type": "lock"},
    "pair": {"type": "array", "code": "q", "length": 2, "lock": "guard"},
}
EACH = 2  # instances
WEIGHTS = {"put": 4, "get": 4, "write": 4, "read": 4, "add": 2, "manager": 2}


def configured(daemon: Daemon) -> dict[str, Any]:
    (daemon.directory / "functions.py").write_text(MODULE)
    common = {
        "working_dir": str(daemon.directory),
        "restart": {"delay": "0s", "limit": "none"},
        "stop": [{"signal": "KILL", "wait": "10s"}],
    }
    workers: dict[str, Any] = {
        name: {"python": f"functions:{name}", "channels": uses, "instances": EACH, **common}
        for name, uses in USES.items()
    }
    everything = {"jobs": "both", "guard": {}, "pair": {}}
    finish = {"python": "functions:finish", "args": [EACH], "channels": everything}
    return {**workers, "finish": {**finish, "autostart": False, **common}}


def kill_some(daemon: Daemon, chance: random.Random) -> Collection[str]:
    """SIGKILL somebody, and with a manager one more, who dies while there is none; tell whom."""
    (victim,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    worker = victim if victim in USES else chance.choice(list(USES))
    killed = []
    with suppress(ClientError):
        pid = chance.choice(daemon.client.workers(worker))["pid"]
        victims = {"manager": daemon.manager} if victim == "manager" else {}
        for name, number in [*victims.items(), (worker, pid)]:
            if number is not None:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
                    killed.append(name)
    return killed


def is_lifted(daemon: Daemon) -> bool:
    """The third manager that dies in half a minute makes the next one hold; an operator reloads."""
    with suppress(ClientError):
        if not daemon.about("held"):
            return True
        daemon.client.reload(wait=False)
    return False


def journal(path: Path) -> dict[str, list[str]]:
    """What it says, by its first words."""
    found: dict[str, list[str]] = {"trying": [], "sent": [], "torn": [], "end": []}
    for line in path.read_text().splitlines():
        what, _, item = line.partition(" ")
        found[what].append(item)
    return found


def received(path: Path) -> Counter[str]:
    """What is in anybody's hands, and how often."""
    found: Counter[str] = Counter()
    for one in path.parent.glob(f"{path.name}.*"):
        data = one.read_bytes()
        records = (data[at : at + RECORD] for at in range(0, len(data), RECORD))
        found.update(record.strip(b"\0 ").removeprefix(b"b").decode() for record in records)
    del found[""], found["end"]
    return found


def check_messages(path: Path) -> None:
    """Each that was sent was received once, and of each sender at most the last one that it tried
    may be unsaid, which was received or was not.
    """
    told, got = journal(path), received(path)
    tried, sent = set(told["trying"]), set(told["sent"])
    assert max(got.values()) == 1, "something was received twice"
    assert sent <= got.keys(), "something is lost"
    assert got.keys() <= tried, "something was received that nobody sent"
    unsaid = Counter(name.partition(".")[0] for name in tried - sent)
    assert max(unsaid.values(), default=0) <= 1


def check_memory(path: Path, pair: list[int], killed: int) -> None:
    """Whoever found the two numbers apart found them as the dead had left them."""
    told = journal(path)
    first, second = pair
    assert first - second in (0, 1)
    assert set(told["torn"]) <= {"1"}
    assert len(told["torn"]) <= killed
    assert len(told["sent"]) <= first <= len(told["sent"]) + killed


@pytest.mark.soak
def test_everybody_is_killed_at_random(daemon: Daemon) -> None:
    """Queue, pipe, lock and memory: exact counts, no lock that stays held, no torn value."""
    kills = 520 if os.environ.get("SOAK") == "1" else 26
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print("SEED", seed)
    chance = random.Random(seed)
    daemon.run(configured(daemon), channels=CHANNELS)
    killed: Counter[str] = Counter()
    while killed.total() < kills or not killed["manager"]:
        time.sleep(chance.uniform(0.0, 0.1))  # the moment of a death is what the test is about
        killed.update(kill_some(daemon, chance))
        is_lifted(daemon)
    print("KILLED", dict(killed))
    until(lambda: is_lifted(daemon))
    daemon.until(lambda: daemon.client.stop(["put", "write", "add"]))
    for name in ("get", "read"):
        for number in range(EACH):
            daemon.pid(f"{name}:{number}")
    daemon.until(lambda: daemon.client.start(["finish"]))
    until(lambda: "empty" in daemon.log("finish:0"))
    words = daemon.log("finish:0").split()
    assert words[3:] == ["empty", "0"]
    place = daemon.directory
    until(lambda: len(journal(place / "pipe")["end"]) >= EACH)
    assert len(journal(place / "pipe")["end"]) == EACH  # nobody saw one before
    check_messages(place / "queue")
    check_messages(place / "pipe")
    check_memory(place / "memory", [int(word) for word in words[1:3]], killed["add"] + EACH)
    counts = {name: len(journal(place / name)["sent"]) for name in ("queue", "pipe", "memory")}
    print("SENT", counts)
    assert min(counts.values()) > kills
