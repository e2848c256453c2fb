"""Readiness as s6 has it: the worker writes a newline to a descriptor that it was given.

It is the write end of a pipe of its run. The read end is held by the keeper until the run is ready
or over, so that a newline is found that was written while no manager was there. The write end is
held by the keeper only until the spawn has been answered: from then on the worker alone has it, and
its closing is an end of file. One that comes before a newline means that the worker will not say
any more; its time is left to it, as with s6 (s6-svwait reads it as "not ready").

Source: https://skarnet.org/software/s6/notifywhenup.html
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from supervisord_lite.core.event import BecameReady, Finding
from supervisord_lite.core.probe import DescriptorProbe
from supervisord_lite.core.spec import InstanceSpec
from supervisord_lite.core.state import Instance, Readying, Running, Starting, live_run
from supervisord_lite.linux import pipes
from supervisord_lite.linux.splice import tee
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink

READ = "ready/"
WRITE = "ready-write/"
_BLOCK = 4096
_SOON = 1.0  # seconds
Hold = Callable[[str, int], None]


@dataclass(slots=True, eq=False)
class _Pipe:
    """The read end that belongs to a run; `ended`: nothing more is looked for in it."""

    read: int
    run: int
    watched: bool = False
    ended: bool = False


class ReadyDescriptors:
    """The pipes of all runs that are to say by a descriptor when they are ready."""

    def __init__(
        self, link: KeeperLink, given: Inheritance, hold: Hold, take: Callable[[Finding], None]
    ) -> None:
        self._link = link
        self._hold = hold
        self._take = take
        self._pipes: dict[str, _Pipe] = {}
        self._left: dict[str, int] = {}
        for name in [name for name in given.held if name.startswith((READ, WRITE))]:
            descriptor = given.held.pop(name)
            if name.startswith(READ):
                self._left[name.removeprefix(READ)] = descriptor
            else:
                os.close(descriptor)

    def prepare(self, spec: InstanceSpec, run: int) -> dict[str, str]:
        """Make the pipe of a run that is about to be spawned; the descriptors that it is given, by
        number, in the words of the protocol.
        """
        probe = spec.ready.probe if spec.ready is not None else None
        if not isinstance(probe, DescriptorProbe):
            return {}
        if spec.name in self._pipes and self._pipes[spec.name].run != run:
            self.forget(spec.name)  # that run is over, as the keeper says to whoever asks
        if spec.name not in self._pipes:  # else it is ordered again, and may have been spawned
            read, write = pipes.make()
            os.set_blocking(read, False)
            self._hold(f"{READ}{spec.name}", read)
            self._hold(f"{WRITE}{spec.name}", write)
            os.close(write)
            self._pipes[spec.name] = _Pipe(read, run)
        return {str(probe.number): f"held:{WRITE}{spec.name}"}

    def follow(self, instance: Instance) -> None:
        """The instance is as follows now."""
        name, state = instance.spec.name, instance.state
        if name in self._left and isinstance(state, Starting | Readying):
            self._pipes[name] = _Pipe(self._left.pop(name), state.run)
        pipe = self._pipes.get(name)
        if pipe is None:
            return
        if live_run(state) != pipe.run or isinstance(state, Running):
            self.forget(name)
        elif isinstance(state, Readying) and not pipe.watched:
            pipe.watched = True
            self._link.order([{"do": "drop", "names": [f"{WRITE}{name}"]}])
            self._watch(name, pipe)

    def _watch(self, name: str, pipe: _Pipe) -> None:
        if self._pipes.get(name) is pipe:
            asyncio.get_running_loop().add_reader(pipe.read, self._read, name, pipe)

    def forget(self, name: str) -> None:
        """The run is ready or over."""
        pipe = self._pipes.pop(name, None)
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe.read)
            os.close(pipe.read)
            self._link.order([{"do": "drop", "names": [f"{READ}{name}", f"{WRITE}{name}"]}])

    def settle(self) -> None:
        """All instances were followed: what was left of others is let go of."""
        for name, descriptor in self._left.items():
            os.close(descriptor)
            self._link.order([{"do": "drop", "names": [f"{READ}{name}", f"{WRITE}{name}"]}])
        self._left.clear()

    def _read(self, name: str, pipe: _Pipe) -> None:
        """Look at what came before it is taken: should we be killed in between, it is there yet."""
        loop = asyncio.get_running_loop()
        try:
            data = _peek(pipe.read)
        except OSError:  # no descriptor is left for us now: nothing is lost by looking later
            loop.remove_reader(pipe.read)
            loop.call_later(_SOON, self._watch, name, pipe)
            return
        pipe.ended = not data or b"\n" in data
        if pipe.ended:
            loop.remove_reader(pipe.read)
        else:
            with suppress(BlockingIOError):
                os.read(pipe.read, len(data))
        if data and pipe.ended:
            self._take(BecameReady(name, pipe.run))


def _peek(pipe: int) -> bytes:
    """What waits in a pipe that is known to be readable; nothing at its end."""
    read, write = pipes.make()
    try:
        count = tee(pipe, write, _BLOCK)
        return os.read(read, count) if count else b""
    finally:
        os.close(read)
        os.close(write)
