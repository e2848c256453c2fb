"""Readiness, status and more by sd_notify(3): real workers, real sockets, real credentials."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.core.event import BecameReady, RunCondemned, TimeExtended
from supervisord_lite.core.probe import NotifyProbe, Readiness
from supervisord_lite.core.spec import Identity, InstanceSpec
from supervisord_lite.core.state import Health, Instance, Stopping
from supervisord_lite.linux.process_table import ProcessTable, environment_value, read_entry
from tests.manager.conftest import NAME, Play, Shell, spec

READY = Readiness(NotifyProbe())
TALKER = str(Path(__file__).parent / "talker.py")
NOBODY = Identity(65534, 65534, (), "nobody", "/", "/bin/sh")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user")

Story = Callable[[Shell, "Talker"], Awaitable[None]]


class Talker:
    """A worker that is STARTING, and what it is to say."""

    def __init__(self, shell: Shell, directory: Path, what: InstanceSpec, pid: int) -> None:
        self.shell = shell
        self.spec = what
        self.pid = pid
        self.orders = str(directory / "orders")
        self.directory = directory / "notify"
        self.path = str(self.directory / f"{NAME}.1")

    async def say(self, message: bytes | str, how: str = "self") -> None:
        data = message.encode() if isinstance(message, str) else message
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            await self.shell.until(lambda: os.path.exists(self.orders))
            way.sendto(how.encode() + b" " + data, self.orders)

    async def is_heard(self) -> None:
        """Wait until all that was said so far has been dealt with."""
        mark = random.randbytes(8).hex()
        await self.say(f"STATUS={mark}")
        await self.shell.until(lambda: self.shell.prober.status_of(NAME) == mark)


async def talker(shell: Shell, directory: Path, **more: Any) -> Talker:
    what = spec(sys.executable, TALKER, str(directory / "orders"), **{"ready": READY, **more})
    return Talker(shell, directory, what, await shell.start(what))


@pytest.fixture
def talk(play: Play[Any], tmp_path: Path) -> Callable[..., None]:
    """Act a story with a talker that is STARTING."""

    def act(story: Story, **more: Any) -> None:
        async def stage(shell: Shell) -> None:
            worker = await talker(shell, tmp_path, **more)
            shell.readying(worker.spec, worker.pid)
            await story(shell, worker)

        play(stage)

    return act


@pytest.mark.parametrize("how", ["self", "child", "gone", "orphan"])
def test_ready_is_heard(talk: Callable[..., None], how: str) -> None:
    """From every process of the run, also from one that is gone by then or has left the session."""

    async def story(shell: Shell, worker: Talker) -> None:
        await worker.say("READY=1", how)
        assert await shell.event() == BecameReady(NAME, 1)

    talk(story)


def test_a_stranger_is_not_heard(talk: Callable[..., None]) -> None:
    """A process of the same user that is not of the run is refused, which is said once."""

    async def story(shell: Shell, worker: Talker) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            for _ in range(3):
                way.sendto(b"READY=1\nSTATUS=spoofed", worker.path)
        await worker.is_heard()
        assert shell.events == []
        assert len(shell.said) == 1
        assert f"process {os.getpid()} " in shell.said[0]

    talk(story)


SPOOF = """
import os, socket, sys
os.setuid(1)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", sys.argv[1])
"""


async def _nobodys(shell: Shell, directory: Path) -> str:
    """The path of the socket of a run that is another user's."""
    for place in (directory, *directory.parents[:3]):
        place.chmod(place.stat().st_mode | 0o011)
    what = spec(ready=READY, program={"identity": NOBODY})
    shell.readying(what, await shell.start(what))
    return str(directory / "notify" / f"{NAME}.1")


async def _spoof(path: str) -> bytes:
    """Have user 1 say that the run is ready; what came of it."""
    spoofer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SPOOF, path, stderr=asyncio.subprocess.PIPE
    )
    return (await spoofer.communicate())[1]


@needs_root
def test_another_user_cannot_even_send(play: Play[Any], tmp_path: Path) -> None:
    """The socket is the worker's user's alone."""

    async def story(shell: Shell) -> None:
        path = await _nobodys(shell, tmp_path)
        status = os.stat(path)
        assert (status.st_uid, status.st_mode & 0o777) == (65534, 0o600)
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o711
        assert b"PermissionError" in await _spoof(path)

    play(story)


@needs_root
def test_a_dead_stranger_of_another_user_is_refused(play: Play[Any], tmp_path: Path) -> None:
    """Of a sender that is gone only its user is known: that has to be the worker's."""

    async def story(shell: Shell) -> None:
        path = await _nobodys(shell, tmp_path)
        os.chmod(path, 0o666)
        line = shell.prober._notify._lines[NAME]
        asyncio.get_running_loop().remove_reader(line.socket)
        assert await _spoof(path) == b""
        shell.prober._notify._read(line)
        assert shell.events == []
        assert len(shell.said) == 1

    play(story)


@needs_root
def test_a_worker_of_another_user_can_say_it(play: Play[Any], tmp_path: Path) -> None:
    """It may pass through the directory, and its socket is its own."""

    async def story(shell: Shell) -> None:
        for place in (tmp_path, *tmp_path.parents[:3]):
            place.chmod(place.stat().st_mode | 0o011)
        code = (
            "import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
            "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); time.sleep(100000)"
        )
        program = {"identity": NOBODY}
        what = spec("/usr/bin/env", "python3", "-c", code, ready=READY, program=program)
        shell.readying(what, await shell.start(what))
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_what_is_said_before_the_pid_is_known_waits(play: Play[Any], tmp_path: Path) -> None:
    """READY=1 may be faster than the keeper's answer."""

    async def story(shell: Shell) -> None:
        worker = await talker(shell, tmp_path)
        await worker.say("READY=1")
        line = shell.prober._notify._lines[NAME]
        await shell.until(lambda: _waiting(line.socket))
        assert shell.events == []
        shell.readying(worker.spec, worker.pid)
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def _waiting(receiver: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return bool(receiver.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False


def test_ready_is_told_only_while_it_is_waited_for(talk: Callable[..., None]) -> None:
    """A worker that says it again is not made ready again."""

    async def story(shell: Shell, worker: Talker) -> None:
        shell.running(worker.spec, worker.pid)
        await worker.say("READY=1")
        await worker.is_heard()
        assert shell.events == []

    talk(story)


def test_status_is_kept_and_cut(talk: Callable[..., None]) -> None:
    """The last one counts, and only its beginning."""

    async def story(shell: Shell, worker: Talker) -> None:
        await worker.say("STATUS=warming up")
        await shell.until(lambda: shell.prober.status_of(NAME) == "warming up")
        await worker.say("STATUS=" + "ü" * 1000)
        await shell.until(lambda: shell.prober.status_of(NAME) == "ü" * 512)
        await worker.say("STATUS=")
        await shell.until(lambda: shell.prober.status_of(NAME) is None)

    talk(story)


def test_more_time_can_be_asked_for(talk: Callable[..., None]) -> None:
    """So many microseconds from now on."""

    async def story(shell: Shell, worker: Talker) -> None:
        before = time.monotonic()
        await worker.say("EXTEND_TIMEOUT_USEC=30000000")
        event = await shell.event()
        assert isinstance(event, TimeExtended)
        assert before + 30 <= event.until <= time.monotonic() + 30

    talk(story)


@pytest.mark.parametrize("number", ["", "-1", "1e9", "0x10", "9" * 400, "\u0661"])
def test_a_number_that_is_none_is_passed_over(talk: Callable[..., None], number: str) -> None:
    """Neither an error nor an effect."""

    async def story(shell: Shell, worker: Talker) -> None:
        await worker.say(f"EXTEND_TIMEOUT_USEC={number}\nMAINPID={number}")
        await worker.is_heard()
        assert shell.events == []

    talk(story)


def test_the_watchdog_can_be_triggered(talk: Callable[..., None]) -> None:
    """A worker that knows itself to be broken says so."""

    async def story(shell: Shell, worker: Talker) -> None:
        await worker.say("WATCHDOG=trigger")
        event = await shell.event()
        assert isinstance(event, RunCondemned)
        assert event.failure

    talk(story)


def test_a_missed_sign_of_life_condemns(talk: Callable[..., None]) -> None:
    """Once it is RUNNING and has been silent for its period."""

    async def story(shell: Shell, worker: Talker) -> None:
        assert environment_value(worker.pid, "WATCHDOG_USEC") == "500000"
        shell.running(worker.spec, worker.pid)
        assert await shell.event() == RunCondemned(
            NAME, 1, "no sign of life for 500ms", failure=True
        )

    talk(story, ready=None, watchdog=0.5)


def test_signs_of_life_keep_alive(talk: Callable[..., None]) -> None:
    """As long as they come in time."""

    async def story(shell: Shell, worker: Talker) -> None:
        shell.running(worker.spec, worker.pid)
        until = time.monotonic() + 6.0
        while time.monotonic() < until:
            await worker.say("WATCHDOG=1")
            await asyncio.sleep(0.1)
        assert shell.events == []

    talk(story, ready=None, watchdog=4.0)


def test_no_sign_of_life_is_asked_for_before_it_runs(talk: Callable[..., None]) -> None:
    """The watchdog begins with RUNNING and ends with it."""

    async def story(shell: Shell, worker: Talker) -> None:
        assert shell.prober._notify._lines[NAME].heartbeat is None
        shell.running(worker.spec, worker.pid)
        assert shell.prober._notify._lines[NAME].heartbeat is not None
        shell.readying(worker.spec, worker.pid)
        assert shell.prober._notify._lines[NAME].heartbeat is None

    talk(story, watchdog=100.0)


def test_a_worker_stopped_on_purpose_is_not_missed(talk: Callable[..., None]) -> None:
    """While a signal has stopped it, it cannot give a sign; afterwards it has a fresh period."""

    async def story(shell: Shell, worker: Talker) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        await shell.until(lambda: read_entry(worker.pid).state == "T")  # type: ignore[union-attr]
        shell.running(worker.spec, worker.pid)
        await asyncio.sleep(2.0)
        assert shell.events == []
        continued = time.monotonic()
        os.kill(worker.pid, signal.SIGCONT)
        assert isinstance(await shell.event(), RunCondemned)
        assert time.monotonic() - continued > 0.35

    talk(story, ready=None, watchdog=0.5)


def test_a_daemon_that_was_held_up_misses_nothing(talk: Callable[..., None]) -> None:
    """Signs that came while this process did not look are found before their time is judged."""

    async def story(shell: Shell, worker: Talker) -> None:
        shell.running(worker.spec, worker.pid)
        held_up = time.monotonic()
        time.sleep(2.5)  # noqa: ASYNC251 - this is the point
        event = await shell.event()
        assert time.monotonic() - held_up > 2.9
        assert isinstance(event, RunCondemned)

    talk(story, ready=None, watchdog=0.5)


def test_mainpid_is_asked_of_the_keeper(talk: Callable[..., None]) -> None:
    """A child of the run becomes the main process."""

    async def story(shell: Shell, worker: Talker) -> None:
        await worker.say("STATUS=child", "child")
        await shell.until(lambda: shell.prober.status_of(NAME))
        child = ProcessTable().children(worker.pid)[0]
        await worker.say(f"MAINPID={child}")
        assert (await shell.fact("main"))["pid"] == child

    talk(story)


def test_mainpid_of_a_stranger_is_refused(talk: Callable[..., None]) -> None:
    """A worker cannot make a foreign process its main one, nor get it signalled."""

    async def story(shell: Shell, worker: Talker) -> None:
        await worker.say(f"MAINPID={os.getpid()}\nREADY=1")
        assert await shell.event() == BecameReady(NAME, 1)
        line = shell.prober._notify._lines[NAME]
        await shell.until(lambda: line.asked == 0)
        assert [fact for fact in shell.facts if fact["tell"] != "spawned"] == []

    talk(story)


def test_a_refused_mainpid_is_told_once(talk: Callable[..., None]) -> None:
    """With the pid and why, however often the run says it."""

    async def story(shell: Shell, worker: Talker) -> None:
        line = shell.prober._notify._lines[NAME]
        for _ in range(2):
            await worker.say(f"MAINPID={os.getpid()}\nSTATUS=said")
            await shell.until(lambda: shell.prober.status_of(NAME) == "said" and not line.asked)
            line.status = None
        assert shell.said == [f"{NAME}: cannot take MAINPID={os.getpid()}: it is not of this run"]

    talk(story)


def test_an_end_that_hands_over_is_none(talk: Callable[..., None]) -> None:
    """The parent says MAINPID= and exits: its end is not told, however late its word is read."""

    async def story(shell: Shell, worker: Talker) -> None:
        asyncio.get_running_loop().remove_reader(shell.prober._notify._lines[NAME].socket)
        await worker.say("MAINPID=CHILD", "handover")
        main = await shell.fact("main")
        assert read_entry(main["pid"]) is not None
        assert [fact["tell"] for fact in shell.facts] == ["spawned", "main"]

    talk(story)


def test_an_end_is_told_where_the_handover_was_refused(talk: Callable[..., None]) -> None:
    """It was held back only until the keeper had decided."""

    async def story(shell: Shell, worker: Talker) -> None:
        asyncio.get_running_loop().remove_reader(shell.prober._notify._lines[NAME].socket)
        await worker.say(f"MAINPID={os.getpid()}", "handover")
        assert not (await shell.fact("exited"))["emptied"]

    talk(story)


def test_the_socket_goes_with_its_run(talk: Callable[..., None]) -> None:
    """No name and no descriptor stays behind."""

    async def story(shell: Shell, worker: Talker) -> None:
        assert os.listdir(worker.directory) == [f"{NAME}.1"]
        shell.over(worker.spec)
        assert os.listdir(worker.directory) == []
        assert shell.prober._notify._lines == {}

    talk(story)


def test_each_run_has_its_own_socket(play: Play[Any], tmp_path: Path) -> None:
    """What an earlier run's process says late is heard by nobody."""

    async def story(shell: Shell) -> None:
        what = spec(ready=READY)
        shell.readying(what, await shell.start(what))
        os.kill((await shell.fact("spawned"))["pid"], signal.SIGKILL)
        await shell.fact("exited")
        shell.link.order([{"do": "bury", "instance": NAME, "run": 1}])
        shell.readying(what, await shell.start(what, run=2), run=2)
        assert os.listdir(tmp_path / "notify") == [f"{NAME}.2"]

    play(story)


def test_a_run_of_which_nothing_is_asked_has_none(play: Play[Any]) -> None:
    """Neither a socket nor a variable."""

    async def story(shell: Shell) -> None:
        what = spec()
        pid = await shell.start(what)
        shell.running(what, pid)
        assert environment_value(pid, "NOTIFY_SOCKET") is None
        assert shell.prober._notify._lines == {}

    play(story)


def test_a_path_that_is_too_long_is_an_error(play: Play[Any], tmp_path: Path) -> None:
    """It is said, with the path, instead of starting a worker that could not speak."""

    async def story(shell: Shell) -> None:
        shell.prober.use_directory(f"{tmp_path}/{'x' * 90}")
        with pytest.raises(OSError, match="too long"):
            shell.prober.prepare(spec(ready=READY), 1)

    play(story)


# ---------------------------------------------------------------- across managers


def test_ready_that_was_said_while_nobody_listened_is_heard(
    play: Play[Any], tmp_path: Path
) -> None:
    """The keeper holds the socket, so it waits for the next manager."""
    workers: list[Talker] = []

    async def first(shell: Shell) -> None:
        workers.append(await talker(shell, tmp_path))
        shell.readying(workers[0].spec, workers[0].pid)
        await shell.until(lambda: os.path.exists(workers[0].orders))

    async def second(shell: Shell) -> None:
        shell.readying(workers[0].spec, workers[0].pid)
        shell.prober.settle()
        assert await shell.event() == BecameReady(NAME, 1)

    play(first)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.sendto(b"self READY=1", workers[0].orders)
    play(second)


def _says(shell: Shell, status: str) -> bool:
    return shell.prober.status_of(NAME) == status


def test_a_status_outlives_the_manager(play: Play[Any], tmp_path: Path) -> None:
    """The last one that was said, while its run lives; after that nothing is left of it."""
    workers: list[Talker] = []

    async def first(shell: Shell) -> None:
        worker = await talker(shell, tmp_path)
        workers.append(worker)
        shell.running(worker.spec, worker.pid)
        for status in ("warming up", "hör zu"):
            await worker.say(f"STATUS={status}")
            await shell.until(partial(_says, shell, status))

    async def second(shell: Shell) -> None:
        shell.running(workers[0].spec, workers[0].pid)
        assert shell.prober.status_of(NAME) == "hör zu"
        await workers[0].say("STATUS=")
        await shell.until(lambda: shell.prober.status_of(NAME) is None)

    async def third(shell: Shell) -> None:
        shell.running(workers[0].spec, workers[0].pid)
        assert shell.prober.status_of(NAME) is None
        shell.over(workers[0].spec)

    async def fourth(shell: Shell) -> None:
        assert not [name for name in shell.given.held if name.startswith("status/")]

    for story in (first, second, third, fourth):
        play(story)


def test_a_run_ordered_again_keeps_its_socket(play: Play[Any], tmp_path: Path) -> None:
    """The spawn that a dead manager ordered may have come off, and the worker may have spoken."""
    workers: list[Talker] = []

    async def first(shell: Shell) -> None:
        workers.append(await talker(shell, tmp_path))
        await workers[0].say("READY=1")
        line = shell.prober._notify._lines[NAME]
        await shell.until(lambda: _waiting(line.socket))

    async def second(shell: Shell) -> None:
        shell.order_run(workers[0].spec, 1)
        shell.readying(workers[0].spec, workers[0].pid)
        assert await shell.event() == BecameReady(NAME, 1)

    play(first)
    play(second)


def test_a_new_manager_gives_a_fresh_period(play: Play[Any], tmp_path: Path) -> None:
    """And it goes by what the worker was told at its start."""
    workers: list[Talker] = []

    async def first(shell: Shell) -> None:
        workers.append(await talker(shell, tmp_path, ready=None, watchdog=0.5))
        shell.running(workers[0].spec, workers[0].pid)

    async def second(shell: Shell) -> None:
        changed = spec(*workers[0].spec.program.argv, watchdog=1000.0)
        began = time.monotonic()
        shell.running(changed, workers[0].pid, health=Health.UNKNOWN)
        event = await shell.event()
        assert time.monotonic() - began >= 0.5
        assert event == RunCondemned(NAME, 1, "no sign of life for 500ms", failure=True)

    play(first)
    play(second)


def test_a_directory_that_has_changed_since_does_no_harm(play: Play[Any], tmp_path: Path) -> None:
    """A run that began under another directory is heard where it began."""
    workers: list[Talker] = []

    async def first(shell: Shell) -> None:
        workers.append(await talker(shell, tmp_path))
        shell.readying(workers[0].spec, workers[0].pid)

    async def second(shell: Shell) -> None:
        shell.prober.use_directory(str(tmp_path / "elsewhere"))
        shell.readying(workers[0].spec, workers[0].pid)
        await Talker(shell, tmp_path, workers[0].spec, workers[0].pid).say("READY=1")
        assert await shell.event() == BecameReady(NAME, 1)

    play(first)
    play(second)


def test_more_time_can_be_asked_for_in_a_stop(talk: Callable[..., None]) -> None:
    """The worker is heard until its run is over."""

    async def story(shell: Shell, worker: Talker) -> None:
        now = time.monotonic()
        stopping = Stopping(1, worker.pid, (), 0, now, now + 10, now, asked=True)
        shell.prober.follow(Instance(worker.spec, stopping))
        await worker.say("EXTEND_TIMEOUT_USEC=30000000")
        assert isinstance(await shell.event(), TimeExtended)

    talk(story)


def test_a_socket_that_nobody_kept_is_made_again(play: Play[Any], tmp_path: Path) -> None:
    """After the keeper's death the name still leads to us."""

    async def story(shell: Shell) -> None:
        worker = await talker(shell, tmp_path)
        line = shell.prober._notify._lines.pop(NAME)
        line.socket.close()
        shell.readying(worker.spec, worker.pid)
        await worker.say("READY=1")
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_what_belongs_to_nobody_is_let_go_of(play: Play[Any], tmp_path: Path) -> None:
    """A socket that a dead manager left for a run that is over."""

    async def first(shell: Shell) -> None:
        worker = await talker(shell, tmp_path)
        shell.running(worker.spec, worker.pid)
        await worker.say("STATUS=busy")
        await shell.until(lambda: shell.prober.status_of(NAME))

    async def second(shell: Shell) -> None:
        shell.prober.settle()
        assert os.listdir(tmp_path / "notify") == []
        shell.prober.close()
        assert "notify" not in os.listdir(tmp_path)

    async def third(shell: Shell) -> None:
        assert not [name for name in shell.given.held if name.startswith(("notify/", "status/"))]
        assert shell.prober._notify._left == {}

    play(first)
    play(second)
    play(third)


# ---------------------------------------------------------------- anything else


def _garbage(dice: random.Random) -> bytes:
    words = [b"READY", b"=", b"1", b"\n", b"\0", b"MAINPID=", b"STATUS=", b"WATCHDOG=", b"99999"]
    match dice.randrange(4):
        case 0:
            return b""
        case 1:
            return dice.randbytes(dice.randrange(200))
        case 2:
            return b"STATUS=" + dice.randbytes(dice.randrange(6000))
        case _:
            return b"".join(dice.choices(words, k=dice.randrange(8)))


@pytest.mark.soak
def test_nothing_that_can_be_sent_does_harm(talk: Callable[..., None]) -> None:
    """Empty, endless, garbled: what is no message is passed over, and the next one is heard."""
    rounds = 1_000_000 if os.environ.get("SOAK") == "1" else 50_000
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)

    async def story(shell: Shell, worker: Talker) -> None:
        await shell.until(lambda: os.path.exists(worker.orders))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.setblocking(False)
            for number in range(rounds):
                # By turns from a stranger and from the worker itself, whose word is obeyed.
                if number % 2:
                    await _send(way, b"self " + _garbage(dice), worker.orders)
                else:
                    await _send(way, _garbage(dice), worker.path)
        await worker.is_heard()
        await worker.say("READY=1")
        await shell.until(lambda: BecameReady(NAME, 1) in shell.events)

    talk(story)


async def _send(way: socket.socket, message: bytes, where: str) -> None:
    while True:
        try:
            way.sendto(message, where)
        except BlockingIOError:
            await asyncio.sleep(0)
        else:
            return
