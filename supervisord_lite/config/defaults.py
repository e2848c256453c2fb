"""`defaults` below every worker, as far as they can be meant for it.

A default that only some kinds of workers can have is kept from the others, and one that says how a
thing is done, but not what, holds for the workers that say what: `healthcheck: {interval: 5s}`
gives nobody a health check.
"""

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.lifecycle import PROBES, TIMES
from supervisord_lite.config.overlay import is_null, overlay
from supervisord_lite.core.spec import Kind

# What a section is nothing without: one of these keys.
_ESSENTIALS: dict[str, tuple[str, ...]] = {
    "healthcheck": PROBES,
    "max_age": ("limit",),
    "max_cpu": ("limit",),
    "max_memory": ("limit",),
    "ready": PROBES,
    "schedule": TIMES,
    "watch": ("paths",),
}
# A worker that says what is run by one of the first has no use for the others.

_RIVALS = ((("command",), ("python", "args", "kwargs")), (("python",), ("command", "shell")))
_ONLY_SERVICES = ("ready", "update")


def apply_defaults(document: Mapping) -> Mapping:
    """The document with `defaults` laid below each of its workers."""
    defaults, workers = document.entries.get("defaults"), document.entries.get("workers")
    if not isinstance(defaults, Mapping) or not isinstance(workers, Mapping):
        return document
    by_kind = {str(kind): _for_kind(defaults, kind) for kind in Kind}
    merged: dict[str, Node] = {}
    for name, worker in workers.entries.items():
        if isinstance(worker, Mapping):
            kind = worker.entries.get("type", defaults.entries.get("type"))
            fitting = by_kind.get(kind.text if isinstance(kind, Scalar) else "", by_kind["service"])
            merged[name] = overlay(_for_worker(fitting, name, worker), worker, ("workers", name))
    complete = Mapping(workers.mark, {**workers.entries, **merged}, workers.keys)
    return Mapping(document.mark, {**document.entries, "workers": complete}, document.keys)


def _with(section: Mapping, entries: dict[str, Node]) -> Mapping:
    return Mapping(section.mark, entries, section.keys)


def _for_kind(defaults: Mapping, kind: Kind) -> Mapping:
    """The defaults for workers of a kind. `restart: always` is meant for services: neither a task
    nor a job runs for ever.
    """
    entries = dict(defaults.entries)
    if kind is not Kind.JOB:
        entries.pop("schedule", None)
    if kind is not Kind.SERVICE:
        for key in _ONLY_SERVICES:
            entries.pop(key, None)
        restart = entries.get("restart")
        when = restart.entries.get("when") if isinstance(restart, Mapping) else None
        if isinstance(restart, Mapping) and isinstance(when, Scalar) and when.text == "always":
            without = {key: node for key, node in restart.entries.items() if key != "when"}
            entries["restart"] = _with(restart, without)
    return _with(defaults, entries)


def _for_worker(defaults: Mapping, name: str, worker: Mapping) -> Mapping:
    """The defaults without what this worker does not take up; it does not wait for itself."""
    entries = {
        key: node
        for key, node in defaults.entries.items()
        if key in worker.entries or not _is_partial(node, _ESSENTIALS.get(key, ()))
    }
    for chosen, displaced in _RIVALS:
        if any(not is_null(worker.entries.get(key)) for key in chosen):
            for key in displaced:
                entries.pop(key, None)
    hooks, waits = entries.get("hooks"), entries.get("depends_on")
    if isinstance(hooks, Mapping):
        own = worker.entries.get("hooks")
        points = own.entries if isinstance(own, Mapping) else {}
        taken = {
            point: hook
            for point, hook in hooks.entries.items()
            if point in points or not _is_partial(hook, ("command",))
        }
        entries["hooks"] = _with(hooks, taken)
    if isinstance(waits, Mapping) and name in waits.entries:
        others = {worker: node for worker, node in waits.entries.items() if worker != name}
        entries["depends_on"] = _with(waits, others)
    return _with(defaults, entries)


def _is_partial(node: Node, essentials: tuple[str, ...]) -> bool:
    """Whether a section has none of the keys that make it something."""
    if not essentials or not isinstance(node, Mapping):
        return False
    return all(is_null(node.entries.get(key)) for key in essentials)
