"""Following logs while everything is killed, rotated and truncated: each line once, in order."""

import json
import os
import random
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import StringIO

import pytest

from supervisord_lite.client import Client, ClientError
from tests.cli.conftest import DEADLINE
from tests.daemon.conftest import LINES, Daemon

BUSY = """
import os, sys
number = 0
while number < int(sys.argv[1]):
    os.write(1, b"".join(b"%d\\n" % one for one in range(number, number + 50)))
    number += 50
    while number >= 5000 and not os.path.exists(sys.argv[2]):
        os.sched_yield()
import time
time.sleep(100000)
"""


class Reading(threading.Thread):
    """Takes the numbers of the lines of one worker as they come, and looks that none is missing."""

    def __init__(self, client: Client, end: int) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._end = end
        self.count = 0
        self.wrong: str | None = None

    def has(self, count: int) -> bool:
        """Whether so many were read, or it is of no use to wait for them."""
        return self.count >= count or self.wrong is not None

    def run(self) -> None:
        for line in self._client.lines(["busy"], follow=True, since="1d"):
            if line["message"] != str(self.count):
                self.wrong = f"{line} instead of {self.count}"
                return
            self.count += 1
            if self.count == self._end:
                return


@pytest.mark.soak
def test_every_line_comes_once_though_managers_die(daemon: Daemon) -> None:
    """With its number, across rotations and compression, from a busy writer."""
    soak = os.environ.get("SOAK") == "1"
    kills, end = (300, 3_000_000) if soak else (20, 200_000)
    seed = int(os.environ.get("SEED", random.randrange(1_000_000)))
    print("SEED", seed)
    chance = random.Random(seed)
    gate = daemon.directory / "gate"
    log = {"log": "busy.log", "rotate": {"size": "64KiB", "keep": 5000}}
    busy = [sys.executable, "-c", BUSY, str(end), str(gate)]
    daemon.run({"busy": {"command": busy, "stdout": log}})
    reading = Reading(Client(daemon.socket), end)
    reading.start()
    daemon.until(lambda: reading.count > 1000 or reading.wrong)
    gate.touch()
    for _ in range(kills):
        daemon.kill_manager()
        time.sleep(chance.uniform(0.0, 0.1))  # the chance that is being tested
    before = -1
    while reading.is_alive() and reading.count != before:  # for as long as it gets on
        before = reading.count
        reading.join(60)
    assert (reading.wrong, reading.count) == (None, end)


def test_compressed_files_are_read_as_any_others(daemon: Daemon) -> None:
    """Lines that are in them now, from the first to the last, by time and by pattern."""
    log = {"log": "web.log", "rotate": {"size": "16KiB", "keep": 100, "compress": "gzip"}}
    count = ["seq", "20000"]
    daemon.run({"web": {"type": "task", "command": count, "stdout": log}})
    older = [daemon.directory / f"web.log.{number}" for number in range(1, 7)]
    daemon.until(lambda: all(one.with_name(f"{one.name}.gz").exists() for one in older))
    daemon.until(lambda: not any(one.exists() for one in older))
    found = [line["message"] for line in daemon.client.lines(["web"], since="1d")]
    assert found == [str(number) for number in range(1, 20_001)]
    found = [line["message"] for line in daemon.client.lines(["web"], grep="^1?234$")]
    assert found == ["234", "1234"]


def test_lines_of_two_runs_are_told_apart(daemon: Daemon) -> None:
    """By the run that wrote them, also by the next manager."""
    daemon.run({"web": {"command": [sys.executable, "-c", LINES, "0", "3"]}})
    daemon.until(lambda: daemon.log("web:0") == "0\n1\n2\n")
    daemon.client.restart(["web"])
    daemon.until(lambda: daemon.log("web:0") == "0\n1\n2\n" * 2)
    daemon.kill_manager()
    runs = [line["run"] for line in daemon.client.lines(["web"], since="1d")]
    assert runs == [1, 1, 1, 2, 2, 2]


def test_a_cursor_of_text_is_one_of_lines(daemon: Daemon) -> None:
    """Who has read what was written can go on with lines."""
    daemon.run({"web": {"command": [sys.executable, "-c", LINES, "0", "3"]}})
    daemon.until(lambda: daemon.log("web:0") == "0\n1\n2\n")
    (log,) = daemon.client.logs(["web"])
    daemon.client.restart(["web"])
    daemon.until(lambda: daemon.log("web:0") == "0\n1\n2\n" * 2)
    found = list(daemon.client.lines(["web"], cursors={"web:0/stdout": log["cursor"]}))
    assert [(line["message"], line["run"]) for line in found] == [("0", 2), ("1", 2), ("2", 2)]


def test_a_truncated_log_is_followed(daemon: Daemon) -> None:
    """From its new beginning on: what comes after the truncation is all there."""
    script = 'n=0; while read line; do echo "$line"; done < "$FIFO"'
    fifo = daemon.directory / "words"
    os.mkfifo(fifo)
    daemon.run({"web": {"command": ["sh", "-c", script], "environment": {"FIFO": str(fifo)}}})
    with fifo.open("w", buffering=1) as words:
        lines = daemon.client.lines(["web"], follow=True)
        words.write("before\n")
        assert next(lines)["message"] == "before"
        os.truncate(daemon.directory / "logs" / "web.0.log", 0)
        words.write("after, and longer than what was there before\n")
        words.write("last\n")
        assert next(lines)["message"].startswith("after")
        assert next(lines)["message"] == "last"


def test_a_reload_loses_no_follower(daemon: Daemon) -> None:
    """Who follows goes on where the log is now, and in the format that it has now."""
    busy = {"command": [sys.executable, "-c", LINES, "0.02", "1000000"]}
    daemon.run({"busy": {**busy, "stdout": "logs/one.log"}})
    reading = Reading(daemon.client, 1_000_000)
    reading.start()
    for form, name in (("json", "one"), ("raw", "two"), ("timestamped", "two")):
        daemon.configure({"busy": {**busy, "stdout": {"log": f"logs/{name}.log", "format": form}}})
        daemon.client.reload()
        daemon.until(partial(reading.has, reading.count + 100))
        assert not reading.wrong


@pytest.mark.parametrize("direct", [False, True])
def test_who_follows_a_removed_worker_is_told(daemon: Daemon, direct: bool) -> None:
    """Following ends with what the worker said last; there is nobody of that name any more."""
    words = "trap 'echo bye; exit' TERM; echo hello; while :; do sleep 0.05; done"
    stay = {"stay": {"command": "sleep 100000"}}
    leave = {"command": ["sh", "-c", words], "stdout": {"log": "logs/leave.log", "direct": direct}}
    daemon.run({**stay, "leave": leave})
    said = StringIO()

    def follow() -> None:
        for piece in daemon.client.follow(["leave"]):
            said.write(piece["text"])

    with pytest.raises(ClientError, match="leave"), ThreadPoolExecutor() as pool:
        following = pool.submit(follow)
        daemon.until(lambda: "hello\n" in said.getvalue())
        daemon.configure(stay)
        daemon.client.reload()
        following.result(DEADLINE)
    assert said.getvalue().endswith("bye\n")


def test_logs_of_many_workers_are_merged_by_time(daemon: Daemon) -> None:
    """Whatever the order in which they are named."""
    echo = 'sleep 0.$1; echo "$2"; exec sleep 100000'
    workers = {
        name: {"command": ["sh", "-c", echo, "sh", str(after), name]}
        for name, after in (("a", 7), ("b", 4), ("c", 1))
    }
    daemon.run(workers)
    daemon.until(lambda: len(list(daemon.client.lines(["all"]))) == 3)
    found = list(daemon.client.lines(["all"]))
    assert [line["time"] for line in found] == sorted(line["time"] for line in found)


def test_the_daemon_s_own_log_is_read_as_any_other(daemon: Daemon) -> None:
    """By its name, which no worker can have."""
    own = {"log": {"path": "daemon.log", "format": "json"}}
    daemon.run({"web": {"command": "sleep 100000"}}, supervisor=own)
    daemon.pid("web")
    found: list[str] = []

    def said() -> bool:
        found[:] = [line["message"] for line in daemon.client.lines(["@daemon"], since="1d")]
        return bool(found)

    daemon.until(said)
    assert all(json.loads(text)["level"] for text in found)


def test_a_hostile_client_delays_nobody(daemon: Daemon) -> None:
    """Many searches that find nothing, whose askers read nothing, and the daemon answers."""
    path = daemon.directory / "logs" / "web.0.log"
    daemon.run({"web": {"command": "sleep 100000"}})
    daemon.until(path.exists)
    with path.open("ab") as log:
        log.write((b"x" * 99 + b"\n") * 500_000)
    hostile = [_search(daemon) for _ in range(4)]
    found = [next(one) for one in hostile]
    assert found == [b"HTTP/1.1 200 "] * 4
    for _ in range(20):
        assert daemon.state("web") == "RUNNING"
    for one in hostile:
        one.close()


def _search(daemon: Daemon) -> Generator[bytes]:
    """The beginning of the answer to a search that finds nothing; then its connection stays."""
    from supervisord_lite.client.connecting import connect

    with connect(daemon.socket, 60) as connection:
        connection.sendall(
            b"GET /v1/logs?grep=nothing&lines=100000&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n"
        )
        yield connection.recv(13)
        yield b""
