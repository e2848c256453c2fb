"""The supervisors that are compared: how each is configured, started, asked and killed.

Both run in the foreground with the output of every worker captured to a file of its own, standard
error joined, and with what they say themselves written to a file. What is equal stands in `Peer`.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.processes import MARK, Crew, end_all, marked
from supervisord_lite.daemon import keeper_directory

_BIN = Path(sys.executable).parent
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Declared:
    """A worker as every supervisor can have it. `{instance}` in the command becomes the number of
    the instance; `rotate` is a size in MiB, 0: never.
    """

    name: str
    command: str
    instances: int = 1
    rotate: int = 10


class Peer(ABC):
    """One supervisor in a directory of its own. Use as a context: it leaves no process behind."""

    name: str
    daemon: str
    control: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "control.sock"
        self.logs = directory / "logs"
        self.logs.mkdir(parents=True)
        self.mark = f"{os.getpid()}-{directory.name}"
        # `sleep` with this argument is a worker of ours; nobody else sleeps exactly so long.
        self.crew = Crew(str(10**8 + os.getpid()))
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Why this supervisor cannot be measured here, if so."""
        absent = [name for name in (cls.daemon, cls.control) if not (_BIN / name).exists()]
        return (
            f"{cls.name}: there is no {', '.join(absent)} beside {sys.executable}"
            if absent
            else None
        )

    @property
    def sleep(self) -> str:
        """The command of a worker that does nothing."""
        return f"sleep {self.crew.number}"

    @abstractmethod
    def configure(self, workers: Sequence[Declared]) -> None:
        """Write the configuration."""

    @abstractmethod
    def status_request(self) -> bytes:
        """An HTTP request for the state of all workers."""

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Those of the daemon."""

    @abstractmethod
    def control_command(self, *words: str) -> list[str]:
        """The command line of the control program."""

    def ask(self) -> None:
        """Send the request for all states and read the answer to its end."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.socket))
            connection.sendall(self.status_request())
            answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]

    def start(self) -> None:
        """Execute the daemon, and do not wait for anything."""
        with (self.directory / "daemon.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [str(_BIN / self.daemon), *self._arguments()],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def _environment(self) -> dict[str, str]:
        """As users have it: with compiled modules, which development may have switched off."""
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return kept | {MARK: self.mark}

    def supervisors(self) -> list[int]:
        """The processes of the supervisor itself."""
        workers = self.crew.pids()
        return [pid for pid in marked(self.mark) if pid not in workers]

    def log_size(self, worker: str) -> int:
        """Bytes in the logs of a worker's first instance, the rotated ones included."""
        sizes: dict[int, int] = {}
        for path in self.logs.glob(f"{worker}.0.log*"):
            with contextlib.suppress(FileNotFoundError):  # renamed just now
                found = path.stat()
                sizes[found.st_ino] = found.st_size  # by inode: a rename must not count twice
        return sum(sizes.values())

    def log_text(self, worker: str) -> bytes:
        """What a worker's first instance has written; for logs that were not rotated."""
        return (self.logs / f"{worker}.0.log").read_bytes()

    def control_run(self, *words: str) -> None:
        """Run the control program to its end; what it says goes to a file."""
        with (self.directory / "control.txt").open("ab") as output:
            subprocess.run(
                self.control_command(*words),
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=120,
                check=False,
            )

    def terminate(self) -> None:
        """Ask the daemon to stop everything, and wait until it has ended."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end_all(self.mark)
        if self.process is not None:
            self.process.wait(120)


class SupervisordLite(Peer):
    """The daemon of this repository."""

    name = "supervisord-lite"
    daemon = "supervisord-lite"
    control = "slctl"

    def configure(self, workers: Sequence[Declared]) -> None:
        text = (
            "supervisor:\n"
            "  name: benchmark\n"
            "  runtime_dir: run\n"
            f"  control: {{socket: {self.socket}}}\n"
            "workers:\n"
        )
        for worker in workers:
            rotation = f"{{size: {worker.rotate}MiB, keep: 50}}" if worker.rotate else "none"
            text += (
                f"  {worker.name}:\n"
                f"    command: {worker.command}\n"
                f"    instances: {worker.instances}\n"
                f"    stdout: {{rotate: {rotation}}}\n"
            )
        self._file.write_text(text)

    @property
    def _file(self) -> Path:
        return self.directory / "benchmark.yaml"

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        # A daemon that was killed leaves its journal to the next one, which will not come.
        shutil.rmtree(keeper_directory([str(self._file)]), ignore_errors=True)

    def _arguments(self) -> list[str]:
        return ["run", "-c", "benchmark.yaml"]

    def status_request(self) -> bytes:
        return b"GET /v1/workers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    def control_command(self, *words: str) -> list[str]:
        return [str(_BIN / self.control), "-s", str(self.socket), *words]


class Supervisord(Peer):
    """supervisord 4.3, with as many descriptors as it needs and no more: every spawn of it closes
    all numbers up to `minfds`.
    """

    name = "supervisord"
    daemon = "supervisord"
    control = "supervisorctl"

    def configure(self, workers: Sequence[Declared]) -> None:
        descriptors = 256 + 3 * sum(worker.instances for worker in workers)
        text = (
            f"[unix_http_server]\nfile={self.socket}\nchmod=0700\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.socket}\n"
            f"[supervisord]\nnodaemon=true\nlogfile={self.directory}/supervisord.log\n"
            f"pidfile={self.directory}/supervisord.pid\nminfds={max(1024, descriptors)}\n"
        )
        for worker in workers:
            command = worker.command.replace("{instance}", "%(process_num)d")
            text += (
                f"[program:{worker.name}]\ncommand={command}\n"
                f"numprocs={worker.instances}\nprocess_name=%(process_num)d\n"
                "autorestart=true\n"
                "redirect_stderr=true\nstdout_logfile_backups=50\n"
                f"stdout_logfile={self.logs}/{worker.name}.%(process_num)d.log\n"
                f"stdout_logfile_maxbytes={worker.rotate * MIB}\n"
            )
        (self.directory / "benchmark.conf").write_text(text)

    def _arguments(self) -> list[str]:
        return ["-c", "benchmark.conf"]

    def status_request(self) -> bytes:
        body = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo").encode()
        head = (
            "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def control_command(self, *words: str) -> list[str]:
        return [str(_BIN / self.control), "-c", str(self.directory / "benchmark.conf"), *words]


PEERS: tuple[type[Peer], ...] = (SupervisordLite, Supervisord)
