"""The configuration as a value: what the YAML declares, resolved, one entry an instance.

Everything here is frozen and comparable, so that a reload is a comparison of two values and a
plan can name the field that changed. Nothing in it says how a thing is done: `config` makes
these values, `manager` carries them out, and neither adds to them on the way.

Durations are seconds, sizes are bytes, paths are absolute, signals are numbers.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What an exit means: a service should run for ever, a task should run once."""

    SERVICE = "service"
    TASK = "task"


class When(StrEnum):
    """Which exits of a run are followed by another run."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class Target(StrEnum):
    """Whom a signal reaches: the main process, its process group, or everything it started."""

    MAIN = "main"
    GROUP = "group"
    TREE = "tree"


class Route(StrEnum):
    """Where one of a worker's standard streams leads."""

    NULL = "null"  # /dev/null; as output, nothing is kept
    LOG = "log"  # a pipe that the data plane copies into a file
    JOINED = "joined"  # stderr only: wherever stdout leads
    INHERIT = "inherit"  # the daemon's own stream
    CHANNEL = "channel"  # one end of a channel


@dataclass(frozen=True, slots=True)
class Stream:
    """One standard stream: its route and, for a channel, the channel's name."""

    route: Route
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The user a worker runs as, resolved when the file was read; ids are never looked up again."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class ResourceLimit:
    """One `ulimits` entry: its name as in prlimit(1) ("nofile"), both bounds; None: unlimited."""

    name: str
    soft: int | None
    hard: int | None


@dataclass(frozen=True, slots=True)
class Program:
    """All that exec(2) is given. Two runs with equal programs are interchangeable, so a reload
    that changes anything here restarts the instance, and one that does not never does.

    `environment` holds only what the configuration adds; it comes on top of the daemon's own,
    unless `clear_environment`.
    """

    argv: tuple[str, ...]
    working_dir: str
    identity: Identity | None = None
    umask: int | None = None
    environment: tuple[tuple[str, str], ...] = ()
    clear_environment: bool = False
    limits: tuple[ResourceLimit, ...] = ()
    nice: int | None = None
    oom_score_adj: int | None = None
    cpu_affinity: tuple[int, ...] = ()
    no_new_privileges: bool = False
    stdin: Stream = Stream(Route.NULL)
    stdout: Stream = Stream(Route.LOG)
    stderr: Stream = Stream(Route.JOINED)


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """So many failed starts (`count`) within so many seconds (`within`) make an instance FATAL."""

    count: int = 10
    within: float = 300.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When another run follows, and how soon: `delay * factor ** n`, at most `max_delay`."""

    when: When = When.ALWAYS
    delay: float = 0.1
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.1  # the share of a delay that is spread by a hash of instance and run
    limit: RestartLimit | None = RestartLimit()  # None: no limit, try for ever
    stable_after: float = 1.0  # a run at least this long was a good start
    success_codes: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of stopping: send `signal` to `to`, then give it `wait` seconds."""

    signal: int
    to: Target
    wait: float


@dataclass(frozen=True, slots=True)
class Rotation:
    """A log is renamed to `.1` near `size` bytes, at a line's end; `keep` older files stay."""

    size: int | None = 10 * 1024 * 1024  # None: never
    keep: int = 5


class OnFull(StrEnum):
    """What happens to output while its log cannot be written."""

    DROP = "drop"  # drained, counted, thrown away: the worker never waits
    BLOCK = "block"  # left in the pipe: the worker waits


@dataclass(frozen=True, slots=True)
class Log:
    """The file of one stream, and the FIFO, if any, that shows a live copy of it."""

    path: str
    rotation: Rotation = Rotation()
    on_full: OnFull = OnFull.DROP
    tap: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One process slot of a worker, everything about it decided.

    `program` takes effect by a restart; every other field is taken over in place.
    `stdout_log` and `stderr_log` are set exactly where the program's stream is routed to a log.
    """

    name: str  # "web:0"
    worker: str  # "web"
    number: int  # 0
    program: Program
    kind: Kind = Kind.SERVICE
    autostart: bool = True
    restart: RestartPolicy = RestartPolicy()
    stop: tuple[Rung, ...] = (Rung(15, Target.GROUP, 10.0), Rung(9, Target.TREE, 5.0))
    stdout_log: Log | None = None
    stderr_log: Log | None = None


class ChannelType(StrEnum):
    """The IPC objects a configuration can declare."""

    PIPE = "pipe"


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """An IPC object that workers share by name and that outlives each of them."""

    name: str
    type: ChannelType
    size: int | None = None  # bytes the kernel may buffer; None: its default


@dataclass(frozen=True, slots=True)
class Control:
    """Where the control socket is and which mode it is made with."""

    socket: str
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file (with its overlays and includes), resolved.

    `files` are the paths it was read from, in order; `instances` stand in file order.
    `runtime_dir` is where clients look for the daemon: it holds the control socket or its path.
    """

    name: str
    control: Control
    runtime_dir: str
    stop_deadline: float = 60.0  # all of a shutdown, in seconds; what is left then is killed
    instances: tuple[InstanceSpec, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    files: tuple[str, ...] = field(default=())
