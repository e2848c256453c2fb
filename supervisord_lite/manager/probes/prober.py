"""What the manager finds out about runs: whether they are ready, healthy, alive.

One place for all of it. `prepare` gives a run what it needs to speak to us, `follow` is told each
instance as it is remembered, and what is to be found out follows from that alone: it is a level, so
a new manager that follows all instances goes on with it. What is found is told as events, never
from within `follow`, in the midst of another event. Nothing wakes up for an instance of which
nothing is asked.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from supervisord_lite.core.event import Finding
from supervisord_lite.core.probe import (
    DescriptorProbe,
    HealthCheck,
    LogProbe,
    NotifyProbe,
    Probe,
)
from supervisord_lite.core.spec import InstanceSpec
from supervisord_lite.core.state import Instance, Readying, Running
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.probes.active_probes import Subject, look_after, until_ready
from supervisord_lite.manager.probes.helper_runs import HelperRuns
from supervisord_lite.manager.probes.notify_runs import NotifyRuns
from supervisord_lite.manager.probes.preparation import Preparation
from supervisord_lite.manager.probes.ready_deadline import ReadyDeadline
from supervisord_lite.manager.probes.ready_descriptors import ReadyDescriptors

Hold = Callable[[str, int], None]
Wake = Callable[[], None]
WatchOutput = Callable[[str, Wake], Wake]


@dataclass(frozen=True, slots=True)
class _Aim:
    """What is to be found out about which run."""

    run: int
    check: HealthCheck | None  # None: whether it is ready


@dataclass(slots=True, eq=False)
class _Case:
    """An aim that is being pursued."""

    aim: _Aim
    subject: Subject
    task: asyncio.Task[None] | None = None
    deadline: ReadyDeadline | None = None

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.deadline is not None:
            self.deadline.stop()


class Prober:
    """See the module. `directory` is where notify sockets are made; it is set before anything is
    prepared or followed.
    """

    def __init__(
        self,
        link: KeeperLink,
        given: Inheritance,
        hold_with_packet: Hold,
        watch_output: WatchOutput,
        take: Callable[[Finding], None],
        say: Callable[[str], None],
    ) -> None:
        """Takes over from `given` the descriptors that are its own (and removes them there)."""
        self._take = take
        self._watch_output = watch_output
        self._helpers = HelperRuns(link, given)
        self._notify = NotifyRuns(link, given, hold_with_packet, take, say)
        self._descriptors = ReadyDescriptors(link, given, hold_with_packet, take)
        self._cases: dict[str, _Case] = {}

    def use_directory(self, runtime_dir: str) -> None:
        """Make the sockets of later runs in there."""
        self._notify.directory = f"{runtime_dir}/notify"

    def prepare(self, spec: InstanceSpec, run: int) -> Preparation:
        """Make what the run needs, held with the packet that is being put together. OSError."""
        return Preparation(self._notify.prepare(spec, run), self._descriptors.prepare(spec, run))

    def follow(self, instance: Instance) -> None:
        """The instance is as follows now."""
        self._notify.follow(instance)
        self._descriptors.follow(instance)
        name, aim = instance.spec.name, _aim(instance)
        case = self._cases.get(name)
        if case is not None and case.aim == aim:
            case.subject.instance = instance
            return
        if case is not None:
            self._cases.pop(name).close()
        if aim is not None:
            self._cases[name] = self._open(aim, Subject(instance))

    def forget(self, name: str) -> None:
        """The instance is no more."""
        self._notify.forget(name)
        self._descriptors.forget(name)
        if name in self._cases:
            self._cases.pop(name).close()

    def settle(self) -> None:
        """All instances of the fleet were followed: let go of what an earlier manager left."""
        self._notify.settle()
        self._descriptors.settle()

    def sift(self, fact: Packet) -> list[Packet]:
        """The facts for the core, now that this one has come: none if it is about a probe's command
        or has to wait, and perhaps some that had to wait for it.
        """
        return [] if self._helpers.take(fact) else self._notify.sift(fact)

    def close(self) -> None:
        """The end: nothing is probed any more, and what nobody uses is removed."""
        for name in list(self._cases):
            self._cases.pop(name).close()
        self._notify.close()

    def status_of(self, name: str) -> str | None:
        """What the run says of itself (STATUS=), raw: to be escaped where it is shown."""
        return self._notify.status_of(name)

    def last_answer(self, name: str) -> str | None:
        """What the last try of the present probe said, in words."""
        case = self._cases.get(name)
        return case.subject.said if case is not None else None

    def _open(self, aim: _Aim, subject: Subject) -> _Case:
        case = _Case(aim, subject)
        ready = subject.instance.spec.ready
        if aim.check is not None:
            work = look_after(subject, aim.check, self._helpers, self._take)
            case.task = self._run(work)
        elif ready is not None:
            case.deadline = ReadyDeadline(subject, self._take)
            case.task = self._await_ready(subject, ready.probe)
        return case

    def _await_ready(self, subject: Subject, probe: Probe) -> asyncio.Task[None] | None:
        match probe:
            case NotifyProbe() | DescriptorProbe():
                return None  # they speak for themselves
            case LogProbe(pattern=pattern):
                from supervisord_lite.manager.probes.ready_lines import until_line

                return self._run(until_line(subject, pattern, self._watch_output, self._take))
            case _:
                return self._run(until_ready(subject, probe, self._helpers, self._take))

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_ended)
        return task


def _ended(task: asyncio.Task[None]) -> None:
    """A task that fails is a bug: raised here it reaches the loop's exception handler, which ends
    this manager, and the next one goes on.
    """
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


def _aim(instance: Instance) -> _Aim | None:
    spec = instance.spec
    match instance.state:
        case Readying(run=run) if spec.ready is not None:
            return _Aim(run, None)
        case Running(run=run) if spec.health is not None:
            return _Aim(run, spec.health)
        case _:
            return None
