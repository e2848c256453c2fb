"""The life of one instance: what each event means in each state.

`advance` is a pure function from an instance, an event and the time to the instance that results
and the orders that follow. It holds every rule about one instance (the way down in `ladder`, what
follows a run in `sequel`, the arithmetic in `restart`); what concerns several (channels,
configuration, shutdown) is the fleet's. It never looks at a clock, a process or another instance.

The way up. A start takes a new run number, remembers it, and orders the spawn: STARTING. The
keeper always answers: the run has passed exec (RUNNING), or the spawn failed. Without a readiness
probe RUNNING is as good as it gets.

The way down. Stopping climbs a ladder of rungs: send a signal to somebody, wait, climb on. The
ladder is copied into the state, so a configuration that changes it matters to the next stop only.
A run is over when its *tree* is empty, not when its main process is gone: ports and locks belong
to descendants too. Hence, when the main process goes first, asked or not, the ladder is replaced
by a short one for what it left behind: TERM to the tree once, then the last rung's signal. When
the last rung is behind us there is nothing left but to wait: `stuck`.

What follows a run. If its end was asked for, the wish decides: wanted means a new run at once,
with a clean slate, and unwanted means STOPPED. If it ended by itself, the restart policy decides
(`restart`): at once, after a delay (BACKOFF), never again (EXITED), or not until an operator looks
at it (FATAL). Commands never queue; the last one sets `wanted`, and whatever is under way ends in
a state that satisfies it. So a restart is STOPPING while wanted, any number of restarts are one,
and a stop during a restart ends STOPPED.

What is said twice. The keeper repeats its facts to every new manager until the run is buried, so
each fact must be harmless when it comes again: `_told` is the one place that compares run numbers.
A run is buried in the same packet that remembers what became of it; a fact about a run that is
over is answered by burying it again. A deadline is a field of the state, so an alarm may ring at
any time: it acts on what is due and on nothing else.

Each transition returns `(instance, orders, why)`. `advance` puts the `Remember` before the orders
and the `Announce` after them; a transition that changes nothing returns the instance itself.
"""

from dataclasses import replace
from typing import assert_never

from supervisord_lite.core import reason
from supervisord_lite.core.command import (
    Announce,
    Bury,
    Command,
    Forget,
    Remember,
    Signal,
    Spawn,
    Sweep,
)
from supervisord_lite.core.event import (
    Added,
    AlarmRang,
    Emptied,
    Hastened,
    HoldLifted,
    InstanceEvent,
    KeeperFact,
    MainExited,
    Recovered,
    RestartRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    SpawnFailed,
    SpecReplaced,
    StartRequested,
    StopRequested,
    Withdrawn,
)
from supervisord_lite.core.ladder import (
    climb,
    go_down,
    hasten,
    leftover_rungs,
    stand,
    sweep_leftovers,
)
from supervisord_lite.core.plan import restarts
from supervisord_lite.core.restart import failed_start
from supervisord_lite.core.sequel import Step, afresh, begin, down, ended, obey, rest
from supervisord_lite.core.spec import InstanceSpec, Target
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Instance,
    Running,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    live_run,
    word,
)


def advance(
    instance: Instance, event: InstanceEvent, now: float
) -> tuple[Instance, tuple[Command, ...]]:
    """What the instance becomes by the event, and what is to be ordered, in this order."""
    after, orders, why = _step(instance, event, now)
    if after is instance:
        return instance, orders
    name, before, then = after.spec.name, word(instance.state), word(after.state)
    if before != then or why:
        orders = (*orders, Announce(name, before, then, why))
    return after, (Remember(name, after), *orders)


def _step(instance: Instance, event: InstanceEvent, now: float) -> Step:
    match event:
        case Spawned() | SpawnFailed() | MainExited() | Emptied():
            return _told(instance, event, now)
        case StartRequested():
            return _start(instance, now, reason.START_REQUESTED)
        case StopRequested():
            return _stop(instance, now, reason.STOP_REQUESTED)
        case RestartRequested():
            return _restart(instance, now, reason.RESTART_REQUESTED)
        case SignalRequested():
            return _signal(instance, event.signal)
        case Added():
            return _add(instance, now)
        case SpecReplaced():
            return _replace_spec(instance, event.spec, now)
        case Withdrawn():
            return _withdraw(instance, now)
        case HoldLifted():
            return _lift_hold(instance, now)
        case Recovered():
            return _recover(instance, now)
        case ShutdownRequested():
            return _stop(instance, now, reason.SHUTDOWN)
        case Hastened():
            return hasten(instance, event.level, now)
        case AlarmRang():
            return _ring(instance, now)
        case _:
            assert_never(event)


# --------------------------------------------------------------------------- what the keeper tells


def _told(instance: Instance, fact: KeeperFact, now: float) -> Step:
    """Only news of the live run counts. An earlier one is over and accounted for: bury it again.
    A later one, where none is live, was found alive by a keeper that nobody had told of it.
    """
    live = live_run(instance.state)
    if live is None and fact.run > instance.last_run:
        found = replace(instance, state=Starting(fact.run, now), last_run=fact.run, problem=None)
        if isinstance(fact, Spawned):
            running = Running(fact.run, fact.pid, now)
            return replace(found, state=running, wanted=True), (), reason.ADOPTED
        return _told(found, fact, now)
    if fact.run != live:
        over = fact.run <= instance.last_run and not isinstance(fact, Spawned)
        return instance, (Bury(fact.instance, fact.run),) if over else (), ""
    match fact:
        case Spawned():
            return _spawned(instance, fact, now)
        case SpawnFailed():
            return _spawn_failed(instance, fact, now)
        case MainExited():
            return _main_exited(instance, fact, now)
        case Emptied():
            return _emptied(instance, now)
        case _:
            assert_never(fact)


def _spawned(instance: Instance, fact: Spawned, now: float) -> Step:
    match instance.state:
        case Starting():
            state = Running(fact.run, fact.pid, now)
            return replace(instance, state=state), (), reason.STARTED
        case Stopping(pid=None, exit=None) as state:
            return stand(instance, replace(state, pid=fact.pid), 0, now)
        case Running() | Stopping() | Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(instance.state)


def _spawn_failed(instance: Instance, fact: SpawnFailed, now: float) -> Step:
    bury = Bury(fact.instance, fact.run)
    match instance.state:
        case Starting():
            why = reason.cannot_spawn(fact, instance.spec.program)
            if not instance.wanted:
                return rest(instance, bury, why)
            return obey(instance, failed_start(instance, why, now), why, bury, now)
        case Stopping(pid=None, exit=None):
            return down(instance, bury, now)
        case Running() | Stopping() | Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(instance.state)


def _main_exited(instance: Instance, fact: MainExited, now: float) -> Step:
    state = instance.state
    match state:
        case Starting() | Running():
            known = replace(instance, last_exit=fact.exit)
            if fact.emptied:
                return ended(known, fact.run, fact.exit, now - state.since, now)
            pid = state.pid if isinstance(state, Running) else None
            rungs = leftover_rungs(instance.spec.stop)
            swept = Stopping(fact.run, pid, rungs, 0, now, None, state.since, not instance.wanted)
            return stand(known, replace(swept, exit=fact.exit), 0, now, reason.exited(fact.exit))
        case Stopping():
            if fact.emptied:
                return _emptied(replace(instance, state=replace(state, exit=fact.exit)), now)
            if state.exit is not None:
                return instance, (), ""
            return sweep_leftovers(replace(instance, last_exit=fact.exit), state, fact.exit, now)
        case Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(state)


def _emptied(instance: Instance, now: float) -> Step:
    """The run is over. Where its exit was never told, it stays unknown; it is not invented."""
    state = instance.state
    match state:
        case Starting() | Running():
            known = replace(instance, last_exit=Exit())
            return ended(known, state.run, Exit(), now - state.since, now)
        case Stopping():
            status = state.exit or Exit()
            known = replace(instance, last_exit=status)
            if state.asked:
                return down(known, Bury(instance.spec.name, state.run), now)
            return ended(known, state.run, status, state.since - state.started, now)
        case Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(state)


# --------------------------------------------------------------------------- what operators ask


def _start(instance: Instance, now: float, why: str) -> Step:
    state = instance.state
    match state:
        case Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return begin(replace(afresh(instance), held=False), now, why)
        case Stopping():
            return _want_again(instance, state)
        case Starting() | Running():
            return instance, (), ""
        case _:
            assert_never(state)


def _restart(instance: Instance, now: float, why: str) -> Step:
    state = instance.state
    match state:
        case Running():
            return go_down(replace(instance, held=False), state, now, why)
        case Stopped() | Waiting() | Backoff() | Exited() | Fatal() | Stopping() | Starting():
            return _start(instance, now, why)
        case _:
            assert_never(state)


def _want_again(instance: Instance, state: Stopping) -> Step:
    """A new run is to follow the one that is going down, as soon as it is down."""
    if instance.retiring or (instance.wanted and state.asked and not instance.held):
        return instance, (), ""
    return replace(instance, state=replace(state, asked=True), wanted=True, held=False), (), ""


def _stop(instance: Instance, now: float, why: str) -> Step:
    state = instance.state
    match state:
        case Starting() | Running():
            return go_down(replace(instance, wanted=False), state, now, why)
        case Stopping():
            if not instance.wanted and state.asked:
                return instance, (), ""
            return replace(instance, state=replace(state, asked=True), wanted=False), (), ""
        case Waiting() | Backoff() | Exited() | Fatal():
            return replace(instance, state=Stopped(), wanted=False, attempts=0), (), why
        case Stopped():
            return instance, (), ""
        case _:
            assert_never(state)


def _signal(instance: Instance, signal: int) -> Step:
    match instance.state:
        case Running(run=run) | Stopping(run=run, pid=int(), exit=None):
            return instance, (Signal(instance.spec.name, run, signal, Target.MAIN),), ""
        case Stopping() | Starting() | Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(instance.state)


# --------------------------------------------------------------------------- time, configuration


def _ring(instance: Instance, now: float) -> Step:
    """What is due happens; an alarm that rings early or late does no harm."""
    state = instance.state
    match state:
        case Backoff():
            if now < state.until:
                return instance, (), ""
            return begin(instance, now, reason.BACKOFF_OVER)
        case Stopping():
            if state.deadline is None or now < state.deadline:
                return instance, (), ""
            return climb(instance, state, now)
        case Starting() | Running() | Stopped() | Waiting() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(state)


def _add(instance: Instance, now: float) -> Step:
    """A new instance starts by itself or rests. Either is remembered: what is once known is not
    taken for new when its `autostart` changes.
    """
    assert isinstance(instance.state, Stopped)
    if instance.spec.autostart:
        return begin(instance, now, reason.ADDED)
    return replace(instance), (), ""


def _replace_spec(instance: Instance, spec: InstanceSpec, now: float) -> Step:
    """Take over a new spec. What runs an old program goes down by its old rungs while wanted."""
    state = instance.state
    after = replace(instance, spec=spec)
    if instance.retiring:
        return replace(after, retiring=False, wanted=spec.autostart), (), ""
    if not instance.spec.program.argv or not restarts(instance.spec, spec):
        return after, (), ""
    match state:
        case Starting() | Running():
            down, orders, why = go_down(instance, state, now, reason.PROGRAM_CHANGED)
            return replace(down, spec=spec), orders, why
        case Stopping():
            return replace(after, state=replace(state, asked=True)), (), ""
        case Backoff() | Fatal() | Waiting():
            return begin(afresh(after), now, reason.PROGRAM_CHANGED)
        case Stopped() | Exited():
            return after, (), ""
        case _:
            assert_never(state)


def _withdraw(instance: Instance, now: float) -> Step:
    state = instance.state
    retiring = replace(instance, retiring=True, wanted=False)
    match state:
        case Starting() | Running():
            return go_down(retiring, state, now, reason.REMOVED)
        case Stopping():
            if instance.retiring:
                return instance, (), ""
            return replace(retiring, state=replace(state, asked=True)), (), ""
        case Stopped() | Waiting() | Backoff() | Exited() | Fatal():
            forget = Forget(instance.spec.name)
            return replace(retiring, state=Stopped()), (forget,), reason.REMOVED
        case _:
            assert_never(state)


def _lift_hold(instance: Instance, now: float) -> Step:
    if not instance.held:
        return instance, (), ""
    if isinstance(instance.state, Waiting):
        return begin(replace(instance, held=False), now, reason.HOLD_LIFTED)
    return replace(instance, held=False), (), ""


def _recover(instance: Instance, now: float) -> Step:
    """Say again what may not have been heard; every order here is harmless when it was."""
    name, state = instance.spec.name, instance.state
    match state:
        case Starting():
            return instance, (Spawn(name, state.run),), ""
        case Stopping(pid=None, exit=None):
            return instance, (), ""
        case Stopping():
            return instance, (Sweep(name, state.run),), ""
        case Waiting():
            return (instance, (), "") if instance.held else begin(instance, now, reason.RECOVERED)
        case Running() | Stopped() | Backoff() | Exited() | Fatal():
            return instance, (), ""
        case _:
            assert_never(state)
