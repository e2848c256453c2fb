"""What workers say of themselves by sd_notify(3): a socket a run, kept by the keeper, read here.

Only runs that are to say when they are ready, or that they live, are given one. It belongs to its
run alone, so that nothing of an earlier run is heard in it, and what was said while no manager was
there is heard by the next one. Only processes of the run are listened to: the kernel tells who has
sent. One that is gone by then counts if it was the worker's user, as the socket's mode demands.
"""

import asyncio
import errno
import os
import re
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from supervisord_lite.core.event import BecameReady, Finding, RunCondemned, TimeExtended
from supervisord_lite.core.probe import NotifyProbe
from supervisord_lite.core.span import span
from supervisord_lite.core.spec import InstanceSpec
from supervisord_lite.core.state import (
    Instance,
    Parting,
    Readying,
    Running,
    Stopping,
    live_run,
)
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.linux import notify_socket
from supervisord_lite.linux.notify_socket import Message
from supervisord_lite.linux.process_table import belongs, environment_value
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.probes.heartbeat import Heartbeat

HELD = "notify/"
STATUS = "status/"
_AT_ONCE = 16  # messages of one worker before others have their turn
_ALL = 1024  # more than wait in a socket (net.unix.max_dgram_qlen)
_STATUS = 512  # characters of a status that are kept
_PAGE = 4096  # bytes, in which they fit in any case
_PID_MAX = 4_194_304  # PID_MAX_LIMIT of the kernel
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
Hold = Callable[[str, int], None]


@dataclass(slots=True, eq=False)
class _Line:
    """The socket of one run, and what came through it. `seconds` are its watchdog's period."""

    instance: Instance
    run: int
    socket: socket.socket
    path: str
    seconds: float | None
    status: str | None = None
    kept: int | None = None  # a memfd with the status, which outlives us
    listening: bool = False
    refused: bool = False  # a stranger was, and people know
    misnamed: bool = False  # a main process was refused, and people know
    heartbeat: Heartbeat | None = None
    asked: int = 0  # MAINPID= messages that the keeper has not answered
    kept_back: list[Packet] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """The main process, where it is known."""
        match self.instance.state:
            case Readying(pid=pid) | Running(pid=pid) | Parting(pid=pid) | Stopping(pid=pid):
                return pid
            case _:
                return None

    @property
    def makes_ready(self) -> bool:
        """Whether READY=1 is what is waited for."""
        ready = self.instance.spec.ready
        return (
            isinstance(self.instance.state, Readying)
            and ready is not None
            and isinstance(ready.probe, NotifyProbe)
        )


class NotifyRuns:
    """All sockets. `take` hears what follows for the core, `say` what people should know."""

    def __init__(
        self,
        link: KeeperLink,
        given: Inheritance,
        hold: Hold,
        take: Callable[[Finding], None],
        say: Callable[[str], None],
    ) -> None:
        self._link = link
        self._hold = hold
        self._take = take
        self._say = say
        self._mark = given.greeting.get("mark", "")
        self._left = _taken(given, HELD)
        self._kept = _taken(given, STATUS)
        self._lines: dict[str, _Line] = {}
        self.directory = ""

    def prepare(self, spec: InstanceSpec, run: int) -> tuple[tuple[str, str], ...]:
        """Make the socket of a run that is about to be spawned; what its environment needs.

        Raises OSError where there can be none.
        """
        line = self._lines.get(spec.name)
        if line is not None and line.run != run:
            self._discard(spec.name)
            line = None
        if not _speaks(spec):
            return ()
        if line is None:  # else it is ordered again, and may have been spawned, and have spoken
            line = self._lines[spec.name] = self._make(spec, run)
        if spec.watchdog is None:
            return (("NOTIFY_SOCKET", line.path),)
        return (("NOTIFY_SOCKET", line.path), ("WATCHDOG_USEC", str(round(spec.watchdog * 1e6))))

    def follow(self, instance: Instance) -> None:
        """The instance is as follows now."""
        name, run = instance.spec.name, live_run(instance.state)
        line = self._lines.get(name)
        if line is None and run is not None and _speaks(instance.spec):
            line = self._recover(instance, run)
        if line is None:
            return
        if line.run != run:
            self._discard(name)
            return
        line.instance = instance
        if line.pid is not None and not line.listening:
            line.listening = True
            loop = asyncio.get_running_loop()
            loop.add_reader(line.socket.fileno(), self._read, line)
        self._guard(line)

    def forget(self, name: str) -> None:
        """The instance is no more."""
        self._discard(name)

    def sift(self, fact: Packet) -> list[Packet]:
        """What of the keeper's facts is known to be true, now that this one has come.

        A main process that hands over to a child (MAINPID=) may be gone before we have read that:
        then its end is none of the run's. So an end that leaves processes behind waits until what
        was said has been read, and until the keeper has answered to it.
        """
        line = self._lines.get(fact.get("instance", ""))
        if line is None or line.run != fact.get("run"):
            return [fact]
        if fact["tell"] == "emptied" or (fact["tell"] == "exited" and fact["emptied"]):
            line.asked = 0  # nothing of an empty tree can become its main process any more
        match fact["tell"]:
            case "exited" if not fact["emptied"] and line.pid is not None:
                self._read(line, _ALL)
                line.kept_back.append(fact)
            case "main":
                line.asked = max(0, line.asked - 1)
                line.kept_back = [fact]
            case "refused_main":
                line.asked = max(0, line.asked - 1)
                self._say_refused(line, fact["pid"], fact.get("why", "the keeper refuses it"))
            case _:
                line.kept_back.append(fact)
        if line.asked > 0:
            return []
        passed, line.kept_back = line.kept_back, []
        return passed

    def settle(self) -> None:
        """All instances were followed: what was left of others is let go of."""
        for name, descriptor in self._left.items():
            left = socket.socket(fileno=descriptor)
            self._let_go(name, left, left.getsockname())
        for name, descriptor in self._kept.items():
            self._drop_status(name, descriptor)
        self._left.clear()
        self._kept.clear()

    def close(self) -> None:
        """The end: nothing is heard or missed any more. What still runs keeps its socket."""
        loop = asyncio.get_running_loop()
        for line in self._lines.values():
            loop.remove_reader(line.socket.fileno())
            if line.heartbeat is not None:
                line.heartbeat.stop()
        with suppress(OSError):  # there never was one, or it is not empty
            os.rmdir(self.directory)

    def status_of(self, name: str) -> str | None:
        """What the present run says of itself, as it said it: to be escaped where it is shown."""
        line = self._lines.get(name)
        return line.status if line else None

    # ---------------------------------------------------------------- sockets

    def _make(self, spec: InstanceSpec, run: int) -> _Line:
        path = self._path(spec, run)
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self.directory, 0o711)
            os.chmod(self.directory, 0o711)  # noqa: S103 - to pass through, whatever the umask
        _refuse_of_others(self.directory)
        made = self._bind(spec, path)
        self._hold(f"{HELD}{spec.name}", made.fileno())
        return _Line(Instance(spec), run, made, path, spec.watchdog)

    def _path(self, spec: InstanceSpec, run: int) -> str:
        return f"{self.directory}/{spec.name}.{run}"

    def _bind(self, spec: InstanceSpec, path: str) -> socket.socket:
        who = spec.program.identity
        uid, gid = (who.uid, who.gid) if who else (os.geteuid(), os.getegid())
        return notify_socket.make(path, 0o600, uid, gid)

    def _recover(self, instance: Instance, run: int) -> _Line | None:
        """The socket of a run that was spawned before this manager was there. Where nobody could
        keep it but its name is still there, it is made again: the run may have more to say.
        """
        spec, found = instance.spec, None
        path = self._path(spec, run)
        if (descriptor := self._left.pop(spec.name, None)) is not None:
            found = socket.socket(fileno=descriptor)
            kept_at = found.getsockname()
            if os.path.basename(kept_at) == os.path.basename(path):
                path = kept_at  # which may be where the directory was when the run began
            else:
                self._let_go(spec.name, found, kept_at)
                found = None
        if found is None:
            if not os.path.lexists(path):
                return None
            try:
                found = self._bind(spec, path)
            except OSError as error:
                self._say(f"cannot hear what {spec.name} says at {path}: {error.strerror}")
                return None
            self._link.order([{"do": "hold", "name": f"{HELD}{spec.name}"}], (found.fileno(),))
        line = _Line(instance, run, found, path, None)
        line.seconds = _given_period(line.pid) or spec.watchdog
        if (kept := self._kept.pop(f"{spec.name}.{run}", None)) is not None:
            line.kept = kept
            line.status = os.pread(kept, _PAGE, 0).rstrip(b"\0").decode(errors="replace") or None
        self._lines[spec.name] = line
        return line

    def _discard(self, name: str) -> None:
        line = self._lines.pop(name, None)
        if line is None:
            return
        if line.heartbeat is not None:
            line.heartbeat.stop()
        if line.listening:
            asyncio.get_running_loop().remove_reader(line.socket.fileno())
        self._let_go(name, line.socket, line.path)
        if line.kept is not None:
            self._drop_status(f"{name}.{line.run}", line.kept)

    def _let_go(self, name: str, of: socket.socket, path: str) -> None:
        of.close()
        with suppress(OSError):  # gone already, or the directory is no longer ours
            os.unlink(path)
        self._link.order([{"do": "drop", "names": [f"{HELD}{name}"]}])

    def _drop_status(self, run: str, kept: int) -> None:
        os.close(kept)
        self._link.order([{"do": "drop", "names": [f"{STATUS}{run}"]}])

    def _guard(self, line: _Line) -> None:
        """Look out for signs of life exactly while the run is RUNNING."""
        running = isinstance(line.instance.state, Running)
        if running and line.heartbeat is None and line.seconds is not None:
            missed = partial(self._missed, line, line.seconds)
            line.heartbeat = Heartbeat(line.seconds, lambda: line.pid or 0, missed)
        elif not running and line.heartbeat is not None:
            line.heartbeat.stop()
            line.heartbeat = None

    # ---------------------------------------------------------------- messages

    def _read(self, line: _Line, most: int = _AT_ONCE) -> None:
        """Deal with what waits, some of it. Each message is taken away only then: should we be
        killed in between, the next manager finds it.
        """
        for _ in range(most):
            message = notify_socket.peek(line.socket)
            if message is None:
                return
            try:
                if message.fields and self._is_trusted(line, message):
                    self._obey(line, message.fields)
            finally:
                if line.socket.fileno() >= 0:  # else what it said has ended the run
                    notify_socket.discard(line.socket)
            if line.socket.fileno() < 0:
                return

    def _is_trusted(self, line: _Line, message: Message) -> bool:
        spec = line.instance.spec
        mark = f"{self._mark}{spec.name}/{line.run}"
        ours = belongs(message.pid, line.pid or 0, mark)
        if ours is None:
            who = spec.program.identity
            ours = message.uid in {0, who.uid if who else os.geteuid()}
        if not ours and not line.refused:
            line.refused = True
            sender = f"process {message.pid} of user {message.uid}"
            self._say(f"{spec.name}: {sender} is not of its run: what it says is ignored")
        return ours

    def _obey(self, line: _Line, said: dict[str, str]) -> None:
        name, run = line.instance.spec.name, line.run
        pid = _number(said.get("MAINPID"))
        # One at a time: each costs the keeper a look at all processes.
        asks = pid is not None and 0 < pid <= _PID_MAX and not line.asked
        if asks and pid != line.pid:  # whether it is of the run, the keeper decides
            line.asked += 1
            self._link.order([{"do": "main", "instance": name, "run": run, "pid": pid}])
        if "STATUS" in said:
            line.status = said["STATUS"][:_STATUS] or None
            with suppress(OSError):  # no descriptor, no memory: then only we know it
                self._keep_status(line)
        if (more := _number(said.get("EXTEND_TIMEOUT_USEC"))) is not None:
            self._take(TimeExtended(name, run, time.monotonic() + more / 1e6))
        if said.get("READY") == "1" and line.makes_ready:
            self._take(BecameReady(name, run))
        if said.get("WATCHDOG") == "1" and line.heartbeat is not None:
            line.heartbeat.beat()
        elif said.get("WATCHDOG") == "trigger":
            why = "it asked for that by WATCHDOG=trigger"
            self._take(RunCondemned(name, run, why, failure=True))

    def _keep_status(self, line: _Line) -> None:
        """Have the next manager know it: by memory that the keeper holds, so that a worker may say
        something else every moment and nobody is sent a message.
        """
        if line.kept is None:
            line.kept = os.memfd_create("status", os.MFD_CLOEXEC)
            name = f"{STATUS}{line.instance.spec.name}.{line.run}"
            self._link.order([{"do": "hold", "name": name}], (line.kept,))
        text = (line.status or "").encode(errors="replace")
        os.pwrite(line.kept, text.ljust(_PAGE, b"\0"), 0)

    def _say_refused(self, line: _Line, pid: int, why: str) -> None:
        if not line.misnamed:  # a worker may say it again and again
            line.misnamed = True
            self._say(f"{line.instance.spec.name}: cannot take MAINPID={pid}: {why}")

    def _missed(self, line: _Line, seconds: float) -> None:
        why = f"no sign of life for {span(seconds)}"
        self._take(RunCondemned(line.instance.spec.name, line.run, why, failure=True))


def _taken(given: Inheritance, prefix: str) -> dict[str, int]:
    """The held descriptors with such names, ours from here on, by the rest of their names."""
    names = [name for name in given.held if name.startswith(prefix)]
    return {name.removeprefix(prefix): given.held.pop(name) for name in names}


def _refuse_of_others(directory: str) -> None:
    """What is made in there is given to a worker's user by its name: nobody else may have put
    something under that name. Raises PermissionError.
    """
    found = os.lstat(directory)
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or found.st_mode & 0o022:
        text = "it is a link, somebody else's, or open to others"
        raise PermissionError(errno.EPERM, text, directory)


def _speaks(spec: InstanceSpec) -> bool:
    return spec.watchdog is not None or (
        spec.ready is not None and isinstance(spec.ready.probe, NotifyProbe)
    )


def _given_period(pid: int | None) -> float | None:
    """The watchdog's period that a running process was told at its start: the configuration may
    have got another one since.
    """
    text = environment_value(pid, "WATCHDOG_USEC") if pid is not None else None
    microseconds = _number(text)
    return microseconds / 1e6 if microseconds else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None
