"""Spawning, off the main thread, so that a hung file system hangs a thread and not the daemon.

A spawner thread has a descriptor table of its own (CLONE_FILES unshared) that holds its socket and
little else. A job reaches it with exactly the child's descriptors, so nothing can leak into a
child, and a spawn costs the same whether the keeper holds ten descriptors or nineteen thousand.

Two threads take jobs in turn. Beside one that is busy with a job for more than `_PATIENCE` seconds
another one goes on; after `DEADLINE` seconds its job has failed, whatever becomes of it,
and a child that it still makes is killed.
"""

import errno
import fcntl
import marshal
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache

from supervisord_lite.linux.descriptors import DescriptorLimit, close_all, receive_with, send_with
from supervisord_lite.linux.prctl import unshare_descriptors
from supervisord_lite.linux.process_table import read_entry

DEADLINE = 10.0
_PATIENCE = 0.2
_THREADS = 2
_MOST_THREADS = 16  # that hang at one time; then the others wait, as long as a deadline
_EVERY_DESCRIPTOR = 2**30
_SOCKET_AT = 900  # where a thread keeps its socket, if the limit allows: above any child's need
_LIFTED = 300  # where the descriptors of a job wait, likewise, until they get the child's numbers
_OUTFIT = os.path.join(os.path.dirname(__file__), "outfit.py")


# Makes a job and its descriptors when a thread is free for it, so that a thousand jobs in the queue
# are not a thousand environments. Raises OSError if a descriptor is not to be had.
Prepare = Callable[[], tuple["Job", Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Outfit:
    """What Popen cannot do for a child; see `keeper.outfit`."""

    limits: tuple[tuple[str, int | None, int | None], ...] = ()
    nice: int | None = None
    oom_score_adj: int | None = None
    cpu_affinity: tuple[int, ...] = ()
    no_new_privileges: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One child to be made. Its descriptors become 0, 1 and 2, further ones 3 and up."""

    argv: Sequence[str]
    working_dir: str
    environment: dict[str, str]
    umask: int | None = None
    identity: tuple[int, int, tuple[int, ...]] | None = None  # uid, gid, supplementary groups
    outfit: Outfit = Outfit()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job, by its number: a pid and its start time, or the stage and errno of the
    failure.
    """

    number: int = 0
    pid: int = 0
    started: int = 0
    stage: str = ""
    errno: int = 0
    message: str = ""


@dataclass(slots=True)
class _Ticket:
    """A job on its way, and since when a thread has it."""

    number: int
    prepare: Prepare
    done: Callable[[Answer], None]
    impatient_at: float = 0.0
    fails_at: float = 0.0
    replaced: bool = False  # its thread hangs, another one does the work
    expired: bool = False  # it hung for so long that it counts as failed


class Spawner:
    """The main thread's side: hands out jobs, takes answers, replaces a thread that hangs.

    `fileno` is readable when there is an answer (`collect`); `deadline` is when `expire` is due.
    """

    def __init__(self, limit: DescriptorLimit, keep_open: int) -> None:
        """`keep_open` is the one descriptor that a thread's table shares with ours: the end that
        Python's signal handler writes to, in whichever thread the kernel runs it.
        """
        self._limit = limit
        self._keep_open = keep_open
        self._latest = 0
        self._waiting: deque[_Ticket] = deque()
        self._given: dict[_Thread, _Ticket] = {}
        self._answers, self._answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers.setblocking(False)
        self._idle = [self._fresh_thread() for _ in range(_THREADS)]
        self._spare: list[_Thread] = []

    def fileno(self) -> int:
        return self._answers.fileno()

    def submit(self, prepare: Prepare, done: Callable[[Answer], None]) -> None:
        """Have a child made; `done` is called once: from here, from `collect` or from `expire`."""
        self._latest += 1
        self._waiting.append(_Ticket(self._latest, prepare, done))
        self._hand_out()

    @property
    def latest(self) -> int:
        """The number of the job submitted last."""
        return self._latest

    @property
    def settled(self) -> int:
        """All jobs up to this number are answered: every child that they made is known, except
        for late ones, of which nobody expects to hear.
        """
        unanswered = [ticket.number for ticket in self._given.values() if not ticket.expired]
        unanswered += [self._waiting[0].number] if self._waiting else []  # in order of numbers
        return min(unanswered, default=self._latest + 1) - 1

    def deadline(self) -> float | None:
        """When `expire` must be called next (CLOCK_MONOTONIC)."""
        times = [
            ticket.fails_at if ticket.replaced else min(ticket.impatient_at, ticket.fails_at)
            for ticket in self._given.values()
            if not ticket.expired
        ]
        return min(times, default=None)

    def collect(self) -> None:
        """Take the answers that are here."""
        while True:
            try:
                number, fields = marshal.loads(self._answers.recv(4096))  # noqa: S302 - our thread
            except BlockingIOError:
                break
            thread = next(t for t, ticket in self._given.items() if ticket.number == number)
            ticket = self._given.pop(thread)
            # A thread that has made children never ends: a worker may have asked to die with its
            # parent (PR_SET_PDEATHSIG), and for the kernel that is the thread.
            (self._spare if ticket.replaced else self._idle).append(thread)
            _deliver(ticket, Answer(number, *fields))
        self._hand_out()

    def expire(self, now: float) -> None:
        """Replace the threads that hang, and fail the jobs that have hung too long."""
        for ticket in list(self._given.values()):
            if not ticket.replaced and now >= ticket.impatient_at:
                ticket.impatient_at = now + _PATIENCE
                self._replace(ticket)
            if not ticket.expired and now >= ticket.fails_at:
                ticket.expired = True
                text = f"no answer within {DEADLINE:.0f} s"
                ticket.done(Answer(stage="deadline", errno=errno.ETIMEDOUT, message=text))
        self._hand_out()

    def _replace(self, ticket: _Ticket) -> None:
        """Have another thread beside the one that is busy with this, if there can be one."""
        if self._spare:
            self._idle.append(self._spare.pop())
        elif len(self._given) < _MOST_THREADS:
            try:
                self._idle.append(self._fresh_thread())
            except (OSError, RuntimeError):  # no descriptors or no threads now: tried again soon
                return
        else:
            return
        ticket.replaced = True

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            ticket = self._waiting.popleft()
            try:
                job, descriptors = ticket.prepare()
            except OSError as error:
                ticket.done(
                    Answer(stage="streams", errno=error.errno or 0, message=str(error.strerror))
                )
                continue
            thread = self._idle.pop()
            try:
                thread.give(ticket.number, job, descriptors)
            except OSError as error:
                self._idle.append(thread)
                text = str(error.strerror)
                ticket.done(Answer(ticket.number, 0, 0, "streams", error.errno or 0, text))
                continue
            now = time.monotonic()
            ticket.impatient_at, ticket.fails_at = now + _PATIENCE, now + DEADLINE
            self._given[thread] = ticket

    def _fresh_thread(self) -> "_Thread":
        return _Thread(self._limit, self._answering, self._keep_open)


def _deliver(ticket: _Ticket, answer: Answer) -> None:
    if not ticket.expired:
        ticket.done(answer)
    elif (entry := read_entry(answer.pid)) and entry.started == answer.started:
        # Too late: nobody reckons with this child any more. It leads a group of its own.
        os.killpg(answer.pid, signal.SIGKILL)


class _Thread:
    """One spawner thread: receives a job, makes the child, answers, waits for the next."""

    def __init__(self, limit: DescriptorLimit, answering: socket.socket, keep_open: int) -> None:
        self._limit = limit
        self._keep_open = keep_open
        self._socket_at = min(_SOCKET_AT, limit.soft - 2)
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
        kept = sorted({self._keep_open, low, low + 1})
        # What the main thread has made above the soft limit is in this table, too.
        for below, above in zip([-1, *kept], [*kept, _EVERY_DESCRIPTOR], strict=True):
            os.closerange(below + 1, above)
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
            if job.outfit == Outfit():
                pid = self._spawn(job, job.argv, received)
            else:
                pid = self._spawn_with_outfit(job, received)
        except _StageFailed as failed:
            text = os.strerror(failed.number) if failed.number else failed.text
            return Answer(stage=failed.stage, errno=failed.number, message=text)
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
        extra = [os.dup2(number, 3 + n) for n, number in enumerate(received[3:])]
        try:
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

    def _spawn_with_outfit(self, job: Job, received: list[int]) -> int:
        """Start `keeper.outfit`, which becomes the program, and wait until it has or has failed."""
        plain = {
            "argv": list(job.argv),
            "environment": job.environment,
            "working_dir": job.working_dir,
            "umask": job.umask,
            "identity": job.identity,
            **asdict(job.outfit),
        }
        order, read_end, write_end = _lift(
            [os.memfd_create("job", os.MFD_CLOEXEC), *os.pipe2(os.O_CLOEXEC)], self._lifted
        )
        os.write(order, marshal.dumps(plain))
        os.lseek(order, 0, os.SEEK_SET)
        numbers = [str(len(received)), str(len(received) + 1)]
        argv = [sys.executable, "-I", "-S", _OUTFIT, *numbers]
        bare = Job(argv, "/", job.environment)
        try:
            pid = self._spawn(bare, argv, [*received, order, write_end])
        finally:
            close_all((order, write_end))
        with open(read_end, "rb") as errors:
            said = errors.read()
        if said:
            stage, number, text = said.decode(errors="replace").split(":", 2)
            raise _StageFailed(stage, int(number) if number.isdecimal() else 0, text)
        return pid


class _StageFailed(Exception):
    """A stage of spawning failed: which, its errno, and words where there is no errno."""

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
    number = error.errno or 0
    if error.filename is None:
        return "fork", number, str(error)
    if error.filename is not job.working_dir:
        return "exec", number, str(error)
    if job.identity and number in (errno.EPERM, errno.EAGAIN, errno.EINVAL):
        return "user", number, str(error)
    return "working_dir", number, str(error)
