"""What is done about older log files beside the data plane: they are compressed, and the oldest
removed when all logs together take more than the configuration allows.

It acts after a rotation, and when a configuration is applied; in between it sleeps. Files are
looked at in threads, changed by the threads that rename them, and packed by helpers: see
`compressing`. Nothing here holds up a worker, and what fails is said and tried again at the next
rotation.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

from supervisord_lite.core.log import Compression, Log
from supervisord_lite.core.spec import Configuration
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.logs.event import Rotated
from supervisord_lite.logs.files import rotation
from supervisord_lite.logs.files.budget import Budget, Kept
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.output.chronicle import STREAM
from supervisord_lite.manager.output.compressing import Compressing
from supervisord_lite.manager.output.older_files import CannotTouch, between_steps
from supervisord_lite.manager.output.streams import logged_streams

Say = Callable[[str], None]

_NAMED = 3  # removed files that are told by name


class LogUpkeep:
    """Lives inside an event loop. `say` is for operators, `complain` for what goes wrong."""

    def __init__(
        self, link: KeeperLink, given: Inheritance, plane: DataPlane, say: Say, complain: Say
    ) -> None:
        self._plane = plane
        self._say, self._complain = say, complain
        self._compressing = Compressing(link, given, plane)
        self._logs: dict[str, Log] = {}
        self._limit: int | None = None
        self._budget = Budget()
        self._untidy = True  # an earlier data plane may have been killed at any point
        self._asked = self._closed = False
        self._rotated: dict[str, None] = {}  # streams to be seen to, in this order
        self._changed: set[str] = set()  # logs whose older files are others now
        self._told: set[str] = set()  # what is in trouble, and was said to be
        self._task: asyncio.Task[None] | None = None

    def take(self, fact: Packet) -> bool:
        """Take a fact if it is about a helper of ours."""
        return self._compressing.take(fact)

    def configure(self, configuration: Configuration) -> None:
        """These are the logs from now on."""
        self._logs = dict(_logs(configuration))
        self._limit = configuration.outlets.max_total
        self._changed |= {log.path for log in self._logs.values()}
        self._rotated |= dict.fromkeys(name for name, log in self._logs.items() if _packs(log))
        if self._rotated or self._limit is not None:
            self._begin()

    def rotated(self, event: Rotated) -> None:
        """The data plane has made an older file."""
        self._rotated[event.stream] = None
        self._changed.add(event.path)
        self._begin()

    async def close(self) -> None:
        """Stop; a file that is being compressed stays as it was."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._compressing.close()

    def _begin(self) -> None:
        self._asked = True
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        if self._untidy:
            self._untidy = False
            await self._tidy()
        while self._asked:
            self._asked = False
            await self._keep_budget()
            while self._rotated:
                stream = next(iter(self._rotated))
                del self._rotated[stream]
                log = self._logs.get(stream)
                if log is not None and _packs(log) and stream in self._plane:
                    await self._attempt(stream, self._compressing.compress(stream, log))
                    self._changed.add(log.path)
                    await self._keep_budget()

    async def _tidy(self) -> None:
        """Complete or undo what was being compressed when an earlier manager died."""
        asked = await asyncio.to_thread(_with_leftovers, list(self._logs.items()))
        for stream, path in asked:
            act = partial(rotation.tidy, path)
            await self._attempt(stream, between_steps(self._plane, stream, path, act))

    async def _keep_budget(self) -> None:
        changed, self._changed = self._changed, set()
        if self._limit is None or not changed:
            return
        paths = {log.path: stream for stream, log in self._logs.items()}
        await asyncio.to_thread(self._budget.look, list(paths), changed)
        self._judge(self._budget.present, self._limit)
        if self._budget.excess(self._limit):
            await asyncio.to_thread(self._budget.look_again)
        gone: dict[str, list[Kept]] = {}
        for one in self._budget.excess(self._limit):
            gone.setdefault(one.log, []).append(one)
        for path, files in gone.items():
            await self._attempt(paths[path], self._remove(paths[path], path, files))
        if gone:
            self._tell([one for files in gone.values() for one in files])

    async def _remove(self, stream: str, path: str, files: list[Kept]) -> None:
        self._budget.forget(path)
        act = partial(_remove_all, path, [one.inode for one in files])
        if stream in self._plane:
            await between_steps(self._plane, stream, path, act)
        else:  # nobody writes it, so nobody renames
            await asyncio.to_thread(act)

    def _judge(self, present: int, limit: int) -> None:
        """The present files are never removed: that they are too much is told, once."""
        if present <= limit:
            self._told.discard("budget")
        elif "budget" not in self._told:
            self._told.add("budget")
            text = f"the logs that are written to have {present} bytes"
            self._complain(f"cannot keep logs.max_total ({limit} bytes): {text} alone")

    def _tell(self, gone: list[Kept]) -> None:
        size = sum(one.size for one in gone)
        names = ", ".join(one.path for one in gone[:_NAMED])
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        text = f"removed {size} bytes of older logs to keep logs.max_total ({self._limit} bytes)"
        self._say(f"{text}: {names}{more}")

    async def _attempt(self, stream: str, work: Coroutine[Any, Any, None]) -> None:
        """What fails is said once, until it succeeds again."""
        try:
            await work
        except (CannotTouch, OSError) as error:
            if stream not in self._told:
                self._told.add(stream)
                self._complain(str(error))
        else:
            self._told.discard(stream)


def _logs(configuration: Configuration) -> Iterator[tuple[str, Log]]:
    """All logs, by the stream that they are of."""
    for spec in (*configuration.instances, *configuration.spares):
        yield from logged_streams(spec)
    own = configuration.outlets.own
    if own.path is not None:
        yield STREAM, Log(own.path, own.rotation)


def _packs(log: Log) -> bool:
    return log.rotation.compress is not Compression.NONE


def _with_leftovers(logs: Iterable[tuple[str, Log]]) -> list[tuple[str, str]]:
    """The streams and paths of logs that a crash may have left something of a compression of."""
    return [
        (stream, log.path)
        for stream, log in logs
        if _packs(log) or os.path.lexists(rotation.packing_paths(log.path)[0])
    ]


def _remove_all(path: str, inodes: list[int]) -> None:
    for inode in inodes:
        rotation.remove_older(path, inode)
