"""The keeper: mechanism without policy, so that it has no reason to die.

It is the parent of every worker: it alone spawns, signals and reaps, for everyone. It holds a
duplicate of every descriptor that must outlive a process, and a record per instance, and gives
all of it to each new manager. It decides nothing: what it cannot do it says, and what it is told
it does. Standard library only, no asyncio, no YAML, no network.

One thread with one epoll; only spawning happens elsewhere (`spawner`). Nothing here blocks.
"""

import contextlib
import gc
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from supervisord_lite.keeper.adoption import adopt
from supervisord_lite.keeper.children import Children
from supervisord_lite.keeper.complaint import complain, describe, untold
from supervisord_lite.keeper.held import Held
from supervisord_lite.keeper.job import Answer
from supervisord_lite.keeper.journal import Journal
from supervisord_lite.keeper.mains import Mains
from supervisord_lite.keeper.marks import mark_prefix
from supervisord_lite.keeper.orders import HANDLERS, inherited_environment
from supervisord_lite.keeper.protocol import BrokenLink, Packet
from supervisord_lite.keeper.runs import Phase, Run, Runs
from supervisord_lite.keeper.seat import Seat
from supervisord_lite.keeper.signals import SignalPipe
from supervisord_lite.keeper.spawner import Spawner
from supervisord_lite.keeper.sweeper import Sweeper
from supervisord_lite.keeper.trees import Trees, group_is_empty
from supervisord_lite.linux.descriptors import DescriptorLimit, close_all
from supervisord_lite.linux.notify import Notifier, stored_descriptors
from supervisord_lite.linux.prctl import become_subreaper

_AWAY = 1.0  # seconds that waiting may take longer than asked, before something was wrong
_MOST_UNDELIVERED = 200  # complaints and signals that wait for a manager who takes them
_TURNS_BETWEEN_COLLECTIONS = 5000
_AFTER_A_BUG = 0.1  # seconds: what fails again and again must not take the processor


class Settings(NamedTuple):
    """What a keeper is started with.

    `manager` is the command of the policy process; `first` is an order to spawn something at
    once, so that it runs while the manager starts, its output going into a held memfd of that
    name. After a death it is spawned only where nothing was remembered, or if `insist`.
    `greeting` is told to every manager as it is.
    """

    directory: str
    manager: Sequence[str]
    hold: bool = False
    greeting: Mapping[str, Any] = MappingProxyType({})
    first: tuple[str, Sequence[str]] | None = None
    insist: bool = True


class Keeper:
    """One daemon's keeper. `run` returns the exit code of the daemon."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        become_subreaper()
        self.signals = SignalPipe()
        self.limit = DescriptorLimit()
        self.environment = inherited_environment()
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.journal = Journal(os.path.join(settings.directory, "journal"))
        self.notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        stored = stored_descriptors(os.environ)
        self.held = Held(self.journal, self.notifier, self.limit, stored)
        self.runs = Runs(self.journal.contents.highest)
        self.spawner = Spawner(self.limit, self.signals.written_to)
        self.children = Children(self.spawner, self.limit)
        self.trees = Trees(self.journal.contents.daemon, self.runs, self.limit)
        self.epoll = select.epoll()
        self.sweeper = Sweeper(self.trees, self.epoll, self.limit, self.settle)
        self.seat = Seat(self.spawner, settings.manager, hold=settings.hold)
        self.mains = Mains(self.trees, self.children, self.epoll, self.limit, self._main_ended)
        self._undelivered: dict[int, Packet] = {}  # what no manager has dealt with yet
        self._turns = 0
        gc.disable()
        self._link_watched = False
        self._link_waits = False  # for room in the socket
        self._code: int | None = None
        for source in (self.signals, self.spawner):
            self.epoll.register(source.fileno(), select.EPOLLIN)

    # ---------------------------------------------------------------- the loop

    def run(self) -> int:
        """Serve until a manager orders the end."""
        known, first = self.journal.contents, self.settings.first
        interrupted = any(first and instance == first[0] for instance, _ in known.runs)
        with self.limit.allocation(self.limit.hard):
            for run in adopt(self.journal, self.held):
                self._take_over(run)
        self.journal.append({"keeper": os.fstat(self.signals.written_to).st_ino})
        if first and (self.settings.insist or known.left or interrupted or not known.records):
            self._spawn_first(*first)
        while self._code is None:
            try:
                self._turn()
                self._collect_garbage()
            except Exception as error:  # noqa: BLE001 - workers live by this loop: it goes on
                complain(describe(error))
                time.sleep(_AFTER_A_BUG)
        return self._code

    def _collect_garbage(self) -> None:
        """Only here, in the main thread: a socket that is finalized in a spawner's thread would
        close a number of that thread's table.
        """
        self._turns += 1
        if self._turns % _TURNS_BETWEEN_COLLECTIONS == 0:
            gc.collect()

    def _turn(self) -> None:
        self._attend(time.monotonic())
        timeout, before = self._timeout(), time.monotonic()
        events = self.epoll.poll(timeout)
        away = time.monotonic() - before - (timeout or 0.0)
        if timeout is not None and away > _AWAY:
            # We were stopped, or the machine was: nobody else had the time that has passed.
            self.seat.pardon(time.monotonic())
            self.spawner.pardon(away)
        for descriptor, _ in events:
            self._dispatch(descriptor)
        if self.sweeper.ready(time.monotonic(), idle=not events):
            self.sweeper.sweep()

    def _timeout(self) -> float | None:
        if self.sweeper.waiting:
            return 0.0
        times = [t for t in (self.spawner.deadline(), self.seat.deadline()) if t is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _attend(self, now: float) -> None:
        self.spawner.collect()
        self.spawner.expire(now)
        self.seat.bite(now)
        if self.seat.start_due(now):
            self._start_manager()
        if self._link_watched:
            self._pass_on_complaints()

    def _pass_on_complaints(self) -> None:
        """Tell the manager, or the next one; more than a few hundred help nobody."""
        for text in untold():
            packet = {"tell": "complained", "text": text}
            number = self.seat.tell(packet)
            if len(self._undelivered) < _MOST_UNDELIVERED:
                self._undelivered[number] = packet
            self._watch_link()

    def _dispatch(self, descriptor: int) -> None:
        if descriptor == self.signals.fileno():
            self._on_signals()
        elif descriptor == self.spawner.fileno():
            self.spawner.collect()
            self.children.forget_strangers()
        elif self.seat.link is not None and descriptor == self.seat.link.fileno():
            self._on_link()
        elif not self.mains.noticed(descriptor):
            self.sweeper.noticed(descriptor, time.monotonic())

    def _on_signals(self) -> None:
        for number in self.signals.receive():
            packet = {"tell": "signalled", "signal": number}
            self._undelivered[self.seat.tell(packet) or -len(self._undelivered)] = packet
        self.children.reap()
        self._watch_link()

    # ---------------------------------------------------------------- the manager

    def _start_manager(self) -> None:
        streams = (self.null, 1, 2)
        with self.limit.allocation():
            self.seat.start(self.environment, streams, self._manager_answered)
        if self.seat.link is None:  # it could not be started, and will be tried again
            return
        self.epoll.register(self.seat.link.fileno(), select.EPOLLIN)
        self._link_watched, self._link_waits = True, False
        with self.limit.allocation(self.limit.hard):
            self._greet()

    def _manager_answered(self, answer: Answer) -> None:
        if answer.pid:
            self.seat.pid = answer.pid
            self.children.claim(answer.pid, answer.number, self._manager_ended)
        else:
            self.seat.last_words = f"cannot start: {answer.stage}: {answer.message}"
            self._manager_ended(0)

    def _greet(self) -> None:
        """Tell a new manager all there is: records, descriptors, facts, signals not dealt with."""
        helpers = [run.instance for run in self.runs if run.instance.startswith("@")]
        about = {"keeper": os.getpid(), "directory": self.settings.directory, "helpers": helpers}
        about["mark"] = mark_prefix(self.journal.contents.daemon)
        self.seat.tell(
            {"tell": "welcome", **about, **self.settings.greeting, **self.seat.welcome()}
        )
        self.seat.tell({"tell": "records", "records": self.journal.contents.records})
        for names, descriptors in self.held.batches():
            self.seat.tell({"tell": "held", "names": names}, descriptors)
        for run in self.runs:
            for fact in run.facts():
                self.seat.tell(fact)
        self.seat.tell({"tell": "restored"})
        undelivered, self._undelivered = list(self._undelivered.values()), {}
        for packet in undelivered:
            self._undelivered[self.seat.tell(packet)] = packet
        self._watch_link()

    def _manager_ended(self, status: int) -> None:
        """Obey what the dead manager has sent, to the end, and only then let another one start."""
        self.seat.pid = 0
        while self._obey_some():
            pass
        self._unwatch_link()
        if os.WIFSIGNALED(status) and not self.seat.last_words:
            self.seat.last_words = f"killed by signal {os.WTERMSIG(status)}"
        self.seat.vacate(time.monotonic())

    def _on_link(self) -> None:
        assert self.seat.link is not None
        with contextlib.suppress(BrokenLink):
            self.seat.link.flush()
        self._obey_some()
        self._watch_link()

    def _obey_some(self) -> bool:
        """Receive what is here and obey it; False once there is nothing to receive."""
        link = self.seat.link
        if link is None:
            return False
        received: list[tuple[Packet, list[int]]] = []
        broken = False
        try:
            with self.limit.allocation():
                received.extend(link.receive())
        except BrokenLink:
            self._unwatch_link()
            # Without its link it is of no use, if it should live: its seat is needed.
            self.seat.dismiss()
            broken = True
        for packet, descriptors in received:
            self._obey(packet, descriptors)
        return bool(received) and not broken

    def _obey(self, packet: Packet, descriptors: list[int]) -> None:
        for order in packet.get("orders", ()):
            try:
                HANDLERS[order["do"]](self, order, descriptors)
            except Exception as error:  # noqa: BLE001 - what makes no sense is not our death
                complain(f"cannot obey an order of the manager: {describe(error)}")
        close_all(descriptors)
        if (number := packet.get("ack")) is not None:
            self.seat.acknowledge(number)
            for known in [n for n in self._undelivered if 0 < n <= number]:
                del self._undelivered[known]

    def tell(self, fact: Packet) -> None:
        self.seat.tell(fact)
        self._watch_link()

    def _watch_link(self) -> None:
        """Wake up for room in the socket exactly while something waits to be sent."""
        link = self.seat.link
        if link is not None and self._link_watched and link.pending != self._link_waits:
            self._link_waits = link.pending
            events = select.EPOLLIN | (select.EPOLLOUT if link.pending else 0)
            self.epoll.modify(link.fileno(), events)

    def _unwatch_link(self) -> None:
        if self.seat.link is not None and self._link_watched:
            self.epoll.unregister(self.seat.link.fileno())
            self._link_watched = False

    # ---------------------------------------------------------------- runs

    def spawn_answered(self, run: Run, answer: Answer) -> None:
        """The spawner is done with a run's job."""
        now = time.monotonic()
        if not answer.pid:
            run.phase, run.failure, run.ended_at = Phase.FAILED, answer, now
            self.tell(run.facts()[0])
            return
        run.begin(answer.pid, answer.started, now)
        who = [run.instance, run.number]
        self.journal.append({"pid": [*who, run.pid, run.started], "since": now})
        self.tell(run.facts()[0])
        self.mains.claim(run, answer)

    def _main_ended(self, run: Run, status: int | None) -> None:
        now, simple = time.monotonic(), run.leads and not run.sweeping
        run.phase, run.status, run.ended_at = Phase.ENDED, status, now
        self.journal.append({"ended": [run.instance, run.number, status], "at": now})
        if simple and not self.children.orphans():
            self.settle(run, emptied=group_is_empty(run.pid))
        else:
            self.sweeper.look_at(run, now)

    def settle(self, run: Run, emptied: bool) -> None:
        """What is left of the run is known: tell what has not been told."""
        if run.phase is not Phase.ENDED:
            return
        news = emptied and not run.emptied
        if news:
            run.emptied, run.emptied_at = True, time.monotonic()
        who = {"instance": run.instance, "run": run.number}
        if not run.reported:
            run.reported = True
            self.tell(run.facts()[-1])
        elif news:
            self.tell({"tell": "emptied", **who, "at": run.emptied_at})

    def _take_over(self, run: Run) -> None:
        """Answer for a run that an earlier keeper spawned."""
        self.runs.add(run)
        if run.pidfd is not None:
            self.mains.watch(run)
        elif run.phase is Phase.ENDED:  # what its main process has left behind may live
            self.sweeper.look_at(run, time.monotonic())

    def _spawn_first(self, name: str, argv: Sequence[str]) -> None:
        with self.limit.allocation():
            self.held.hold(name, os.memfd_create(name, os.MFD_CLOEXEC))
        order = {
            "instance": name,
            "run": self.journal.contents.highest.get(name, 0) + 1,
            "streams": ["null", f"held:{name}", "daemon:2"],
            "program": {"argv": list(argv), "working_dir": "."},
        }
        HANDLERS["spawn"](self, order, [])

    # ---------------------------------------------------------------- the end

    def leave(self) -> None:
        """Go, and let every worker live: the journal tells the next keeper all it needs."""
        self.journal.append({"left": True})
        if self.notifier.present:
            self.notifier.store(dict(self.held.items()))
        self._code = 0

    def exit(self, code: int) -> None:
        """Go. What still lives cannot be ended; then the journal stays, so that it is known.
        Helpers of no instance ("@compile") are the daemon's own, and end with it.
        """
        self._code = code  # first: whatever goes wrong with the rest, it ends
        left = self.runs.living()
        helpers = [run for run in left if run.instance[0] == "@" and ":" not in run.instance]
        for run in helpers:
            self.trees.signal_tree(run, signal.SIGKILL)
        if len(left) == len(helpers):
            self.journal.remove()
            self.held.forget_stored()
