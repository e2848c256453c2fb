"""Why, in words: every phrase about an instance that an operator reads has its home here.

Reasons are short and lower-case, and an error reads "cannot …". They are shown in status, events
and logs, and never parsed.
"""

from supervisord_lite.core.event import SpawnFailed
from supervisord_lite.core.signals import signal_name
from supervisord_lite.core.spec import Program, RestartLimit
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


def given_up(failures: int, limit: RestartLimit, last: str) -> str:
    """Such as "10 failed starts within 300 s, last: exit code 1"."""
    starts = "failed start" if failures == 1 else "failed starts"
    return f"{failures} {starts} within {limit.within:g} s, last: {last}"


def cannot_end(state: Stopping) -> str:
    """Such as "cannot be ended: alive after SIGKILL to its tree"."""
    last = state.rungs[-1]
    return f"cannot be ended: alive after {signal_name(last.signal)} to its {last.to}"
