"""The virtual keeper: obeys packets, reaps virtual processes, tells facts, refuses nonsense.

It has no opinions but those of the real one, and it is the judge of what no keeper should ever be
asked: a second process for an instance, a signal to a run that is over, a funeral for the living,
a start beside a hook that must be over before.
"""

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from supervisord_lite.core.command import (
    Announce,
    Bury,
    CloseWriters,
    Command,
    Finish,
    Forget,
    Note,
    OpenWriters,
    Remember,
    RememberFleet,
    RememberRollout,
    RunHook,
    Signal,
    Spawn,
    Sweep,
    hook_name,
    hook_of,
)
from supervisord_lite.core.event import Emptied, KeeperFact, MainExited, Spawned, SpawnFailed
from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.signals import KILL
from supervisord_lite.core.spec import (
    Configuration,
    HookPoint,
    Kind,
    Program,
    Target,
)
from supervisord_lite.core.state import Exit, Instance, Shutdown
from supervisord_lite.core.values import replace

from .channels import GONE, REFUSED, Room
from .dice import Dice
from .invariant import require
from .processes import Process, Run, Stage, answer, born
from .records import Records

SPAWN_DEADLINE = 10.0
PATIENCE = 4.0  # seconds that somebody must wait at least for a hook that he has killed
BEFORE_A_START = (HookPoint.PRE_START, HookPoint.PRE_STOP, HookPoint.POST_STOP)


class Keeper:
    """Mechanism, virtual: `runs` holds one unburied run of each name at most."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.now = 1000.0
        self.calm = False
        self.runs: dict[str, Run] = {}
        # A hook's name → the run that another one was in the way of.
        self.refused: dict[str, int] = {}
        self.highest: dict[str, int] = {}
        self.remembered: dict[str, Instance] = {}
        self.records = Records()
        self.rollouts: dict[str, Rollout] = {}
        self.configuration: Configuration | None = None
        self.shutdown: Shutdown | None = None
        self.writable: dict[str, bool] = {}
        self.room = Room(seed, self.schedule)
        self.leaving: dict[str, int] = {}  # who is to be forgotten once all is logged that he said
        self.facts: deque[KeeperFact] = deque()
        self.finished: Finish | None = None
        self.happenings: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0
        self._orders: dict[type, Callable[..., None] | None] = {
            Remember: self._remember,
            RememberFleet: self._remember_fleet,
            RememberRollout: self._remember_rollout,
            Spawn: self._spawn,
            RunHook: self._run_hook,
            Signal: self._signal,
            Sweep: self._sweep,
            Bury: self._bury,
            Forget: self._forget,
            OpenWriters: self._open,
            CloseWriters: self._close,
            Finish: self._finish,
            Announce: None,  # for those who watch, whom nobody plays here
            Note: None,
        }

    # ------------------------------------------------------------- time

    def schedule(self, delay: float, what: Callable[..., None], *arguments: object) -> None:
        self._count += 1
        heappush(self.happenings, (self.now + delay, self._count, what, arguments))

    def happen(self) -> None:
        """Let the next thing happen, now."""
        time, _, what, arguments = heappop(self.happenings)
        self.now = max(self.now, time)
        what(*arguments)

    # ------------------------------------------------------------- orders

    def obey(self, packet: Iterable[Command]) -> None:
        for command in packet:
            order = self._orders[type(command)]
            if order is not None:
                order(command)

    def _remember(self, order: Remember) -> None:
        if order.instance in self.leaving:  # it comes back
            self._forgotten(order.instance)
        self.remembered[order.instance] = order.value

    def _remember_fleet(self, order: RememberFleet) -> None:
        if isinstance(order.value, Shutdown):
            self.shutdown = order.value
        else:
            self.configuration = order.value
            self.room.declare(order.value.channels)

    def _remember_rollout(self, order: RememberRollout) -> None:
        if order.value is None:
            self.rollouts.pop(order.worker, None)
        else:
            self.rollouts[order.worker] = order.value

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
            if channel is not None:
                require(self.writable.get(channel), "no write end", order, channel)
        for point in BEFORE_A_START:
            hook = self.runs.get(hook_name(point, name))
            if hook is not None:
                over = hook.empty or self._is_given_up(hook)
                require(over, "spawned beside a hook that has to be over", order, hook)
        absent = self.room.absent(record.spec)
        known = None if absent else self.room.numbers(record.spec)
        if absent is not None and absent not in self.room.made:
            require(False, "is to have a channel of nobody", order, absent)
        self._begin(name, number, program, absent).given = known

    def _run_hook(self, order: RunHook) -> None:
        name = hook_name(order.point, order.instance)
        if order.run <= self.highest.get(name, 0):
            return
        if (before := self.runs.get(name)) is not None:
            require(self._is_given_up(before), "two hooks of one point at once", order, before)
            self.refused[name] = order.run
            return
        record = self.remembered.get(order.instance)
        require(record is not None, "ran a hook without a record", order)
        assert record is not None
        hook = next((one for one in record.spec.hooks if one.point is order.point), None)
        require(hook is not None, "ran a hook that nobody has declared", order)
        assert hook is not None
        self._begin(name, order.run, replace(record.spec.program, argv=hook.argv))

    def _is_given_up(self, hook: Run) -> bool:
        """Whether everything was done to end it, and time enough has passed."""
        return hook.killed is not None and self.now >= hook.killed + PATIENCE

    def _begin(self, name: str, number: int, program: Program, absent: str | None = None) -> Run:
        """Whoever is to be given a channel that is not there is refused."""
        self.highest[name] = number
        self.refused.pop(name, None)
        self.runs[name] = run = Run(name, number, 100 + self._count, Dice(self.seed, name, number))
        luck = 1.0 if self.calm else run.dice.random()
        if absent is not None:
            run.error = (REFUSED if absent in self.room.made else GONE, 6, f"channel {absent}")
            self.schedule(run.dice.uniform(0.0, 0.01), self._spawn_failed, run)
        elif luck < 0.02:
            run.error = ("deadline", 110, "no answer within 10 s")
            self.schedule(SPAWN_DEADLINE, self._spawn_failed, run)
        elif luck < 0.07:
            run.error = ("exec", 2, "No such file or directory")
            self.schedule(run.dice.uniform(0.0, 0.01), self._spawn_failed, run)
        else:
            late = luck < 0.09
            delay = run.dice.uniform(0.0, 5.0 if late else 0.01)
            self.schedule(delay, self._spawned, run, program)
        return run

    def _signal(self, order: Signal) -> None:
        run = self._unburied(order, order.instance, order.run)
        if run is None:
            return
        is_hook = hook_of(order.instance) is not None
        reached = run.stage in (Stage.ALIVE, Stage.GONE)
        require(reached or is_hook, "signalled before its exec", order)
        if not reached:
            return  # there is nobody yet
        if order.signal == KILL and order.to is Target.TREE and run.killed is None:
            run.killed = self.now
        for process in run.targets(order.to):
            time = answer(run, process, order.signal, self.now)
            if time is not None:
                process.dying = True
                status = Exit(signal=order.signal)
                self.schedule(time - self.now, self._die, run, process, status)

    def _sweep(self, order: Sweep) -> None:
        run = self._unburied(order, order.instance, order.run)
        if run is not None:
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
        for point in HookPoint:
            hook = self.runs.get(hook_name(point, order.instance))
            require(hook is None or self._is_given_up(hook), "forgotten beside a hook", order)
        dice = Dice(self.seed, "logged", order.instance, self.now)
        if dice.happens(0.4):
            self._forgotten(order.instance)
            return
        self._count += 1
        self.leaving[order.instance] = self._count
        delay = dice.uniform(0.0, dice.choice((0.01, 1.0, 60.0)))
        self.schedule(delay, self._logged, order.instance, self._count)

    def _logged(self, name: str, ticket: int) -> None:
        """All that it said is logged, unless it has come back or the manager has died since."""
        if self.leaving.get(name) == ticket:
            self._forgotten(name)

    def _forgotten(self, name: str) -> None:
        self.leaving.pop(name, None)
        for one in (name, *(hook_name(point, name) for point in HookPoint)):
            self.highest.pop(one, None)
        self.remembered.pop(name, None)

    def _open(self, order: OpenWriters) -> None:
        self.writable[order.channel] = True

    def _close(self, order: CloseWriters) -> None:
        """A close is said again after a recovery; which are open in the end, `rest` looks at."""
        self.writable[order.channel] = False

    def _finish(self, order: Finish) -> None:
        require(self.finished is None, "finished twice")
        require(self.shutdown is not None, "finished, and nobody asked for it")
        hooks = {name: known for name in self.runs if (known := hook_of(name)) is not None}
        alive = {name for name in self.runs if name not in hooks}
        busy = {one for name, (_, one) in hooks.items() if not self._is_given_up(self.runs[name])}
        named = set(order.survivors)
        require(alive | busy <= named, "finished but not empty", order, alive, busy)
        everybody = alive | {one for _, one in hooks.values()}
        everybody |= {known[1] for name in self.refused if (known := hook_of(name)) is not None}
        require(named <= everybody, "a survivor that does not live", order, everybody)
        self.finished = order

    def _unburied(self, order: Command, name: str, number: int) -> Run | None:
        """The run that an order is about. A hook that was refused has none."""
        if self.refused.get(name) == number:
            return None
        run = self.runs.get(name)
        require(run is not None and run.number == number, "ordered about a run that is over", order)
        return run

    # ------------------------------------------------------------- what happens to processes

    def _spawn_failed(self, run: Run) -> None:
        if run.stage is not Stage.SPAWNING:
            return  # nobody is left who ordered it
        run.stage, run.ended = Stage.FAILED, self.now
        run.main.alive = False
        self.facts.append(SpawnFailed(run.instance, run.number, *run.error, self.now))

    def _spawned(self, run: Run, program: Program) -> None:
        if run.stage is not Stage.SPAWNING:
            return
        born(run, program, self.now, calm=self.calm)
        self.facts.append(Spawned(run.instance, run.number, run.pid, self.now))
        if hook_of(run.instance) is not None:
            self._live_as_hook(run)
        else:
            self._live(run)

    def _live(self, run: Run) -> None:
        dice, record = run.dice, self.remembered.get(run.instance)
        once = record is not None and record.spec.kind is not Kind.SERVICE
        if self.calm:
            if once:
                self.schedule(dice.uniform(0.0, 3.0), self._die, run, run.main, Exit(0))
        elif once and dice.happens(0.8):
            code = dice.choice((0, 0, 0, 1))
            self.schedule(dice.uniform(0.0, 8.0), self.exit_by_itself, run, Exit(code))
        elif (luck := dice.random()) < 0.9:
            life = dice.uniform(0.0, 2.0 if luck < 0.3 else 60.0)
            self.schedule(life, self.exit_by_itself, run, Exit(dice.choice((0, 0, 1, 3))))

    def _live_as_hook(self, run: Run) -> None:
        """Most end at once and well, some hang."""
        dice = run.dice
        if self.calm or dice.happens(0.8):
            code = 0 if self.calm else dice.choice((0, 0, 0, 1))
            self.schedule(dice.uniform(0.0, 0.4), self._die, run, run.main, Exit(code))

    def exit_by_itself(self, run: Run, status: Exit) -> None:
        if not self.calm:
            self._die(run, run.main, status)

    def _die(self, run: Run, process: Process, status: Exit) -> None:
        if not process.alive:
            return
        process.alive = False
        if process is run.main:
            run.stage, run.exit, run.ended = Stage.GONE, status, self.now
            self.facts.append(MainExited(run.instance, run.number, status, run.empty, self.now))
        if not run.empty and run.dice.happens(0.5):
            self.schedule(run.dice.uniform(0.0, 20.0), self._wither, run)
        self._tell_emptied(run)

    def _wither(self, run: Run) -> None:
        """Descendants end by themselves at some time, or they do not."""
        for process in run.descendants:
            if process.alive and run.stage is Stage.GONE:
                self._die(run, process, Exit())
                return

    def _tell_emptied(self, run: Run) -> None:
        if run.swept and run.stage is Stage.GONE and run.empty:
            self.facts.append(Emptied(run.instance, run.number, self.now))

    # ------------------------------------------------------------- levels

    def levels(self, run: Run) -> list[KeeperFact]:
        """All that is to be said of an unburied run, as it is now."""
        name, number = run.instance, run.number
        match run.stage:
            case Stage.SPAWNING:
                return []
            case Stage.FAILED:
                return [SpawnFailed(name, number, *run.error, run.ended)]
            case Stage.ALIVE:
                return [Spawned(name, number, run.pid, run.since)]
            case Stage.GONE:
                exited = MainExited(name, number, run.exit, run.empty, run.ended)
                emptied = [Emptied(name, number)] if run.swept and run.empty else []
                told = run.dice.happens(0.5)
                spawned = [Spawned(name, number, run.pid, run.since)] if told else []
                return [*spawned, exited, *emptied]

    def end_by_hand(self, run: Run) -> None:
        """Somebody has mended the disk, or killed what no rung was meant to kill."""
        for process in (*run.descendants, run.main):
            self._die(run, process, Exit(signal=9))

    # ------------------------------------------------------------- the keeper's own death

    def lose_memory(self) -> None:
        """The runtime directory was lost with the keeper: only processes are left to be found, and
        hooks are not looked for: they end soon.
        """
        self.remembered.clear()
        self.leaving.clear()
        self.room.forget()
        self.rollouts.clear()
        self.configuration = self.shutdown = None
        for run in list(self.runs.values()):
            nothing = run.stage in (Stage.SPAWNING, Stage.FAILED) or run.empty
            if nothing or hook_of(run.instance) is not None:
                del self.runs[run.instance]
                run.stage = Stage.FAILED
                for process in (run.main, *run.descendants):
                    process.alive = False
            run.given = None
        self.highest = {name: run.number for name, run in self.runs.items()}

    def read_journal(self) -> None:
        """A new keeper knows from the journal what was begun. What ended unseen has no status."""
        for run in self.runs.values():
            run.exit, run.ended = Exit(), None
            if run.stage is Stage.SPAWNING:
                run.stage, run.error = Stage.FAILED, ("exec", 0, "the keeper died meanwhile")
                run.main.alive = False
