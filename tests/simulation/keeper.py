"""The virtual keeper: obeys packets, reaps virtual processes, tells facts, refuses nonsense.

It has no opinions but those of the real one, and it is the judge of what no keeper should ever be
asked: a second process for an instance, a signal to a run that is over, a funeral for the living.
"""

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from random import Random

from supervisord_lite.core.command import (
    Announce,
    Bury,
    CloseWriters,
    Command,
    Finish,
    Forget,
    OpenWriters,
    Remember,
    RememberFleet,
    Signal,
    Spawn,
    Sweep,
)
from supervisord_lite.core.event import Emptied, KeeperFact, MainExited, Spawned, SpawnFailed
from supervisord_lite.core.spec import Configuration
from supervisord_lite.core.state import Exit, Instance, Shutdown

from .processes import Process, Run, Stage, answer, born

SPAWN_DEADLINE = 10.0


class ViolationError(AssertionError):
    """An invariant does not hold."""


def require(holds: object, what: str, *about: object) -> None:
    """Raise a violation unless the condition holds."""
    if not holds:
        raise ViolationError(f"{what}: {' '.join(map(str, about))}")


class Keeper:
    """Mechanism, virtual: `runs` holds one unburied run an instance at most."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 1000.0
        self.calm = False
        self.runs: dict[str, Run] = {}
        self.highest: dict[str, int] = {}
        self.remembered: dict[str, Instance] = {}
        self.configuration: Configuration | None = None
        self.shutdown: Shutdown | None = None
        self.writable: dict[str, bool] = {}
        self.facts: deque[KeeperFact] = deque()
        self.finished: Finish | None = None
        self._happenings: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0
        self._orders: dict[type, Callable[..., None]] = {
            Remember: self._remember,
            RememberFleet: self._remember_fleet,
            Spawn: self._spawn,
            Signal: self._signal,
            Sweep: self._sweep,
            Bury: self._bury,
            Forget: self._forget,
            OpenWriters: self._open,
            CloseWriters: self._close,
            Finish: self._finish,
        }

    # ------------------------------------------------------------- time

    def schedule(self, delay: float, what: Callable[..., None], *arguments: object) -> None:
        self._count += 1
        heappush(self._happenings, (self.now + delay, self._count, what, arguments))

    def next_time(self) -> float:
        return self._happenings[0][0] if self._happenings else float("inf")

    def happen(self) -> None:
        """Let the next thing happen, now."""
        time, _, what, arguments = heappop(self._happenings)
        self.now = max(self.now, time)
        what(*arguments)

    # ------------------------------------------------------------- orders

    def obey(self, packet: Iterable[Command]) -> None:
        for command in packet:
            if not isinstance(command, Announce):
                self._orders[type(command)](command)

    def _remember(self, order: Remember) -> None:
        self.remembered[order.instance] = order.value

    def _remember_fleet(self, order: RememberFleet) -> None:
        if isinstance(order.value, Shutdown):
            self.shutdown = order.value
        else:
            self.configuration = order.value

    def _spawn(self, order: Spawn) -> None:
        name, number = order.instance, order.run
        if number <= self.highest.get(name, 0):
            return  # stale: a resend
        require(name not in self.runs, "spawned while an earlier run is unburied", order)
        require(self.shutdown is None, "spawned during a shutdown", order)
        record = self.remembered.get(name)
        require(record is not None, "spawned without a record", order)
        assert record is not None
        program = record.spec.program
        require(program.argv, "spawned an unknown program", order)
        for channel in (program.stdout.channel, program.stderr.channel):
            require(channel is None or self.writable.get(channel), "no write end", order, channel)
        self.highest[name] = number
        self.runs[name] = run = Run(name, number, 100 + self._count)
        self._begin_spawn(run)

    def _begin_spawn(self, run: Run) -> None:
        luck = 1.0 if self.calm else self.chance.random()
        if luck < 0.02:
            run.error = ("deadline", 110, "no answer within 10 s")
            self.schedule(SPAWN_DEADLINE, self._spawn_failed, run)
        elif luck < 0.07:
            run.error = ("exec", 2, "No such file or directory")
            self.schedule(self.chance.uniform(0.0, 0.01), self._spawn_failed, run)
        else:
            late = luck < 0.09
            self.schedule(self.chance.uniform(0.0, 5.0 if late else 0.01), self._spawned, run)

    def _signal(self, order: Signal) -> None:
        run = self._unburied(order, order.instance, order.run)
        require(run.stage in (Stage.ALIVE, Stage.GONE), "signalled before its exec", order)
        for process in run.targets(order.to):
            time = answer(process, order.signal, self.now, self.chance)
            if time is not None:
                process.dying = True
                status = Exit(signal=order.signal)
                self.schedule(time - self.now, self._die, run, process, status)

    def _sweep(self, order: Sweep) -> None:
        run = self._unburied(order, order.instance, order.run)
        run.swept = True
        self._tell_emptied(run)

    def _bury(self, order: Bury) -> None:
        run = self.runs.get(order.instance)
        if run is None or run.number != order.run:
            return
        over = run.stage is Stage.FAILED or (run.stage is Stage.GONE and run.empty)
        require(over, "buried alive", order, run)
        del self.runs[order.instance]

    def _forget(self, order: Forget) -> None:
        require(order.instance not in self.runs, "forgotten while a run is unburied", order)
        self.remembered.pop(order.instance, None)
        self.highest.pop(order.instance, None)

    def _open(self, order: OpenWriters) -> None:
        self.writable[order.channel] = True

    def _close(self, order: CloseWriters) -> None:
        require(self.writable.get(order.channel), "closed a write end that is not open", order)
        self.writable[order.channel] = False

    def _finish(self, order: Finish) -> None:
        require(self.finished is None, "finished twice")
        alive = tuple(run.instance for run in self.runs.values())
        require(sorted(alive) == sorted(order.survivors), "finished but not empty", order, alive)
        self.finished = order

    def _unburied(self, order: Command, name: str, number: int) -> Run:
        run = self.runs.get(name)
        require(run is not None and run.number == number, "ordered about a run that is over", order)
        assert run is not None
        return run

    # ------------------------------------------------------------- what happens to processes

    def _spawn_failed(self, run: Run) -> None:
        if run.stage is not Stage.SPAWNING:
            return  # nobody is left who ordered it
        run.stage = Stage.FAILED
        run.main.alive = False
        self.facts.append(SpawnFailed(run.instance, run.number, *run.error))

    def _spawned(self, run: Run) -> None:
        if run.stage is not Stage.SPAWNING:
            return
        born(run, self.now, self.chance, calm=self.calm)
        self.facts.append(Spawned(run.instance, run.number, run.pid))
        luck = self.chance.random()
        if luck < 0.9:
            life = self.chance.uniform(0.0, 2.0 if luck < 0.35 else 60.0)
            code = self.chance.choice((0, 0, 1, 3))
            self.schedule(life, self.exit_by_itself, run, Exit(code))

    def exit_by_itself(self, run: Run, status: Exit) -> None:
        if not self.calm:
            self._die(run, run.main, status)

    def _die(self, run: Run, process: Process, status: Exit) -> None:
        if not process.alive:
            return
        process.alive = False
        if process is run.main:
            run.stage, run.exit = Stage.GONE, status
            self.facts.append(MainExited(run.instance, run.number, status, run.empty))
        if not run.empty and self.chance.random() < 0.5:
            self.schedule(self.chance.uniform(0.0, 20.0), self._wither, run)
        self._tell_emptied(run)

    def _wither(self, run: Run) -> None:
        """Descendants end by themselves at some time, or they do not."""
        for process in run.descendants:
            if process.alive and run.stage is Stage.GONE:
                self._die(run, process, Exit())
                return

    def _tell_emptied(self, run: Run) -> None:
        if run.swept and run.stage is Stage.GONE and run.empty:
            self.facts.append(Emptied(run.instance, run.number))

    # ------------------------------------------------------------- levels

    def levels(self, run: Run) -> list[KeeperFact]:
        """All that is to be said of an unburied run, as it is now."""
        name, number = run.instance, run.number
        match run.stage:
            case Stage.SPAWNING:
                return []
            case Stage.FAILED:
                return [SpawnFailed(name, number, *run.error)]
            case Stage.ALIVE:
                return [Spawned(name, number, run.pid)]
            case Stage.GONE:
                exited = MainExited(name, number, run.exit, run.empty)
                emptied = [Emptied(name, number)] if run.swept and run.empty else []
                spawned = [Spawned(name, number, run.pid)] if self.chance.random() < 0.5 else []
                return [*spawned, exited, *emptied]

    def end_by_hand(self, run: Run) -> None:
        """Somebody has mended the disk, or killed what no rung was meant to kill."""
        for process in (*run.descendants, run.main):
            self._die(run, process, Exit(signal=9))

    # ------------------------------------------------------------- the keeper's own death

    def lose_memory(self) -> None:
        """The runtime directory was lost with the keeper: only processes are left to be found."""
        self.remembered.clear()
        self.configuration = self.shutdown = None
        for run in list(self.runs.values()):
            if run.stage in (Stage.SPAWNING, Stage.FAILED) or run.empty:
                del self.runs[run.instance]
                run.stage = Stage.FAILED
        self.highest = {name: run.number for name, run in self.runs.items()}

    def read_journal(self) -> None:
        """A new keeper knows from the journal what was begun. What ended unseen has no status."""
        for run in self.runs.values():
            run.exit = Exit()
            if run.stage is Stage.SPAWNING:
                run.stage, run.error = Stage.FAILED, ("exec", 0, "the keeper died meanwhile")
                run.main.alive = False
