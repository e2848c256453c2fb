"""Short forms to long forms, before anything is merged.

`restart: always` becomes `restart: {when: always}`, so that a worker's short form and the long
one in `defaults` go together, and so that the model knows one form of each key. What is wrong
stays as it is: the model says so.
"""

from collections.abc import Callable

from supervisord_lite.config.document import Mapping, Node, Scalar, Sequence
from supervisord_lite.config.errors import Path, Problems, quoted

STREAM_WORDS = ("discard", "inherit", "joined")

_Form = Callable[[Node, Path, Problems], Node]


def lengthen(document: Mapping, problems: Problems) -> Mapping:
    """The document with all its short forms written out."""
    entries = dict(document.entries)
    if "defaults" in entries:
        entries["defaults"] = _worker(entries["defaults"], ("defaults",), problems)
    workers = entries.get("workers")
    if isinstance(workers, Mapping):
        long = {
            name: _worker(worker, ("workers", name), problems)
            for name, worker in workers.entries.items()
        }
        entries["workers"] = Mapping(workers.mark, long, workers.keys)
    for key, form in _OUTSIDE.items():
        if key in entries:
            entries[key] = form(entries[key], (key,), problems)
    return Mapping(document.mark, entries, document.keys)


def _worker(worker: Node, path: Path, problems: Problems) -> Node:
    if not isinstance(worker, Mapping):
        return worker
    entries = {
        key: _FORMS[key](node, (*path, key), problems) if key in _FORMS else node
        for key, node in worker.entries.items()
    }
    return Mapping(worker.mark, entries, worker.keys)


def _under(node: Node, *keys: str) -> Node:
    """A text as a mapping that has it at each of the keys; all else as it is."""
    if not isinstance(node, Scalar) or node.null:
        return node
    return Mapping(node.mark, dict.fromkeys(keys, node), dict.fromkeys(keys, node.mark))


def _listed(node: Node, _path: Path, _problems: Problems) -> Node:
    """A text as the list of it alone; all else as it is."""
    if not isinstance(node, Scalar) or node.null:
        return node
    return Sequence(node.mark, [node])


def _restart(node: Node, path: Path, problems: Problems) -> Node:
    if not isinstance(node, Mapping):
        return _under(node, "when")
    entries = dict(node.entries)
    if "limit" in entries:
        entries["limit"] = _under(entries["limit"], "count")
    if "success_codes" in entries:
        entries["success_codes"] = _listed(entries["success_codes"], path, problems)
    return Mapping(node.mark, entries, node.keys)


def _stop(node: Node, _path: Path, _problems: Problems) -> Node:
    if not isinstance(node, Scalar) or node.null:
        return node
    key = "wait" if node.text[:1].isdigit() else "signal"
    return Sequence(node.mark, [_under(node, key)])


def _output(node: Node, _path: Path, _problems: Problems) -> Node:
    if isinstance(node, Scalar) and node.text in STREAM_WORDS:
        return node
    if isinstance(node, Mapping):
        return _inside(node, rotate=_under_size, tap=_under_path)
    return _under(node, "log")


def _under_size(node: Node) -> Node:
    return _under(node, "size")


def _under_path(node: Node) -> Node:
    return _under(node, "path")


def _inside(node: Node, **forms: Callable[[Node], Node]) -> Node:
    """The section with the short forms of these keys written out."""
    if not isinstance(node, Mapping):
        return node
    long = {key: forms[key](item) if key in forms else item for key, item in node.entries.items()}
    return Mapping(node.mark, long, node.keys)


def _each(node: Node, form: Callable[[Node], Node]) -> Node:
    """The section with each of its things written out, whatever its name."""
    if not isinstance(node, Mapping):
        return node
    return Mapping(node.mark, {key: form(item) for key, item in node.entries.items()}, node.keys)


def _supervisor(node: Node, path: Path, problems: Problems) -> Node:
    def log(node: Node) -> Node:
        return _inside(_under(node, "path"), rotate=_under_size)

    return _inside(node, log=log, forward=lambda item: _listed(item, path, problems))


def _taps(node: Node, path: Path, problems: Problems) -> Node:
    def tap(node: Node) -> Node:
        return _inside(_under(node, "path"), workers=lambda item: _listed(item, path, problems))

    return _each(node, tap)


def _logs(node: Node, path: Path, problems: Problems) -> Node:
    def forward(node: Node) -> Node:
        return _inside(_under(node, "to"), workers=lambda item: _listed(item, path, problems))

    return _inside(node, forward=lambda forwards: _each(forwards, forward))


def _ulimits(node: Node, _path: Path, _problems: Problems) -> Node:
    if not isinstance(node, Mapping):
        return node
    long = {name: _under(limit, "soft", "hard") for name, limit in node.entries.items()}
    return Mapping(node.mark, long, node.keys)


def _environment(node: Node, path: Path, problems: Problems) -> Node:
    if not isinstance(node, Sequence):
        return node
    mapping = Mapping(node.mark)
    for number, item in enumerate(node.items):
        name, equals, value = item.text.partition("=") if isinstance(item, Scalar) else ("", "", "")
        if not equals:
            text = "cannot read this as a variable (write NAME=VALUE)"
            problems.add(item.mark, (*path, number), text)
        elif name in mapping.entries:
            problems.add(item.mark, (*path, number), _twice(mapping, name))
        else:
            mapping.entries[name] = Scalar(item.mark, value)
            mapping.keys[name] = item.mark
    return mapping


def _twice(mapping: Mapping, name: str) -> str:
    return f"cannot give {quoted(name)} twice (it stands at {mapping.keys[name]} already)"


def _named(node: Node, key: str, path: Path, problems: Problems) -> Node:
    """A name or a list of names, of which nothing more is said; in a mapping of names, a text
    stands for one key of what is said.
    """
    if isinstance(node, Mapping):
        long = {name: _under(item, key) for name, item in node.entries.items()}
        return Mapping(node.mark, long, node.keys)
    listed = _listed(node, path, problems)
    if not isinstance(listed, Sequence):
        return node
    mapping = Mapping(node.mark)
    for number, item in enumerate(listed.items):
        if not isinstance(item, Scalar) or item.null:
            problems.add(item.mark, (*path, number), _NO_NAME[key])
        elif item.text in mapping.entries:
            problems.add(item.mark, (*path, number), _twice(mapping, item.text))
        else:
            mapping.entries[item.text] = Mapping(item.mark)
            mapping.keys[item.text] = item.mark
    return mapping


def _depends_on(node: Node, path: Path, problems: Problems) -> Node:
    return _named(node, "condition", path, problems)


def _channels(node: Node, path: Path, problems: Problems) -> Node:
    return _named(node, "use", path, problems)


def _probe(node: Node, path: Path, problems: Problems) -> Node:
    """`http: URL` in a section of probes."""
    if not isinstance(node, Mapping) or "http" not in node.entries:
        return node
    http = _under(node.entries["http"], "url")
    if isinstance(http, Mapping) and "status" in http.entries:
        status = _listed(http.entries["status"], path, problems)
        http = Mapping(http.mark, {**http.entries, "status": status}, http.keys)
    return Mapping(node.mark, {**node.entries, "http": http}, node.keys)


def _hooks(node: Node, _path: Path, _problems: Problems) -> Node:
    """A command line, or the list of its words, for each point."""
    if not isinstance(node, Mapping):
        return node
    long = {
        point: Mapping(hook.mark, {"command": hook}, {"command": hook.mark})
        if isinstance(hook, Sequence)
        else _under(hook, "command")
        for point, hook in node.entries.items()
    }
    return Mapping(node.mark, long, node.keys)


def _watch(node: Node, path: Path, problems: Problems) -> Node:
    """A glob or a list of them is what is watched; in a mapping, one glob needs no list."""
    if not isinstance(node, Mapping):
        paths = _listed(node, path, problems)
        if isinstance(paths, Scalar):
            return node
        return Mapping(node.mark, {"paths": paths}, {"paths": node.mark})
    lists = {
        key: _listed(item, path, problems) if key in ("paths", "ignore") else item
        for key, item in node.entries.items()
    }
    return Mapping(node.mark, lists, node.keys)


def _keyed(key: str) -> _Form:
    """The form of a section for which a text stands for one key of it."""

    def lengthened(node: Node, _path: Path, _problems: Problems) -> Node:
        return _under(node, key)

    return lengthened


_NO_NAME = {
    "condition": "cannot depend on this (write the name of a worker)",
    "use": "cannot use this (write the name of a channel)",
}
_OUTSIDE: dict[str, _Form] = {"logs": _logs, "supervisor": _supervisor, "taps": _taps}
_FORMS: dict[str, _Form] = {
    "channels": _channels,
    "depends_on": _depends_on,
    "env_file": _listed,
    "environment": _environment,
    "healthcheck": _probe,
    "hooks": _hooks,
    "max_age": _keyed("limit"),
    "max_cpu": _keyed("limit"),
    "max_memory": _keyed("limit"),
    "ready": _probe,
    "reload": _keyed("signal"),
    "restart": _restart,
    "schedule": _keyed("cron"),
    "stderr": _output,
    "stdout": _output,
    "stop": _stop,
    "ulimits": _ulimits,
    "update": _keyed("strategy"),
    "watch": _watch,
}
