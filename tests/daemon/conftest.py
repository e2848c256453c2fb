"""A whole daemon with real workers, and the means to murder any part of it.

Killing a manager or a keeper starts another one, and killing both leaves the workers alive by
design, so no pid that a test knows is enough to clean up. Every daemon gets a token in its
environment that all its processes inherit; `Daemon.end` kills whoever carries it, or carries the
run mark of the daemon, or descends from one that does.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.client import Client, ClientError
from supervisord_lite.daemon import keeper_directory
from supervisord_lite.linux.process_table import ProcessTable, environment_value, read_entry
from tests.cli.conftest import DEADLINE, command, environment, until

TOKEN = "SL_TEST_TOKEN"
LINES = """
import os, sys, time
number, pause = 0, float(sys.argv[1])
while number < int(sys.argv[2]):
    os.write(1, b"%d\\n" % number)
    number += 1
    time.sleep(pause)
time.sleep(100000)
"""
# Ends when told to, and only then; a shell that runs `sleep` would leave it to be swept.
SLEEP = "sleep 100000"
DEAF = ["sh", "-c", "trap '' TERM; while :; do sleep 100000; done"]

Worker = Mapping[str, Any]


def alive(pid: int) -> bool:
    """Whether the process lives; the dead and unreaped do not."""
    entry = read_entry(pid)
    return entry is not None and entry.state not in "ZX"


def first_manager(keeper: int) -> int:
    """The pid of the manager of this keeper, as soon as there is one."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [pid for pid in ProcessTable().children(keeper) if _is_manager(pid)]
        return bool(found)

    until(there)
    return found[0]


def _is_manager(pid: int) -> bool:
    return arguments_of(pid)[-1:] == ["manager"]


def arguments_of(pid: int) -> list[str]:
    """The command line of a process, or nothing where there is none."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as stream:
            return stream.read().split("\0")[:-1]
    except OSError:
        return []


class Daemon:
    """One configuration file in a directory of its own, and the daemons that run it in turn."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / f"{directory.name}.yaml"
        self.socket = str(directory / "control.sock")
        self.client = Client(self.socket)
        self.token = secrets.token_hex(8)
        self.started: list[subprocess.Popen[bytes]] = []
        self._marks: set[str] = set()

    # ---------------------------------------------------------------- making and starting

    def configure(self, workers: Mapping[str, Worker], **sections: Any) -> None:
        """Write the file. JSON is YAML."""
        supervisor = {
            "runtime_dir": str(self.directory / "run"),
            "control": {"socket": self.socket},
            **sections.pop("supervisor", {}),
        }
        document = {"supervisor": supervisor, **sections, "workers": workers}
        self.file.write_text(json.dumps(document))

    def run(
        self,
        workers: Mapping[str, Worker] | None = None,
        *,
        prefix: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        **sections: Any,
    ) -> None:
        """Start a daemon and return when it answers."""
        if workers is not None:
            self.configure(workers, **sections)
        self.launch(prefix=prefix, variables=variables, arguments=arguments)
        until(self.answers)
        self.note_mark()

    def launch(
        self,
        *,
        prefix: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a daemon and wait for nothing."""
        with (self.directory / "daemon.txt").open("ab") as output:
            return self.launch_into(output.fileno(), prefix, variables, arguments)

    def launch_into(
        self,
        output: int,
        prefix: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a daemon whose words go to this descriptor."""
        process = subprocess.Popen(
            [*prefix, *command("daemon", "run", "-c", str(self.file), *arguments)],
            cwd=self.directory,
            env=environment(**{TOKEN: self.token, **(variables or {})}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        self.started.append(process)
        return process

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.started[-1]

    def answers(self) -> bool:
        try:
            return bool(self.client.version())
        except ClientError:
            assert self.process.poll() is None or len(self.started) > 1, self.output()
            return False

    # ---------------------------------------------------------------- looking

    def about(self, key: str) -> Any:
        return self.client.version()[key]

    @property
    def keeper(self) -> int:
        return int(self.about("keeper"))

    @property
    def manager(self) -> int:
        return int(self.about("manager"))

    def row(self, name: str) -> dict[str, Any]:
        return self.client.workers(name)[0]

    def state(self, name: str) -> str:
        return str(self.row(name)["state"])

    def pid(self, name: str) -> int:
        """The pid of an instance, as soon as it is RUNNING."""
        pids: list[int] = []

        def runs() -> bool:
            row = self.row(name)  # one look: it may be gone at the next
            pids[:] = [row["pid"]] if row["state"] == "RUNNING" else []
            return bool(pids)

        self.until(runs)
        return pids[0]

    def await_state(self, name: str, state: str) -> None:
        self.until(lambda: self.state(name) == state)

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for a condition; while nobody answers it does not hold."""

        def holds_now() -> object:
            try:
                return holds()
            except ClientError:
                return False

        until(holds_now)

    def log(self, name: str) -> str:
        """What the log of an instance says, by the default place of logs."""
        path = self.directory / "logs" / f"{name.replace(':', '.')}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def output(self) -> str:
        """What the daemon itself said."""
        return (self.directory / "daemon.txt").read_text(errors="replace")

    # ---------------------------------------------------------------- killing

    def kill_manager(self) -> int:
        """SIGKILL the manager; the pid of the next one, as soon as that answers."""
        before = self.manager
        os.kill(before, signal.SIGKILL)
        self.until(lambda: self.manager != before)
        return self.manager

    def kill_keeper(self) -> None:
        """SIGKILL the keeper and wait until the manager has taken its place, with a new manager."""
        keeper, manager = self.keeper, self.manager
        os.kill(keeper, signal.SIGKILL)
        self.until(lambda: self.keeper == manager and self.manager != manager)
        self.reap()

    def kill_both(self) -> bytes:
        """SIGKILL the daemon as a whole: neither part may have the time to replace the other.
        Answers what was on its way into a log, in pipes that nobody else had: the hops.
        """
        keeper, manager = self.keeper, self.manager
        os.kill(keeper, signal.SIGSTOP)
        os.kill(manager, signal.SIGKILL)
        until(lambda: not alive(manager))
        others = self.ours() - {keeper, manager}
        hops = _pipes(keeper).keys() - {name for pid in others for name in _pipes(pid)}
        lost = b"".join(_content(_pipes(keeper)[name]) for name in hops)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not alive(keeper))
        self.reap()
        return lost

    def reap(self) -> None:
        for process in self.started:
            process.poll()

    def signal(self, number: int) -> None:
        os.kill(self.keeper, number)

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE)

    # ---------------------------------------------------------------- the end

    @property
    def place(self) -> Path:
        """The keeper's own directory."""
        return Path(keeper_directory([str(self.file)]))

    def note_mark(self) -> None:
        """Learn the identity that the workers of this daemon carry."""
        first = (self.place / "journal").read_bytes().partition(b"\n")[0]
        self._marks.add(json.loads(first)["daemon"])

    def ours(self) -> set[int]:
        """All living processes that came from here."""
        table = ProcessTable()
        roots = {pid for pid in table.entries if self._is_marked(pid)}
        return {entry.pid for entry in table.with_descendants(roots)} - {os.getpid()}

    def _is_marked(self, pid: int) -> bool:
        if environment_value(pid, TOKEN) == self.token:
            return True
        mark = environment_value(pid, "SUPERVISORD_LITE_RUN")
        return mark is not None and mark.partition("/")[0] in self._marks

    def end(self) -> None:
        """Leave nothing behind, whatever became of the daemon."""

        def nobody_is_left() -> bool:
            found = self.ours()
            for pid in found:
                _kill(pid)
            self.reap()  # who has died but is no zombie yet has no environment to be found by
            return not found and all(one.returncode is not None for one in self.started)

        until(nobody_is_left)
        shutil.rmtree(self.place, ignore_errors=True)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _pipes(pid: int) -> dict[str, str]:
    """The pipes that a process has open, by what tells one from another; each with a way to it.
    None where there is no process any more.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found[os.readlink(path)] = path
    return {name: path for name, path in found.items() if name.startswith("pipe:")}


def _content(pipe: str) -> bytes:
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 1024 * 1024)
    except BlockingIOError:
        return b""
    finally:
        os.close(descriptor)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    place = Daemon(tmp_path)
    yield place
    place.end()
