"""The real daemon, started as a process by its command line, and `slctl` as a process beside it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import supervisord_lite
from supervisord_lite.client import Client, ClientError

DEADLINE = 60.0
SLEEP = "sleep 100000"


def until(holds: Callable[[], object]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def environment(**more: str) -> dict[str, str]:
    package = str(Path(supervisord_lite.__file__).parent.parent)
    kept = {key: value for key, value in os.environ.items() if key != "SUPERVISORD_LITE_SOCKET"}
    return {**kept, "PYTHONPATH": package, **more}


def command(module: str, *arguments: str) -> list[str]:
    code = f"from supervisord_lite.cli.{module} import main; main()"
    return [sys.executable, "-c", code, *arguments]


class Shop:
    """A directory with a configuration, and the daemon that runs it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "shop.yaml"
        self.socket = str(directory / "control.sock")
        self.process: subprocess.Popen[bytes] | None = None
        self.keeper_directory: str | None = None

    def configure(self, workers: str) -> None:
        """Write the file: `workers` is what stands below `workers:`, not indented."""
        indented = "".join(f"  {line}\n" for line in workers.splitlines())
        self.file.write_text(
            f"supervisor:\n  name: shop-{os.getpid()}\n"
            f"  runtime_dir: {self.directory}/run\n"
            f"  control: {{socket: {self.socket}}}\nworkers:\n{indented}"
        )

    def run(self, workers: str) -> None:
        """Start the daemon and return when it answers."""
        self.configure(workers)
        with (self.directory / "daemon.txt").open("ab") as output:
            self.process = subprocess.Popen(
                command("daemon", "run", "-c", str(self.file)),
                cwd=self.directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            until(self.answers)
        except AssertionError:
            raise AssertionError(f"the daemon does not answer: {self.output()}") from None

    def answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.output()
        try:
            self.keeper_directory = self.client().version()["directory"]
        except ClientError:
            return False
        return True

    def output(self) -> str:
        return (self.directory / "daemon.txt").read_text(errors="replace")

    def client(self) -> Client:
        return Client(self.socket)

    def slctl(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command("slctl", "-s", self.socket, *arguments),
            env=environment(**more),
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            check=False,
        )

    def state(self, name: str) -> str:
        return str(self.client().workers(name)[0]["state"])

    def pids(self, *names: str) -> Sequence[int]:
        return [row["pid"] for row in self.client().workers(*names)]

    def end(self) -> None:
        """Stop everything that is left, whatever became of the daemon."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        if self.keeper_directory is not None:
            shutil.rmtree(self.keeper_directory, ignore_errors=True)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    place = Shop(tmp_path)
    yield place
    place.end()
