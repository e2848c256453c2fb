"""The configuration as a value: what the YAML declares, resolved, one entry an instance.

Everything here is frozen and comparable, so that a reload is a comparison of two values and a
plan can name the field that changed. Nothing in it says how a thing is done: `config` makes
these values, `manager` carries them out, and neither adds to them on the way.

Durations are seconds, sizes are bytes, paths are absolute, signals are numbers.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from supervisord_lite.core.channel import Binding, Channel
from supervisord_lite.core.log import Log, Outlets
from supervisord_lite.core.probe import HealthCheck, Readiness
from supervisord_lite.core.schedule import Schedule
from supervisord_lite.core.values import quick


class Kind(StrEnum):
    """What an exit means: a service should run for ever, a task should run once, a job at the
    times of its schedule.
    """

    SERVICE = "service"
    TASK = "task"
    JOB = "job"


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
    """One standard stream: its route and, for a channel, the channel's name and its generation (see
    `Binding`).
    """

    route: Route
    channel: str | None = None
    generation: int = 0


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


@quick
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
    channels: tuple[Binding, ...] = ()


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


class Condition(StrEnum):
    """What is asked of a dependency: of all of its instances, and of at least one."""

    STARTED = "started"  # its process has passed exec
    READY = "ready"  # RUNNING: its readiness probe, where it has one, has succeeded
    HEALTHY = "healthy"  # RUNNING, and its health check says so
    SUCCEEDED = "succeeded"  # EXITED with a success code
    COMPLETED = "completed"  # EXITED, however, or given up (FATAL)


class OnFailedDependency(StrEnum):
    """What becomes of a dependent once a condition can no longer come true by itself."""

    FAIL = "fail"  # FATAL, until the condition comes true after all
    WAIT = "wait"  # goes on waiting
    IGNORE = "ignore"  # is started in spite of it


@dataclass(frozen=True, slots=True)
class Dependency:
    """A worker that must meet a condition before the instance is started. With `restart_with` the
    instance goes down whenever the condition is lost, and waits for it again.
    """

    worker: str
    condition: Condition = Condition.READY
    policy: OnFailedDependency = OnFailedDependency.FAIL
    restart_with: bool = False


class HookPoint(StrEnum):
    """When a hook runs. The first two are waited for, and `post_stop` before the next start."""

    PRE_START = "pre_start"  # before the spawn; its failure is a failed start
    PRE_STOP = "pre_stop"  # before the first signal of a stop
    POST_START = "post_start"  # once RUNNING
    POST_STOP = "post_stop"  # once nothing of a run is left
    ON_FAILURE = "on_failure"  # a run has ended badly
    ON_FATAL = "on_fatal"  # given up


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that runs like the worker itself (user, environment, directory, its log), and is
    killed with all it started after `timeout` seconds.
    """

    point: HookPoint
    argv: tuple[str, ...]
    timeout: float = 60.0


class Resource(StrEnum):
    """What a rule limits, over the whole tree of a run."""

    MEMORY = "memory"  # resident set size, in bytes
    CPU = "cpu"  # share of one processor, 1.0 is all of it, averaged over the rule's window
    AGE = "age"  # seconds since the run began


class OnBroken(StrEnum):
    """What a broken rule leads to."""

    RESTART = "restart"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """A bound of a resource; `window` is the seconds over which it must be exceeded (CPU)."""

    resource: Resource
    limit: float
    window: float = 0.0
    action: OnBroken = OnBroken.RESTART


@dataclass(frozen=True, slots=True)
class Watch:
    """Files whose change restarts the instance (or has it reload, where it can). `paths` are
    absolute files, directories and globs (`**` crosses directories), `ignore` are globs of names
    or of absolute paths. Changes within `debounce` seconds of each other are one.
    """

    paths: tuple[str, ...]
    ignore: tuple[str, ...] = ()
    debounce: float = 0.5


class Strategy(StrEnum):
    """How the instances of a worker come to a new program."""

    RECREATE = "recreate"  # all at once
    ROLLING = "rolling"  # a few at a time; the next ones once those are RUNNING
    START_FIRST = "start-first"  # rolling, beside a spare instance that is started before


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """How a roll-out proceeds. A rolling one never has more than `max_unavailable` instances away,
    and waits `pause` seconds after each became RUNNING. With `abort_on_failure` a new run that
    fails ends the roll-out, and what it has changed goes back.
    """

    strategy: Strategy = Strategy.RECREATE
    max_unavailable: int = 1
    pause: float = 0.0
    abort_on_failure: bool = True


class OnExit(StrEnum):
    """What the end of a critical instance (EXITED or FATAL) means to the others."""

    NOTHING = "nothing"
    SHUTDOWN = "shutdown"  # the daemon ends, with an exit code that tells of it
    RESTART_ALL = "restart-all"


@quick
@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One process slot of a worker, everything about it decided.

    `program` takes effect by a restart; every other field is taken over in place, `ready` and
    `watchdog` by the next run. `stdout_log` and `stderr_log` are set exactly where the program's
    stream is routed to a log, `schedule` exactly for jobs.
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
    labels: tuple[tuple[str, str], ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    ready: Readiness | None = None
    health: HealthCheck | None = None
    watchdog: float | None = None  # seconds between two signs of life, at most
    hooks: tuple[Hook, ...] = ()
    schedule: Schedule | None = None
    rules: tuple[ResourceRule, ...] = ()
    watch: Watch | None = None
    update: UpdatePolicy = UpdatePolicy()
    signals: tuple[tuple[int, int], ...] = ()  # what is sent instead of what
    reload_signal: int | None = None  # makes the worker read its own configuration again
    on_exit: OnExit = OnExit.NOTHING
    remember: bool = False  # what an operator wanted of it outlives a boot


@dataclass(frozen=True, slots=True)
class Control:
    """Where the control socket is and which mode it is made with."""

    socket: str
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Scale:
    """An operator has asked for `count` instances of a worker when its file said `declared`; that
    holds until the file says something else.
    """

    worker: str
    declared: int
    count: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file (with its overlays and includes), resolved.

    `files` are the paths it was read from, in order; `instances` stand in file order.
    `runtime_dir` is where clients look for the daemon: it holds the control socket or its path;
    `state_dir` is where is kept what outlives a boot. `spares` are the instances beyond the last
    that start-first roll-outs use, one for each such worker. `removed` are the channels that there
    were under the daemon once, and the last generation of each.
    """

    name: str
    control: Control
    runtime_dir: str
    # All of a shutdown, in seconds; what is left then is killed. None: 60, or 9 as PID 1.
    stop_deadline: float | None = None
    state_dir: str = ""
    instances: tuple[InstanceSpec, ...] = ()
    spares: tuple[InstanceSpec, ...] = ()
    scales: tuple[Scale, ...] = ()
    channels: tuple[Channel, ...] = ()
    removed: tuple[tuple[str, int], ...] = ()
    forward: tuple[int, ...] = ()  # signals of the daemon that are passed on to all workers
    outlets: Outlets = field(default_factory=Outlets)
    files: tuple[str, ...] = field(default=())
