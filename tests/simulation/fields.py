"""The fields of random workers: programs, policies, dependencies, probes, hooks, schedules."""

from collections.abc import Container, Sequence

from supervisord_lite.core.channel import Binding, Pipe, Queue, Semaphore, Socket, Transport, Use
from supervisord_lite.core.channel import Kind as ChannelKind
from supervisord_lite.core.log import Log
from supervisord_lite.core.probe import (
    HealthCheck,
    NotifyProbe,
    OnUnhealthy,
    Readiness,
    TcpProbe,
)
from supervisord_lite.core.schedule import Missed, Overlap, Schedule
from supervisord_lite.core.signals import KILL, TERM
from supervisord_lite.core.spec import (
    Condition,
    Dependency,
    Hook,
    HookPoint,
    InstanceSpec,
    Kind,
    OnExit,
    OnFailedDependency,
    Program,
    RestartLimit,
    RestartPolicy,
    Route,
    Rung,
    Strategy,
    Stream,
    Target,
    UpdatePolicy,
    When,
)
from supervisord_lite.core.values import replace

from .dice import Dice
from .processes import BROKEN

PIPES = tuple(f"lines{number}" for number in range(4))
CHANNELS: dict[str, ChannelKind] = {
    **{name: Pipe() for name in PIPES},
    "work": Queue(20),
    "slots": Semaphore(2),
    "web": Socket(Transport.TCP, "127.0.0.1", 8080),
}

_INT, _HUP, _USR1 = 2, 1, 10
_LADDERS = (
    (Rung(TERM, Target.GROUP, 10.0), Rung(KILL, Target.TREE, 5.0)),
    (Rung(_INT, Target.MAIN, 3.0), Rung(TERM, Target.GROUP, 3.0), Rung(KILL, Target.TREE, 1.0)),
    (Rung(KILL, Target.TREE, 2.0),),
    (Rung(TERM, Target.MAIN, 0.0), Rung(KILL, Target.GROUP, 4.0)),
    (Rung(_INT, Target.MAIN, 5.0),),
    (Rung(_INT, Target.MAIN, 0.0), Rung(TERM, Target.GROUP, 0.0), Rung(KILL, Target.TREE, 1.0)),
)
_TIMES = (
    Schedule(cron="* * * * *"),
    Schedule(cron="*/5 * * * *", timezone="Europe/Berlin"),
    Schedule(cron="30 2 * * *", timezone="Europe/Berlin"),
    Schedule(cron="15 1,2,3 * * *", timezone="America/New_York"),
    Schedule(cron="0 0 30 2 *"),
    Schedule(every=20.0),
    Schedule(every=90.0),
    Schedule(every=600.0),
)
_PROBE = TcpProbe("127.0.0.1", 80)


def spec(worker: str, before: Sequence[str], dice: Dice) -> InstanceSpec:
    """What the instances of a worker have in common. It may depend on those `before` it."""
    kind = dice.choice((*[Kind.SERVICE] * 6, Kind.TASK, Kind.JOB))
    lives = kind is Kind.SERVICE
    spec = InstanceSpec(
        f"{worker}:0",
        worker,
        0,
        program(dice),
        kind=kind,
        autostart=dice.happens(0.9),
        restart=_restart(dice),
        stop=dice.choice(_LADDERS),
        labels=(("tier", dice.choice(("web", "db"))),),
        dependencies=_dependencies(before, dice),
        ready=_readiness(dice) if lives and dice.happens(0.35) else None,
        health=_health(dice) if lives and dice.happens(0.3) else None,
        hooks=_hooks(dice),
        schedule=_schedule(dice) if kind is Kind.JOB else None,
        update=_update(dice),
        reload_signal=_HUP if dice.happens(0.3) else None,
        on_exit=_on_exit(dice) if lives else OnExit.NOTHING,
    )
    return running(spec, spec.program)


def running(spec: InstanceSpec, program: Program) -> InstanceSpec:
    """The spec with this program. A pipe may be given a copy of what it says."""
    dice, log = Dice(program.argv, "log"), None
    if program.stdout.route is Route.LOG and dice.happens(0.15):
        log = Log("/logs/a.log", channel=dice.choice(PIPES))
    return replace(spec, program=program, stdout_log=log)


def program(dice: Dice) -> Program:
    """Of a version that nobody has seen before; some never become ready."""
    version = f"--version={dice.below(10**9)}"
    argv = ("work", version, BROKEN) if dice.happens(0.12) else ("work", version)
    channel = Stream(Route.CHANNEL, dice.choice(PIPES))
    stdout = channel if dice.happens(0.3) else Stream(Route.LOG)
    return _bound(Program(argv, "/srv", stdout=stdout), Dice(version))


def _bound(program: Program, dice: Dice) -> Program:
    """With channels beside its stdout."""
    if not dice.happens(0.35):
        return program
    if dice.happens(0.3):
        return replace(program, stdin=Stream(Route.CHANNEL, dice.choice(PIPES)))
    names = dice.sample(tuple(CHANNELS), 1 + dice.below(2))
    uses = [dice.choice((Use.READ, Use.WRITE)) if name in PIPES else Use.SHARE for name in names]
    return replace(program, channels=tuple(map(Binding, names, uses)))


def changed(kind: ChannelKind, dice: Dice) -> ChannelKind:
    """Another definition of a channel: some can be taken over in place."""
    match kind:
        case Queue():
            return Queue(dice.choice((5, 20, 50, None)), size=dice.choice((None, 65536)))
        case Semaphore():
            return Semaphore(1 + dice.below(3))
        case Socket():
            return replace(kind, port=8080 + dice.below(2), backlog=dice.choice((16, 128)))
        case _:
            return Pipe(dice.choice((None, 65536)))


def among(spec: InstanceSpec, names: Container[str]) -> InstanceSpec:
    """The spec without the channels that the file has not got."""
    program = spec.program
    stdin, stdout, log = program.stdin, program.stdout, spec.stdout_log
    if stdin.channel is not None and stdin.channel not in names:
        stdin = Stream(Route.NULL)
    if stdout.channel is not None and stdout.channel not in names:
        stdout = Stream(Route.LOG)
    if log is not None and log.channel not in names:
        log = None
    bound = tuple(one for one in program.channels if one.channel in names)
    program = replace(program, stdin=stdin, stdout=stdout, channels=bound)
    return replace(spec, program=program, stdout_log=log)


def _restart(dice: Dice) -> RestartPolicy:
    return RestartPolicy(
        when=dice.choice((When.ALWAYS, When.ALWAYS, When.ON_FAILURE, When.NEVER)),
        delay=dice.choice((0.0, 0.1, 1.0)),
        max_delay=dice.choice((5.0, 30.0)),
        limit=dice.choice((None, RestartLimit(3, 20.0), RestartLimit(10, 300.0))),
        stable_after=dice.choice((0.0, 1.0)),
    )


def _dependencies(before: Sequence[str], dice: Dice) -> tuple[Dependency, ...]:
    if not dice.happens(0.5):
        return ()
    return tuple(
        Dependency(
            worker,
            dice.choice((Condition.READY, Condition.READY, *Condition)),
            dice.choice(tuple(OnFailedDependency)),
            restart_with=dice.happens(0.3),
        )
        for worker in dice.sample(before, dice.choice((1, 1, 2)))
    )


def _readiness(dice: Dice) -> Readiness:
    probe = NotifyProbe() if dice.happens(0.5) else _PROBE
    return Readiness(probe, timeout=dice.choice((1.0, 5.0, 20.0)))


def _health(dice: Dice) -> HealthCheck:
    return HealthCheck(_PROBE, on_unhealthy=dice.choice(tuple(OnUnhealthy)), signal=_USR1)


def _hooks(dice: Dice) -> tuple[Hook, ...]:
    if not dice.happens(0.3):
        return ()
    return tuple(
        Hook(point, ("hook", str(point)), dice.choice((0.5, 2.0, 10.0)))
        for point in dice.sample(tuple(HookPoint), 1 + dice.below(4))
    )


def _schedule(dice: Dice) -> Schedule:
    times = dice.choice(_TIMES)
    return Schedule(
        times.cron,
        times.every,
        times.timezone,
        dice.choice(tuple(Overlap)),
        dice.choice(tuple(Missed)),
    )


def _update(dice: Dice) -> UpdatePolicy:
    return UpdatePolicy(
        dice.choice(tuple(Strategy)),
        max_unavailable=dice.choice((1, 1, 2)),
        pause=dice.choice((0.0, 2.0)),
        abort_on_failure=dice.happens(0.7),
    )


def _on_exit(dice: Dice) -> OnExit:
    luck = dice.random()
    if luck < 0.03:
        return OnExit.SHUTDOWN
    return OnExit.RESTART_ALL if luck < 0.06 else OnExit.NOTHING
