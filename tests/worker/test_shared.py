"""Values and arrays of a worker, beyond what the standard library's own tests ask of them."""

import ctypes
import os
from typing import Any

import pytest

from supervisord_lite.worker.shared import TYPES
from tests.worker.made import Made

ADD = (
    "from supervisord_lite.worker import channels\n"
    "for _ in range(2000):\n"
    "    with channels['total'].get_lock():\n"
    "        channels['total'].value += 1\n"
)
EXAMPLES: dict[str, Any] = {"c": b"x", "u": "ß", "f": 1.5, "d": -2.25}


@pytest.mark.parametrize("code", TYPES)
def test_every_code(made: Made, code: str) -> None:
    """Of multiprocessing.sharedctypes: a value and an array of each."""
    example = EXAMPLES.get(code, 77)
    made.value("one", code)
    made.array("many", code, 3)
    channels = made.channels()
    channels["one"].value = example
    channels["many"][1] = example
    again = made.channels()
    assert again["one"].value == example
    assert again["many"][1] == example
    assert list(again["many"])[1:2] == [example]


@pytest.mark.parametrize("guard", [None, "guard"])
def test_no_addition_is_lost(made: Made, guard: str | None) -> None:
    """Of several processes that hold the lock for it, be that its own or a channel."""
    made.lock("guard")
    made.value("total", "q", guard)
    workers = [made.start(["-c", ADD]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert made.channels()["total"].value == 6000


def test_the_holder_of_the_lock_has_the_value(made: Made) -> None:
    """Whether it has taken the channel itself or asked the value for it."""
    made.lock("guard")
    made.value("total", "q", "guard")
    made.array("grid", "d", 3, "guard")
    channels = made.channels()
    assert channels["total"].get_lock() is channels["guard"]
    with channels["guard"]:
        channels["total"].value += 1
        channels["grid"][0:2] = [1.5, 2.5]
    with channels["total"]:
        assert channels["guard"].is_mine()
        assert not channels["guard"].acquire(False)
    assert channels["total"].value == 1


def test_its_own_lock_may_be_taken_again(made: Made) -> None:
    """As that of multiprocessing."""
    made.value("total", "q")
    total = made.channels()["total"]
    with total, total.get_lock():
        total.value = 3
    assert total.acquire(False)
    total.release()
    assert total.value == 3


def test_a_text(made: Made) -> None:
    """An array of characters has a value, which ends at a zero, and raw bytes."""
    made.array("name", "c", 6)
    name = made.channels()["name"]
    name.value = b"abc"
    assert (name.value, name.raw) == (b"abc", b"abc\0\0\0")
    name.raw = b"uvwxyz"
    assert name.value == b"uvwxyz"
    assert name[1:3] == b"vw"


def test_it_is_plain_memory(made: Made) -> None:
    """In the layout of the machine, without a header."""
    made.array("grid", "i", 2)
    grid = made.channels()["grid"]
    grid[:] = [1, -2]
    data = os.pread(made.told["grid"]["fd"], 100, 0)
    assert list((ctypes.c_int * 2).from_buffer_copy(data)) == [1, -2]
    assert len(data) == 8


def test_too_small_a_file(made: Made) -> None:
    """Is refused."""
    made.value("total", "b")
    made.told["total"]["code"] = "q"
    with pytest.raises(ValueError, match="cannot map 8 bytes"):
        made.channels()["total"]
