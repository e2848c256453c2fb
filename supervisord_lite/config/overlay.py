"""Several documents to one: what is laid over another, and `defaults` below every worker.

One rule: mappings are merged key by key, everything else is replaced, and a null takes away what
lies below. The marks of what stays are kept, so that every value knows its file.
"""

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.errors import Path, Problems, quoted

_STREAMS = ("stdin", "stdout", "stderr")


def overlay(below: Node, above: Node, path: Path = ()) -> Node:
    """`above` laid over `below`. A key's mark stays the first one: it tells whose the thing is."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    if _reroutes(below, above, path):
        return above
    merged = Mapping(below.mark, dict(below.entries), dict(below.keys))
    for key, node in above.entries.items():
        under = merged.entries.get(key)
        if under is None:
            merged.entries[key] = node
            merged.keys[key] = above.keys[key]
        elif isinstance(node, Scalar) and node.null:
            del merged.entries[key], merged.keys[key]
        else:
            merged.entries[key] = overlay(under, node, (*path, key))
    return merged


def _reroutes(below: Mapping, above: Mapping, path: Path) -> bool:
    """A stream that leads to a channel has nothing in common with one that leads to a log."""
    in_worker = (len(path) == 3 and path[0] == "workers") or (
        len(path) == 2 and path[0] == "defaults"
    )
    if not in_worker or path[-1] not in _STREAMS:
        return False
    return "channel" in above.entries or "channel" in below.entries


def refuse_twins(first: Mapping, second: Mapping, problems: Problems) -> None:
    """Files that one `include` brings in are equals: neither may change the other's things."""
    for section in ("workers", "channels"):
        one, other = first.entries.get(section), second.entries.get(section)
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            continue
        for name, mark in other.keys.items():
            if name in one.keys:
                text = f"cannot give {quoted(name)} twice (it stands at {one.keys[name]} already)"
                problems.add(mark, (section, name), text)


def apply_defaults(document: Mapping) -> Mapping:
    """The document with `defaults` laid below each of its workers."""
    defaults, workers = document.entries.get("defaults"), document.entries.get("workers")
    if not isinstance(defaults, Mapping) or not isinstance(workers, Mapping):
        return document
    for_task = _for_task(defaults)
    merged = {
        name: overlay(_below(worker, defaults, for_task), worker, ("workers", name))
        for name, worker in workers.entries.items()
        if isinstance(worker, Mapping)
    }
    complete = Mapping(workers.mark, {**workers.entries, **merged}, workers.keys)
    return Mapping(document.mark, {**document.entries, "workers": complete}, document.keys)


def _below(worker: Mapping, defaults: Mapping, for_task: Mapping) -> Mapping:
    kind = worker.entries.get("type", defaults.entries.get("type"))
    return for_task if isinstance(kind, Scalar) and kind.text == "task" else defaults


def _for_task(defaults: Mapping) -> Mapping:
    """`restart: always` as a default is meant for services; a task does not run for ever."""
    restart = defaults.entries.get("restart")
    when = restart.entries.get("when") if isinstance(restart, Mapping) else None
    if not isinstance(restart, Mapping) or not isinstance(when, Scalar) or when.text != "always":
        return defaults
    without = {key: node for key, node in restart.entries.items() if key != "when"}
    entries = {**defaults.entries, "restart": Mapping(restart.mark, without, restart.keys)}
    return Mapping(defaults.mark, entries, defaults.keys)
