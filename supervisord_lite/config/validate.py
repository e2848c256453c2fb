"""Runs the model over a document and says what it finds in our words, each with its mark.

What the model refuses is cut out and the rest is validated again, so that the checks that follow
see all that is right: one mistake never hides another.
"""

from typing import Any

from pydantic import ValidationError

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.errors import Path, Problems, quoted
from supervisord_lite.config.model import File
from supervisord_lite.config.place import key_mark, node_at, value_mark
from supervisord_lite.config.scalars import shape
from supervisord_lite.config.unknown import unknown_key

_WANTED = {"model_type": "keys and values", "dict_type": "keys and values", "list_type": "a list"}


def validate(document: Mapping, problems: Problems) -> File:
    """The model of everything that is right in the document; the rest is noted in `problems`."""
    data = plain(document)
    while True:
        try:
            return File.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False)
            for item in found:
                if item["type"] != "missing" or node_at(document, _path(item)[0]) is None:
                    _note(document, item, problems)  # what is missing by now was cut, and noted
                _cut(data, item)


def plain(node: Node) -> Any:
    """The node as dictionaries, lists, texts and None."""
    if isinstance(node, Scalar):
        return None if node.null else node.text
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    return [plain(item) for item in node.items]


def _path(item: Any) -> tuple[Path, bool]:
    """Pydantic's location as a key's path, and whether it is the key itself that is wrong."""
    location = tuple(part for part in item["loc"] if part not in ("#word", "#keys"))
    is_key = location[-1:] == ("[key]",)
    return (location[:-1] if is_key else location), is_key


def _note(document: Mapping, item: Any, problems: Problems) -> None:
    path, is_key = _path(item)
    match item["type"]:
        case "value_error":
            text = str(item["ctx"]["error"])
        case "extra_forbidden":
            text = unknown_key(path)
            is_key = True
        case "missing":
            text = _MISSING.get(path, f"cannot be without {quoted(str(path[-1]))}")
        case kind:
            text = f"cannot be {shape(item['input'])} (write {_WANTED[kind]})"
    mark = key_mark(document, path) if is_key else value_mark(document, path)
    problems.add(mark, path, text)


_MISSING: dict[Path, str] = {
    ("workers",): "cannot be without workers (write workers: {} if there are to be none)"
}


def _cut(data: dict[str, Any], item: Any) -> None:
    """Take the thing that the error is about out of the data; of a list, all of it."""
    path, _ = _path(item)
    inner: Any = data
    for part in path[: -2 if item["type"] == "missing" else -1]:
        if not isinstance(inner.get(part), dict):
            break
        inner = inner[part]
    else:
        part = path[-2 if item["type"] == "missing" and len(path) > 1 else -1]
    inner.pop(part, None)
    data.setdefault("workers", {})
