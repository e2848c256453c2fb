"""Carrying out the core's commands: to the keeper as packets, to the data plane and channels here.

A packet opens with what is to be remembered and goes out whole (`core.command`), so a manager that
dies between two packets leaves a state that the next one can go on from.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, assert_never

from supervisord_lite.channels.pipes import PipeChannels
from supervisord_lite.core.command import (
    Announce,
    Bury,
    CloseWriters,
    Command,
    Finish,
    Forget,
    OpenWriters,
    Remember,
    RememberFleet,
    Signal,
    Spawn,
    Sweep,
    packets,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import Configuration, InstanceSpec
from supervisord_lite.manager.keeper_link import KeeperLink, Order
from supervisord_lite.manager.outputs import Outputs, stream_sources

# Names of records that are no instance's: those have a colon in them.
CONFIGURATION = "configuration"
SHUTDOWN = "shutdown"


class Executor:
    """Carries out commands in their order. `watchers` hear of announcements after the packet that
    they belong to has been sent; `on_finish` hears when nothing of the fleet is left.
    """

    def __init__(self, link: KeeperLink, fleet: Fleet) -> None:
        self._link = link
        self._fleet = fleet
        self._held: list[tuple[Order, int]] = []
        self.outputs: Outputs
        self.channels: PipeChannels
        self.compiled = ""  # the applied configuration as the compiler wrote it
        self.watchers: list[Callable[[Announce], None]] = []
        self.on_finish: Callable[[Finish], None] = lambda _: None

    def hold(self, name: str, descriptor: int) -> None:
        """Have the keeper keep a duplicate of a descriptor under this name, now."""
        self._link.order([{"do": "hold", "name": name}], (descriptor,))

    def hold_with_packet(self, name: str, descriptor: int) -> None:
        """The same, in front of the packet that is being put together."""
        self._held.append(({"do": "hold", "name": name}, os.dup(descriptor)))

    def drop(self, name: str) -> None:
        """Have the keeper let go of a descriptor."""
        self._link.order([{"do": "drop", "names": [name]}])

    def carry_out(self, commands: list[Command]) -> None:
        for packet in packets(commands):
            orders = [order for command in packet if (order := self._order(command)) is not None]
            if orders:
                self._send(orders)
            for command in packet:
                self._tell(command)

    def _send(self, orders: list[Order]) -> None:
        held, self._held = self._held, []
        descriptors = [descriptor for _, descriptor in held]
        self._link.order([*(order for order, _ in held), *orders], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _order(self, command: Command) -> Order | None:
        """Do what of a command is to be done here first; answer the keeper's part in it."""
        match command:
            case Remember(instance, value):
                self.outputs.follow(value.spec)
                text = json.dumps(to_plain(value, compact=True))
                return {"do": "remember", "name": instance, "value": text}
            case RememberFleet(value):
                return self._remember_fleet(value)
            case Spawn(instance, run):
                spec = self._fleet.instances[instance].spec
                try:
                    self.outputs.prepare(spec, run)
                except (
                    OSError
                ) as error:  # the keeper says so in its answer, and the core tries again
                    return _spawn(spec, run) | {"streams": [f"refused:{error.errno or 0}"]}
                return _spawn(spec, run)
            case Signal(instance, run, number, to):
                who = {"instance": instance, "run": run}
                return {"do": "signal", **who, "signal": number, "to": to.value}
            case Sweep(instance, run):
                return {"do": "sweep", "instance": instance, "run": run}
            case Bury(instance, run):
                return {"do": "bury", "instance": instance, "run": run}
            case Forget(instance):
                self.outputs.release(instance)
                return {"do": "remember", "name": instance, "value": None}
            case OpenWriters(channel):
                with suppress(OSError):
                    self.channels.open_writers(channel)
            case CloseWriters(channel):
                self.channels.close_writers(channel)
            case Announce() | Finish():
                pass
            case _:
                assert_never(command)
        return None

    def _remember_fleet(self, value: Any) -> Order:
        if isinstance(value, Configuration):
            self.channels.declare(value.channels)
            return {"do": "remember", "name": CONFIGURATION, "value": self.compiled}
        return {"do": "remember", "name": SHUTDOWN, "value": json.dumps(to_plain(value))}

    def _tell(self, command: Command) -> None:
        if isinstance(command, Announce):
            for watcher in tuple(self.watchers):
                watcher(command)
        elif isinstance(command, Finish):
            self.on_finish(command)


def _spawn(spec: InstanceSpec, run: int) -> Order:
    program = to_plain(spec.program, compact=True)
    return {
        "do": "spawn",
        "instance": spec.name,
        "run": run,
        "program": program,
        "streams": stream_sources(spec),
    }
