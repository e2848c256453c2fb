"""How a worker is restarted, stopped and limited: typed sections to the values of `core.spec`."""

import signal

from supervisord_lite.config.document import Mapping
from supervisord_lite.config.model import Restart, Rung, Ulimit
from supervisord_lite.config.place import Place, node_at
from supervisord_lite.core import spec
from supervisord_lite.core.spec import (
    InstanceSpec,
    Kind,
    Program,
    ResourceLimit,
    RestartLimit,
    RestartPolicy,
    Target,
    When,
)

_KILL = spec.Rung(signal.SIGKILL.value, Target.TREE, 5.0)
_UNSAID = RestartPolicy()
_UNSAID_STOP = InstanceSpec("", "", 0, Program((), "")).stop


def restart_of(section: Restart | None, kind: Kind, place: Place) -> RestartPolicy:
    """The policy; what the section leaves open is as `RestartPolicy` has it, except that a task
    or a job is not run again and that `max_delay` is never below a `delay` that was asked for.
    """
    given = section.given() if section else {}
    if kind is not Kind.SERVICE and given.setdefault("when", When.NEVER) is When.ALWAYS:
        place.within("when").refuse(f"cannot restart a {kind} always (try on-failure or never)")
    limit = given.get("limit")
    if limit is not None:
        bounds = limit.given()
        given["limit"] = None if bounds.get("count") == 0 else RestartLimit(**bounds)
    if "success_codes" in given:
        given["success_codes"] = tuple(sorted(set(given["success_codes"])))
    delay = given.get("delay", _UNSAID.delay)
    if delay > given.get("max_delay", delay):
        place.within("max_delay").refuse("cannot be below delay")
    given["max_delay"] = max(delay, given.get("max_delay", _UNSAID.max_delay))
    return RestartPolicy(**given)


def stop_of(rungs: list[Rung] | None) -> tuple[spec.Rung, ...]:
    """The rungs, ended by a KILL to the whole tree: a stop that may leave processes is none."""
    if rungs is None:
        return _UNSAID_STOP
    found = tuple(_rung(rung) for rung in rungs)
    if (found[-1].signal, found[-1].to) == (_KILL.signal, _KILL.to):
        return found
    return (*found, _KILL)


def _rung(rung: Rung) -> spec.Rung:
    number = signal.SIGTERM.value if rung.signal is None else rung.signal
    unsaid = _KILL if number == _KILL.signal else spec.Rung(number, Target.GROUP, 10.0)
    wait = unsaid.wait if rung.wait is None else rung.wait
    return spec.Rung(number, rung.to or unsaid.to, wait)


def _refuse_empty(place: Place) -> None:
    """Nothing was given, unless it was refused before."""
    node = node_at(place.document, place.path)
    if isinstance(node, Mapping) and not node.entries:
        place.refuse("cannot be empty (write soft, hard or both)")


def limits_of(section: dict[str, Ulimit] | None, place: Place) -> tuple[ResourceLimit, ...]:
    """The limits in the order of their names. One bound alone stands for both."""
    found = []
    for name, limit in sorted((section or {}).items()):
        given = limit.model_fields_set
        soft = limit.soft if "soft" in given else limit.hard
        hard = limit.hard if "hard" in given else limit.soft
        if not given:
            _refuse_empty(place.within(name))
        elif hard is not None and (soft is None or soft > hard):
            place.within(name).refuse("cannot have soft above hard")
        found.append(ResourceLimit(name, soft, hard))
    return tuple(found)
