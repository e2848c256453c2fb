"""Rules about resources: real processes that use them, and instances in states of our choice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from supervisord_lite.core.event import Event, RunCondemned
from supervisord_lite.core.spec import (
    InstanceSpec,
    OnBroken,
    Program,
    Resource,
    ResourceRule,
    UpdatePolicy,
)
from supervisord_lite.core.state import Backoff, Fatal, Instance, Running, Stopped
from supervisord_lite.linux.process_table import ProcessTable
from supervisord_lite.manager.resources import Sampler
from supervisord_lite.manager.usage import CpuAccount, Meter, Root, Times
from tests.cli.conftest import DEADLINE, environment, until

MIB = 2**20
BIG = "import time; block = bytearray(b'x' * (64 * 2**20)); time.sleep(100000)"
BUSY = "while True: pass"
QUIET = "import time; time.sleep(100000)"
CHILD = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {!r}]); {}"
"""A process whose child does this, and which does that itself."""


def at_most(limit: float, resource: Resource = Resource.MEMORY, **more: Any) -> ResourceRule:
    return ResourceRule(resource, limit, **more)


class Works:
    """A sampler that measures twenty times a second, and the processes that it measures."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.sampler = Sampler(self._take, self.said.put_nowait, interval=0.05)
        self._instances: dict[str, Instance] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def _take(self, event: Event) -> None:
        """As the core does: in the same step the run is on its way down."""
        self.events.put_nowait(event)
        assert isinstance(event, RunCondemned)
        instance = self._instances[event.instance]
        self.sampler.follow(replace(instance, state=Backoff(0.0, event.why)))

    def start(self, code: str, *arguments: str) -> int:
        """A process in a session of its own, as workers are."""
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        return process.pid

    def running(
        self, pid: int, *rules: ResourceRule, name: str = "web:0", run: int = 1, **more: Any
    ) -> Instance:
        """The value of an instance that runs this, which the sampler is told."""
        now = time.monotonic()
        spec = InstanceSpec(name, "web", 0, Program(("serve",), "/"), rules=rules, **more)
        instance = Instance(spec, Running(run, pid, now, now), wanted=True)
        self.follow(instance)
        return instance

    def follow(self, instance: Instance) -> None:
        self._instances[instance.spec.name] = instance
        self.sampler.follow(instance)

    async def event(self) -> RunCondemned:
        event = await asyncio.wait_for(self.events.get(), DEADLINE)
        assert isinstance(event, RunCondemned)
        return event

    async def notice(self) -> str:
        return await asyncio.wait_for(self.said.get(), DEADLINE)

    async def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not holds():
            assert time.monotonic() < deadline, "the condition did not come true"
            await asyncio.sleep(0.01)

    def end(self) -> None:
        self.sampler.close()
        table = ProcessTable()
        for entry in table.with_descendants([process.pid for process in self.processes]):
            with suppress(ProcessLookupError):
                os.kill(entry.pid, signal.SIGKILL)
        for process in self.processes:
            process.communicate()


Story = Callable[[Works], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play() -> Play:
    def act(story: Story) -> None:
        async def stage() -> None:
            works = Works()
            try:
                await asyncio.wait_for(story(works), DEADLINE)
            finally:
                works.end()

        asyncio.run(stage())

    return act


# ------------------------------------------------------------------ memory


def test_a_run_above_its_memory_is_condemned(play: Play) -> None:
    """Once, with what it used and what it may."""

    async def story(works: Works) -> None:
        works.running(works.start(BIG), at_most(32 * MIB), run=7)
        event = await works.event()
        assert (event.instance, event.run, event.failure) == ("web:0", 7, False)
        assert event.why.startswith("memory ")
        assert event.why.endswith(" MiB above max_memory 32 MiB")
        assert works.events.empty()

    play(story)


def test_the_memory_of_children_counts(play: Play) -> None:
    """Also of those in a session of their own."""
    code = "import os, time; os.setsid(); block = bytearray(b'x' * (64 * 2**20)); time.sleep(1e5)"

    async def story(works: Works) -> None:
        works.running(works.start(CHILD.format(code, QUIET)), at_most(48 * MIB))
        assert "max_memory" in (await works.event()).why

    play(story)


KEEPER = """
import os, subprocess, sys, time
from supervisord_lite.linux.prctl import become_subreaper

become_subreaper()
environment = os.environ | {"SUPERVISORD_LITE_RUN": f"test-{os.getpid()}/web:0/1"}
command = [sys.executable, "-c", sys.argv[1]]
print(subprocess.Popen(command, env=environment, start_new_session=True).pid, flush=True)
time.sleep(100000)
"""


def test_the_memory_of_those_that_left_counts_by_their_mark(play: Play) -> None:
    """A daemon that has left its session and lost its parents is still the run's."""
    leave = "import os\nos.setsid()\nif os.fork(): os._exit(0)\n"

    async def story(works: Works) -> None:
        works.start(KEEPER, CHILD.format(leave + BIG, QUIET))
        stdout = works.processes[0].stdout
        assert stdout is not None
        works.running(int(await asyncio.to_thread(stdout.readline)), at_most(48 * MIB))
        assert "max_memory" in (await works.event()).why

    play(story)


def test_a_peak_is_forgiven(play: Play) -> None:
    """One sample above the limit is none: a tree that forks looks twice its size for a moment."""

    async def story(works: Works) -> None:
        works.running(works.start(QUIET), at_most(MIB * 4096))
        await works.until(lambda: works.sampler.usage("web:0"))
        followed = works.sampler._followed["web:0"]
        sample = followed.samples[-1]
        for memory in (5000 * MIB, 100 * MIB, 5000 * MIB):
            followed.take(replace(sample, memory=memory))
            assert followed.verdict is None
        followed.take(replace(sample, memory=5000 * MIB))
        assert followed.verdict == "memory 4.883 GiB above max_memory 4 GiB"

    play(story)


# ------------------------------------------------------------------ processor


def test_a_run_above_its_share_is_condemned(play: Play) -> None:
    """Averaged over the window, not before."""

    async def story(works: Works) -> None:
        began = time.monotonic()
        rule = at_most(0.05, Resource.CPU, window=1.0)
        works.running(works.start(BUSY), rule)
        why = (await works.event()).why
        assert time.monotonic() - began >= 1.0
        assert why.startswith("CPU ")
        assert why.endswith("% over 1s above max_cpu 5%")

    play(story)


def test_a_quiet_run_is_left_alone(play: Play) -> None:
    """Its share is known and is next to nothing."""

    async def story(works: Works) -> None:
        works.running(works.start(QUIET), at_most(0.5, Resource.CPU, window=0.5))
        await works.until(lambda: len(works.sampler._followed["web:0"].samples) > 8)
        await works.until(lambda: works.sampler.usage("web:0").get("cpu", 1.0) < 0.5)
        assert works.events.empty()

    play(story)


def test_the_time_of_children_that_have_ended_counts(play: Play) -> None:
    """A worker that does its work in short-lived processes works, too."""
    code = (
        "import subprocess, sys\n"
        "while True: subprocess.run([sys.executable, '-S', '-c', 'sum(range(10**6))'])"
    )

    async def story(works: Works) -> None:
        works.running(works.start(code), at_most(0.05, Resource.CPU, window=1.0))
        assert "max_cpu 5%" in (await works.event()).why

    play(story)


A, B = (1, 100), (2, 100)


def spent(*looks: dict[tuple[int, int], Times]) -> float:
    account = CpuAccount()
    for look in looks:
        account.add(look)
    return account.spent


def test_what_was_spent_before_the_first_look_does_not_count() -> None:
    """A new manager begins to count anew."""
    assert spent({A: Times(50.0, 20.0)}, {A: Times(51.0, 22.0)}) == 3.0


def test_a_child_counts_once_though_its_parent_inherits_its_time() -> None:
    """What was counted while it lived is taken off when it is waited for, however late."""
    looks = [{A: Times(1.0, 0.0)}, {A: Times(1.0, 0.0), B: Times(5.0, 0.0)}]
    assert spent(*looks, {A: Times(1.0, 6.0)}) == 6.0
    assert spent(*looks, {A: Times(1.0, 0.0)}, {A: Times(1.0, 6.0)}) == 6.0


def test_children_that_nobody_waits_for_count_while_they_live() -> None:
    """Their parent ignores SIGCHLD, and their time is never inherited."""
    looks = [{A: Times(0.0, 0.0), (pid, 1): Times(2.0, 0.0)} for pid in range(10, 15)]
    assert spent(*looks) == 8.0


# ------------------------------------------------------------------ age


def test_a_run_that_grows_old_is_condemned(play: Play) -> None:
    """Within a tenth of its maximum age, and without a single sample."""

    async def story(works: Works) -> None:
        instance = works.running(1, at_most(2.0, Resource.AGE))
        event = await works.event()
        assert event.why == "age has reached max_age 2s"
        assert isinstance(instance.state, Running)
        assert time.monotonic() - instance.state.started >= 1.8
        assert works.sampler.usage("web:0") == {}

    play(story)


def test_ages_are_spread() -> None:
    """What was started together does not end together, and each manager has the same ends."""

    async def deadlines() -> list[float]:
        works = Works()
        started = time.monotonic()
        for number in range(100):
            instance = works.running(1, at_most(1000.0, Resource.AGE), name=f"web:{number}")
            works.sampler.forget(instance.spec.name)
            state = Running(1, 1, started, started)
            works.follow(replace(instance, state=state))
        timers = [followed.age_timers[0].when() for followed in works.sampler._followed.values()]
        works.end()
        return [when - started for when in timers]

    first, second = asyncio.run(deadlines()), asyncio.run(deadlines())
    assert first == pytest.approx(second)
    assert all(900 <= age <= 1000 for age in first)
    assert max(first) - min(first) > 80


def test_one_that_was_old_before_the_manager_came_is_condemned(play: Play) -> None:
    """The age of a run does not begin anew with a manager."""

    async def story(works: Works) -> None:
        instance = works.running(1)
        rules = (at_most(100.0, Resource.AGE),)
        old = Running(1, 1, 0.0, time.monotonic() - 200.0)
        works.follow(replace(instance, spec=replace(instance.spec, rules=rules), state=old))
        assert works.events.empty()  # not while it is being told
        assert (await works.event()).why == "age has reached max_age 1m40s"

    play(story)


# ------------------------------------------------------------------ reports


def test_a_breach_is_reported_once_and_stays_in_the_status(play: Play) -> None:
    """The run goes on."""

    async def story(works: Works) -> None:
        works.running(works.start(BIG), at_most(32 * MIB, action=OnBroken.REPORT))
        said = await works.notice()
        assert said.startswith("web:0: memory ")
        assert said.endswith(" above max_memory 32 MiB")
        measured = works.sampler._followed["web:0"].samples[-1].at
        await works.until(lambda: works.sampler._followed["web:0"].samples[-1].at > measured)
        assert works.said.empty()
        assert works.events.empty()
        (breach,) = works.sampler.breaches("web:0")
        assert breach.endswith(" above max_memory 32 MiB")

    play(story)


def test_the_end_of_a_breach_is_reported_once_it_is_well_over(play: Play) -> None:
    """A resource that swings about its limit is one breach."""

    async def story(works: Works) -> None:
        works.running(works.start(QUIET), at_most(1000 * MIB, action=OnBroken.REPORT))
        await works.until(lambda: works.sampler.usage("web:0"))
        followed = works.sampler._followed["web:0"]
        works.sampler.close()
        told = []
        for memory in (1100, 1100, 990, 1100, 950, 890, 990):
            told += followed.take(replace(followed.samples[-1], memory=memory * MIB))
        assert told == [
            "memory 1.074 GiB above max_memory 1000 MiB",
            "memory 890 MiB, no longer above max_memory 1000 MiB",
        ]
        assert followed.breaches == []

    play(story)


# ------------------------------------------------------------------ who goes when


def test_rules_take_one_instance_of_a_worker_at_a_time(play: Play) -> None:
    """The others wait until that is RUNNING again, even if all break a rule."""

    async def story(works: Works) -> None:
        rule = at_most(0.2, Resource.AGE)
        first = works.running(1, rule, name="web:0")
        second = works.running(1, rule, name="web:1")
        gone = (await works.event()).instance
        one, other = (first, second) if gone == "web:0" else (second, first)
        await works.until(lambda: works.sampler.breaches(other.spec.name))
        assert works.events.empty()
        works.running(1, rule, name=one.spec.name, run=2)
        assert (await works.event()).instance == other.spec.name

    play(story)


@pytest.mark.parametrize("state", [Stopped(), Fatal("too many failures", 0.0)])
def test_one_that_is_down_for_good_holds_nobody_up(play: Play, state: Any) -> None:
    """It is not on its way, so there is nothing to wait for."""

    async def story(works: Works) -> None:
        rule = at_most(0.2, Resource.AGE)
        down = works.running(1, rule, name="web:0")
        works.follow(replace(down, state=Backoff(0.0, "exit code 1")))
        works.running(1, rule, name="web:1")
        await works.until(lambda: works.sampler.breaches("web:1"))
        assert works.events.empty()
        works.follow(replace(down, state=state))
        assert (await works.event()).instance == "web:1"

    play(story)


def test_as_many_go_at_once_as_may_be_unavailable(play: Play) -> None:
    """The worker's update policy says how many that are."""

    async def story(works: Works) -> None:
        update = UpdatePolicy(max_unavailable=2)
        rule = at_most(0.2, Resource.AGE)
        for number in range(3):
            works.running(1, rule, name=f"web:{number}", update=update)
        instances = {f"web:{number}" for number in range(3)}
        gone = set()
        for _ in range(2):
            gone.add((await works.event()).instance)
        (left,) = instances - gone
        await works.until(lambda: works.sampler.breaches(left))
        assert works.events.empty()

    play(story)


# ------------------------------------------------------------------ when nothing is measured


def test_without_rules_there_is_no_timer(play: Play) -> None:
    """Nor for those that are down, nor for a maximum age alone."""

    async def story(works: Works) -> None:
        works.running(1)
        assert works.sampler._timer is None
        works.running(1, at_most(1000.0, Resource.AGE))
        assert works.sampler._timer is None
        measured = works.running(1, at_most(MIB * 4096))
        assert works.sampler._timer is not None
        works.follow(replace(measured, state=Stopped()))
        assert works.sampler._timer is None

    play(story)


def test_rules_that_a_reload_changes_hold_at_once(play: Play) -> None:
    """For the run that lives, with what was measured of it."""

    async def story(works: Works) -> None:
        pid = works.start(BIG)
        works.running(pid, at_most(4096 * MIB))
        await works.until(lambda: works.sampler.usage("web:0").get("memory", 0) > 32 * MIB)
        works.running(pid, at_most(32 * MIB))
        assert "max_memory 32 MiB" in (await works.event()).why

    play(story)


def test_a_run_that_is_gone_is_not_measured(play: Play) -> None:
    """Nobody has said yet that it is over; the next sample comes without it."""

    async def story(works: Works) -> None:
        pid = works.start("pass")
        await asyncio.to_thread(until, lambda: pid not in ProcessTable().entries)
        works.running(pid, at_most(MIB))
        other = works.start(QUIET)
        works.running(other, at_most(4096 * MIB), name="web:1")
        await works.until(lambda: works.sampler.usage("web:1"))
        assert works.sampler.usage("web:0") == {}

    play(story)


def test_a_pass_measures_many_runs() -> None:
    """Each of them has its own figures from one look at all processes."""
    works = [subprocess.Popen(["sleep", "100000"], start_new_session=True) for _ in range(20)]
    try:
        meter = Meter()
        roots = [Root(f"web:{number}", 1, process.pid) for number, process in enumerate(works)]
        samples = meter.measure(roots)
        assert list(samples) == roots
        assert all(0 < sample.memory < 64 * MIB for sample in samples.values())
    finally:
        for process in works:
            process.kill()
            process.wait()
