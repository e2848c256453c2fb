"""`supervisord-lite` as a process: what `check` says, and what `run` refuses."""

import os
import subprocess
import sys

import pytest

import supervisord_lite
from tests.cli.conftest import DEADLINE, SLEEP, Shop, command, environment


def daemon(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("daemon", *arguments),
        cwd=shop.directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_check_counts_what_is_good(shop: Shop) -> None:
    """A good file is summed up, and nothing is started."""
    shop.configure(f"web: {{command: {SLEEP}, instances: 3}}\ndb: {{command: {SLEEP}}}")
    done = daemon(shop, "check", "-c", "shop.yaml")
    assert (done.returncode, done.stdout) == (0, "ok: 2 workers, 4 instances\n")
    assert os.listdir(shop.directory) == ["shop.yaml"]


def test_check_says_all_that_is_wrong(shop: Shop) -> None:
    """Every problem with file, line and column, and exit code 2."""
    shop.configure("web: {comand: x}\ndb: {command: x, instances: many}")
    done = daemon(shop, "check", "-c", "shop.yaml")
    assert done.returncode == 2
    assert "shop.yaml:6:" in done.stderr
    assert "shop.yaml:7:" in done.stderr


@pytest.mark.parametrize("verb", ["check", "run"])
def test_missing_file_is_2(shop: Shop, verb: str) -> None:
    """A file that is not there is a bad configuration."""
    done = daemon(shop, verb, "-c", "none.yaml")
    assert done.returncode == 2
    assert "none.yaml" in done.stdout + done.stderr


def test_run_refuses_a_bad_configuration(shop: Shop) -> None:
    """The daemon does not start with a broken file, and says why."""
    shop.configure("web: {comand: x}")
    done = daemon(shop, "run", "-c", "shop.yaml")
    assert done.returncode == 2
    assert "comand" in done.stdout + done.stderr


def test_second_daemon_is_refused(shop: Shop) -> None:
    """Where one daemon runs another does not start, and the first does not notice."""
    shop.run(f"web: {{command: {SLEEP}}}")
    before = shop.pids("web")
    done = daemon(shop, "run", "-c", str(shop.file))
    assert done.returncode == 1
    assert "another supervisord-lite" in done.stderr
    assert shop.pids("web") == before


def test_run_imports_no_yaml() -> None:
    """What boots the daemon carries neither the YAML nor the validation library."""
    code = (
        "import sys; from supervisord_lite.cli import daemon; import supervisord_lite.daemon;"
        "print(*sorted({'yaml', 'pydantic', 'starlette', 'h11', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("part", "name"), [("daemon", "supervisord-lite"), ("slctl", "slctl")])
def test_both_commands_tell_their_version(part: str, name: str) -> None:
    """Without a daemon, as every command does."""
    told = subprocess.check_output(command(part, "--version"), env=environment(), text=True)
    assert told == f"{name} {supervisord_lite.__version__}\n"
