"""Telling people: the console of a daemon in a terminal, its own log, systemd's status line.

On a terminal the output of all workers is shown beside the changes of state; elsewhere each change
is a record of the daemon's log (`chronicle`). What is said, and how grave it is, is decided here.
Nothing here waits for anybody.
"""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator

from supervisord_lite.core.command import Announce, Note
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Level, Log
from supervisord_lite.core.reason import is_trouble_of_hook
from supervisord_lite.core.restart import succeeded
from supervisord_lite.core.spec import Configuration
from supervisord_lite.core.state import Instance, Parting, Running, Stopping, live_run, word
from supervisord_lite.logs.event import (
    LogEvent,
    Noticed,
    StallBegan,
    StallEnded,
    TapClosed,
    TapOpened,
    TroubleBegan,
    TroubleEnded,
)
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.logs.reading.console import Console
from supervisord_lite.manager.keeper_link import KeeperLink
from supervisord_lite.manager.output.chronicle import Chronicle, Record

_STDOUT, _STDERR = 1, 2
_DULL = {("STOPPED", "STARTING"), ("BACKOFF", "STARTING"), ("WAITING", "STARTING")}
_DESCRIPTORS_BESIDE = 100  # what the daemon has open beside its logs, with some clients


class Notices:
    """What the daemon says of itself, on every way that it has."""

    def __init__(self, link: KeeperLink, fleet: Fleet, *, terminal: bool) -> None:
        self._link = link
        self._fleet = fleet
        self._terminal = terminal
        # Also where there is no terminal: it writes in a thread of its own, so a reader of our
        # stderr that has stopped reading stops nothing here.
        colour = terminal and "NO_COLOR" not in os.environ
        self.console = Console(_STDOUT if terminal else _STDERR, colour=colour)
        self.chronicle = Chronicle(self.console.announce, terminal=terminal)
        self._cancels: dict[str, Callable[[], None]] = {}
        self.plane: DataPlane | None = None

    # ---------------------------------------------------------------- the console's streams

    def show(self, stream: str, path: str) -> None:
        """Show a stream from its present end on."""
        if not self._terminal or self.plane is None:
            return
        self.hide(stream)
        instance, _, which = stream.rpartition("/")
        name = instance if which == "stdout" else f"{instance} err"
        self._cancels[stream] = self.plane.watch(stream, self.console.add(stream, name, path))

    def hide(self, stream: str) -> None:
        if stream in self._cancels:
            self._cancels.pop(stream)()
            self.console.remove(stream)

    # ---------------------------------------------------------------- what happened

    def say(
        self, text: str, *, problem: bool = False, level: Level | None = None, **fields: str | int
    ) -> None:
        """Something about the daemon as a whole; `fields` is what it is about, for programs."""
        self.chronicle.say(level or (Level.ERROR if problem else Level.INFO), text, **fields)

    def announced(self, change: Announce) -> None:
        """An instance has changed its state."""
        words = [change.instance, change.after]
        instance = self._fleet.instances.get(change.instance)
        if change.after == "RUNNING" and instance and isinstance(instance.state, Running):
            words.append(f"pid {instance.state.pid}")
        text = " ".join(words) + (f": {change.why}" if change.why else "")
        self.chronicle.say(_gravity(change, instance), text, **_fields(change, instance))

    def noted(self, note: Note) -> None:
        """The core has something to say that is no change of a state."""
        self.say(note.text, level=Level.WARNING if note.problem else Level.INFO)

    def channel_trouble(self, channel: str, trouble: str | None) -> None:
        """A channel is not there, for this reason; None: it is again."""
        if trouble is None:
            self.say(f"channel {channel} is there again", event="channel-over", channel=channel)
        else:
            text = f"channel {channel}: {trouble}"
            self.say(text, problem=True, event="channel-trouble", channel=channel)

    def replaced(self, last_words: str) -> None:
        """The manager before this one has died; its traceback, or how."""
        reason = (last_words.splitlines() or ["unknown"])[-1]
        text = f"a manager has died, this one goes on: {reason}"
        self.say(text, level=Level.WARNING, event="manager")

    def complained(self, text: str) -> None:
        """The keeper is in trouble. It has said so on stderr itself."""
        record = Record(time.time_ns(), Level.ERROR, text, {"event": "keeper"})
        self.chronicle.tell(record, shown=True)

    def happened_to_log(self, event: LogEvent) -> None:
        """The data plane has something to say."""
        match event:
            case TroubleBegan(stream, text):
                self.say(text, problem=True, event="log-trouble", stream=stream)
            case Noticed(stream, text):
                self.say(text, problem=True, event="log-noticed", stream=stream)
            case TroubleEnded(stream, text, dropped_bytes, lines):
                lost = f"{dropped_bytes} bytes in {lines} lines" if dropped_bytes else "nothing"
                over = f"over, and {lost} lost: {text}"
                self.say(over, event="log-trouble-over", stream=stream, lost=dropped_bytes)
            case StallBegan(place, streams):
                text = f"the disk of {place} does not answer: {len(streams)} logs"
                self.say(text, problem=True, event="stall", place=place)
            case StallEnded(place):
                self.say(f"the disk of {place} answers again", event="stall-over", place=place)
            case TapOpened(stream, path):
                text = f"somebody reads {path}"
                self.say(text, level=Level.DEBUG, event="tap-opened", stream=stream)
            case TapClosed(stream, path):
                text = f"nobody reads {path} any more"
                self.say(text, level=Level.DEBUG, event="tap-closed", stream=stream)
            case _:
                pass

    def greet(self, configuration: Configuration) -> None:
        """The first words of a daemon: where everything is, and what it found."""
        name = configuration.name
        logs = sorted({os.path.dirname(log.path) for log in _logs(configuration)})
        self.say(f"{name}: control socket {configuration.control.socket}")
        if logs:
            self.say(f"{name}: logs in {', '.join(logs)}")
        states = [instance.state for instance in self._fleet.instances.values()]
        found = sum(live_run(state) is not None for state in states)
        if found:
            self.say(f"{name}: {found} running instances found and taken over")
        self._warn_of_few_descriptors(sum(1 for _ in _logs(configuration)))

    def _warn_of_few_descriptors(self, streams: int) -> None:
        """Both processes need a descriptor or two for every logged stream."""
        needed = 2 * streams + _DESCRIPTORS_BESIDE
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if needed > limit:
            text = f"the limit of open files is {limit}, which {streams} logs may exceed"
            self.say(f"{text}: raise it to {needed}", problem=True)

    # ---------------------------------------------------------------- systemd

    def reloading(self) -> None:
        stamp = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={stamp}")

    def ready(self) -> None:
        """The configuration is applied and its workers are on their way."""
        counts = Counter(word(one.state).lower() for one in self._fleet.instances.values())
        status = ", ".join(f"{count} {state}" for state, count in counts.most_common())
        self._notify(f"READY=1\nSTATUS={status or 'no workers'}")

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def _notify(self, state: str) -> None:
        self._link.order([{"do": "notify", "state": state}])


def _gravity(change: Announce, instance: Instance | None) -> Level:
    if (change.before, change.after) in _DULL:
        return Level.DEBUG  # what comes of it is told in a moment
    if change.after == "FATAL" and change.before != "FATAL":
        return Level.ERROR
    return Level.WARNING if _has_failed(change, instance) else Level.INFO


def _fields(change: Announce, instance: Instance | None) -> dict[str, str | int]:
    """What programs want to know of a change of state."""
    worker, _, number = change.instance.rpartition(":")
    fields: dict[str, str | int] = {"event": "state", "worker": worker, "instance": int(number)}
    if instance is not None:
        fields["run"] = live_run(instance.state) or instance.last_run
    return fields | {"before": change.before, "state": change.after, "why": change.why}


def _has_failed(change: Announce, instance: Instance | None) -> bool:
    """Whether this tells of the bad end of a run, of why it is brought to an end, or of something
    beside it that went wrong, such as a hook.
    """
    if is_trouble_of_hook(change.why) or change.before == change.after == "STOPPING":
        return True
    if instance is not None and change.after == "STOPPING":
        return isinstance(instance.state, Parting | Stopping) and instance.state.fault is not None
    if instance is None or change.after not in ("BACKOFF", "EXITED", "WAITING", "STARTING"):
        return False
    over = change.before == "RUNNING" or (change.before, change.after) == ("STARTING", "BACKOFF")
    status = instance.last_exit
    return over and (status is None or not succeeded(instance.spec.restart, status))


def _logs(configuration: Configuration) -> Iterator[Log]:
    for spec in configuration.instances:
        yield from (log for log in (spec.stdout_log, spec.stderr_log) if log is not None)
