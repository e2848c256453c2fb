"""The short-lived process: one JSON answer, an exit code, and bounds of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisord_lite.config.compiler import Compiled, compile_files
from supervisord_lite.config.listing import BUILT_IN
from supervisord_lite.core.plain import from_plain
from supervisord_lite.core.spec import Configuration, Scale


def run(*arguments: Path | str) -> tuple[int, Any]:
    """The exit code and the answer of the compiler's process."""
    command = [sys.executable, "-m", "supervisord_lite.config.compiler", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


def test_the_process_answers_with_the_configuration(tmp_path: Path) -> None:
    """What it prints is read back as the very value that compiling here gives."""
    path = tmp_path / "shop.yaml"
    path.write_text("workers: {web: {command: 'sleep {instance}', instances: 3, stop: 20s}}")
    code, answer = run(path)
    here = compile_files([str(path)])
    assert code == 0
    assert from_plain(Configuration, answer["configuration"]) == here.configuration
    assert answer["listing"] == [row._asdict() for row in here.listing]


def test_the_process_answers_with_the_problems(tmp_path: Path) -> None:
    """A file with mistakes is exit code 2 and its lines, and the files that were looked at."""
    path = tmp_path / "shop.yaml"
    path.write_text("workers: {web: {comand: x}}")
    code, answer = run(path)
    assert code == 2
    assert answer["files"] == [str(path)]
    misspelt = 'cannot find a key named "comand" (did you mean "command"?)'
    assert answer["problems"] == [
        f"{path}:1:11: workers.web: cannot be without a command",
        f"{path}:1:17: workers.web.comand: {misspelt}",
    ]


def test_the_process_scales(tmp_path: Path) -> None:
    """Numbers of instances that were asked for are options after the files."""
    path = tmp_path / "shop.yaml"
    path.write_text("workers: {web: {command: w}, db: {command: d}}")
    code, answer = run(path, "--keep", "web=1:3", "--keep", "db=7:2", "--scale", "db=2")
    configuration = from_plain(Configuration, answer["configuration"])
    assert code == 0
    assert len(configuration.instances) == 5
    assert configuration.scales == (Scale("web", 1, 3), Scale("db", 1, 2))


def test_a_file_that_wants_too_much_memory_is_a_problem(tmp_path: Path) -> None:
    """The process has a limit of its own: an answer comes, and the daemon feels nothing."""
    path = tmp_path / "shop.yaml"
    path.write_text(
        f'workers: {{web: {{command: "{"x" * 200_000}{{instance}}", instances: 20000}}}}'
    )
    code, answer = run(path)
    assert code == 2
    assert answer["problems"] == [f"{path}:1:1: cannot compile this within 1024 MiB of memory"]


def test_a_file_that_nobody_writes_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO without a writer holds up the process for its time, and not for ever."""
    path = tmp_path / "shop.yaml"
    os.mkfifo(path)
    code = "import sys; from supervisord_lite.config import compiler as c; c.TIME_LIMIT = 1"
    command = [sys.executable, "-c", f"{code}; c.main(sys.argv[1:])", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


def test_the_listing_says_where_each_value_stands(compiled: Callable[..., Compiled]) -> None:
    """A value is listed with the line that gave it, also where it came by way of the defaults."""
    text = "defaults:\n  nice: 3\nworkers:\n  a:\n    command: [x, y]\n    restart: never\n"
    rows = {row.path: (row.value, row.origin) for row in compiled(text).listing}
    assert rows["workers.a.nice"] == ("3", "t.yaml:2")
    assert rows["workers.a.command"] == (["x", "y"], "t.yaml:5")
    assert rows["workers.a.restart.when"] == ("never", "t.yaml:6")
    assert rows["defaults.restart.delay"] == ("100ms", "default")
    assert rows["supervisor.control.mode"] == ("0600", "default")


def test_a_given_value_is_not_listed_as_a_default(compiled: Callable[..., Compiled]) -> None:
    """What the file gives has one row, and no default beside it."""
    text = "defaults: {stdout: discard, stop: 3s, restart: {delay: 1s}}\nworkers: {}\n"
    rows = [row.path for row in compiled(text).listing if row.origin == "default"]
    assert [path for path in rows if path.startswith(("defaults.stdout", "defaults.stop"))] == []
    assert "defaults.restart.delay" not in rows
    assert "defaults.restart.factor" in rows


def test_the_listed_defaults_are_the_real_ones(compiled: Callable[..., Compiled]) -> None:
    """A file that spells every listed default out means the same as one that gives none."""
    defaults: dict[str, Any] = {}
    for path, value in BUILT_IN.items():
        section = defaults
        for part in path[:-1]:
            section = section.setdefault(str(part), {})
        section[str(path[-1])] = value
    rules = "max_memory: 1GiB, max_cpu: 1, max_age: 1d, watch: x"
    workers = (
        f"workers: {{a: {{command: a}}, b: {{command: b, healthcheck: {{file: x}}, {rules}}},"
        " c: {command: c, ready: {fd: 3}}, d: {command: d, type: job, schedule: '* * * * *'}}"
    )
    spelt = compiled(f"{json.dumps({'defaults': defaults})[:-1]},\n{workers}}}").configuration
    assert spelt == compiled(workers).configuration
