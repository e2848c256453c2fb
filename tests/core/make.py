"""Short names for the values that tests of the core speak about."""

from typing import Any

from supervisord_lite.core.channel import Channel, Pipe
from supervisord_lite.core.command import Announce, Command, Remember
from supervisord_lite.core.event import Configured, MainExited, Spawned, StopRequested
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.reason import HELD
from supervisord_lite.core.spec import (
    Configuration,
    Control,
    InstanceSpec,
    Program,
    Route,
    Rung,
    Stream,
    Target,
)
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Instance,
    Running,
    Starting,
    State,
    Stopped,
    Stopping,
    Waiting,
)

PROGRAM = Program(("serve",), "/srv")
LADDER = (Rung(2, Target.MAIN, 3.0), Rung(15, Target.GROUP, 5.0), Rung(9, Target.TREE, 2.0))
FAILED, WELL = Exit(code=1), Exit(code=0)


def spec(name: str = "web:0", **fields: Any) -> InstanceSpec:
    worker, _, number = name.partition(":")
    given = {"program": PROGRAM, "stop": LADDER, **fields}
    return InstanceSpec(name, worker, int(number or 0), **given)


def writer(name: str, channel: str, **fields: Any) -> InstanceSpec:
    stdout = Stream(Route.CHANNEL, channel)
    return spec(name, program=Program(("write",), "/srv", stdout=stdout), **fields)


def configuration(*instances: InstanceSpec, **fields: Any) -> Configuration:
    control = Control("/run/shop.sock")
    return Configuration("shop", control, "/run/shop", instances=instances, **fields)


def pipe(name: str, size: int | None = None) -> Channel:
    return Channel(name, Pipe(size))


def instance(state: State, of: InstanceSpec | None = None, **fields: Any) -> Instance:
    """An instance in this state, with `wanted` and `last_run` as they go with it."""
    resting = isinstance(state, Stopped | Exited)
    run = getattr(state, "run", 4)
    given = {"wanted": not resting, "last_run": run, **fields}
    return Instance(of or spec(), state, **given)


RUNNING = Running(4, 77, 100.0, 100.0)
STARTING = Starting(4, 100.0)
BACKOFF = Backoff(103.0, "exit code 1")
EXITED = Exited(4, WELL, 100.0)
FATAL = Fatal("3 failed starts", 100.0)
WAITING = Waiting(HELD)
STOPPING = Stopping(4, 77, LADDER, 0, 100.0, 103.0, 90.0, asked=True)
SWEEPING = Stopping(
    4,
    77,
    (Rung(15, Target.TREE, 3.0), Rung(9, Target.TREE, 2.0)),
    0,
    100.0,
    103.0,
    90.0,
    asked=False,
    exit=FAILED,
)
UNANSWERED = Stopping(4, None, LADDER, 0, 100.0, None, 100.0, asked=True)
STUCK = Stopping(4, 77, LADDER, 2, 100.0, None, 90.0, asked=True, stuck=True)
RESTING: list[State] = [Stopped(), EXITED, FATAL, BACKOFF, WAITING]
LIVE: list[State] = [STARTING, RUNNING, STOPPING, SWEEPING, UNANSWERED, STUCK]


def orders(commands: tuple[Command, ...] | list[Command]) -> list[Command]:
    """What the keeper is to do, without what is remembered and announced."""
    return [command for command in commands if not isinstance(command, Remember | Announce)]


def whys(commands: tuple[Command, ...] | list[Command]) -> list[str]:
    return [command.why for command in commands if isinstance(command, Announce)]


def booted(*specs: InstanceSpec, stop_deadline: float | None = None) -> Fleet:
    """A fleet whose instances run, each with its number as pid, since the time 100."""
    fleet = Fleet()
    fleet.step(Configured(configuration(*specs, stop_deadline=stop_deadline)), 99.0)
    for number, one in enumerate(specs):
        if one.autostart:
            fleet.step(Spawned(one.name, 1, number), 100.0)
    return fleet


def up(applied: Configuration) -> Fleet:
    """A fleet in which all that this configuration starts was started."""
    fleet = Fleet()
    fleet.step(Configured(applied), 100.0)
    for number, one in enumerate(applied.instances):
        fleet.step(Spawned(one.name, 1, number), 100.0)
    return fleet


def restored(fleet: Fleet, *, held: bool = False, of: Configuration | None = None) -> Fleet:
    return Fleet.restore(
        of or fleet.configuration,
        fleet.instances.values(),
        held=held,
        shutdown=fleet.shutdown,
        rollouts=fleet.rollouts.values(),
    )


def down(fleet: Fleet, name: str, now: float) -> list[Command]:
    fleet.step(StopRequested((name,)), now)
    return fleet.step(MainExited(name, fleet.instances[name].last_run, WELL, emptied=True), now)
