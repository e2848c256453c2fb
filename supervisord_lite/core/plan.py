"""The plan: the difference between two configurations, as a value that is printed before it is
applied.

It says for each instance what a reload would do and why. It decides nothing: `Fleet` applies a
configuration by the same comparison (`restarts`), and `Fleet.plan` corrects this plan by what is
up. The values of environment variables are never shown; they may be secrets.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from supervisord_lite.core import wording
from supervisord_lite.core.channel import Binding, Channel, Use
from supervisord_lite.core.channel import Kind as ChannelKind
from supervisord_lite.core.handing import type_name
from supervisord_lite.core.spec import Configuration, InstanceSpec, Kind, Strategy
from supervisord_lite.core.state import (
    Blocked,
    Exited,
    Instance,
    Preparing,
    Scheduled,
    Stopped,
    Waiting,
    live_run,
)
from supervisord_lite.core.values import replace

HIDDEN = "(hidden)"
# What is taken over in place, but matters to a run only from its start on.
_FROM_THE_NEXT_RUN = ("ready", "watchdog")
# Fields whose key in the file is another; empty: what is in them has keys of its own.
_KEYS = {"of": "", "rotation": "rotate", "tap_view": "tap.format", "view": "format"}
_RESTING = Stopped | Exited | Scheduled | Waiting | Blocked | Preparing


class Action(StrEnum):
    """What a reload does to an instance."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    ADJUST = "adjust"  # taken over in place; the process does not notice
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs, both sides in words; "none" is a value that is not there."""

    key: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What happens to one instance, which values cause it, a short reason, and how, where the
    worker's update policy has a say in that ("rolling, 1 at a time").
    """

    instance: str
    action: Action
    changes: tuple[Change, ...] = ()
    why: str = ""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One entry an instance: those of the new configuration in its order, then the removed ones.
    `changes` are the differences outside the instances: channels, deadlines, the control socket.
    """

    entries: tuple[Entry, ...] = ()
    changes: tuple[Change, ...] = ()


def restarts(old: InstanceSpec, new: InstanceSpec) -> bool:
    """Whether going from `old` to `new` needs another run. The run of a job is never cut short for
    that: the next one will be the new program.
    """
    if old.kind is not new.kind:
        return True
    changed = old.program != new.program or _outputs(old) != _outputs(new)
    return new.kind is not Kind.JOB and changed


def _outputs(spec: InstanceSpec) -> list[tuple[str, str | None]]:
    """What takes a run to be changed about its output: the files that the worker itself has open,
    the channels that are given copies.
    """
    logs = (log for log in (spec.stdout_log, spec.stderr_log) if log is not None)
    return [(log.path if log.direct else "", log.channel) for log in logs]


def difference(old: Configuration | None, new: Configuration) -> Plan:
    """What lies between two configurations, before anybody asks what is up."""
    had = {spec.name: spec for spec in old.instances} if old else {}
    has = {spec.name for spec in new.instances}
    kept = [_entry(had.get(spec.name), spec) for spec in new.instances]
    removed = [
        Entry(name, Action.STOP, (), "removed from the configuration")
        for name in had
        if name not in has
    ]
    return Plan((*kept, *removed), tuple(_outside(old, new)) if old else ())


def corrected(plan: Plan, instances: Mapping[str, Instance]) -> Plan:
    """The plan, made aware of what is up: what does not run is not restarted, what is still going
    down starts later, and what nobody declared is stopped.
    """
    planned = {entry.instance for entry in plan.entries}
    entries = [_correct(entry, instances.get(entry.instance)) for entry in plan.entries]
    strangers = [
        Entry(name, Action.STOP, (), "unknown to the configuration")
        for name, instance in instances.items()
        if name not in planned and not instance.retiring
    ]
    return Plan((*entries, *strangers), plan.changes)


def _correct(entry: Entry, instance: Instance | None) -> Entry:
    if instance is None:
        return entry
    up = live_run(instance.state) is not None
    match entry.action:
        case Action.START if instance.retiring:
            return replace(entry, why="added back, starts when its last run is down")
        case Action.START if up:
            return replace(entry, action=Action.KEEP, why="found alive, adopted")
        case Action.RESTART if isinstance(instance.state, Exited) and _starts(entry, instance):
            return replace(entry, action=Action.START, why=f"{entry.why}, runs again", how="")
        case Action.RESTART if isinstance(instance.state, _RESTING) or not instance.wanted:
            return replace(entry, action=Action.ADJUST, why=f"{entry.why}, not up", how="")
        case Action.STOP if not up:
            return replace(entry, why=f"{entry.why}, not up")
        case _:
            return entry


def _starts(entry: Entry, instance: Instance) -> bool:
    changed = next((one.new for one in entry.changes if one.key == "autostart"), None)
    return instance.spec.autostart if changed is None else changed == show(True)


def _entry(old: InstanceSpec | None, new: InstanceSpec) -> Entry:
    if old is None:
        if new.autostart:
            scheduled = ", runs by its schedule" if new.kind is Kind.JOB else ""
            return Entry(new.name, Action.START, (), f"added to the configuration{scheduled}")
        return Entry(new.name, Action.ADJUST, (), "added, autostart is off")
    if old == new:
        return Entry(new.name, Action.KEEP, (), "unchanged")
    changes = tuple(_changes("", old, new))
    keys = ", ".join(change.key for change in changes)
    if restarts(old, new):
        rolls = new.update.strategy is not Strategy.RECREATE
        how = wording.update(new.update) if rolls else ""
        return Entry(new.name, Action.RESTART, changes, f"{keys} changed", how)
    later = any(change.key.partition(".")[0] in _FROM_THE_NEXT_RUN for change in changes)
    when = "from the next run on" if later else "no restart needed"
    return Entry(new.name, Action.ADJUST, changes, f"{keys} changed, {when}")


def _outside(old: Configuration, new: Configuration) -> Iterator[Change]:
    """All that differs except instances and the paths that the configuration was read from."""
    yield from _of_channels(old.channels, new.channels)
    yield from _by_name("taps", old.outlets.taps, new.outlets.taps)
    yield from _by_name("logs.forward", old.outlets.forwards, new.outlets.forwards)
    yield from _changes("logs.max_total", old.outlets.max_total, new.outlets.max_total)
    yield from _changes("supervisor.log", old.outlets.own, new.outlets.own)
    scaled = {scale.worker: scale.count for scale in old.scales}
    scales = {scale.worker: scale.count for scale in new.scales}
    for worker in dict.fromkeys((*scales, *scaled)):
        yield from _changes(f"scale.{worker}", scaled.get(worker), scales.get(worker))
    for key in ("name", "control", "stop_deadline", "state_dir"):
        yield from _changes(key, getattr(old, key), getattr(new, key))


def _of_channels(old: Iterable[Channel], new: Iterable[Channel]) -> Iterator[Change]:
    first, then = ({channel.name: channel for channel in side} for side in (old, new))
    for name in dict.fromkeys((*then, *first)):
        had, has = (side[name].kind if name in side else None for side in (first, then))
        if had is None or has is None or type(had) is not type(has):
            yield Change(f"channels.{name}", _kind(had), _kind(has))
        elif first[name].generation != then[name].generation:
            yield Change(f"channels.{name}", _kind(had), f"{_kind(has)} (another one)")
        else:
            yield from _changes(f"channels.{name}", had, has)


def _kind(kind: ChannelKind | None) -> str:
    """What a channel is, in one line: its type, then its properties."""
    return "none" if kind is None else f"{type_name(kind)} {show(kind)}".rstrip()


def _by_name(key: str, old: Iterable[Any], new: Iterable[Any]) -> Iterator[Change]:
    before, after = ({item.name: item for item in side} for side in (old, new))
    for name in dict.fromkeys((*after, *before)):
        yield from _changes(f"{key}.{name}", before.get(name), after.get(name))


def _changes(key: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if key == "program.environment":
        yield from _environment(key, dict(old), dict(new))
    elif is_dataclass(old) and type(old) is type(new):
        for item in fields(old):
            name = _KEYS.get(item.name, item.name)
            below = ".".join(part for part in (key, name) if part)
            yield from _changes(below, getattr(old, item.name), getattr(new, item.name))
    else:
        yield Change(key, show(old), show(new))


def _environment(key: str, old: dict[str, str], new: dict[str, str]) -> Iterator[Change]:
    """Which variables differ. Where only their order does, that is the change."""
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    for name in names:
        sides = (HIDDEN if name in side else "none" for side in (old, new))
        yield Change(f"{key}.{name}", *sides)
    if not names:
        yield Change(key, f"order {' '.join(old)}", f"order {' '.join(new)}")


def show(value: Any) -> str:
    """A configured value in one line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Binding):
        return _binding(value)
    if isinstance(value, tuple):
        return ", ".join(show(item) for item in value) or "none"
    if is_dataclass(value):
        return " ".join(f"{item.name}={show(getattr(value, item.name))}" for item in fields(value))
    return str(value)


def _binding(binding: Binding) -> str:
    """Such as "jobs put", "web fd=7", "guard (replaced 1x)"."""
    words = [binding.channel]
    if binding.use is not Use.SHARE:
        words.append(binding.use)
    if binding.fd is not None:
        words.append(f"fd={binding.fd}")
    if binding.generation:
        words.append(f"(replaced {binding.generation}x)")
    return " ".join(words)
