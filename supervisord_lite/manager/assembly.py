"""One manager, put together: what it takes over, what it serves, how it ends.

It holds every decision and no irreplaceable thing. First boot and recovery are one path: restore
the fleet from what the keeper has, which at first is nothing, then apply what was compiled.
"""

import asyncio
import signal
from collections.abc import Collection, Mapping
from typing import Any

from supervisord_lite.core.command import Finish, Forget
from supervisord_lite.core.event import (
    Configured,
    Hastened,
    MainExited,
    ShutdownRequested,
    SignalRequested,
)
from supervisord_lite.core.generations import succeeding
from supervisord_lite.core.plan import Plan
from supervisord_lite.core.spec import Configuration, Scale
from supervisord_lite.keeper.protocol import LEAVE, Packet
from supervisord_lite.linux.lock_file import AlreadyRunning
from supervisord_lite.logs.event import StreamStatus
from supervisord_lite.manager.care import Care
from supervisord_lite.manager.channel_keeping import take_over_channels
from supervisord_lite.manager.compiling import (
    APPLY,
    BadConfiguration,
    Compiled,
    Compiler,
    read_compiled,
)
from supervisord_lite.manager.core_loop import CoreLoop
from supervisord_lite.manager.executor import Executor
from supervisord_lite.manager.facts import to_event
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.output.notices import Notices
from supervisord_lite.manager.output.service import LogService
from supervisord_lite.manager.program import Program
from supervisord_lite.manager.reception import Reception, Serve
from supervisord_lite.manager.restoring import restored
from supervisord_lite.manager.scaling import as_compiled, scaled
from supervisord_lite.manager.service import Refused, Service
from supervisord_lite.manager.starts import Starts
from supervisord_lite.manager.waiting import Waiters
from supervisord_lite.manager.wall_clock import WallClock

BAD_CONFIGURATION = 2
CANNOT_SERVE = 1
_LAST_LINES = 2.0  # seconds that taps and forwards have at the end


class Manager:
    """Lives inside a running event loop. `done` is set to how the process is to end: "exit" when
    the keeper was told to, "orphaned" when the keeper is gone.
    """

    def __init__(
        self, link: KeeperLink, given: Inheritance, serve: Serve, program: Program
    ) -> None:
        self.greeting: dict[str, Any] = given.greeting
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._link = link
        self._terminations = 0
        self._greeted = False
        self._ending = False
        self._tasks: set[asyncio.Task[Any]] = set()
        fleet, compiled, self._left = restored(
            given.records,
            held=bool(given.greeting.get("hold")),
            as_init=given.greeting.get("keeper") == 1,
        )
        self._fleet = fleet
        self._executor = Executor(link, fleet)
        self._executor.compiled = compiled
        self._core = CoreLoop(fleet, self._executor.carry_out)
        self.notices = Notices(link, fleet, terminal=bool(given.greeting.get("terminal")))
        self._logs = self._take_over_output(given)
        self._clock = WallClock(self._core.take)
        command = given.greeting.get("compiler", ())
        self._compiler = Compiler(link, given.held, command, program.check)
        self._configuring = asyncio.Lock()  # one reload or scaling at a time
        self._reception = Reception(given.held, self._executor.hold, serve, self._problem)
        self._starts = Starts()
        waiters, care = Waiters(), self._executor.care
        self._service = Service(self._core, link, waiters, self._compiler, self, care)
        self._service.room = self.channels
        self._executor.watchers += [
            self._starts.announced,
            self.notices.announced,
            waiters.announced,
        ]
        self._executor.rollout_watchers.append(waiters.rollout_changed)
        self._executor.on_note = self.notices.noted
        self._executor.on_finish = self._finish

    @property
    def applied(self) -> Compiled | None:
        """The configuration that the fleet is to be."""
        return self._executor.compiled

    def _take_over_output(self, given: Inheritance) -> LogService:
        """The data plane, with every stream attached that an earlier one had."""
        executor = self._executor
        self.channels = take_over_channels(given.held, executor, self._core, self.notices)
        logs = LogService(self._link, given, self._fleet, executor, self.notices)
        hold, take, fleet = executor.hold_with_packet, self._core.take, self._fleet
        say = self.notices.say

        def ends() -> bool:
            return fleet.shutting_down

        executor.care = Care(self._link, given, hold, logs.plane, take, say, ends)
        executor.outputs = logs.outputs
        if executor.compiled is not None:
            logs.configure(executor.compiled.configuration.outlets)
        logs.take_over((*self._fleet.instances.values(), *self._left), given)
        return logs

    def start(self, facts: list[Packet]) -> None:
        """Go on where the last manager stopped, or begin."""
        if words := self.greeting.get("last_words"):
            self.notices.replaced(words)
        care = self._executor.care
        if self.applied is not None:
            self._watch_signals(self.applied.configuration)
            care.configure(self.applied.configuration)
            self._logs.upkeep.configure(self.applied.configuration)
        # As they were remembered, before anything is ordered again: what runs have must be known.
        for instance in self._fleet.instances.values():
            care.follow(instance)
        self._executor.carry_out([Forget(one.spec.name) for one in self._left])
        self._core.recover(dict(care.wishes()))
        care.settle()
        self._clock.start()
        pending = APPLY in self.greeting.get("helpers", ())
        if pending or self.applied is None:
            # Asked for now: how it has ended may be among the facts that follow.
            inherited = self._compiler.inherited(APPLY) if pending else None
            self._run(self._apply_inherited(inherited))
        for fact in facts:
            self._take_fact(fact)
        self._link.attach(asyncio.get_running_loop(), self._take_packet, self._keeper_is_gone)
        if self.applied is not None:
            self._run(self._open_control(self.applied))
            if not pending:
                self._run(self._tell_ready())

    # ---------------------------------------------------------------- facts

    def _take_packet(self, packet: Packet) -> None:
        if packet.get("tell") == "signalled":
            self._take_signal(packet["signal"])
        else:
            self._take_fact(packet)

    def _take_fact(self, fact: Packet) -> None:
        if fact.get("tell") == "complained":  # and shown on stderr
            self.notices.complained(fact["text"])
            return
        if self._compiler.take(fact) or self._logs.upkeep.take(fact):
            return
        for known in self._executor.care.sift(fact):
            event = to_event(known)
            if event is None:
                continue
            if isinstance(event, MainExited):
                self._executor.outputs.ended(event.instance, event.run)
            self._core.take(event)

    def _take_signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._terminate()
        elif number == signal.SIGHUP:
            self._run(self._reload_by_signal())
        elif number == signal.SIGUSR2:
            self._run(self.reopen_logs())
        elif number == LEAVE:
            self.leave()
        elif self.applied is not None and number in self.applied.configuration.forward:
            self._core.take(SignalRequested(tuple(self._fleet.instances), number))

    def _watch_signals(self, configuration: Configuration) -> None:
        """Have the keeper tell of the signals that are passed on to the workers."""
        if configuration.forward:
            self._link.order([{"do": "watch", "signals": list(configuration.forward)}])

    # ---------------------------------------------------------------- configuration

    async def _apply_inherited(self, inherited: "asyncio.Future[str] | None") -> None:
        """Apply what was being compiled before this manager was there: at boot, the file. If it
        cannot be, a restored fleet goes on as it is, and a first boot is over.
        """
        try:
            if inherited is not None:
                compiled = read_compiled(await inherited)
            if self._scales() or inherited is None:
                # Whoever ordered it did not know of the scales, or died before it was applied.
                compiled = await self._compiler.compile(APPLY, kept=self._scales())
            compiled = self.succeeding(compiled, self.channels.lost())
            await self._apply(compiled, lift_hold=False)
        except BadConfiguration as bad:
            self._say_problems(bad)
            code = BAD_CONFIGURATION
        except (OSError, AlreadyRunning) as error:
            self.notices.say(str(error), problem=True)
            code = CANNOT_SERVE
        else:
            return
        if self.applied is None:
            await self._end([{"do": "exit", "code": code}])
        else:
            self._run(self._tell_ready())

    async def reload(self) -> Plan:
        """Compile the files again and apply the difference. Raises `BadConfiguration`, and then
        nothing has changed.
        """
        self.notices.reloading()
        try:
            async with self._configuring:
                compiled = await self._compiler.compile(APPLY, kept=self._scales())
                compiled = self.succeeding(compiled, self.channels.lost())
                plan = self._fleet.plan(compiled.configuration)
                await self._apply(compiled, lift_hold=True)
        except BadConfiguration:
            self._run(self._tell_ready())  # to go on as before
            raise
        except (OSError, AlreadyRunning) as error:
            self._run(self._tell_ready())
            raise Refused(f"cannot reload: {error}") from error
        return plan

    async def scale(self, counts: Mapping[str, int]) -> Plan:
        """Have so many instances of these workers. Raises `BadConfiguration` and `Refused`."""
        async with self._configuring:
            if self.applied is None:
                raise Refused("cannot scale: nothing is applied yet")
            for worker in counts:
                if worker in self._fleet.rollouts and self._fleet.rollouts[worker].active:
                    raise Refused(f"cannot scale {worker}: its roll-out is under way")
            listing = self.applied.listing
            compiled = await scaled(self._compiler, self._declared, listing, counts)
            plan = self._fleet.plan(compiled.configuration)
            await self._apply(compiled, lift_hold=False)
        return plan

    def succeeding(self, compiled: Compiled, lost: Collection[str] = ()) -> Compiled:
        """What was compiled, as it is when it comes after what is applied."""
        before = self.applied.configuration if self.applied else None
        after = succeeding(before, compiled.configuration, lost)
        if after is compiled.configuration:
            return compiled
        return as_compiled(after, compiled.listing)

    def _declared(self) -> Configuration:
        assert self.applied is not None
        return self.applied.configuration

    def _scales(self) -> tuple[Scale, ...]:
        return self.applied.configuration.scales if self.applied else ()

    async def _tell_ready(self) -> None:
        """Ready is: the configuration is applied, and every spawn that it led to was answered."""
        await self._starts.answered()
        if not self._fleet.shutting_down:
            self.notices.ready()

    async def _apply(self, compiled: Compiled, *, lift_hold: bool) -> None:
        if self._fleet.shutting_down:
            return
        self._reception.serve_at(compiled.configuration)
        self._logs.configure(compiled.configuration.outlets)
        if self.greeting.get("deaths") == 0 and not self._greeted:
            self._greeted = True
            self.notices.greet(compiled.configuration)
        care = self._executor.care
        care.configure(compiled.configuration)
        self._watch_signals(compiled.configuration)
        self._executor.compiled = compiled
        self._core.take(Configured(compiled.configuration, lift_hold, care.wishes()))
        self._logs.upkeep.configure(compiled.configuration)
        self._run(self._tell_ready())
        await self._open_control(compiled)

    async def _reload_by_signal(self) -> None:
        if self._fleet.shutting_down:
            self.notices.say("reload ignored: the daemon is shutting down")
            return
        try:
            plan = await self.reload()
        except BadConfiguration as bad:
            self.notices.say("cannot reload: nothing has changed", problem=True)
            self._say_problems(bad)
        except Refused as refused:
            self.notices.say(str(refused), problem=True)
        else:
            touched = sum(entry.action != "keep" for entry in plan.entries)
            self.notices.say(f"reloaded: {touched} instances touched")

    def _say_problems(self, bad: BadConfiguration) -> None:
        for problem in bad.problems:
            self._problem(problem)

    def _problem(self, text: str) -> None:
        self.notices.say(text, problem=True)

    async def _open_control(self, compiled: Compiled) -> None:
        logs, first = self._logs.access(), self._starts.answered
        await self._reception.open(compiled.configuration, self._service, logs, first)

    # ---------------------------------------------------------------- the end

    def _terminate(self) -> None:
        """SIGTERM and its like: once stops in order, twice hastens, thrice kills."""
        self._terminations += 1
        if not self._fleet.shutting_down:
            self.shut_down()
        elif self._terminations <= 2:
            self.notices.say("hurrying: every worker has one more second")
            self._core.take(Hastened(1))
        else:
            self.notices.say("killing what is left")
            self._core.take(Hastened(2))

    def shut_down(self) -> None:
        self.notices.say("shutting down")
        self.notices.stopping()
        self._core.take(ShutdownRequested())

    def _finish(self, finish: Finish) -> None:
        for name in finish.survivors:
            self.notices.say(f"cannot end {name}: it is left behind", problem=True)
        self._run(self._end([{"do": "exit", "code": finish.code}]))

    def leave(self) -> None:
        """Let the daemon go and the workers stay."""
        self.notices.say("leaving: the workers stay")
        self._run(self._end([{"do": "leave"}], remove_socket=False))

    async def _end(self, orders: list[dict[str, Any]], *, remove_socket: bool = True) -> None:
        if self._ending:
            return
        self._ending = True
        try:
            await self._tidy(remove_socket=remove_socket)
        finally:  # whatever goes wrong with the tidying, the daemon ends
            self._link.order(orders)
            await self._link.drained()
        if not self.done.done():
            self.done.set_result("exit")

    async def _tidy(self, *, remove_socket: bool) -> None:
        await self._logs.flush()
        await self._executor.care.close()
        self._clock.close()
        await self._reception.close(remove_socket=remove_socket)
        await self._logs.stop(feeding=_LAST_LINES if remove_socket else 0.0)
        await asyncio.to_thread(self.notices.console.stop, 1.0)

    def _keeper_is_gone(self) -> None:
        """Let go of everything between two steps, so that whoever comes next finds it whole."""
        if not self._ending:
            self._run(self._let_go())

    async def _let_go(self) -> None:
        await self._logs.stop(feeding=0.0)
        if not self.done.done():
            self.done.set_result("orphaned")

    # ---------------------------------------------------------------- for the service

    async def reopen_logs(self) -> bool:
        return await self._logs.reopen()

    def log_status(self, stream: str) -> StreamStatus | None:
        return self._logs.status(stream)

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback has failed, perhaps in the middle of a step: the next manager goes on. What
        a client's connection did wrong is that connection's end only.
        """
        if "handle" not in context or self.done.done():
            loop.default_exception_handler(context)
        else:
            self.done.set_exception(context["exception"])

    def _done(self, task: asyncio.Task[Any]) -> None:
        """A task that fails is a bug: it ends this manager, and the next one goes on."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.done.done():
            self.done.set_exception(error)
