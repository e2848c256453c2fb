"""Finding the workers of a keeper that is gone, by its journal, before anything is started.

A pid counts only with its start time, and a spawn whose outcome was not written down is searched
for by the mark in its environment: so nothing is started twice, and nobody else's process is
taken for ours. A child that hangs before its exec has no mark yet, and is ended before it gets
one. What is adopted is watched by pidfd; its parent is somebody else.
"""

import json
import os
import signal
import time
from collections.abc import Iterator

from supervisord_lite.keeper import trail
from supervisord_lite.keeper.held import Held
from supervisord_lite.keeper.job import Answer
from supervisord_lite.keeper.journal import Contents, Journal, Noted
from supervisord_lite.keeper.marks import read_mark
from supervisord_lite.keeper.runs import Phase, Run, groups_of
from supervisord_lite.linux.pidfd import open_pidfd, send_signal
from supervisord_lite.linux.process_table import read_entry

_Process = tuple[int, int]  # pid and start time


def adopt(journal: Journal, held: Held) -> Iterator[Run]:
    """The runs that are not over: alive ones with their pidfd, and those whose end nobody saw.

    Their pipes are found again on the way and held.
    """
    contents = journal.contents
    for helper in [key for key in contents.runs if _has_lost_its_output(key[0])]:
        journal.append({"over": list(helper)})
    if not contents.runs and not contents.records:
        return
    if contents.keeper and any(noted.first is None for noted in contents.runs.values()):
        _end_unborn(contents.keeper)
    marked = _marked(contents)
    for instance, number in marked:
        if number > contents.highest.get(instance, 0):  # started while the journal was in trouble
            for key in [key for key in contents.runs if key[0] == instance]:
                journal.append({"over": list(key)})
            journal.append({"pid": [instance, number, *marked[instance, number]]})
    adopted = [
        _adopt_one(instance, number, noted, marked.get((instance, number)))
        for (instance, number), noted in contents.runs.items()
    ]
    held.recover_from(run.pid for run in adopted if run.phase is Phase.ALIVE)
    yield from adopted


def _has_lost_its_output(helper: str) -> bool:
    """Whether a run is of a helper that works for the daemon itself ("@compile"), by an output
    that went with the keeper that held it. One that works for an instance has a slash in its name.
    """
    return helper.startswith("@") and "/" not in helper


def _adopt_one(instance: str, number: int, noted: Noted, marked: _Process | None) -> Run:
    run = Run(instance, number, adopted=True)
    first = noted.first or marked
    if first is None:
        run.phase, run.ended_at = Phase.FAILED, time.monotonic()
        text = "its start was interrupted, and no process of it was found"
        run.failure = Answer(stage="adoption", message=text)
        return run
    run.since, (run.first, run.born) = noted.since, first
    run.pid, run.started = noted.main or first
    run.groups = (run.first,)
    if noted.ended_at is not None:
        run.phase, run.status, run.ended_at = Phase.ENDED, noted.status, noted.ended_at
        return run
    run.pidfd = open_pidfd(run.pid)  # first: a pid that is looked at afterwards cannot change hands
    entry = read_entry(run.pid)
    if run.pidfd is None or entry is None or entry.started != run.started or not entry.lives:
        run.phase = Phase.ENDED  # while nobody looked: how, is not known
        if run.pidfd is not None:
            os.close(run.pidfd)
            run.pidfd = None
    else:
        run.phase = Phase.ALIVE
        run.groups = groups_of(run, entry)
    return run


def _end_unborn(inode: int) -> None:
    """Kill what the dead keeper has forked and what has not become a program yet, because its exec
    hangs: it still has the keeper's pipe of that inode open, and no mark by which it could be
    found. It would be a second process of its instance one day.
    """
    for name in os.listdir("/proc"):
        if not name.isdecimal() or (descriptor := open_pidfd(int(name))) is None:
            continue
        pid = int(name)
        if any(trail.at(pid, number) == ("pipe", inode) for number in trail.descriptors_of(pid)):
            send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)


def _marked(contents: Contents) -> dict[tuple[str, int], _Process]:
    """All living processes that carry our mark, lead a session, as spawned ones do, and have the
    user that their instance's program has: a mark is a claim, the user is a fact.
    """
    found: dict[tuple[str, int], _Process] = {}
    for name in os.listdir("/proc"):
        key = read_mark(int(name), contents.daemon) if name.isdecimal() else None
        if key is None or _has_lost_its_output(key[0]):
            continue
        entry = read_entry(int(name))
        if entry is None or entry.session != entry.pid or not _is_of(contents, key[0], entry.pid):
            continue
        if key not in found or entry.started < found[key][1]:  # a forger comes later
            found[key] = (entry.pid, entry.started)
    return found


def _is_of(contents: Contents, instance: str, pid: int) -> bool:
    """Whether a process has the user whom the instance runs as, as far as it is remembered. What
    helps an instance runs as the same.
    """
    helped = instance.partition("/")[2] if instance.startswith("@") else instance
    try:
        program = json.loads(contents.records[helped])["spec"]["program"]
        expected = (program.get("identity") or {"uid": os.geteuid()})["uid"]
        return bool(os.stat(f"/proc/{pid}").st_uid == expected)
    except (KeyError, TypeError, ValueError, OSError):
        return False
