"""A machine that is booted with systemd as PID 1, in namespaces, with our unit installed in it.

Its units are ours alone, so it boots in a fraction of a second; killing the process that holds
its namespaces kills all that ever ran in it.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import supervisord_lite
from tests.cli.conftest import DEADLINE, until

UNIT = "supervisord-lite.service"
FILES = Path(__file__).parents[2] / "systemd"
_PACKAGE = Path(supervisord_lite.__file__).parents[1]
_SYSTEMD = "/lib/systemd/systemd"
_NEEDED_UNITS = ("sysinit", "basic", "shutdown", "network", "nss-user-lookup", "multi-user")
_COVERED = ("/tmp/", "/run/", "/media/")
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")

# Numbered lines without an end, fast enough to fill a pipe while nobody reads it.
COUNT = """
import sys, time
number = 0
while True:
    sys.stdout.write("".join(f"{line}\\n" for line in range(number, number + 100)))
    sys.stdout.flush()
    number += 100
    time.sleep(0.001)
"""
COUNTER = {"command": [sys.executable, "-S", "-c", COUNT]}
SLEEPER = {"command": "sleep 100000"}


@functools.cache
def obstacle() -> str | None:
    """Why no machine can be booted here, if so."""
    if os.geteuid() != 0:
        return "only root can boot a machine"
    tools = (_SYSTEMD, "systemctl", "unshare", "nsenter")
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "mount", "-t", "cgroup2", "cgroup2", "/media"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return f"cannot make namespaces: {tried.stderr}" if tried.returncode else None


class Machine:
    """One booted system. Paths below its directory are the same inside and outside."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stage = directory / "machine"
        self.configuration = self.stage / "etc" / "supervisord-lite.yaml"
        self._cgroup = f"supervisord-lite-test-{os.getpid()}-{directory.name}"
        self._init = 0

    # ---------------------------------------------------------------- making and booting

    def boot(self) -> None:
        """Return when the system is up."""
        self._furnish()
        places = {str(self.directory), sys.prefix, sys.base_prefix, str(_PACKAGE)}
        kept = sorted(path for path in places if path.startswith(_COVERED))
        launch = str(Path(__file__).with_name("launch.sh"))
        with (self.stage / "console").open("ab") as console:
            self._process = subprocess.Popen(
                ["sh", launch, self._cgroup, str(self.stage), *kept],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        until(self._is_up)

    def _furnish(self) -> None:
        for place in ("bin", "etc", "units"):
            (self.stage / place).mkdir(parents=True)
        for name in _NEEDED_UNITS:
            (self.stage / "units" / f"{name}.target").write_text("[Unit]\n")
        shutil.copy(FILES / UNIT, self.stage / "units")
        said = f"append:{self.directory}/daemon.txt"
        drop_in = self.stage / "units" / f"{UNIT}.d" / "output.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(f"[Service]\nStandardOutput={said}\nStandardError={said}\n")
        self._install("supervisord-lite", "daemon")
        self._install("slctl", "slctl")

    def _install(self, name: str, module: str) -> None:
        code = f"from supervisord_lite.cli.{module} import main; main()"
        path = self.stage / "bin" / name
        path.write_text(
            f'#!/bin/sh\nPYTHONPATH={_PACKAGE} exec {sys.executable} -c "{code}" "$@"\n'
        )
        path.chmod(0o755)

    def _is_up(self) -> bool:
        """Whether its own systemd says so: before that runs, systemctl would find another one."""
        assert self._process.poll() is None, self._console()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        pids = children.read_text().split()
        try:
            if not pids or Path(f"/proc/{pids[0]}/comm").read_text() != "systemd\n":
                return False
        except (FileNotFoundError, ProcessLookupError):  # what came before it has just ended
            return False
        self._init = int(pids[0])
        return self.run("systemctl", "is-system-running").stdout == "running\n"

    def _console(self) -> str:
        return (self.stage / "console").read_text(errors="replace")

    def end(self) -> None:
        """Kill everything in it, and remove its cgroups."""
        self._process.kill()
        self._process.wait(DEADLINE)
        until(self._cgroups_are_gone)

    def _cgroups_are_gone(self) -> bool:
        remove = (
            'mount -t cgroup2 cgroup2 /media; [ ! -d "/media/$1" ] ||'
            ' find "/media/$1" -depth -type d -exec rmdir {} +'
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-euc", remove, "sh", self._cgroup],
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        return done.returncode == 0

    # ---------------------------------------------------------------- using it

    def configure(self, workers: Mapping[str, Any], **sections: Any) -> None:
        """Write the daemon's file. JSON is YAML."""
        log = {"log": f"{self.directory}/logs/{{name}}.{{instance}}.log"}
        defaults = {"stdout": {**log, "rotate": {"size": "1GiB"}}}
        self.configuration.write_text(
            json.dumps({"defaults": defaults, "workers": workers, **sections})
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            ["nsenter", f"--target={self._init}", *_NAMESPACES, "--wd=/", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def systemctl(self, *arguments: str) -> None:
        """Run systemctl, which must succeed."""
        done = self.run("systemctl", *arguments)
        assert done.returncode == 0, f"{done.stderr}\n{self.output()}\n{self._console()}"

    def start(self, workers: Mapping[str, Any], **sections: Any) -> None:
        """Write the file and start the service."""
        self.configure(workers, **sections)
        self.systemctl("start", UNIT)

    def kill_keeper(self) -> None:
        """SIGKILL the main process, and return when another one is ready."""
        self._kill("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT)

    def kill_both(self) -> None:
        """SIGKILL keeper and manager at once, and return when others are ready."""
        about = json.loads(self.run("slctl", "version", "--json").stdout)
        self._kill("kill", "-KILL", str(about["manager"]), str(about["keeper"]))

    def _kill(self, *command: str) -> None:
        before = self.show("MainPID")
        assert self.run(*command).returncode == 0
        until(lambda: self.show("MainPID") not in (before, "0"))
        until(lambda: self.show("ActiveState") == "active")

    # ---------------------------------------------------------------- looking

    def show(self, key: str) -> str:
        """A property of the service, as systemd sees it."""
        return self.run("systemctl", "show", "--value", f"--property={key}", UNIT).stdout.strip()

    def pids(self, *names: str) -> dict[str, int]:
        """The pid of each instance, as seen inside."""
        done = self.run("slctl", "status", "--json", *names)
        assert done.returncode == 0, done.stderr
        return {row["name"]: row["pid"] for row in json.loads(done.stdout)["workers"]}

    def proc(self, pid: int | str, file: str) -> str:
        """A file of a process below /proc."""
        return self.run("cat", f"/proc/{pid}/{file}").stdout

    def log(self, instance: str) -> str:
        path = self.directory / "logs" / f"{instance.replace(':', '.')}.log"
        return path.read_text() if path.exists() else ""

    def output(self) -> str:
        """What the daemon, and those who reload it, said."""
        path = self.directory / "daemon.txt"
        return path.read_text(errors="replace") if path.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if reason := obstacle():
        pytest.skip(reason)
    booted = Machine(tmp_path)
    try:
        booted.boot()
        yield booted
    finally:
        booted.end()
