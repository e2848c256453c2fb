"""Finding the workers of a keeper that is gone, by its journal, before anything is started.

A pid counts only with its start time, and a spawn whose outcome was not written down is searched
for by the mark in its environment: so nothing is started twice, and nobody else's process is
taken for ours. What is adopted is watched by pidfd; its parent is somebody else.
"""

import os
from collections.abc import Iterator

from supervisord_lite.keeper.held import Held
from supervisord_lite.keeper.journal import Journal
from supervisord_lite.keeper.runs import Phase, Run
from supervisord_lite.keeper.spawner import Answer
from supervisord_lite.keeper.trees import MARK
from supervisord_lite.linux.pidfd import open_pidfd
from supervisord_lite.linux.process_table import environment_value, read_entry


def adopt(journal: Journal, held: Held) -> Iterator[Run]:
    """The runs that are not over: alive ones with their pidfd, and those whose end nobody saw.

    Their pipes are found again on the way and held.
    """
    contents = journal.contents
    for helper in [key for key in contents.runs if key[0].startswith("@")]:
        journal.append({"over": list(helper)})  # its output went with the keeper that held it
    if not contents.runs:
        return
    marked = _marked(contents.daemon) if None in contents.runs.values() else {}
    adopted = [
        _adopt_one(instance, number, known or marked.get((instance, number)))
        for (instance, number), known in contents.runs.items()
    ]
    held.recover_from(run.pid for run in adopted if run.phase is Phase.ALIVE)
    yield from adopted


def _adopt_one(instance: str, number: int, known: tuple[int, int] | None) -> Run:
    run = Run(instance, number, adopted=True)
    if known is None:
        run.phase = Phase.FAILED
        text = "its start was interrupted, and no process of it was found"
        run.failure = Answer(stage="adoption", message=text)
        return run
    run.pid, run.started = known
    run.pidfd = open_pidfd(run.pid)  # first: a pid that is looked at afterwards cannot change hands
    entry = read_entry(run.pid)
    if run.pidfd is None or entry is None or entry.started != run.started or entry.state in "ZX":
        run.phase = Phase.ENDED  # while nobody looked: how, is not known
        if run.pidfd is not None:
            os.close(run.pidfd)
            run.pidfd = None
    else:
        run.phase = Phase.ALIVE
    return run


def _marked(daemon: str) -> dict[tuple[str, int], tuple[int, int]]:
    """All living processes that carry our mark and lead a session, as spawned ones do."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        owner, _, rest = (environment_value(int(name), MARK) or "").partition("/")
        entry = read_entry(int(name)) if owner == daemon else None
        if entry is not None and entry.session == entry.pid:
            instance, _, number = rest.rpartition("/")
            found[instance, int(number)] = (entry.pid, entry.started)
    return found
