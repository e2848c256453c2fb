"""Further descriptors of a run: each at its number, and nothing beside them."""

import errno
import json
import os
import sys
from typing import Any

import pytest

from tests.keeper.conftest import Manager, Stage, spawn
from tests.keeper.test_spawning import NAME, NOBODY, WAYS, needs_root

OPEN = """
import json, os
links = {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
         if os.path.exists(f"/proc/self/fd/{n}")}
print(json.dumps(links), flush=True)
"""


def hold_pipe(manager: Manager, name: str) -> tuple[int, str]:
    """Have the keeper hold the write end of a pipe; its read end, and what a link to it reads."""
    read_end, write_end = os.pipe()
    manager.order({"do": "hold", "name": name}, descriptors=[write_end])
    link = os.readlink(f"/proc/self/fd/{write_end}")
    os.close(write_end)
    return read_end, link


def order(extra: dict[str, str], *argv: str, **program: Any) -> dict[str, Any]:
    streams = ["null", "held:out", "null"]
    return {**spawn(NAME, 1, *argv, streams=streams, **program), "extra": extra}


@WAYS
@pytest.mark.parametrize("numbers", [[3], [3, 4, 5], [7], [255, 4], [33, 32, 100, 299]], ids=str)
def test_they_are_at_their_numbers(stage: Stage, way: Any, numbers: list[int]) -> None:
    """In any order, with gaps, and whatever is between them is closed."""
    manager = stage.open()
    output, out = hold_pipe(manager, "out")
    ends = {number: hold_pipe(manager, f"pipe{number}") for number in numbers}
    extra = {str(number): f"held:pipe{number}" for number in numbers}
    manager.order(order(extra, sys.executable, "-I", "-S", "-c", OPEN, **way))
    assert manager.fact("exited", NAME)["status"] == 0
    seen = {int(n): link for n, link in json.loads(os.read(output, 65536)).items()}
    expected = {number: link for number, (_, link) in ends.items()}
    assert seen == {0: "/dev/null", 1: out, 2: "/dev/null", **expected}
    for descriptor in (output, *(end for end, _ in ends.values())):
        os.close(descriptor)


@WAYS
def test_the_next_child_has_none_of_them(stage: Stage, way: Any) -> None:
    """What one child was given is not there in the next one of the same thread."""
    manager = stage.open()
    output, _ = hold_pipe(manager, "out")
    end, _ = hold_pipe(manager, "pipe")
    for number in range(10):
        extra = {str(9 + number): "held:pipe"}
        argv = [sys.executable, "-I", "-S", "-c", OPEN]
        manager.order({**order(extra, *argv, **way), "instance": f"more:{number}"})
        manager.fact("exited", f"more:{number}")
        assert sorted(map(int, json.loads(os.read(output, 65536)))) == [0, 1, 2, 9 + number]
    manager.order(order({}, *argv, **way))
    manager.fact("exited", NAME)
    assert sorted(map(int, json.loads(os.read(output, 65536)))) == [0, 1, 2]
    os.close(output)
    os.close(end)


@WAYS
@pytest.mark.parametrize("number", ["2", "0", "-1", "100000", "900"])
def test_a_number_that_cannot_be(stage: Stage, way: Any, number: str) -> None:
    """A number of the streams', or one that is too high, fails that spawn and no other."""
    manager = stage.open()
    ends = [hold_pipe(manager, "out")[0], hold_pipe(manager, "pipe")[0]]
    manager.order(order({number: "held:pipe"}, "true", **way), spawn("other:0", 1, "true"))
    said = manager.answer(NAME)
    assert (said["tell"], said["stage"], said["errno"]) == ("failed", "streams", errno.EBADF)
    assert f"descriptor {number} is not between 3 and" in said["message"]
    assert manager.fact("exited", "other:0")["status"] == 0
    for end in ends:
        os.close(end)


def test_one_that_is_not_held(stage: Stage) -> None:
    """A name that the keeper does not know is a failure of the streams."""
    manager = stage.open()
    end, _ = hold_pipe(manager, "out")
    manager.order(order({"3": "held:nothing"}, "true"))
    said = manager.answer(NAME)
    assert (said["stage"], said["errno"]) == ("streams", errno.EBADF)
    os.close(end)


def test_the_flags_that_others_share_stay(stage: Stage) -> None:
    """A descriptor that its other users have made non-blocking is not changed under them."""
    manager = stage.open()
    output, _ = hold_pipe(manager, "out")
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    manager.order({"do": "hold", "name": "shared"}, descriptors=[write_end])
    code = "import os; print(os.get_blocking(5), flush=True)"
    manager.order(order({"5": "held:shared"}, sys.executable, "-c", code))
    manager.fact("exited", NAME)
    assert os.read(output, 100) == b"False\n"
    for descriptor in (output, read_end, write_end):
        os.close(descriptor)


@needs_root
@WAYS
def test_a_pipe_can_be_opened_by_name(stage: Stage, way: Any) -> None:
    """The worker's user may open /dev/fd/N, though root made the pipe."""
    manager = stage.open()
    output, _ = hold_pipe(manager, "out")
    end, _ = hold_pipe(manager, "pipe")
    script = "echo opened > /dev/fd/6"
    manager.order(order({"6": "held:pipe"}, "/bin/sh", "-c", script, identity=NOBODY, **way))
    assert manager.fact("exited", NAME)["status"] == 0
    assert os.read(end, 100) == b"opened\n"
    os.close(output)
    os.close(end)


def test_readiness_by_descriptor(stage: Stage) -> None:
    """The way of s6: once the write end is dropped here, its end is told with the worker's."""
    manager = stage.open()
    outer, _ = hold_pipe(manager, "out")
    end, _ = hold_pipe(manager, "ready")
    script = "echo >&4; exec 4>&-; exec sleep 100000"
    manager.order(order({"4": "held:ready"}, "/bin/sh", "-c", script))
    manager.fact("spawned", NAME)
    manager.order({"do": "drop", "names": ["ready"]})
    assert os.read(end, 100) == b"\n"
    assert os.read(end, 100) == b""
    os.close(end)
    os.close(outer)


@pytest.mark.parametrize("limit", [64, 128, 1024])
def test_few_descriptors(stage: Stage, limit: int) -> None:
    """Under a low limit there are low numbers still."""
    manager = stage.open(prefix=["prlimit", f"--nofile={limit}:{limit}"])
    output, _ = hold_pipe(manager, "out")
    end, link = hold_pipe(manager, "pipe")
    manager.order(order({"10": "held:pipe"}, sys.executable, "-I", "-S", "-c", OPEN))
    assert manager.fact("exited", NAME)["status"] == 0
    assert json.loads(os.read(output, 65536))["10"] == link
    os.close(output)
    os.close(end)
