"""What the outside may ask of the manager: the one object that `control` talks to.

All of it runs in the asyncio thread. Nothing here decides; it turns a request into an event for
the core, waits for the fleet to settle where the caller wants that, and reads views. A request is
answered only once the orders that follow from it are durable.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from supervisord_lite import __version__
from supervisord_lite.channels.room import Channels
from supervisord_lite.core.event import (
    ReloadRequested,
    RestartRequested,
    RolloutRequested,
    RolloutUndone,
    RunRequested,
    SignalRequested,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.generations import succeeding
from supervisord_lite.core.plan import Action, Plan
from supervisord_lite.core.selector import BadSelector
from supervisord_lite.core.spec import Kind
from supervisord_lite.core.state import Running, word
from supervisord_lite.logs.event import StreamStatus
from supervisord_lite.manager.compiling import LOOK, BadConfiguration, Compiled, Compiler
from supervisord_lite.manager.core_loop import CoreLoop
from supervisord_lite.manager.insight import Insight
from supervisord_lite.manager.keeper_link import KeeperLink
from supervisord_lite.manager.naming import Choice, UnknownNames, chosen, workers_of
from supervisord_lite.manager.outcome import Outcome, Refused
from supervisord_lite.manager.questions import (
    Question,
    Questions,
    Verdict,
    run_before_restart,
    run_before_start,
    run_to_come,
)
from supervisord_lite.manager.views import Extras, pid_of
from supervisord_lite.manager.waiting import Waiters

if TYPE_CHECKING:
    from supervisord_lite.manager.channel_access import ChannelAccess

__all__ = ["BadConfiguration", "BadSelector", "Outcome", "Refused", "Service", "UnknownNames"]


class Daemon(Protocol):
    """What the service asks of the whole daemon rather than of the fleet."""

    greeting: dict[str, Any]

    @property
    def applied(self) -> Compiled | None: ...

    async def reload(self) -> Plan: ...

    async def scale(self, counts: Mapping[str, int]) -> Plan: ...

    def shut_down(self) -> None: ...

    def leave(self) -> None: ...

    async def reopen_logs(self) -> bool: ...

    def log_status(self, stream: str) -> StreamStatus | None: ...


class Service:
    """The verbs of the control API. `room` is set by whoever puts the manager together."""

    room: Channels

    def __init__(
        self,
        core: CoreLoop,
        link: KeeperLink,
        waiters: Waiters,
        compiler: Compiler,
        daemon: Daemon,
        extras: Extras,
    ) -> None:
        self._core = core
        self._link = link
        self._waiters = waiters
        self._compiler = compiler
        self._daemon = daemon
        self._questions = Questions(core.fleet)
        self.insight = Insight(core.fleet, daemon.log_status, extras)

    @property
    def _fleet(self) -> Fleet:
        return self._core.fleet

    @cached_property
    def channels(self) -> "ChannelAccess":
        """What clients are lent of the channels; not imported before one asks."""
        from supervisord_lite.manager.channel_access import ChannelAccess

        return ChannelAccess(self._fleet, self.room)

    # ---------------------------------------------------------------- reading

    def resolve(self, choice: Choice) -> tuple[str, ...]:
        """The instances that are meant, in file order, each once. Raises `UnknownNames` with every
        name that matches nothing, and `BadSelector`.
        """
        return chosen(choice, self._fleet.instances)

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
        """Want these up, and what they depend on. Waiting ends when each is ready (a run of
        `stable_after` where it does not say so itself), has ended, or failed, or when a later
        command overrides. Raises `Refused`.
        """
        self._refuse_during_shutdown()
        instances = self._fleet.instances
        questions = {n: self._questions.up(n, run_before_start(instances[n])) for n in names}
        self._core.take(StartRequested(tuple(names)))
        return await self._answer(questions, wait=wait, timeout=timeout)

    async def stop(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        """Want these down. Waiting ends when nothing of them lives."""
        self._core.take(StopRequested(tuple(names)))
        questions = {name: self._questions.down(name) for name in names}
        return await self._answer(questions, wait=wait, timeout=timeout)

    async def restart(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        """Want a new run of each: of whole workers by their update policy, of others at once.
        Waiting ends as for `start`, with a run of its own, or with the roll-out.
        """
        self._refuse_during_shutdown()
        instances = self._fleet.instances
        rolling = self.insight.to_be_rolled_out(names)
        questions: dict[str, Question] = {}
        for name in names:
            ask = self._questions.replaced if name in rolling else self._questions.up
            questions[name] = ask(name, run_before_restart(instances[name]))
        at_once = tuple(name for name in names if name not in rolling)
        if rolling:  # first: what is started besides is new, and needs no turn
            self._core.take(RolloutRequested(workers_of(rolling, instances)))
        if at_once:
            self._core.take(RestartRequested(at_once))
        return await self._answer(questions, wait=wait, timeout=timeout)

    async def run(self, names: Sequence[str], *, wait: bool, timeout: float) -> list[Outcome]:
        """Want one run of each of these jobs and tasks now. Waiting ends with the run."""
        self._refuse_during_shutdown()
        before = {name: self._fleet.instances[name] for name in names}
        services = [name for name in names if before[name].spec.kind is Kind.SERVICE]
        if services:
            raise Refused(f"cannot run {', '.join(services)} once: a service is to be started")
        self._core.take(RunRequested(tuple(names)))
        runs = {name: run_to_come(before[name], self._fleet.instances[name]) for name in names}
        questions = {name: self._questions.ran(name, run) for name, run in runs.items() if run}
        answers = {
            one.name: one for one in await self._answer(questions, wait=wait, timeout=timeout)
        }
        skipped = Verdict(ok=False, message="skipped: its run before is still under way")
        return [answers.get(name) or self._outcome(name, skipped) for name in names]

    def signal(self, names: Sequence[str], signal: int) -> list[Outcome]:
        """Send a signal to the main processes; `ok` is false for those without one."""
        instances = self._fleet.instances
        alive = tuple(name for name in names if pid_of(instances[name]) is not None)
        self._core.take(SignalRequested(alive, signal))
        return self._outcomes(names, dict.fromkeys(alive, Verdict(ok=True, message="signalled")))

    def reload_workers(self, names: Sequence[str]) -> list[Outcome]:
        """Have these read their own configuration again; `ok` is false for those that cannot."""
        verdicts: dict[str, Verdict] = {}
        for name in names:
            instance = self._fleet.instances[name]
            if instance.spec.reload_signal is None:
                verdicts[name] = Verdict(ok=False, message="it has no reload signal")
            elif isinstance(instance.state, Running):
                verdicts[name] = Verdict(ok=True, message="told to reload")
        self._core.take(ReloadRequested(tuple(n for n in verdicts if verdicts[n].ok)))
        return self._outcomes(names, verdicts)

    # ---------------------------------------------------------------- roll-outs

    async def roll_out(
        self, names: Sequence[str], *, undo: bool, wait: bool, timeout: float
    ) -> list[Outcome]:
        """Restart the workers of these instances by their update policies, or take them back to
        what they were before. One outcome a worker. Waiting ends when the roll-out has: `ok` is
        false where it went back or stopped. Raises `Refused`.
        """
        self._refuse_during_shutdown()
        workers = workers_of(names, self._fleet.instances)
        if undo:
            self._refuse_without_way_back(workers)
        self._refuse_other_than_services(workers)
        self._core.take(RolloutUndone(workers) if undo else RolloutRequested(workers))
        await self._link.drained()
        if not wait:
            return self.insight.progress(workers, {})
        questions = {worker: self._questions.rolled_out(worker) for worker in workers}
        return self.insight.progress(workers, await self._waiters.settle(questions, timeout))

    def _refuse_other_than_services(self, workers: Iterable[str]) -> None:
        """Tasks and jobs have nothing that is up in between."""
        for worker in workers:
            members = self._fleet.bonds.members(worker).values()
            kind = next((one.spec.kind for one in members), Kind.SERVICE)
            if kind is not Kind.SERVICE:
                raise Refused(f"cannot roll out {worker}: it is a {kind}")

    def _refuse_without_way_back(self, workers: Iterable[str]) -> None:
        """What cannot be undone of one worker is not undone of the others either."""
        for worker in workers:
            if why := self._fleet.cannot_undo(worker):
                raise Refused(why)

    # ---------------------------------------------------------------- waiting

    async def _answer(
        self, questions: Mapping[str, Question], *, wait: bool, timeout: float
    ) -> list[Outcome]:
        await self._link.drained()
        if wait:
            verdicts = await self._waiters.settle(questions, timeout)
        else:
            verdicts = dict.fromkeys(questions, Verdict(ok=True, message="requested"))
        return self._outcomes(tuple(questions), verdicts)

    def _outcomes(self, names: Iterable[str], verdicts: Mapping[str, Verdict]) -> list[Outcome]:
        absent = Verdict(ok=False, message="not up")
        return [self._outcome(name, verdicts.get(name, absent)) for name in names]

    def _outcome(self, name: str, verdict: Verdict) -> Outcome:
        instance = self._fleet.instances.get(name)
        state = word(instance.state) if instance else "STOPPED"
        pid = pid_of(instance) if instance else None
        return Outcome(
            name, verdict.ok, state, pid, verdict.message, verdict.timed_out, verdict.exit
        )

    # ---------------------------------------------------------------- the daemon

    async def plan(self) -> Plan:
        """What a reload would do. Raises `BadConfiguration`."""
        applied = self._fleet.configuration
        compiled = await self._compiler.compile(LOOK, kept=applied.scales if applied else ())
        lost = self.room.lost()
        return self._fleet.plan(succeeding(applied, compiled.configuration, lost))

    async def reload(self, *, wait: bool, timeout: float) -> tuple[Plan, list[Outcome]]:
        """Do what `plan` says and return it. Waiting ends when every instance that it touches has
        settled, and tells how. Raises `BadConfiguration`, then nothing has changed, and `Refused`.
        """
        self._refuse_during_shutdown()
        deadline, before = time.monotonic() + timeout, self._last_runs()
        plan = await self._daemon.reload()
        return plan, await self._await_plan(plan, before, deadline, wait=wait)

    async def scale(
        self, counts: Mapping[str, int], *, wait: bool, timeout: float
    ) -> tuple[Plan, list[Outcome]]:
        """Have so many instances of these workers. Waits and raises as `reload`."""
        self._refuse_during_shutdown()
        deadline, before = time.monotonic() + timeout, self._last_runs()
        plan = await self._daemon.scale(counts)
        return plan, await self._await_plan(plan, before, deadline, wait=wait)

    def _last_runs(self) -> dict[str, int]:
        """The runs that are not yet by a new configuration."""
        return {name: one.last_run for name, one in self._fleet.instances.items()}

    async def _await_plan(
        self, plan: Plan, before: Mapping[str, int], deadline: float, *, wait: bool
    ) -> list[Outcome]:
        await self._link.drained()
        if not wait:
            return []
        questions: dict[str, Question] = {}
        for entry in plan.entries:
            instance = self._fleet.instances.get(entry.instance)
            if instance is None or entry.action in {Action.KEEP, Action.ADJUST}:
                continue
            if not instance.wanted:
                questions[entry.instance] = self._questions.down(entry.instance)
            elif entry.how:
                last = before.get(entry.instance, 0)
                questions[entry.instance] = self._questions.replaced(entry.instance, last)
            else:
                last = run_before_start(instance)
                questions[entry.instance] = self._questions.up(entry.instance, last)
        timeout = max(0.0, deadline - time.monotonic())
        return self._outcomes(questions, await self._waiters.settle(questions, timeout))

    def shutdown(self) -> None:
        """Stop everything in order, then the daemon, which exits 0."""
        self._daemon.shut_down()

    def leave(self) -> None:
        """Let the daemon exit and every worker live on, to be adopted by the next `run`."""
        self._daemon.leave()

    async def reopen_logs(self) -> None:
        """Open every log again by its name (SIGUSR2). Once this returns, nothing more is written
        into a file that was moved away. Raises `Refused` if that takes too long.
        """
        if not await self._daemon.reopen_logs():
            raise Refused("cannot tell when all logs are open again: a disk does not answer")

    def _refuse_during_shutdown(self) -> None:
        if self._fleet.shutting_down:
            raise Refused("cannot start anything: the daemon is shutting down")
