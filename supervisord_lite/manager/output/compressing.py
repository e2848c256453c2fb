"""Having older log files packed: one at a time in the whole daemon, by helpers that the keeper
spawns and that the kernel lets run when nobody else wants to.

A helper leaves a packed file under a hidden name; the thread that renames the log's files gives it
its own name. What an earlier manager has left behind is ended, and begun anew by whoever asks.
"""

import asyncio
import os
import sys
from functools import partial

from supervisord_lite.core.log import Compression, Log
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.logs.files import retention, rotation
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.manager.keeper_link import Inheritance, KeeperLink
from supervisord_lite.manager.output.older_files import CannotTouch, between_steps
from supervisord_lite.manager.probes.helper_runs import HelperRuns, Outcome

PREFIX = "@compress/"
_NAME = f"{PREFIX}log"  # one name: the helper before is waited for, whoever has ordered it
_PATIENCE = 24 * 3600.0  # seconds for one file
_LAST_PATIENCE = 1.0
_WORDS = 1000  # bytes that are kept of what it says
_NOTHING_TO_DO = 3  # its exit code, see `logs.files.compress`


class Compressing:
    """Packs the older files of logs that are attached to the data plane."""

    def __init__(self, link: KeeperLink, given: Inheritance, plane: DataPlane) -> None:
        self._helpers = HelperRuns(link, given, PREFIX)
        self._plane = plane

    def take(self, fact: Packet) -> bool:
        """Take a fact if it is about a compression."""
        return self._helpers.take(fact)

    async def compress(self, stream: str, log: Log) -> None:
        """Pack all older files that are not, the oldest first. Raises `CannotTouch`."""
        for one, inode in await asyncio.to_thread(retention.unpacked, log.path):
            code = _exit_code(await self._run(log, inode), one.path)
            if code == 0:
                await self._settle(stream, log, inode)

    async def close(self) -> None:
        """Wait until nothing is left of a helper whose order was taken back, but not for long."""
        await self._helpers.free(_NAME, _LAST_PATIENCE)

    async def _settle(self, stream: str, log: Log, inode: int) -> None:
        """Have what was packed of an older file take its place."""
        kind = rotation.SUFFIXES[log.rotation.compress]
        act = partial(rotation.settle, log.path, inode, kind)
        await between_steps(self._plane, stream, log.path, act)

    async def _run(self, log: Log, inode: int) -> Outcome:
        method = log.rotation.compress
        assert method is not Compression.NONE, "only who wants it asks for it"
        module = "supervisord_lite.logs.files.compress"
        argv = [sys.executable, "-P", "-m", module, log.path, str(inode), method.value]
        program = {"argv": argv, "working_dir": "/"}
        return await self._helpers.run(_NAME, program, _PATIENCE, _WORDS)


def _exit_code(outcome: Outcome, path: str) -> int:
    """0, or that there is nothing to do. Raises `CannotTouch`."""
    if outcome.failure or outcome.timed_out:
        raise CannotTouch(f"cannot compress {path}: {outcome.failure or 'it takes too long'}")
    code = None if outcome.status is None else os.waitstatus_to_exitcode(outcome.status)
    if code not in (0, _NOTHING_TO_DO):
        said = outcome.output.decode(errors="replace").strip().rpartition("\n")[2]
        raise CannotTouch(said or f"cannot compress {path}: exit code {code}")
    return code
