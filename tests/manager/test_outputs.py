"""The pipes of instances that leave: they are kept until their last byte is logged."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisord_lite.channels.room import Channels
from supervisord_lite.core.command import Forget, Remember
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Format, Log, OnFull
from supervisord_lite.core.spec import InstanceSpec, Program
from supervisord_lite.core.state import Instance
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.executor import Executor
from supervisord_lite.manager.output.streams import HeldHops, HeldRelays, Outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from supervisord_lite.manager.keeper_link import Order

DEADLINE = 20.0
WEB = "web:0/stdout"
PROGRAM = Program(("true",), "/")


class Keeper:
    """What would be held and remembered; it is sent orders as the link is."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.remembered: dict[str, str] = {}

    def order(self, orders: Sequence[Order], descriptors: Sequence[int] = ()) -> None:
        given = iter(descriptors)
        for order in orders:
            match order["do"]:
                case "hold":
                    self.drop(order["name"])
                    self.held[order["name"]] = os.dup(next(given))
                case "drop":
                    for name in order["names"]:
                        self.drop(name)
                case "remember" if order["value"] is None:
                    self.remembered.pop(order["name"], None)
                case "remember":
                    self.remembered[order["name"]] = order["value"]

    def drop(self, name: str) -> None:
        if name in self.held:
            os.close(self.held.pop(name))

    def close(self) -> None:
        for name in list(self.held):
            self.drop(name)


class Audience:
    """Nobody looks."""

    def show(self, stream: str, path: str) -> None: ...

    def hide(self, stream: str) -> None: ...


class Rig:
    """An executor with a real data plane, and what it would have a keeper do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keeper = Keeper()
        self._calls: list[Callable[[], None]] = []
        self.executor = Executor(self.keeper, Fleet())  # type: ignore[arg-type]
        executor, drop = self.executor, self.executor.drop
        executor.channels = Channels({}, executor.hold, drop, lambda *_: None, lambda *_: None)
        relays = HeldRelays({}, executor.hold, drop, self.soon)
        self.plane = DataPlane(HeldHops({}, executor.hold, drop), relays, lambda _: None)
        hold, channels = executor.hold_with_packet, executor.channels
        executor.outputs = Outputs(self.plane, hold, drop, Audience(), channels, self.soon)
        executor.care = Care()  # type: ignore[assignment]
        self.plane.start()

    def soon(self, call: Callable[..., None], *arguments: object) -> None:
        """In any thread: have it called in the manager's, which is the test's."""
        self._calls.append(lambda: call(*arguments))

    def until(self, look: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not look():
            assert time.monotonic() < deadline, "it has not happened"
            while self._calls:
                self._calls.pop(0)()
            time.sleep(0.002)

    def appear(self, **rules: object) -> Instance:
        """An instance has been started, and has a pipe."""
        log = Log(str(self.directory / "web.log"), **rules)  # type: ignore[arg-type]
        spec = InstanceSpec("web:0", "web", 0, PROGRAM, stdout_log=log)
        instance = Instance(spec)
        self.executor.outputs.open(spec)
        self.executor.carry_out([Remember("web:0", instance)])
        return instance

    @contextmanager
    def busy(self, stream: str = WEB) -> Iterator[None]:
        """The disk does not answer."""
        held, over = threading.Event(), threading.Event()

        def hang() -> None:
            held.set()
            over.wait(DEADLINE)

        self.plane.between_steps(stream, hang)
        assert held.wait(DEADLINE)
        try:
            yield
        finally:
            over.set()

    def write(self, data: bytes) -> None:
        os.write(self.keeper.held[WEB], data)

    @property
    def logged(self) -> bytes:
        return (self.directory / "web.log").read_bytes()

    def close(self) -> None:
        assert self.plane.stop(DEADLINE)
        self.keeper.close()


class Care:
    """Looks after nobody."""

    def follow(self, instance: Instance) -> None: ...

    def forget(self, instance: str) -> None: ...


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    "rules",
    [{}, {"format": Format.JSON}, {"on_full": OnFull.BLOCK}],
    ids=["raw", "with a buffer", "with a hop of its own"],
)
def test_a_removed_instance_is_forgotten_once_its_last_byte_is_logged(
    rig: Rig, rules: dict[str, object]
) -> None:
    """Until then a manager that comes after a SIGKILL has its record, its pipe and what else holds
    bytes of it; and afterwards nothing of it is held.
    """
    rig.appear(**rules)
    own = {name for name in rig.keeper.held if "web:0" in name}
    with rig.busy():
        rig.write(b"last words\n")
        rig.executor.carry_out([Forget("web:0")])
        assert {name for name in rig.keeper.held if "web:0" in name} == own
        assert list(rig.keeper.remembered) == ["web:0"]
    rig.until(lambda: not rig.keeper.remembered)
    assert [name for name in rig.keeper.held if "web:0" in name] == []
    assert b"last words" in rig.logged


def test_one_that_comes_back_before_that_begins_anew(rig: Rig) -> None:
    """Its earlier record goes first, and what it has now is not let go of with the old pipe."""
    rig.appear(format=Format.JSON)
    with rig.busy():
        rig.write(b"before\n")
        rig.executor.carry_out([Forget("web:0")])
        rig.appear(format=Format.JSON)
        rig.write(b"after\n")
    assert rig.plane.flush(DEADLINE)
    rig.until(lambda: rig.logged.count(b"\n") == 2)
    assert {WEB, f"buffer/{WEB}"} <= set(rig.keeper.held)
    assert list(rig.keeper.remembered) == ["web:0"]
    assert rig.logged.index(b"before") < rig.logged.index(b"after")


def test_one_without_logs_is_forgotten_at_once(rig: Rig) -> None:
    """There is nothing to wait for."""
    spec = InstanceSpec("web:0", "web", 0, PROGRAM)
    rig.executor.carry_out([Remember("web:0", Instance(spec))])
    assert list(rig.keeper.remembered) == ["web:0"]
    rig.executor.carry_out([Forget("web:0")])
    assert not rig.keeper.remembered
