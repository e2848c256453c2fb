"""Finding the workers of a keeper that is gone, by its journal, before anything is started.

A pid counts only with its start time, and a spawn whose outcome was not written down is searched
for by the mark in its environment: so nothing is started twice, and nobody else's process is
taken for ours. What is adopted is watched by pidfd; its parent is somebody else.
"""

import json
import os
from collections.abc import Iterator

from supervisord_lite.keeper.held import Held
from supervisord_lite.keeper.job import Answer
from supervisord_lite.keeper.journal import Contents, Journal
from supervisord_lite.keeper.runs import Phase, Run
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
    if not contents.runs and not contents.records:
        return
    marked = _marked(contents)
    for instance, number in marked:
        if number > contents.highest.get(instance, 0):  # started while the journal was in trouble
            for key in [key for key in contents.runs if key[0] == instance]:
                journal.append({"over": list(key)})
            journal.append({"pid": [instance, number, *marked[instance, number]]})
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
    if run.pidfd is None or entry is None or entry.started != run.started or not entry.lives:
        run.phase = Phase.ENDED  # while nobody looked: how, is not known
        if run.pidfd is not None:
            os.close(run.pidfd)
            run.pidfd = None
    else:
        run.phase = Phase.ALIVE
    return run


def _marked(contents: Contents) -> dict[tuple[str, int], tuple[int, int]]:
    """All living processes that carry our mark, lead a session, as spawned ones do, and have the
    user that their instance's program has: a mark is a claim, the user is a fact.
    """
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        owner, _, rest = (environment_value(int(name), MARK) or "").partition("/")
        instance, _, number = rest.rpartition("/")
        if owner != contents.daemon or not number.isdecimal() or instance.startswith("@"):
            continue
        entry = read_entry(int(name))
        if entry is None or entry.session != entry.pid or not _is_of(contents, instance, entry.pid):
            continue
        key = (instance, int(number))
        if key not in found or entry.started < found[key][1]:  # a forger comes later
            found[key] = (entry.pid, entry.started)
    return found


def _is_of(contents: Contents, instance: str, pid: int) -> bool:
    """Whether a process has the user whom the instance runs as, as far as it is remembered."""
    try:
        program = json.loads(contents.records[instance])["spec"]["program"]
        expected = (program.get("identity") or {"uid": os.geteuid()})["uid"]
        return bool(os.stat(f"/proc/{pid}").st_uid == expected)
    except (KeyError, TypeError, ValueError, OSError):
        return False
