"""One try of a probe: a question to a worker from outside, and its answer. It knows no states.

A try never outlasts its timeout and never raises: whatever goes wrong is an answer. What may hang
in the kernel for ever, looking up a name or looking at a file, happens in a thread of its own that
nobody waits for, and that the next try does not run beside.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.probe import (
    ActiveProbe,
    ExecProbe,
    FileProbe,
    HttpProbe,
    TcpProbe,
    UnixProbe,
)
from supervisord_lite.core.span import span
from supervisord_lite.core.spec import InstanceSpec
from supervisord_lite.logs.escape import escape
from supervisord_lite.manager.probes.bystander import Bystander
from supervisord_lite.manager.probes.health_rules import LATE
from supervisord_lite.manager.probes.helper_runs import PREFIX, HelperRuns
from supervisord_lite.manager.probes.tcp_connection import connected

_SHOWN = 200  # characters of what a command says
_CAPTURED = 1024
_OURS = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_BACKLOG_PAUSE = 0.05  # seconds between two looks at a full backlog


@dataclass(frozen=True, slots=True)
class Answer:
    """What a try found. `late` says that this daemon was held up meanwhile, or was short of
    something, so that a failure means nothing.
    """

    good: bool
    detail: str
    late: bool = False


class Tries:
    """Carries out the tries of one probe of one run, one after the other."""

    def __init__(self, helpers: HelperRuns, began: Callable[[], float]) -> None:
        """`began` is the earliest time, on the clock of files, that the run may have made one."""
        self._helpers = helpers
        self._began = began
        self._bystander = Bystander()

    async def carry_out(self, probe: ActiveProbe, spec: InstanceSpec, timeout: float) -> Answer:
        match probe:
            case ExecProbe(argv=argv):  # its time is measured where it is spawned
                return await self._exec(spec, argv, timeout)
            case TcpProbe(host=host, port=port):
                question = self._tcp(host, port)
            case HttpProbe():
                question = self._http(probe)
            case UnixProbe(path=path):
                question = _unix(path)
            case FileProbe(path=path):
                question = self._file(path)
        return await _within(timeout, question)

    async def _tcp(self, host: str, port: int) -> Answer:
        (await connected(host, port, self._bystander)).close()
        return Answer(good=True, detail=f"{host} port {port} accepts connections")

    async def _http(self, probe: HttpProbe) -> Answer:
        from supervisord_lite.manager.probes.http_probe import get

        problem = await get(probe, self._bystander)
        return Answer(good=problem is None, detail=problem or f"{probe.url} answers")

    async def _file(self, path: str) -> Answer:
        status = await self._bystander.call(lambda: os.stat(path))
        if max(status.st_mtime, status.st_ctime) < self._began():
            return Answer(good=False, detail=f"{path} is older than the run")
        return Answer(good=True, detail=f"{path} is there")

    async def _exec(self, spec: InstanceSpec, argv: tuple[str, ...], timeout: float) -> Answer:
        program = to_plain(replace(spec.program, argv=argv), compact=True)
        name = f"{PREFIX}{spec.name}"
        try:
            outcome = await self._helpers.run(name, program, timeout, _CAPTURED)
        except OSError as error:
            detail = f"cannot run {argv[0]}: {error.strerror}"
            return Answer(good=False, detail=detail, late=_is_ours(error))
        said = escape(outcome.output.partition(b"\n")[0])[:_SHOWN]
        if outcome.failure:
            detail = f"cannot run {argv[0]}: {outcome.failure}"
        elif outcome.timed_out:
            detail = _too_slow(timeout)
        elif outcome.status is None:
            detail = "exit status unknown"
        else:
            detail = _ending(outcome.status)
        return Answer(good=outcome.status == 0, detail=f"{detail}: {said}" if said else detail)


async def _unix(path: str) -> Answer:
    """Connect; a backlog that is full says that nobody accepts, so that is waited for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        while True:
            try:
                probe.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_BACKLOG_PAUSE)
            else:
                return Answer(good=True, detail=f"{path} accepts connections")


async def _within(timeout: float, question: Awaitable[Answer]) -> Answer:
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            return await question
    except TimeoutError as error:
        took = time.monotonic() - began
        # A connection may also have timed out by the kernel's rules.
        detail = _too_slow(timeout) if took >= timeout else str(error.strerror)
        return Answer(good=False, detail=detail, late=took > timeout + LATE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        detail = f"{where}{error.strerror or error}"
        return Answer(good=False, detail=detail, late=_is_ours(error))


def _is_ours(error: OSError) -> bool:
    """Whether it is this daemon that has run short of something, and not the worker that failed."""
    return error.errno in _OURS


def _too_slow(timeout: float) -> str:
    return f"no answer within {span(timeout)}"


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
