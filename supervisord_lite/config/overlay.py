"""Several documents to one: what is laid over another.

One rule: mappings are merged key by key, everything else is replaced, and a null takes away what
lies below. Where only one of several keys can hold, the one that lies above does. The marks of
what stays are kept, so that every value knows its file.
"""

from collections.abc import Iterable

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.errors import Path, Problems, quoted
from supervisord_lite.config.lifecycle import PROBES, TIMES
from supervisord_lite.config.output import OURS
from supervisord_lite.config.place import node_at

_STREAMS = ("stdin", "stdout", "stderr")
# The sections whose things have names.
_NAMED: tuple[Path, ...] = (("workers",), ("channels",), ("taps",), ("logs", "forward"))
# Keys of a section of which one holds.
_RIVALS: dict[str, tuple[str, ...]] = {"healthcheck": PROBES, "ready": PROBES, "schedule": TIMES}


def overlay(below: Node, above: Node, path: Path = ()) -> Node:
    """`above` laid over `below`. A key's mark stays the first one: it tells whose the thing is."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    section = _section_of_worker(path)
    if section in _STREAMS and (leads_to_a_channel(above) or leads_to_a_channel(below)):
        return above  # it has nothing in common with one that leads to a log
    merged = Mapping(below.mark, dict(below.entries), dict(below.keys))
    if section in _STREAMS:
        _yield_way(merged, above)
    if section in _RIVALS:
        _yield(merged, above, _RIVALS[section])
    for key, node in above.entries.items():
        under = merged.entries.get(key)
        if under is None:
            merged.entries[key] = node
            merged.keys[key] = above.keys[key]
        elif is_null(node):
            del merged.entries[key], merged.keys[key]
        else:
            merged.entries[key] = overlay(under, node, (*path, key))
    return merged


def leads_to_a_channel(stream: Mapping) -> bool:
    """Whether a stream leads to a channel and nowhere else: no log is kept of it."""
    return "channel" in stream.entries and "log" not in stream.entries


def is_null(node: Node | None) -> bool:
    """Whether nothing was written, or a null."""
    return node is None or (isinstance(node, Scalar) and node.null)


def _section_of_worker(path: Path) -> str:
    """Which section of a worker this is the path of; an empty text if it is none."""
    in_worker = (len(path) == 3 and path[0] == "workers") or (
        len(path) == 2 and path[0] == "defaults"
    )
    return str(path[-1]) if in_worker else ""


def _yield(below: Mapping, above: Mapping, rivals: tuple[str, ...]) -> None:
    """Take out of what lies below the rivals of what lies above."""
    chosen = [key for key in rivals if not is_null(above.entries.get(key))]
    if chosen:
        _take_out(below, set(rivals) - set(chosen))


def _yield_way(below: Mapping, above: Mapping) -> None:
    """Output goes through us or it is the worker's own affair (`direct`): what lies above says
    which, and what lies below about the other is no contradiction.
    """
    direct = above.entries.get("direct")
    if isinstance(direct, Scalar) and direct.text.lower() in ("true", "yes", "on"):
        _take_out(below, OURS)
    elif any(not is_null(above.entries.get(key)) for key in OURS):
        _take_out(below, ("direct",))


def _take_out(section: Mapping, keys: Iterable[str]) -> None:
    for key in keys:
        section.entries.pop(key, None)
        section.keys.pop(key, None)


def refuse_twins(first: Mapping, second: Mapping, problems: Problems) -> None:
    """Files that one `include` brings in are equals: neither may change the other's things."""
    for section in _NAMED:
        one, other = node_at(first, section), node_at(second, section)
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            continue
        for name, mark in other.keys.items():
            if name in one.keys:
                text = f"cannot give {quoted(name)} twice (it stands at {one.keys[name]} already)"
                problems.add(mark, (*section, name), text)
