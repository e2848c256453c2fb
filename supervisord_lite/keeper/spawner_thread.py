"""A spawner thread: makes children, one at a time, from a descriptor table of its own.

The table (CLONE_FILES unshared) holds the thread's socket and little else. A job reaches it with
exactly the child's descriptors, so nothing can leak into a child, and a spawn costs the same
whether the keeper holds ten descriptors or nineteen thousand.

A thread that has made children never ends: a worker may have asked to die with its parent
(PR_SET_PDEATHSIG), and for the kernel that is the thread.
"""

import errno
import fcntl
import marshal
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import count, islice

from supervisord_lite.keeper.direct_log import LogFailed, open_logs
from supervisord_lite.keeper.job import Answer, Job, Outfit
from supervisord_lite.linux.descriptors import DescriptorLimit, close_all, receive_with, send_with
from supervisord_lite.linux.prctl import unshare_descriptors
from supervisord_lite.linux.process_table import read_entry

_SOCKET_AT = 900  # where a thread keeps its socket, if the limit allows: above any child's need
_LIFTED = 300  # where the descriptors of a job wait, likewise, until they get the child's numbers
_FIRST_EXTRA = 3
_OUTFIT = os.path.join(os.path.dirname(__file__), "outfit.py")


class SpawnerThread:
    """One spawner thread: receives a job, makes the child, answers, waits for the next."""

    def __init__(self, limit: DescriptorLimit, answering: socket.socket, keep_open: int) -> None:
        self._limit = limit
        self._keep_open = keep_open
        self._socket_at = min(_SOCKET_AT, limit.soft - 2)
        if keep_open - self._socket_at in (0, 1):
            self._socket_at -= 2
        self._lifted = min(_LIFTED, limit.soft // 2)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._job: Job | None = None
        ready = threading.Event()
        arguments = (theirs.fileno(), answering.fileno(), ready)
        thread = threading.Thread(target=self._run, args=arguments, name="spawner", daemon=True)
        try:
            thread.start()
            # It copies our table and closes what it does not need; only then may we go on.
            ready.wait()
        finally:
            theirs.close()
            if not ready.is_set():
                self._ours.close()

    def give(self, number: int, job: Job, descriptors: Sequence[int]) -> None:
        self._job = job
        label = number.to_bytes(8, "little")
        try:
            send_with(self._ours, label, descriptors)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            # Those that the user has on their way count against the sender's limit (unix(7)).
            with self._limit.raised():
                send_with(self._ours, label, descriptors)

    def _run(self, jobs: int, answers: int, ready: threading.Event) -> None:
        unshare_descriptors()
        low = self._socket_at
        os.dup2(jobs, low, inheritable=False)
        os.dup2(answers, low + 1, inheritable=False)
        _close_all_but({self._keep_open, low, low + 1})
        for number in range(3):
            os.dup2(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), number)
        ready.set()
        # These two objects live and die with the thread, whose table alone knows their numbers.
        source = socket.socket(fileno=low)
        answering = socket.socket(fileno=low + 1)
        while True:
            label, descriptors = receive_with(source, 8)
            assert self._job is not None
            answer = self._make(self._job, _lift(descriptors, self._lifted))
            fields = (answer.pid, answer.started, answer.stage, answer.errno, answer.message)
            answering.send(marshal.dumps((int.from_bytes(label, "little"), fields)))

    def _make(self, job: Job, received: list[int]) -> Answer:
        try:
            open_logs(job, received)
            if job.outfit == Outfit():
                pid = self._spawn(job, job.argv, received)
            else:
                pid = self._spawn_with_outfit(job, received)
        except LogFailed as failed:
            return Answer(stage="streams", errno=failed.number, message=failed.text)
        except _StageFailed as failed:
            return Answer(stage=failed.stage, errno=failed.number, message=failed.text)
        except Exception as error:  # noqa: BLE001 - every job is answered, whatever is wrong with it
            return Answer(stage="fork", errno=errno.EINVAL, message=repr(error))
        finally:
            close_all(received)
        if job.outfit.oom_score_adj is None and _protected():
            _unprotect(pid)
        entry = read_entry(pid)
        return Answer(pid=pid, started=entry.started if entry else 0)

    def _spawn(self, job: Job, argv: Sequence[str], received: list[int]) -> int:
        identity = job.identity or (None, None, None)
        extra: list[int] = []
        try:
            for number, wanted in zip(received[3:], job.extra, strict=True):
                extra.append(self._place(number, wanted))
            with self._limit.spawning():
                child = subprocess.Popen(
                    argv,
                    stdin=received[0],
                    stdout=received[1],
                    stderr=received[2],
                    close_fds=False,  # this table holds nothing that a child must not have
                    start_new_session=True,
                    restore_signals=True,
                    cwd=job.working_dir,
                    env=job.environment,
                    umask=-1 if job.umask is None else job.umask,
                    user=identity[0],
                    group=identity[1],
                    extra_groups=identity[2],
                )
        except (OSError, ValueError) as error:
            raise _StageFailed(*_stage_of(error, job)) from error
        finally:
            close_all(extra)
        # The keeper reaps; a Popen object without a status would be reaped behind our back.
        child.returncode = 0
        return child.pid

    def _place(self, number: int, wanted: int) -> int:
        """Put a descriptor where the child is to find it."""
        if not _FIRST_EXTRA <= wanted < self._lifted:
            what = f"descriptor {wanted} is not between {_FIRST_EXTRA} and {self._lifted - 1}"
            raise _StageFailed("streams", errno.EBADF, f"{what}: {os.strerror(errno.EBADF)}")
        return os.dup2(number, wanted)

    def _spawn_with_outfit(self, job: Job, received: list[int]) -> int:
        """Start `keeper.outfit`, which becomes the program, and wait until it has or has failed."""
        plain = {
            "argv": list(job.argv),
            "environment": job.environment,
            "working_dir": job.working_dir,
            "umask": job.umask,
            "identity": job.identity,
            **job.outfit._asdict(),
        }
        order, read_end, write_end = _lift(
            [os.memfd_create("job", os.MFD_CLOEXEC), *os.pipe2(os.O_CLOEXEC)], self._lifted
        )
        os.write(order, marshal.dumps(plain))
        os.lseek(order, 0, os.SEEK_SET)
        places = list(islice((n for n in count(_FIRST_EXTRA) if n not in job.extra), 2))
        argv = [sys.executable, "-I", "-S", _OUTFIT, *map(str, places)]
        bare = Job(argv, "/", job.environment, extra=(*job.extra, *places))
        try:
            pid = self._spawn(bare, argv, [*received, order, write_end])
        finally:
            close_all((order, write_end))
        with open(read_end, "rb") as errors:
            said = errors.read()
        if said:
            stage, number, text = said.decode(errors="replace").split(":", 2)
            raise _StageFailed(stage, int(number), text)
        return pid


class _StageFailed(Exception):
    """A stage of spawning failed: which, its errno, and what happened, in words."""

    def __init__(self, stage: str, number: int, text: str) -> None:
        super().__init__(f"{stage}: {text}")
        self.stage, self.number, self.text = stage, number, text


@cache
def _protected() -> bool:
    """Whether the daemon is less likely than others to be killed for memory; see proc(5)."""
    with open("/proc/self/oom_score_adj", "rb") as stream:
        return int(stream.read()) < 0


def _unprotect(pid: int) -> None:
    """Take from a worker the protection that it inherited and that is meant for the daemon. It
    runs already; a program that wants to be exact about its own score sets `oom_score_adj`.
    """
    with suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "wb") as stream:
        stream.write(b"0")


def _close_all_but(kept: set[int]) -> None:
    """Empty the calling thread's own table: what is there, since what could be there is a lot where
    close_range(2) is not to be had.
    """
    for number in map(int, os.listdir("/proc/thread-self/fd")):
        if number not in kept:
            with suppress(OSError):  # the one that the list was read from is gone already
                os.close(number)


def _lift(received: list[int], to: int) -> list[int]:
    """Move descriptors out of the low numbers, which are those of the child."""
    lifted = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, to) for number in received]
    close_all(received)
    return lifted


def _stage_of(error: OSError | ValueError, job: Job) -> tuple[str, int, str]:
    """Which stage of Popen's child an error comes from.

    Popen tells exec from what comes before it by the file name: the program's, or the working
    directory's. Of what comes before, only the change of user fails with these numbers.
    """
    if isinstance(error, ValueError):  # a NUL byte in an argument, say
        return "exec", errno.EINVAL, str(error)
    number, text = error.errno or 0, error.strerror or str(error)
    if error.filename is None:
        return "fork", number, text
    if error.filename is not job.working_dir:
        return "exec", number, text
    if job.identity and number in (errno.EPERM, errno.EAGAIN, errno.EINVAL):
        return "user", number, text
    return "working_dir", number, text
