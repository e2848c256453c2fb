"""Probing again and again: what becomes a verdict, and what does not."""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from supervisord_lite.core.event import BecameReady, HealthFound, TimeExtended
from supervisord_lite.core.probe import (
    ActiveProbe,
    ExecProbe,
    FileProbe,
    HealthCheck,
    Readiness,
    TcpProbe,
)
from supervisord_lite.core.spec import InstanceSpec
from supervisord_lite.core.state import Health, Instance, Readying
from supervisord_lite.linux.process_table import read_entry
from tests.manager.conftest import NAME, Play, Shell, spec
from tests.manager.servers import free_port


def becomes_ready(probe: ActiveProbe, interval: float = 0.05) -> InstanceSpec:
    return spec(ready=Readiness(probe, interval=interval))


def stays_healthy(probe: ActiveProbe, **more: Any) -> InstanceSpec:
    settings = {"interval": 0.1, "timeout": 5.0, "retries": 2, "jitter": 0.0, **more}
    return spec(health=HealthCheck(probe, **settings))


def test_ready_with_the_first_success(play: Play[Any]) -> None:
    """Tries go on until a port is open."""
    port = free_port()

    async def story(shell: Shell) -> None:
        what = becomes_ready(TcpProbe("127.0.0.1", port))
        shell.readying(what, await shell.start(what))
        await shell.until(lambda: "refused" in (shell.prober.last_answer(NAME) or ""))
        assert shell.events == []
        with socket.create_server(("127.0.0.1", port)):
            assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_ready_by_a_file_of_this_run(play: Play[Any], tmp_path: Path) -> None:
    """One that an earlier run has left does not count; the real start of the process does."""
    path = tmp_path / "ready"
    path.touch()
    os.utime(path, (time.time() - 1, time.time() - 1))

    async def story(shell: Shell) -> None:
        what = becomes_ready(FileProbe(str(path)))
        shell.readying(what, await shell.start(what))
        await shell.until(lambda: "older" in (shell.prober.last_answer(NAME) or ""))
        assert shell.events == []
        path.touch()
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_a_file_made_at_once_counts(play: Play[Any], tmp_path: Path) -> None:
    """Made by the very first act of the worker, long before anybody looks."""
    path = tmp_path / "ready"

    async def story(shell: Shell) -> None:
        ready = Readiness(FileProbe(str(path)), interval=0.05)
        what = spec("sh", "-c", f": > {path}; exec sleep 100000", ready=ready)
        pid = await shell.start(what)
        await shell.until(path.exists)
        await asyncio.sleep(0.3)
        shell.readying(what, pid)
        assert await shell.event() == BecameReady(NAME, 1)

    play(story)


def test_nothing_is_probed_once_it_is_ready(play: Play[Any], tmp_path: Path) -> None:
    """One success, one event, and no further try."""
    counter = tmp_path / "tries"

    async def story(shell: Shell) -> None:
        what = becomes_ready(ExecProbe(("sh", "-c", f"echo x >> {counter}")))
        shell.readying(what, await shell.start(what))
        assert await shell.event() == BecameReady(NAME, 1)
        await asyncio.sleep(0.3)
        assert shell.events == []
        assert counter.read_text() == "x\n"

    play(story)


def test_a_run_that_is_over_is_not_probed(play: Play[Any]) -> None:
    """With its state ends all that was looked for, and nothing is left to wake up."""
    port = free_port()

    async def story(shell: Shell) -> None:
        what = becomes_ready(TcpProbe("127.0.0.1", port))
        shell.readying(what, await shell.start(what))
        await shell.until(lambda: shell.prober.last_answer(NAME))
        shell.over(what)
        assert shell.prober._cases == {}
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(0.5)
            await asyncio.sleep(0.5)
        assert shell.events == []

    play(story)


def test_a_new_run_is_probed_for_itself(play: Play[Any]) -> None:
    """What was found about the one before does not count for it."""
    port = free_port()

    async def story(shell: Shell) -> None:
        what = becomes_ready(TcpProbe("127.0.0.1", port))
        pid = await shell.start(what)
        shell.readying(what, pid, run=1)
        shell.readying(what, pid, run=2)
        with socket.create_server(("127.0.0.1", port)):
            assert await shell.event() == BecameReady(NAME, 2)
        assert shell.events == []

    play(story)


def test_following_the_same_state_again_begins_nothing_anew(play: Play[Any]) -> None:
    """It is a level: telling it twice is telling it once."""

    async def story(shell: Shell) -> None:
        what = becomes_ready(TcpProbe("127.0.0.1", free_port()))
        pid = await shell.start(what)
        shell.readying(what, pid)
        case = shell.prober._cases[NAME]
        shell.readying(what, pid)
        assert shell.prober._cases[NAME] is case

    play(story)


def test_the_first_success_is_healthy(play: Play[Any]) -> None:
    """And further ones are no news."""

    async def story(shell: Shell) -> None:
        what = stays_healthy(ExecProbe(("true",)))
        shell.running(what, await shell.start(what))
        assert await shell.event() == HealthFound(NAME, 1, healthy=True, detail="exit code 0")
        await asyncio.sleep(0.5)
        assert shell.events == []

    play(story)


def test_failures_in_a_row_are_unhealthy(play: Play[Any], tmp_path: Path) -> None:
    """So many as were asked for; then one success is healthy again."""
    tries, good = tmp_path / "tries", tmp_path / "good"

    async def story(shell: Shell) -> None:
        probe = ExecProbe(("sh", "-c", f"echo x >> {tries}; test -e {good}"))
        what = stays_healthy(probe, retries=3)
        shell.running(what, await shell.start(what))
        assert await shell.event() == HealthFound(NAME, 1, healthy=False, detail="exit code 1")
        assert len(tries.read_text()) // 2 == 3
        good.touch()
        assert await shell.event() == HealthFound(NAME, 1, healthy=True, detail="exit code 0")

    play(story)


def test_failures_in_the_start_period_do_not_count(play: Play[Any], tmp_path: Path) -> None:
    """A success in it does."""
    tries, good = tmp_path / "tries", tmp_path / "good"

    async def story(shell: Shell) -> None:
        probe = ExecProbe(("sh", "-c", f"echo x >> {tries}; test -e {good}"))
        what = stays_healthy(probe, retries=1, start_period=1000.0)
        shell.running(what, await shell.start(what))
        await shell.until(lambda: tries.exists() and len(tries.read_text()) > 6)
        assert shell.events == []
        good.touch()
        assert (await shell.event()) == HealthFound(NAME, 1, healthy=True, detail="exit code 0")

    play(story)


def test_a_stopped_worker_is_not_unhealthy(play: Play[Any], tmp_path: Path) -> None:
    """What somebody has stopped by a signal is not probed, until it goes on."""
    tries = tmp_path / "tries"

    async def story(shell: Shell) -> None:
        what = stays_healthy(ExecProbe(("sh", "-c", f"echo x >> {tries}; exit 1")), retries=1)
        pid = await shell.start(what)
        os.kill(pid, signal.SIGSTOP)
        await shell.until(lambda: read_entry(pid).state == "T")  # type: ignore[union-attr]
        shell.running(what, pid)
        await asyncio.sleep(0.5)
        assert shell.events == []
        assert not tries.exists()
        os.kill(pid, signal.SIGCONT)
        assert await shell.event() == HealthFound(NAME, 1, healthy=False, detail="exit code 1")

    play(story)


def test_tries_never_overlap(play: Play[Any], tmp_path: Path) -> None:
    """However long one takes, the next one waits for its end."""
    place, trouble = tmp_path / "busy", tmp_path / "overlap"

    async def story(shell: Shell) -> None:
        script = f"mkdir {place} || touch {trouble}; sleep 0.3; rmdir {place}; echo x >> {place}s"
        what = stays_healthy(ExecProbe(("sh", "-c", script)), interval=0.01)
        shell.running(what, await shell.start(what))
        done = Path(f"{place}s")
        await shell.until(lambda: done.exists() and len(done.read_text()) > 4)
        assert not trouble.exists()

    play(story)


def test_the_verdict_of_an_earlier_manager_holds(play: Play[Any]) -> None:
    """What is remembered as healthy is no news when it is so."""

    async def story(shell: Shell) -> None:
        what = stays_healthy(ExecProbe(("true",)))
        shell.running(what, await shell.start(what), health=Health.HEALTHY)
        await shell.until(lambda: shell.prober.last_answer(NAME))
        assert shell.events == []

    play(story)


def test_a_changed_check_is_taken_over(play: Play[Any]) -> None:
    """A reload may change it while the run goes on."""

    async def story(shell: Shell) -> None:
        what = stays_healthy(ExecProbe(("true",)))
        pid = await shell.start(what)
        shell.running(what, pid)
        assert (await shell.event()) == HealthFound(NAME, 1, healthy=True, detail="exit code 0")
        shell.running(stays_healthy(ExecProbe(("false",))), pid, health=Health.HEALTHY)
        assert (await shell.event()) == HealthFound(NAME, 1, healthy=False, detail="exit code 1")

    play(story)


def test_a_worker_stopped_while_it_starts_gets_the_time_back(play: Play[Any]) -> None:
    """Seconds in which a signal had stopped it do not count against it."""

    async def story(shell: Shell) -> None:
        what = becomes_ready(TcpProbe("127.0.0.1", free_port()))
        pid = await shell.start(what)
        os.kill(pid, signal.SIGSTOP)
        await shell.until(lambda: read_entry(pid).state == "T")  # type: ignore[union-attr]
        deadline = time.monotonic() + 2.0
        shell.prober.follow(Instance(what, Readying(1, pid, deadline - 2.0, deadline)))
        event = await shell.event()
        assert isinstance(event, TimeExtended)
        assert time.monotonic() < deadline + 1.0
        assert deadline + 1.5 < event.until < deadline + 4.0

    play(story)


def test_a_worker_that_could_run_gets_no_more_time(play: Play[Any]) -> None:
    """The deadline is the core's, and stays."""

    async def story(shell: Shell) -> None:
        what = becomes_ready(TcpProbe("127.0.0.1", free_port()))
        shell.readying(what, await shell.start(what), within=1.5)
        await asyncio.sleep(2.0)
        assert not [event for event in shell.events if isinstance(event, TimeExtended)]

    play(story)
