"""What a newcomer does first: the README's two commands, in a fresh copy, word for word."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(r"```sh\n(python3 -m venv .*?)\n```", (ROOT / "README.md").read_text())
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "supervisord_lite", "configs", "tests")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as it would be cloned, without what lies around in this one."""
    place = tmp_path / "clone"
    place.mkdir()
    debris = shutil.ignore_patterns("__pycache__", "logs", "run")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir() and name == "configs":
            shutil.copytree(source, place / name, ignore=debris)
        elif source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {"PORT": "0", "XDG_RUNTIME_DIR": str(tmp_path)}


def until(condition: Callable[[], bool], deadline: float) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.1)


def test_there_are_two_commands() -> None:
    """The README promises one line to run and one to test."""
    assert len(COMMANDS) == 2


def test_the_first_command_runs_the_demo(copy: Path, environment: dict[str, str]) -> None:
    """One line installs and runs the demo; Ctrl-C, which is SIGINT, stops all of it."""
    output = copy / "output.txt"
    with output.open("wb") as stream:
        daemon = subprocess.Popen(
            ["bash", "-c", " && exec ".join(COMMANDS[0].rsplit(" && ", 1))],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        slctl = [".venv/bin/slctl", "-s", "configs/run/control.sock", "status"]

        def all_run() -> bool:
            assert daemon.poll() is None, output.read_text()
            if not (copy / "configs/run/control.sock").exists():
                return False
            done = subprocess.run(slctl, cwd=copy, capture_output=True, text=True, check=False)
            rows = [line.split()[:2] for line in done.stdout.splitlines()]
            workers = ("web:0", "visitor:0", "tally:0")
            return all([name, "RUNNING"] in rows for name in workers)

        until(all_run, 300)
    finally:
        daemon.send_signal(signal.SIGINT)
        code = daemon.wait(60)
    assert code == 0, output.read_text()


def test_the_second_command_runs_the_tests(copy: Path, environment: dict[str, str]) -> None:
    """One line installs and runs the tests; here it is asked for a few of them."""
    line = f"{COMMANDS[1]} -q tests/core/test_restart.py"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
