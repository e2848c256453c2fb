"""Python functions as workers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FUNCTIONS = """
import asyncio, os, sys, time

def echo(*args, **kwargs):
    print(args, kwargs, sys.argv, "SUPERVISORD_LITE_CALL" in os.environ)

def give(value=None):
    return value

def words():
    return "a result"

async def later(code):
    await asyncio.sleep(0)
    return code

def fail():
    raise LookupError("no such thing")

def leave(code):
    raise SystemExit(code)

def speak():
    print("first")
    time.sleep(100000)

async def later_fail():
    fail()

def one_by_one():
    yield 1

async def one_by_one_later():
    yield 1

ABSENT = None

class Shop:
    @staticmethod
    def open():
        return 4
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "work.py").write_text(FUNCTIONS)
    return tmp_path


def command(function: str) -> list[str]:
    return [sys.executable, "-m", "supervisord_lite.worker.run", function]


def run(
    place: Path, function: str, *args: Any, **kwargs: Any
) -> "subprocess.CompletedProcess[str]":
    call = json.dumps({"args": args, "kwargs": kwargs})
    environment = os.environ | {"SUPERVISORD_LITE_CALL": call}
    return subprocess.run(
        command(f"shop.work:{function}"),
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_arguments(place: Path) -> None:
    """Come as JSON, and nothing of that is left for others."""
    ran = run(place, "echo", 1, "two", three=[3])
    assert ran.stdout == "(1, 'two') {'three': [3]} ['shop.work:echo'] False\n"
    assert ran.returncode == 0


def test_without_arguments(place: Path) -> None:
    """Nothing needs to be said of them."""
    environment = {k: v for k, v in os.environ.items() if k != "SUPERVISORD_LITE_CALL"}
    said = subprocess.check_output(command("shop.work:echo"), cwd=place, env=environment, text=True)
    assert said.startswith("() {}")


@pytest.mark.parametrize(
    ("value", "code"), [(None, 0), (True, 0), (False, 1), (0, 0), (7, 7), (255, 255), ("text", 0)]
)
def test_what_it_returns_is_the_exit_code(place: Path, value: Any, code: int) -> None:
    """None and True: 0; False: 1; a number: itself; anything else: 0."""
    ran = run(place, "give", value)
    assert (ran.returncode, ran.stderr) == (code, "")


@pytest.mark.parametrize("value", [-1, 256])
def test_a_number_that_is_no_exit_code(place: Path, value: int) -> None:
    """Is a failure, and said."""
    ran = run(place, "give", value)
    assert (ran.returncode, ran.stderr) == (1, f"cannot exit with {value}: codes are 0 to 255\n")


def test_a_coroutine_function(place: Path) -> None:
    """Is run to its end."""
    assert run(place, "later", 5).returncode == 5


@pytest.mark.parametrize("function", ["fail", "later_fail"])
def test_an_exception(place: Path, function: str) -> None:
    """Is a traceback, of the function and not of what called it, and code 1."""
    ran = run(place, function)
    assert ran.returncode == 1
    lines = ran.stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[1].endswith(f"in {function}")
    assert lines[-1] == "LookupError: no such thing"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("ABSENT", "cannot call 'shop.work:ABSENT': it is of type NoneType\n"),
        ("one_by_one", "cannot run 'shop.work:one_by_one': it is a generator"),
        ("one_by_one_later", "cannot run 'shop.work:one_by_one_later': it is a generator"),
    ],
)
def test_what_is_no_function(place: Path, function: str, said: str) -> None:
    """Does not pass for one that has done its work."""
    ran = run(place, function)
    assert ran.returncode == 1
    assert ran.stderr.startswith(said)


@pytest.mark.parametrize(("code", "exit_code"), [(3, 3), (None, 0)])
def test_system_exit(place: Path, code: int | None, exit_code: int) -> None:
    """Is respected."""
    assert run(place, "leave", code).returncode == exit_code


def test_a_method(place: Path) -> None:
    """Is found through its class."""
    assert run(place, "Shop.open").returncode == 4


@pytest.mark.parametrize("function", ["nothing", "Shop.closed"])
def test_a_function_that_is_not_there(place: Path, function: str) -> None:
    """Is a failure that names it."""
    ran = run(place, function)
    assert ran.returncode == 1
    assert function.rpartition(".")[2] in ran.stderr.splitlines()[-1]


def test_a_name_that_is_none(place: Path) -> None:
    """Is refused in words."""
    ran = subprocess.run(command("shop"), cwd=place, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "cannot find the function 'shop' (try package.module:function)\n"


def test_what_it_prints_is_not_held_back(place: Path) -> None:
    """A line is in the log when it was printed, though that is no terminal."""
    with subprocess.Popen(
        command("shop.work:speak"), cwd=place, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "first\n"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
