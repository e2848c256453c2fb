"""Making children: exact about what failed, and no spawn waits for another that hangs."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.linux.process_table import ProcessTable
from tests.cli.conftest import until
from tests.conftest import Leased
from tests.keeper.conftest import Stage, spawn

NAME = "web:0"
NOBODY = {"uid": 65534, "gid": 65534, "groups": [65534], "name": "nobody", "home": "/nowhere"}
NOBODY["shell"] = "/bin/sh"
# Takes the longer way, through `keeper.outfit`.
NICE = {"nice": min(os.getpriority(os.PRIO_PROCESS, 0) + 1, 19)}
WAYS = pytest.mark.parametrize("way", [{}, NICE], ids=["plain", "outfit"])
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


def failure(stage: Stage, *argv: str, **program: Any) -> tuple[str, int]:
    """Stage and errno of a spawn that is to fail."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, *argv, **program))
    said = manager.answer(NAME)
    assert said["tell"] == "failed"
    assert said["message"] == os.strerror(said["errno"])
    return said["stage"], said["errno"]


@WAYS
def test_program_is_missing(stage: Stage, way: dict[str, Any]) -> None:
    """No such program."""
    assert failure(stage, "/nowhere/program", **way) == ("exec", errno.ENOENT)


@WAYS
def test_program_may_not_be_executed(stage: Stage, way: dict[str, Any]) -> None:
    """A file without the permission."""
    (stage.directory / "program").touch(0o600)
    assert failure(stage, str(stage.directory / "program"), **way) == ("exec", errno.EACCES)


@WAYS
def test_program_is_none(stage: Stage, way: dict[str, Any]) -> None:
    """A file that no loader knows."""
    program = stage.directory / "program"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o700)
    assert failure(stage, str(program), **way) == ("exec", errno.ENOEXEC)


@WAYS
def test_arguments_are_too_long(stage: Stage, way: dict[str, Any]) -> None:
    """More than the kernel takes."""
    assert failure(stage, "true", "x" * 200_000, **way) == ("exec", errno.E2BIG)


@WAYS
def test_nul_byte(stage: Stage, way: dict[str, Any]) -> None:
    """A NUL byte, which no argument can have, is a failure like others."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "echo", "a\0b", **way))
    said = manager.answer(NAME)
    assert (said["tell"], said["stage"], said["errno"]) == ("failed", "exec", errno.EINVAL)


@WAYS
def test_directory_is_missing(stage: Stage, way: dict[str, Any]) -> None:
    """No such working directory."""
    where = {"working_dir": "/nowhere"}
    assert failure(stage, "true", **where, **way) == ("working_dir", errno.ENOENT)


@WAYS
def test_directory_is_none(stage: Stage, way: dict[str, Any]) -> None:
    """A working directory that is a file."""
    assert failure(stage, "true", working_dir="/dev/null", **way) == ("working_dir", errno.ENOTDIR)


@WAYS
def test_user_cannot_be_had(stage: Stage, way: dict[str, Any]) -> None:
    """Who cannot become the user does not exec: neither as that user nor as ourselves."""
    witness = stage.directory / "witness"
    manager = stage.open(prefix=["unshare", "--user", "--map-root-user"])
    order = spawn(NAME, 1, "/bin/sh", "-c", f"touch {witness}", identity=NOBODY, **way)
    manager.order(order)
    said = manager.answer(NAME)
    assert (said["tell"], said["stage"]) == ("failed", "user")
    assert said["errno"] in (errno.EPERM, errno.EINVAL)
    assert not witness.exists()


def test_limit_cannot_be_raised(stage: Stage) -> None:
    """A hard limit above what we have, where we are not allowed to."""
    limit = {"name": "nofile", "soft": 64, "hard": 1 << 40}
    manager = stage.open()
    manager.order(spawn(NAME, 1, "true", limits=[limit]))
    said = manager.answer(NAME)
    assert (said["stage"], said["errno"]) == ("limits", errno.EPERM)
    assert said["message"] == "nofile: Operation not permitted"


def test_soft_limit_above_the_hard_one(stage: Stage) -> None:
    """A pair of limits that makes no sense is another failure than a right that is missing."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "true", limits=[{"name": "core", "soft": 2, "hard": 1}]))
    said = manager.answer(NAME)
    assert (said["stage"], said["errno"]) == ("limits", errno.EINVAL)
    assert said["message"] == "core: Invalid argument"


@pytest.mark.parametrize(
    ("setting", "value", "number"),
    [
        ("cpu_affinity", [1 << 14], errno.EINVAL),
        ("oom_score_adj", 4000, errno.EINVAL),
    ],
)
def test_priority_that_cannot_be_had_is_named(
    stage: Stage, setting: str, value: Any, number: int
) -> None:
    """Of the several priorities, the failure names the one that could not be set."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "true", **{setting: value}))
    said = manager.answer(NAME)
    assert (said["stage"], said["errno"]) == ("priorities", number)
    assert said["message"] == f"{setting}: {os.strerror(number)}"


def test_stream_that_is_not_held(stage: Stage) -> None:
    """A stream that the keeper does not have."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "true", streams=["null", "held:none", "null"]))
    said = manager.answer(NAME)
    assert (said["stage"], said["errno"]) == ("streams", errno.EBADF)


def test_too_many_processes(stage: Stage) -> None:
    """A fork that the kernel refuses is told, and the next spawn is tried like any other."""
    identity = {**NOBODY, "uid": 54321, "name": "nobody in particular"}
    limit = {"name": "nproc", "soft": 1, "hard": 1}
    manager = stage.open()
    script = "(sleep 100000) & sleep 0; echo fork: $?"
    manager.order(
        spawn(NAME, 1, "/bin/sh", "-c", script, identity=identity, limits=[limit]),
        spawn("other:0", 1, "true"),
    )
    assert manager.answer(NAME)["tell"] == "spawned"
    assert manager.fact("exited", "other:0")["status"] == 0


def test_brief_children_are_accounted_for(stage: Stage) -> None:
    """A child that is dead before its pid is known has its exit told like any other."""
    manager = stage.open()
    for number in range(200):
        manager.order(spawn(f"brief:{number}", 1, "/bin/sh", "-c", f"exit {number % 100}"))
    for number in range(200):
        fact = manager.fact("exited", f"brief:{number}")
        assert fact["status"] == (number % 100) << 8
        manager.acknowledge()


def test_hung_spawn_blocks_no_other(stage: Stage, leased: Leased) -> None:
    """While spawns hang, others go on at their usual pace, and hung ones succeed when they can."""
    manager = stage.open(prefix=["prlimit", "--nofile=1024:4096"])
    manager.order(*[spawn(f"hung:{number}", 1, str(leased.path)) for number in range(5)])
    begun = time.monotonic()
    for number in range(20):
        manager.order(spawn(f"quick:{number}", 1, "true"))
        manager.fact("exited", f"quick:{number}")
        manager.acknowledge()
    assert time.monotonic() - begun < 6.0
    assert not any(fact.get("instance", "").startswith("hung") for fact in manager.facts)
    leased.release()
    for number in range(5):
        assert manager.answer(f"hung:{number}")["tell"] == "spawned"


@pytest.mark.soak
def test_hung_spawn_fails_at_its_deadline(stage: Stage, leased: Leased) -> None:
    """After ten seconds a hung spawn has failed; the child that it makes after all is killed."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, str(leased.path)))
    begun = time.monotonic()
    said = _answer(manager)
    assert (said["stage"], said["errno"]) == ("deadline", errno.ETIMEDOUT)
    assert 9.0 < time.monotonic() - begun < 30.0
    manager.order({"do": "bury", "instance": NAME, "run": 1})
    leased.release()
    until(lambda: not _children_named(stage, "sleep"))
    manager.order(spawn(NAME, 2, "true"))
    manager.fact("exited", NAME)
    assert stage.process is not None
    assert stage.process.poll() is None


@pytest.mark.soak
def test_late_child_that_is_dead_already(stage: Stage, tmp_path: Path) -> None:
    """A child that comes too late and ends at once hurts nobody."""
    program = Leased(tmp_path, b"#!/bin/sh\nexit 0\n")
    try:
        manager = stage.open()
        manager.order(*[spawn(f"hung:{number}", 1, str(program.path)) for number in range(8)])
        for number in range(8):
            assert manager.answer(f"hung:{number}")["tell"] == "failed"
    finally:
        program.release()
    manager.acknowledge()
    for number in range(30):
        manager.order(spawn(f"next:{number}", 1, "true"))
        manager.fact("exited", f"next:{number}")
        manager.acknowledge()


def _answer(manager: Any) -> Packet:
    found: Packet = manager.answer(NAME)
    manager.acknowledge()
    return found


def _children_named(stage: Stage, name: str) -> list[int]:
    found = []
    for pid in ProcessTable().children(stage.pid):
        with suppress(OSError):  # gone since
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(pid)
    return found


def test_low_limit_on_descriptors(stage: Stage) -> None:
    """A keeper that was started with few descriptors works all the same."""
    manager = stage.open(prefix=["prlimit", "--nofile=128:128"])
    manager.order(spawn(NAME, 1, "true"))
    assert manager.fact("exited", NAME)["status"] == 0
