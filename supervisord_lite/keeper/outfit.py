"""The last steps before a worker's program, for workers that want more than Popen can do.

A program of its own, run as `python -I -S outfit.py JOB ERRORS`: it applies limits, priority,
affinity, and the user, in the only order in which each step still has the right to happen, tells
the program its own pid where that is wanted (LISTEN_PID), and then execs it in its place. It is
single-threaded, so nothing of what makes Python between fork and exec dangerous applies. It
imports what is built in and nothing else: `signal` and `typing` alone would double the time it
takes.

JOB is a descriptor with the marshalled job, ERRORS one that is closed by a successful exec; what
fails is written there as `stage:errno:message`, and where a stage sets several things the message
begins with the name of the one that could not be set.
"""

import _signal  # type: ignore[import-not-found]
import errno
import marshal
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Setting:
    """Has the error of a setting begin with its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _traceback: object) -> None:
        if isinstance(error, OSError):
            raise OSError(error.errno, f"{self._name}: {error.strerror}") from error
        if isinstance(error, Exception):  # no such setting, or none of its values
            raise OSError(errno.EINVAL, f"{self._name}: {error}") from error


def _apply_limits(job: "dict[str, Any]") -> None:
    for name, soft, hard in job["limits"]:
        with _Setting(name):
            number = getattr(resource, f"RLIMIT_{name.upper()}")
            bounds = [resource.RLIM_INFINITY if value is None else value for value in (soft, hard)]
            try:
                resource.setrlimit(number, (bounds[0], bounds[1]))
            except ValueError as error:  # how the module says these two
                refused = errno.EINVAL if str(error).startswith("current") else errno.EPERM
                raise OSError(refused, os.strerror(refused)) from error


def _apply_priorities(job: "dict[str, Any]") -> None:
    if job["oom_score_adj"] is not None:
        with _Setting("oom_score_adj"), open("/proc/self/oom_score_adj", "wb") as stream:
            stream.write(b"%d" % job["oom_score_adj"])
    if job["nice"] is not None:
        with _Setting("nice"):
            os.setpriority(os.PRIO_PROCESS, 0, job["nice"])
    if job["cpu_affinity"]:
        with _Setting("cpu_affinity"):
            os.sched_setaffinity(0, job["cpu_affinity"])


def _become(job: "dict[str, Any]") -> None:
    if job["identity"]:
        uid, gid, groups = job["identity"]
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if os.getresuid() != (uid, uid, uid):
            raise PermissionError(errno.EPERM, "the user is not what it should be")


def _forbid_new_privileges(job: "dict[str, Any]") -> None:
    if job["no_new_privileges"]:
        # ctypes is the one costly import here, so only those pay for it who ask for this.
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) != 0:  # PR_SET_NO_NEW_PRIVS, prctl(2)
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def _enter(job: "dict[str, Any]") -> None:
    os.chdir(job["working_dir"])
    if job["umask"] is not None:
        os.umask(job["umask"])


def _execute(job: "dict[str, Any]") -> None:
    if job["listen_pid"]:
        job["environment"]["LISTEN_PID"] = str(os.getpid())
    # Python ignores these two for itself; a worker starts with the defaults.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    os.execvpe(job["argv"][0], job["argv"], job["environment"])


# First what needs our own files or memory, then what limits them, then what takes our rights away.
_STAGES = (
    ("no_new_privileges", _forbid_new_privileges),
    ("priorities", _apply_priorities),
    ("working_dir", _enter),
    ("limits", _apply_limits),
    ("user", _become),
    ("exec", _execute),
)


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"{error.errno}:{error.strerror}"
    return f"{errno.EINVAL}:{error}"


def main(job_descriptor: int, error_descriptor: int) -> None:
    with open(job_descriptor, "rb") as stream:
        job = marshal.load(stream)  # noqa: S302 - our own parent wrote it
    os.set_inheritable(error_descriptor, False)
    for stage, step in _STAGES:
        try:
            step(job)
        except Exception as error:  # noqa: BLE001 - a NUL byte in an argument, or no memory left
            os.write(error_descriptor, f"{stage}:{_told(error)}".encode(errors="replace"))
            os._exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
