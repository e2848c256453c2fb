"""Having the configuration compiled: in a short-lived process, spawned by the keeper like all.

The compiler writes JSON into a memfd that the keeper holds too, so a reload that was ordered goes
on although the manager that ordered it has died: the next one finds the unburied run, and its
output. Nothing but that JSON is ever read here: no YAML, no validation library.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervisord_lite.core.plain import from_plain
from supervisord_lite.core.spec import Configuration, Scale
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.manager.keeper_link import KeeperLink

APPLY = "@compile"  # the helper whose result is applied, by this manager or by the next
LOOK = "@plan"  # the helper whose result is only looked at


class BadConfiguration(Exception):
    """The file does not compile. `problems` are lines `file:line:column: path: cannot …`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A configuration, the rows that say where each value comes from, and the text of both."""

    configuration: Configuration
    listing: list[dict[str, Any]]
    text: str


def read_compiled(text: str, *, ignore_unknown: bool = False) -> Compiled:
    """Read what the compiler wrote. Raises `BadConfiguration`. `ignore_unknown` passes over keys
    that a newer version may have had remembered.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise BadConfiguration(["cannot compile the configuration: the compiler died"]) from None
    if "problems" in document:
        raise BadConfiguration(document["problems"])
    plain = document["configuration"]
    configuration = from_plain(Configuration, plain, ignore_unknown=ignore_unknown)
    return Compiled(configuration, document["listing"], text)


def scale_arguments(kept: Sequence[Scale], asked: Mapping[str, int]) -> list[str]:
    """The scales as arguments of the compiler."""
    arguments = []
    for scale in kept:
        arguments += ["--keep", f"{scale.worker}={scale.declared}:{scale.count}"]
    for worker, count in asked.items():
        arguments += ["--scale", f"{worker}={count}"]
    return arguments


class Compiler:
    """Orders compilations and takes their results from the keeper's facts."""

    def __init__(
        self,
        link: KeeperLink,
        held: dict[str, int],
        command: Sequence[str],
        check: Callable[[], None],
    ) -> None:
        """`held` has the outputs of compilations that were ordered before this manager; `command`
        is the compiler's, with the files. `check` ends this manager if its program was replaced.
        """
        self._link = link
        self._command = command
        self._check = check
        self._outputs = {name: held[name] for name in (APPLY, LOOK) if name in held}
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def compile(
        self,
        helper: str,
        *,
        kept: Sequence[Scale] = (),
        asked: Mapping[str, int] | None = None,
    ) -> Compiled:
        """Compile the files anew. `kept` are the scales that are applied, each of which holds
        while the file says what it said; `asked` are numbers of instances that hold in any case.
        Raises `BadConfiguration`.
        """
        async with self._one_at_a_time:
            if (before := self._waiting.get(helper)) is not None:
                await asyncio.shield(before)  # ordered by an earlier manager, or at the boot
            text = await self._run(helper, scale_arguments(kept, asked or {}))
        return read_compiled(text)

    def inherited(self, helper: str) -> "asyncio.Future[str]":
        """The text of a compilation that was ordered before this manager was there."""
        return self._waiting.setdefault(helper, asyncio.get_running_loop().create_future())

    def take(self, fact: Packet) -> bool:
        """Take a fact if it is about a helper of ours."""
        helper = fact.get("instance", "")
        if helper not in (APPLY, LOOK):
            return False
        if fact["tell"] in ("exited", "failed"):
            self._finish(helper, fact)
        return True

    def _finish(self, helper: str, fact: Packet) -> None:
        self._check()  # what a newer compiler wrote is for the manager that comes with it
        output = self._outputs.pop(helper, None)
        waiting = self._waiting.pop(helper, None)
        text = ""
        if output is not None:
            with open(output, "rb") as stream:
                stream.seek(0)
                text = stream.read().decode(errors="replace")
        if (problem := _why_there_is_none(fact)) is not None:
            text = json.dumps({"problems": [problem]})
        if waiting is not None and not waiting.done():
            waiting.set_result(text)
        who = {"instance": helper, "run": fact["run"]}
        self._link.order([{"do": "bury", **who}, {"do": "drop", "names": [helper]}])

    async def _run(self, helper: str, arguments: Sequence[str]) -> str:
        output = os.memfd_create(helper, os.MFD_CLOEXEC)
        self._outputs[helper] = output
        # Runs of a helper are numbered by the clock: a number must only never be used twice.
        run = time.monotonic_ns() // 1_000_000
        program = {"argv": [*self._command, *arguments], "working_dir": "."}
        streams = ["null", f"held:{helper}", "daemon:2"]
        future = self.inherited(helper)
        self._link.order(
            [
                {"do": "hold", "name": helper},
                {
                    "do": "spawn",
                    "instance": helper,
                    "run": run,
                    "program": program,
                    "streams": streams,
                },
            ],
            (output,),
        )
        return await future


def _why_there_is_none(fact: Packet) -> str | None:
    """What kept a compilation from having a result, where a fact says so."""
    if fact["tell"] == "failed":
        return f"cannot start the compiler: {fact['stage']}: {fact['message']}"
    status = fact.get("status")
    if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return "cannot compile the configuration: its files could not be read in time"
    return None
