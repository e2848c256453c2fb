"""The fleet and the configuration that an earlier manager left, from what the keeper remembers."""

import json
from datetime import UTC, tzinfo
from typing import Any, NamedTuple

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.moment import Clock
from supervisord_lite.core.plain import from_plain
from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.state import Instance, Shutdown, has_left
from supervisord_lite.keeper.protocol import Packet
from supervisord_lite.linux.clock import offset
from supervisord_lite.manager.compiling import Compiled, read_compiled
from supervisord_lite.manager.executor import CONFIGURATION, ROLLOUT, SHUTDOWN

_STOP_DEADLINE = 60.0  # seconds for all of a shutdown, where the configuration has none
_AS_INIT = 9.0  # the same as PID 1: container engines kill after ten


class Restored(NamedTuple):
    """What an earlier manager left: at a first boot an empty fleet and None. Those who `left` are
    of the fleet no more, but some of what they said may still wait to be logged.
    """

    fleet: Fleet
    compiled: Compiled | None
    left: tuple[Instance, ...]


def restored(records: Packet, *, held: bool, as_init: bool) -> Restored:
    """What there was."""
    records = dict(records)
    applied = records.pop(CONFIGURATION, None)
    compiled = read_compiled(applied, ignore_unknown=True) if applied is not None else None
    shutdown = records.pop(SHUTDOWN, None)
    rollouts = [records.pop(name) for name in list(records) if name.startswith(ROLLOUT)]
    known = [_read(Instance, text) for text in records.values()]
    fleet = Fleet.restore(
        compiled.configuration if compiled else None,
        [instance for instance in known if not has_left(instance)],
        held=held,
        shutdown=_read(Shutdown, shutdown) if shutdown else None,
        rollouts=[_read(Rollout, text) for text in rollouts],
        clock=Clock(offset(), time_zone),
        stop_deadline=_AS_INIT if as_init else _STOP_DEADLINE,
    )
    return Restored(fleet, compiled, tuple(filter(has_left, known)))


def time_zone(name: str) -> tzinfo:
    """A zone by its name in the IANA database. The compiler has looked it up before."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _read(kind: Any, text: str) -> Any:
    return from_plain(kind, json.loads(text), ignore_unknown=True)
