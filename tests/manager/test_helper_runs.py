"""Commands that a manager wants run: real ones, by a real keeper."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

from supervisord_lite.linux.process_table import read_entry
from supervisord_lite.manager.probes.helper_runs import HelperRuns, Outcome
from tests.manager.conftest import Play, Shell

NAME = "@probe/web:0"


def program(*argv: str) -> dict[str, Any]:
    return {"argv": argv, "working_dir": "/"}


def shell_script(text: str) -> dict[str, Any]:
    return program("sh", "-c", text)


def helpers(shell: Shell) -> HelperRuns:
    return shell.prober._helpers


def alive(pid: int) -> bool:
    entry = read_entry(pid)
    return entry is not None and entry.lives


async def run(
    shell: Shell, what: dict[str, Any], timeout: float = 60.0, capture: int = 0
) -> Outcome:
    return await helpers(shell).run(NAME, what, timeout, capture)


def test_the_wait_status_is_told(play: Play[Any]) -> None:
    """A helper's exit code comes back exactly."""

    async def story(shell: Shell) -> Outcome:
        return await run(shell, shell_script("exit 7"))

    assert os.waitstatus_to_exitcode(play(story).status) == 7


def test_the_beginning_of_the_output_is_told(play: Play[Any]) -> None:
    """Both streams are kept, up to as many bytes as were asked for."""

    async def story(shell: Shell) -> Outcome:
        return await run(shell, shell_script("echo one; echo two >&2; echo three"), capture=6)

    assert play(story).output == b"one\ntw"


def test_a_helper_that_writes_much_is_not_held_up(play: Play[Any]) -> None:
    """Megabytes beyond what is kept are thrown away as they come."""

    async def story(shell: Shell) -> Outcome:
        return await run(shell, shell_script("head -c 3000000 /dev/zero"), capture=16)

    assert play(story) == Outcome(0, bytes(16))


def test_what_cannot_be_started_says_why(play: Play[Any]) -> None:
    """A command that is not there is a failure in words."""

    async def story(shell: Shell) -> Outcome:
        return await run(shell, program("/nowhere/to/be/found"), capture=16)

    outcome = play(story)
    assert outcome.status is None
    assert "No such file" in outcome.failure


def test_one_that_takes_too_long_is_killed_with_its_tree(play: Play[Any], tmp_path: Path) -> None:
    """After its time nothing is left: no descendant, not even one in a session of its own."""
    pids = tmp_path / "pids"
    script = f"setsid sleep 100000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"

    async def story(shell: Shell) -> Outcome:
        outcome = await run(shell, shell_script(script), timeout=2.0, capture=16)
        left = [int(word) for word in pids.read_text().split()]
        await shell.until(lambda: not any(map(alive, left)))
        return outcome

    assert play(story).timed_out


def test_what_a_helper_leaves_behind_is_killed(play: Play[Any], tmp_path: Path) -> None:
    """The outcome is told when the command has ended; its background process dies."""
    pid = tmp_path / "pid"

    async def story(shell: Shell) -> Outcome:
        outcome = await run(shell, shell_script(f"sleep 100000 & echo $! > {pid}; exit 0"))
        await shell.until(lambda: not alive(int(pid.read_text())))
        return outcome

    assert play(story).status == 0


def test_one_name_never_runs_twice_at_once(play: Play[Any], tmp_path: Path) -> None:
    """A second one waits until nothing is left of the first."""
    place = tmp_path / "taken"
    script = shell_script(f"mkdir {place} || exit 1; sleep 0.2; rmdir {place}")

    async def story(shell: Shell) -> list[Outcome]:
        return list(await asyncio.gather(*(run(shell, script) for _ in range(3))))

    assert [outcome.status for outcome in play(story)] == [0, 0, 0]


def test_a_cancelled_helper_is_killed(play: Play[Any], tmp_path: Path) -> None:
    """Who does not wait any more leaves nothing behind."""
    pid = tmp_path / "pid"

    async def story(shell: Shell) -> None:
        task = asyncio.create_task(run(shell, shell_script(f"echo $$ > {pid}; exec sleep 100000")))
        await shell.until(lambda: pid.exists() and pid.read_text())
        task.cancel()
        await shell.until(lambda: not alive(int(pid.read_text())))
        assert (await run(shell, shell_script("exit 0"))).status == 0

    play(story)


def test_many_take_turns(play: Play[Any]) -> None:
    """More than may run at once are all run."""

    async def story(shell: Shell) -> list[Outcome]:
        runs = (
            helpers(shell).run(f"@probe/web:{number}", shell_script("exit 3"), 60.0, 8)
            for number in range(50)
        )
        return list(await asyncio.gather(*runs))

    assert {os.waitstatus_to_exitcode(outcome.status or 0) for outcome in play(story)} == {3}


def test_the_helper_of_a_dead_manager_is_killed(play: Play[Any], tmp_path: Path) -> None:
    """What nobody claims is killed with its tree, and its name is free again."""
    pid = tmp_path / "pid"
    tasks = []

    async def first(shell: Shell) -> None:
        script = shell_script(f"echo $$ > {pid}; exec sleep 100000")
        tasks.append(asyncio.create_task(run(shell, script, capture=8)))
        await shell.until(lambda: pid.exists() and pid.read_text())

    async def second(shell: Shell) -> None:
        await shell.until(lambda: not alive(int(pid.read_text())))
        assert (await run(shell, shell_script("exit 0"))).status == 0

    play(first)
    play(second)


def test_no_descriptor_stays(play: Play[Any]) -> None:
    """After all of it the process has as many descriptors as before."""

    async def story(shell: Shell) -> None:
        await run(shell, shell_script("echo x"), capture=8)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            await run(shell, shell_script("echo x"), capture=8)
        await run(shell, program("/nowhere"), capture=8)
        await run(shell, shell_script("sleep 100000"), timeout=0.2, capture=8)
        await shell.until(lambda: not helpers(shell)._helpers)
        assert len(os.listdir("/proc/self/fd")) == before

    play(story)


def test_helpers_are_no_facts_for_the_core(play: Play[Any]) -> None:
    """Nothing about a helper is passed on."""

    async def story(shell: Shell) -> list[Any]:
        await run(shell, shell_script("exit 0"))
        return [fact for fact in shell.facts if re.match("@", fact["instance"])]

    assert play(story) == []
