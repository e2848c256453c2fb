"""Spawning, off the main thread, so that a hung file system hangs a thread and not the daemon.

Two threads take jobs in turn. Beside one that is busy with a job for more than `_PATIENCE` seconds
another one goes on; after `DEADLINE` seconds its job has failed, whatever becomes of it, and a
child that it still makes is killed.
"""

import errno
import marshal
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from supervisord_lite.keeper.job import Answer, Job
from supervisord_lite.keeper.spawner_thread import SpawnerThread
from supervisord_lite.linux.descriptors import DescriptorLimit
from supervisord_lite.linux.process_table import read_entry

DEADLINE = 10.0
_PATIENCE = 0.2
_THREADS = 2
_MOST_THREADS = 16  # that hang at one time; then the others wait, as long as a deadline

# Makes a job and its descriptors when a thread is free for it, so that a thousand jobs in the queue
# are not a thousand environments. Raises OSError if a descriptor is not to be had.
Prepare = Callable[[], tuple[Job, Sequence[int]]]


class _Ticket:
    """A job on its way, and since when a thread has it."""

    def __init__(self, number: int, prepare: Prepare, done: Callable[[Answer], None]) -> None:
        self.number = number
        self.prepare = prepare
        self.done = done
        self.impatient_at = 0.0
        self.fails_at = 0.0
        self.replaced = False  # its thread hangs, another one does the work
        self.expired = False  # it hung for so long that it counts as failed


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
        self._given: dict[SpawnerThread, _Ticket] = {}
        self._answers, self._answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers.setblocking(False)
        self._idle = [self._fresh_thread() for _ in range(_THREADS)]
        self._spare: list[SpawnerThread] = []

    def fileno(self) -> int:
        return self._answers.fileno()

    def submit(
        self, prepare: Prepare, done: Callable[[Answer], None], *, first: bool = False
    ) -> None:
        """Have a child made, before all others that wait if `first`. `done` is called once: from
        here, from `collect` or from `expire`.
        """
        self._latest += 1
        ticket = _Ticket(self._latest, prepare, done)
        if first:
            self._waiting.appendleft(ticket)
        else:
            self._waiting.append(ticket)
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
        # They wait in the order of their numbers, but for the one that was put first, if any.
        unanswered += [ticket.number for ticket in islice(self._waiting, 2)]
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

    def pardon(self, away: float) -> None:
        """Give every job the time again in which nothing could be done about it."""
        for ticket in self._given.values():
            ticket.impatient_at += away
            ticket.fails_at += away

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
            except Exception as error:  # noqa: BLE001 - every job is answered
                number = getattr(error, "errno", None) or errno.EINVAL
                text = getattr(error, "strerror", None) or repr(error)
                ticket.done(Answer(ticket.number, 0, 0, "streams", number, text))
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

    def _fresh_thread(self) -> SpawnerThread:
        return SpawnerThread(self._limit, self._answering, self._keep_open)


def _deliver(ticket: _Ticket, answer: Answer) -> None:
    if not ticket.expired:
        ticket.done(answer)
    elif (entry := read_entry(answer.pid)) and entry.started == answer.started:
        # Too late: nobody reckons with this child any more. It leads a group of its own.
        os.killpg(answer.pid, signal.SIGKILL)
