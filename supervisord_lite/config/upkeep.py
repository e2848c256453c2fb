"""What is done about a worker beside keeping it up: hooks, rules, files that are watched,
roll-outs, its own reload, its end. Typed sections to the values of `core.spec`.
"""

import re
import signal

from supervisord_lite.config.errors import quoted
from supervisord_lite.config.filling import Filling
from supervisord_lite.config.lifecycle import Hook as HookSection
from supervisord_lite.config.lifecycle import SignalTo, Update
from supervisord_lite.config.lifecycle import Watch as WatchSection
from supervisord_lite.config.model import Worker
from supervisord_lite.config.place import Place
from supervisord_lite.core.spec import (
    Hook,
    HookPoint,
    Kind,
    OnExit,
    Resource,
    ResourceRule,
    RestartPolicy,
    Strategy,
    UpdatePolicy,
    Watch,
    When,
)

CPU_WINDOW = 60.0  # seconds: as long as a burst of work may last that is nothing to worry about
_LABEL = re.compile(r"[A-Za-z0-9_./:+-]{0,64}", re.ASCII)
_UNSAID_UPDATE = UpdatePolicy()


def labels_of(
    labels: dict[str, str], place: Place, filling: Filling
) -> tuple[tuple[str, str], ...]:
    """The labels, sorted by key."""
    found = []
    for key, value in sorted(labels.items()):
        text = filling.text(value, place.within(key))
        if not _LABEL.fullmatch(text):
            allowed = "up to 64 letters, digits, _ . / : + -"
            place.within(key).refuse(f"cannot use {quoted(text)} as a label ({allowed})")
        found.append((key, text))
    return tuple(found)


def hooks_of(
    sections: dict[HookPoint, HookSection], place: Place, filling: Filling
) -> tuple[Hook, ...]:
    """The hooks, in the order of `HookPoint`."""
    found = []
    for point in HookPoint:
        section = sections.get(point)
        if section is None:
            continue
        within = place.within(str(point))
        if section.command is None:
            within.require("command")
            continue
        words = filling.words(section.command, within.within("command"), shell=bool(section.shell))
        timing = {} if section.timeout is None else {"timeout": section.timeout}
        found.append(Hook(point, words, **timing))
    return tuple(found)


def rules_of(worker: Worker, place: Place) -> tuple[ResourceRule, ...]:
    """The rules about resources."""
    sections = (
        (Resource.MEMORY, "max_memory", worker.max_memory),
        (Resource.CPU, "max_cpu", worker.max_cpu),
        (Resource.AGE, "max_age", worker.max_age),
    )
    found = []
    for resource, key, section in sections:
        if section is None:
            continue
        given = section.given()
        if resource is Resource.CPU:
            given.setdefault("window", CPU_WINDOW)
        if "limit" in given:
            found.append(ResourceRule(resource, **given))
        else:
            place.within(key).require("limit")
    return tuple(found)


def watch_of(section: WatchSection, place: Place, filling: Filling) -> Watch:
    """The files whose change restarts the worker. What is ignored is a name, or a path."""
    if section.paths is None:
        place.require("paths")
    elif not section.paths:
        text = "cannot be empty (write a file, a directory or a glob)"
        place.within("paths").refuse(text)
    timing = {} if section.debounce is None else {"debounce": section.debounce}
    paths = tuple(
        filling.path(path, place.within("paths", number))
        for number, path in enumerate(section.paths or ())
    )
    ignored = tuple(
        (filling.path if "/" in item else filling.text)(item, place.within("ignore", number))
        for number, item in enumerate(section.ignore or ())
    )
    return Watch(paths, ignored, **timing)


def update_of(section: Update | None, kind: Kind, count: int, place: Place) -> UpdatePolicy:
    """How a roll-out of the worker at `place` proceeds, with `count` instances."""
    if section is None:
        return _UNSAID_UPDATE
    given = section.given()
    if "max_unavailable" in given:
        given["max_unavailable"] = given["max_unavailable"].of(count)
    policy = UpdatePolicy(**given)
    if policy.strategy is not Strategy.RECREATE and kind is not Kind.SERVICE:
        text = f"cannot roll out a {kind} so: its runs do not stay (try recreate)"
        place.within("update", "strategy").refuse(text)
    return policy


def signals_of(sections: dict[int, int] | None, place: Place) -> tuple[tuple[int, int], ...]:
    """What is sent to the worker instead of what. Without a KILL that is one, it could not be
    stopped for certain.
    """
    if sections and signal.SIGKILL in sections:
        place.refuse("cannot send anything instead of KILL: it is what ends a worker for certain")
    return tuple(sorted((sections or {}).items()))


def reload_of(section: SignalTo | None, place: Place) -> int | None:
    """The signal that makes the worker read its own configuration again."""
    if section is None:
        return None
    place.within("reload").require("signal")
    return section.signal


def on_exit_of(worker: Worker, restart: RestartPolicy, place: Place) -> OnExit:
    """What the worker's end means to the others; one that never ends cannot mean anything."""
    meaning = worker.on_exit or OnExit.NOTHING
    if meaning is not OnExit.NOTHING:
        if worker.type is Kind.JOB:
            place.within("on_exit").refuse("cannot wait for its end: a job has a next run")
        elif restart.when is When.ALWAYS and restart.limit is None:
            text = "cannot wait for its end: it is restarted for ever (give restart.limit)"
            place.within("on_exit").refuse(text)
    return meaning
