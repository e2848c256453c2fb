"""What the outside may ask of the manager: the one object that `control` talks to.

All of it runs in the asyncio thread. Nothing here decides; it turns a request into an event for
the core, waits for the fleet to settle where the caller wants that, and reads views. A request is
answered only once the orders that follow from it are durable.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from supervisord_lite import __version__
from supervisord_lite.core.event import (
    RestartRequested,
    SignalRequested,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.plan import Plan
from supervisord_lite.core.state import Running, Stopping, live_run, word
from supervisord_lite.logs.event import StreamStatus
from supervisord_lite.manager.compiling import LOOK, BadConfiguration, Compiled, Compiler
from supervisord_lite.manager.core_loop import CoreLoop
from supervisord_lite.manager.keeper_link import KeeperLink
from supervisord_lite.manager.views import Views
from supervisord_lite.manager.waiting import Question, Verdict, Waiters, is_down, is_up

__all__ = ["BadConfiguration", "Outcome", "Refused", "Service", "UnknownNames"]


class UnknownNames(Exception):
    """No worker or instance matches some of the names asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"no such worker: {', '.join(names)}")
        self.names = tuple(names)


class Refused(Exception):
    """The request cannot be taken now (a shutdown is under way, say); the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one instance answered a request: `ok`, its state then, and why not if not. `timed_out`
    says that waiting ended before there was an answer.
    """

    name: str
    ok: bool
    state: str
    pid: int | None
    message: str
    timed_out: bool = False


class Daemon(Protocol):
    """What the service asks of the whole daemon rather than of the fleet."""

    applied: Compiled | None
    greeting: dict[str, Any]

    async def reload(self) -> Plan: ...

    def shut_down(self) -> None: ...

    def leave(self) -> None: ...

    def reopen_logs(self) -> None: ...

    def log_status(self, stream: str) -> StreamStatus | None: ...


class Service:
    """The verbs of the control API."""

    def __init__(
        self, core: CoreLoop, link: KeeperLink, waiters: Waiters, compiler: Compiler, daemon: Daemon
    ) -> None:
        self._core = core
        self._link = link
        self._waiters = waiters
        self._compiler = compiler
        self._daemon = daemon
        self._views = Views(core.fleet, daemon.log_status)

    @property
    def _fleet(self) -> Fleet:
        return self._core.fleet

    # ---------------------------------------------------------------- reading

    def resolve(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """The instances that these names mean: `web` (all of a worker), `web:0`, globs, `all`.

        In file order, each once. Raises `UnknownNames` with every name that matches nothing.
        """
        found: dict[str, None] = {}
        unknown = []
        for pattern in patterns:
            matches = self._matches(pattern)
            found.update(dict.fromkeys(matches))
            if not matches and pattern != "all":
                unknown.append(pattern)
        if unknown:
            raise UnknownNames(unknown)
        if len(patterns) == 1:
            return tuple(found)
        return tuple(name for name in self._fleet.instances if name in found)

    def _matches(self, pattern: str) -> list[str]:
        instances = self._fleet.instances
        if pattern in instances:
            return [pattern]
        if pattern == "all":
            return list(instances)
        return [
            name
            for name, instance in instances.items()
            if instance.spec.worker == pattern
            or fnmatchcase(name, pattern)
            or fnmatchcase(instance.spec.worker, pattern)
        ]

    def views(self, names: Sequence[str]) -> bytes:
        """A JSON array with one object an instance (see docs/api.md)."""
        return self._views.array(names)

    def about(self) -> dict[str, Any]:
        """Version, pids of keeper and manager, files, socket, held or not, last words."""
        applied = self._daemon.applied
        configuration = applied.configuration if applied else None
        greeting = self._daemon.greeting
        return {
            "version": __version__,
            "name": configuration.name if configuration else None,
            "keeper": greeting.get("keeper"),
            "manager": os.getpid(),
            "files": list(greeting.get("files", ())),
            "socket": configuration.control.socket if configuration else None,
            "directory": greeting.get("directory"),
            "held": self._fleet.held,
            "shutting_down": self._fleet.shutting_down,
            "manager_deaths": greeting.get("deaths", 0),
            "last_words": greeting.get("last_words"),
        }

    def listing(self) -> list[dict[str, Any]]:
        """The applied configuration, a value a row: `path`, `value`, `origin` ("file:line" or
        "default").
        """
        return self._daemon.applied.listing if self._daemon.applied else []

    # ---------------------------------------------------------------- instances

    async def start(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        """Want these up. Waiting ends when each is up for good (a run of `stable_after`, or a task
        that runs), has ended, or failed, or when a later command overrides. Raises `Refused`.
        """
        self._refuse_during_shutdown()
        questions = [is_up(self._run_before_start(name)) for name in names]
        self._core.take(StartRequested(tuple(names)))
        return await self._answer(names, questions, wait=wait, timeout=timeout)

    async def stop(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        """Want these down. Waiting ends when nothing of them lives."""
        self._core.take(StopRequested(tuple(names)))
        questions: list[Question] = [is_down for _ in names]
        return await self._answer(names, questions, wait=wait, timeout=timeout)

    async def restart(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        """Want a new run of each. Waiting ends as for `start`, with a run of its own."""
        self._refuse_during_shutdown()
        questions = [is_up(self._run_before_restart(name)) for name in names]
        self._core.take(RestartRequested(tuple(names)))
        return await self._answer(names, questions, wait=wait, timeout=timeout)

    def signal(self, names: Sequence[str], signal: int) -> list[Outcome]:
        """Send a signal to the main processes; `ok` is false for those without one."""
        alive = {name for name in names if self._pid(name) is not None}
        self._core.take(SignalRequested(tuple(name for name in names if name in alive), signal))
        sent = Verdict(ok=True, message="signalled")
        absent = Verdict(ok=False, message="not up")
        return [self._outcome(name, sent if name in alive else absent) for name in names]

    def _run_before_start(self, name: str) -> int:
        """The last run that is of no use to someone who wants the instance up."""
        instance = self._fleet.instances[name]
        up = isinstance(instance.state, Running) or (live_run(instance.state) and instance.wanted)
        useful = up and not isinstance(instance.state, Stopping)
        return instance.last_run - 1 if useful else instance.last_run

    def _run_before_restart(self, name: str) -> int:
        """The last run that is no answer to a restart: a run still on its way to exec is one."""
        instance = self._fleet.instances[name]
        on_its_way = word(instance.state) == "STARTING"
        return instance.last_run - 1 if on_its_way else instance.last_run

    async def _answer(
        self, names: Sequence[str], questions: Sequence[Question], *, wait: bool, timeout: float
    ) -> list[Outcome]:
        await self._link.drained()
        if not wait:
            return [self._outcome(name, Verdict(ok=True, message="requested")) for name in names]
        verdicts = await self._waiters.settle(names, questions, timeout)
        return [self._outcome(name, verdicts[name]) for name in names]

    def _outcome(self, name: str, verdict: Verdict) -> Outcome:
        instance = self._fleet.instances.get(name)
        state = word(instance.state) if instance else "STOPPED"
        pid = self._pid(name)
        return Outcome(name, verdict.ok, state, pid, verdict.message, verdict.timed_out)

    def _pid(self, name: str) -> int | None:
        instance = self._fleet.instances.get(name)
        state = instance.state if instance else None
        return state.pid if isinstance(state, Running | Stopping) else None

    # ---------------------------------------------------------------- the daemon

    async def plan(self) -> Plan:
        """What a reload would do. Raises `BadConfiguration`."""
        compiled = await self._compiler.compile(LOOK)
        return self._fleet.plan(compiled.configuration)

    async def reload(self, *, wait: bool, timeout: float) -> tuple[Plan, list[Outcome]]:
        """Do what `plan` says and return it. Waiting ends when every instance that it touches has
        settled, and tells how. Raises `BadConfiguration`, then nothing has changed, and `Refused`.
        """
        self._refuse_during_shutdown()
        deadline = time.monotonic() + timeout
        plan = await self._daemon.reload()
        await self._link.drained()
        if not wait:
            return plan, []
        return plan, await self._await_plan(plan, max(0.0, deadline - time.monotonic()))

    async def _await_plan(self, plan: Plan, timeout: float) -> list[Outcome]:
        touched = [e.instance for e in plan.entries if e.action in ("start", "restart", "stop")]
        present = [name for name in touched if name in self._fleet.instances]
        questions = [
            is_up(self._run_before_start(name)) if self._fleet.instances[name].wanted else is_down
            for name in present
        ]
        verdicts = await self._waiters.settle(present, questions, timeout)
        return [self._outcome(name, verdicts[name]) for name in present]

    def shutdown(self) -> None:
        """Stop everything in order, then the daemon, which exits 0."""
        self._daemon.shut_down()

    def leave(self) -> None:
        """Let the daemon exit and every worker live on, to be adopted by the next `run`."""
        self._daemon.leave()

    def reopen_logs(self) -> None:
        """Open every log again by its name (SIGUSR2)."""
        self._daemon.reopen_logs()

    def _refuse_during_shutdown(self) -> None:
        if self._fleet.shutting_down:
            raise Refused("cannot start anything: the daemon is shutting down")
