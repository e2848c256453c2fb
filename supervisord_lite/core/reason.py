"""Why, in words: every phrase about an instance that an operator reads has its home here.

Reasons are short and lower-case, and an error reads "cannot …". They are shown in status, events
and logs, and never parsed.
"""

from supervisord_lite.core.event import SpawnFailed
from supervisord_lite.core.probe import Readiness
from supervisord_lite.core.signals import signal_name
from supervisord_lite.core.span import span
from supervisord_lite.core.spec import (
    Condition,
    Dependency,
    HookPoint,
    Program,
    RestartLimit,
    Rung,
    Target,
)
from supervisord_lite.core.state import Exit, Stopping

START_REQUESTED = "start requested"
STOP_REQUESTED = "stop requested"
RESTART_REQUESTED = "restart requested"
STARTED = "started"
ADOPTED = "found alive, adopted"
ADDED = "added to the configuration"
REMOVED = "removed from the configuration"
PROGRAM_CHANGED = "program changed"
SHUTDOWN = "shutdown"
HELD = "held: nothing is started by itself"
HOLD_LIFTED = "hold lifted"
RECOVERED = "recovered"
BACKOFF_OVER = "backoff is over"
STOPPED = "stopped"
RESTARTS = "restarts"
RUN_REQUESTED = "run requested"
READY = "ready"
HEALTHY = "healthy"
DEPENDENCIES_MET = "what it waited for is there"
HOOKS_OVER = "its hooks are over"
WAITS_FOR_HOOKS = "waits for its hooks to end"
WAITS_FOR_DEPENDENTS = "waits for what depends on it to go down"
SCHEDULED = "waits for its time"
SCHEDULE_OFF = "its schedule is off"
ON_SCHEDULE = "on schedule"
MISSED = "its time was missed, run late"
QUEUED = "queued while the run before was under way"
REPLACES = "replaces the run before"
REPLACED = "replaced by the next run of its schedule"
SKIPPED = "its time came while the run before was under way: skipped"
SKIPPED_HELD = "its time came while nothing is started by itself: skipped"
ROLLOUT = "roll-out"
UNDONE = "undone"
CHANGED = "configuration changed"
NO_ROLLOUT = "there was none"
RESIZED = "it has another number of instances since"
GOES_BACK = "it goes back already"
WENT_BACK = "it went back by itself"
NOTHING_CHANGED = "it has changed nothing"

_CONDITIONS = {
    Condition.STARTED: "to be started",
    Condition.READY: "to be ready",
    Condition.HEALTHY: "to be healthy",
    Condition.SUCCEEDED: "to succeed",
    Condition.COMPLETED: "to be completed",
}

# What starting a process can meet (execve(2), fork(2), chdir(2), setuid(2), open(2)).
_ERRNO_NAMES = {
    1: "EPERM",
    2: "ENOENT",
    5: "EIO",
    7: "E2BIG",
    8: "ENOEXEC",
    11: "EAGAIN",
    12: "ENOMEM",
    13: "EACCES",
    20: "ENOTDIR",
    21: "EISDIR",
    22: "EINVAL",
    23: "ENFILE",
    24: "EMFILE",
    26: "ETXTBSY",
    28: "ENOSPC",
    30: "EROFS",
    36: "ENAMETOOLONG",
    40: "ELOOP",
    80: "ELIBBAD",
    110: "ETIMEDOUT",
    116: "ESTALE",
}

# The stages of spawning as the keeper names them, as the verbs of a sentence.
_STAGES = {
    "streams": "connect its streams",
    "fork": "fork",
    "limits": "set its limits",
    "priorities": "set its priorities",
    "working_dir": "enter its working directory",
    "user": "become its user",
    "no_new_privileges": "forbid new privileges",
    "exec": "exec",
    "deadline": "start",
}


def exited(status: Exit) -> str:
    """Such as "exit code 1", "killed by SIGSEGV, core dumped", "exit status unknown"."""
    if status.signal is not None:
        dumped = ", core dumped" if status.core_dumped else ""
        return f"killed by {signal_name(status.signal)}{dumped}"
    if status.code is not None:
        return f"exit code {status.code}"
    return "exit status unknown"


def cannot_spawn(fact: SpawnFailed, program: Program) -> str:
    """Such as "cannot exec ./serve: No such file or directory (ENOENT)"."""
    text = f"cannot {_STAGES.get(fact.stage, f'start, at {fact.stage}')}"
    match fact.stage:
        case "exec" if program.argv:
            text = f"{text} {program.argv[0]}"
        case "working_dir":
            text = f"{text} {program.working_dir}"
        case "user" if program.identity:
            text = f"{text} {program.identity.name}"
    if fact.message:
        text = f"{text}: {fact.message}"
    return f"{text} ({_ERRNO_NAMES.get(fact.errno, f'errno {fact.errno}')})" if fact.errno else text


def waits_for(dependency: Dependency) -> str:
    """Such as "waits for db to be ready"."""
    return f"waits for {dependency.worker} {_CONDITIONS[dependency.condition]}"


def waits_for_channel(channel: str, trouble: str) -> str:
    """Such as "waits for channel web: cannot make it: Address already in use"."""
    return f"waits for channel {channel}: {trouble}"


def waits_for_removed_channel(channel: str, *, declared: bool) -> str:
    """It was removed from the configuration, or is `declared` as something else."""
    return waits_for_channel(
        channel, "it is something else now" if declared else "it is declared no more"
    )


def cannot_be_met(dependency: Dependency) -> str:
    """Such as "its dependency db has failed: it was to be ready"."""
    return (
        f"its dependency {dependency.worker} has failed: it was {_CONDITIONS[dependency.condition]}"
    )


def dependency_lost(worker: str) -> str:
    return f"restarts with {worker}"


def not_ready(readiness: Readiness) -> str:
    return f"not ready within {span(readiness.timeout)}"


def never_ready(status: Exit) -> str:
    return f"{exited(status)} before it was ready"


def unhealthy(detail: str) -> str:
    return f"unhealthy: {detail}" if detail else "unhealthy"


def missed(times: int) -> str:
    return f"missed {times} of its times" if times > 1 else "missed one of its times"


def hook_failed(point: HookPoint, status: Exit) -> str:
    return f"its {point} hook failed: {exited(status)}"


def hook_killed(point: HookPoint) -> str:
    return f"its {point} hook was killed: it took too long"


def hook_left_behind(point: HookPoint) -> str:
    return f"its {point} hook cannot be ended"


def is_trouble_of_hook(why: str) -> bool:
    """Whether it is one of those above or below."""
    return why.startswith(tuple(f"its {point} hook " for point in HookPoint))


def hook_cannot_start(point: HookPoint, fact: SpawnFailed) -> str:
    text = f"its {point} hook cannot be started: {fact.stage}: {fact.message}"
    return f"{text} ({_ERRNO_NAMES.get(fact.errno, f'errno {fact.errno}')})" if fact.errno else text


def rollout_failed(worker: str, problem: str, *, goes_back: bool) -> str:
    what = "goes back" if goes_back else "stops"
    return f"the roll-out of {worker} {what}: {problem}"


def rollout_ended(worker: str, progress: str) -> str:
    return f"the roll-out of {worker}: {progress}"


def no_way_back(channel: str) -> str:
    """What it was before had a channel that is no more."""
    return f"channel {channel}, which it had before, is no more"


def cannot_undo(worker: str, why: str) -> str:
    """Such as "cannot undo a roll-out of web: there was none"."""
    return f"cannot undo a roll-out of {worker}: {why}"


def critical(instance: str, why: str) -> str:
    return f"{instance} has ended: {why}"


def no_more_restarts(instance: str, times: int, limit: RestartLimit) -> str:
    within = f"{times} times within {span(limit.within)}"
    return f"{instance} has restarted everything {within}: it does so no more"


def given_up(failures: int, limit: RestartLimit, last: str) -> str:
    """Such as "10 failed starts within 5m, last: exit code 1"."""
    starts = "failed start" if failures == 1 else "failed starts"
    return f"{failures} {starts} within {span(limit.within)}, last: {last}"


def climbed(before: Rung, rung: Rung) -> str:
    """Such as "SIGKILL to its tree: SIGTERM to its group was not enough"."""
    return f"{sending(rung)}: {sending(before)} was not enough"


def sending(rung: Rung) -> str:
    """Such as "SIGTERM to its group"."""
    whom = "main process" if rung.to is Target.MAIN else rung.to
    return f"{signal_name(rung.signal)} to its {whom}"


def cannot_end(state: Stopping) -> str:
    """Such as "cannot be ended: alive after SIGKILL to its tree"."""
    return f"cannot be ended: alive after {sending(state.rungs[-1])}"
