"""Carrying out the core's commands: to the keeper as packets, to the data plane and channels here.

A packet opens with what is to be remembered and goes out whole (`core.command`), so a manager that
dies between two packets leaves a state that the next one can go on from. Those of several
instances go out together: for the keeper, a message costs as much as what is in it.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, assert_never

from supervisord_lite.channels.room import Channels
from supervisord_lite.core.command import (
    Announce,
    Bury,
    CloseWriters,
    Command,
    Finish,
    Forget,
    Note,
    OpenWriters,
    Remember,
    RememberFleet,
    RememberRollout,
    RunHook,
    Signal,
    Spawn,
    Sweep,
    hook_name,
    packets,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import Configuration, HookPoint
from supervisord_lite.core.state import Shutdown
from supervisord_lite.manager.care import Care
from supervisord_lite.manager.compiling import Compiled
from supervisord_lite.manager.keeper_link import KeeperLink, Order
from supervisord_lite.manager.output.streams import Outputs
from supervisord_lite.manager.scaling import as_compiled
from supervisord_lite.manager.spawning import hook_order, spawn_order

# Names of records that are no instance's: those have a colon in them.
CONFIGURATION = "configuration"
SHUTDOWN = "shutdown"
ROLLOUT = "rollout/"  # and the worker's name

_AT_ONCE = 16  # packets; of each a few descriptors, of which one message can take 250


class Executor:
    """Carries out commands in their order. `watchers` hear of announcements and roll-outs after the
    packet that they belong to has been sent; `on_finish` hears when nothing of the fleet is left.
    """

    def __init__(self, link: KeeperLink, fleet: Fleet) -> None:
        self._link = link
        self._fleet = fleet
        self._held: list[tuple[Order, int]] = []
        self._leaving: set[str] = set()  # instances that are to be forgotten soon
        self.outputs: Outputs
        self.channels: Channels
        self.care: Care
        self.compiled: Compiled | None = None  # the applied configuration
        self.watchers: list[Callable[[Announce], None]] = []
        self.rollout_watchers: list[Callable[[str], None]] = []
        self.on_note: Callable[[Note], None] = lambda _: None
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
        for batch in _batches(packets(commands)):
            if orders := [order for command in batch for order in self._orders(command)]:
                self._send(orders)
            for command in batch:
                self._tell(command)

    def _send(self, orders: list[Order]) -> None:
        held, self._held = self._held, []
        descriptors = [descriptor for _, descriptor in held]
        self._link.order([*(order for order, _ in held), *orders], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _orders(self, command: Command) -> Sequence[Order]:
        if isinstance(command, Forget):
            return self._forget(command.instance)
        order = self._order(command)
        orders = () if order is None else (order,)
        if isinstance(command, Remember) and command.instance in self._leaving:  # it comes back
            return (*self._forgotten(command.instance), *orders)
        return orders

    def _order(self, command: Command) -> Order | None:
        """Do what of a command is to be done here first; answer the keeper's part in it."""
        match command:
            case Remember(instance, value):
                self.outputs.follow(value.spec)
                return _remember(instance, value)
            case RememberFleet(value):
                return self._remember_fleet(value)
            case RememberRollout(worker, value):
                return _remember(f"{ROLLOUT}{worker}", value)
            case Spawn(instance, run):
                return self._spawn(instance, run)
            case RunHook():
                return self._run_hook(command)
            case Signal(instance, run, number, to):
                who = {"instance": instance, "run": run}
                sent = self._rewritten(instance, number)
                return {"do": "signal", **who, "signal": sent, "to": to.value}
            case Sweep(instance, run):
                return {"do": "sweep", "instance": instance, "run": run}
            case Bury(instance, run):
                self.channels.try_again()  # it may have had what is in the way
                return {"do": "bury", "instance": instance, "run": run}
            case OpenWriters(channel):
                with suppress(OSError):
                    self.outputs.copies.open_writers(channel)
            case CloseWriters(channel):
                self.outputs.copies.close_writers(channel)
            case Announce() | Note() | Finish() | Forget():
                pass
            case _:
                assert_never(command)
        return None

    def _spawn(self, instance: str, run: int) -> Order:
        spec = self._fleet.instances[instance].spec
        try:
            self.outputs.prepare(spec, run)
            preparation = self.care.prepare(spec, run)
            taken = [int(number) for number in preparation.extra]
            shared = self.channels.handover(spec.program.channels, taken)
        except OSError as error:  # the keeper says so in its answer, and the core tries again
            return spawn_order(spec, run) | {"streams": [f"refused:{error.errno or 0}"]}
        environment = (*preparation.environment, *shared.environment)
        return spawn_order(spec, run, environment, preparation.extra | shared.extra)

    def _rewritten(self, name: str, number: int) -> int:
        """The signal that is sent to an instance instead of this one; hooks get what is meant."""
        instance = self._fleet.instances.get(name)
        return number if instance is None else dict(instance.spec.signals).get(number, number)

    def _run_hook(self, command: RunHook) -> Order | None:
        instance = self._fleet.instances[command.instance]
        order = hook_order(instance, command)
        try:
            self.outputs.open(instance.spec)
        except OSError as error:
            return order | {"streams": [f"refused:{error.errno or 0}"]}
        return order

    def _forget(self, instance: str) -> Sequence[Order]:
        """Its record stays until all is logged that it said: by that, a manager that comes after a
        SIGKILL knows whose bytes are left, and where they belong.
        """

        def logged() -> None:
            self._link.order(self._forgotten(instance))

        self._leaving.add(instance)
        return () if self.outputs.release(instance, logged) else self._forgotten(instance)

    def _forgotten(self, instance: str) -> list[Order]:
        """Also the numbers of its hooks' runs: what comes back by this name begins at 1 again."""
        self._leaving.discard(instance)
        names = (instance, *(hook_name(point, instance) for point in HookPoint))
        return [_remember(name, None) for name in names]

    def _remember_fleet(self, value: Configuration | Shutdown) -> Order | None:
        if isinstance(value, Shutdown):
            return _remember(SHUTDOWN, value)
        assert self.compiled is not None
        if value != self.compiled.configuration:  # a roll-out has changed what is to be
            self.compiled = as_compiled(value, self.compiled.listing)
        # First of its batch, and before what it explains: whoever comes next and finds channels as
        # they were makes them what they are to be; one that was let go of cannot be had again.
        self._link.order([{"do": "remember", "name": CONFIGURATION, "value": self.compiled.text}])
        self.channels.declare(value.channels)
        self.outputs.copies.renew()
        return None

    def _tell(self, command: Command) -> None:
        match command:
            case Remember(_, value):  # not before it is: what a run has may be let go of by that
                self.care.follow(value)
            case Forget(instance):
                self.care.forget(instance)
            case Announce():
                for watcher in tuple(self.watchers):
                    watcher(command)
            case RememberRollout(worker):
                for concerned in tuple(self.rollout_watchers):
                    concerned(worker)
            case Note():
                self.on_note(command)
            case Finish():
                self.on_finish(command)
            case _:
                pass


def _batches(packets: Iterable[list[Command]]) -> Iterator[list[Command]]:
    """The commands of packets that go out together: one of an instance at most, so that whoever
    looks after it has heard of one before another is put together. One of the fleet is the first.
    """
    batch: list[Command] = []
    concerned: set[str | None] = set()
    for packet in packets:
        instance = getattr(packet[0], "instance", None)
        begins = isinstance(packet[0], RememberFleet)
        if begins or instance in concerned or len(concerned) == _AT_ONCE:
            yield batch
            batch, concerned = [], set()
        batch += packet
        concerned.add(instance)
    if batch:
        yield batch


def _remember(name: str, value: Any) -> Order:
    if value is None:
        return {"do": "remember", "name": name, "value": None}
    text = json.dumps(to_plain(value, compact=True), separators=(",", ":"))
    return {"do": "remember", "name": name, "value": text}
