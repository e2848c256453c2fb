"""A place in the document: where a key stood, what its paths are relative to, and how to refuse it.

Whatever looks at values after the model has typed them holds a `Place` beside each.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath

from supervisord_lite.config.document import Mapping, Node, Scalar, Sequence
from supervisord_lite.config.errors import Mark, Path, Problems


@dataclass(frozen=True, slots=True)
class Place:
    """The thing at `path` of the document."""

    document: Mapping
    path: Path
    problems: Problems

    def within(self, *path: str | int) -> "Place":
        return Place(self.document, (*self.path, *path), self.problems)

    def beside(self, name: str) -> "Place":
        """The place of another thing in the same section."""
        return Place(self.document, (*self.path[:-1], name), self.problems)

    def is_given(self, *path: str | int) -> bool:
        """Whether the file says something here. What the model has refused is given as well: to
        call it missing would be one problem too many.
        """
        node = node_at(self.document, (*self.path, *path))
        return node is not None and not (isinstance(node, Scalar) and node.null)

    @property
    def mark(self) -> Mark:
        """Where the value stood, or the nearest thing around it that was written."""
        return value_mark(self.document, self.path)

    @property
    def directory(self) -> str:
        """Where the file is that this was written in: relative paths begin there."""
        return _directory_of(self.mark.file, os.getcwd())

    def require(self, key: str) -> None:
        """Refuse the section if the file does not give this key of it."""
        if not self.is_given(key):
            self.refuse(f"cannot be without {key}")

    def refuse(self, text: str) -> None:
        self.problems.add(self.mark, self.path, text)

    def warn(self, text: str) -> None:
        """Say something that is probably not meant, but can be."""
        self.problems.warn(self.mark, self.path, text)


@cache
def _directory_of(file: str, current: str) -> str:
    """The absolute directory of a file, its symbolic links left as they are."""
    return str(FilePath(current, file).parent)


def node_at(document: Mapping, path: Path) -> Node | None:
    """The node at this path, if it was written."""
    node: Node = document
    for part in path:
        if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
            node = node.entries[part]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return None
    return node


def key_mark(document: Mapping, path: Path) -> Mark:
    """Where the last key of the path stood, or the nearest thing around it that was written."""
    parent = node_at(document, path[:-1])
    if path and isinstance(parent, Mapping) and path[-1] in parent.keys:
        return parent.keys[str(path[-1])]
    return value_mark(document, path)


def value_mark(document: Mapping, path: Path) -> Mark:
    """Where the value at the path stood. A section is found by its key, which is what one looks
    for; what was not written is found by the nearest section around it.
    """
    node: Node = document
    mark = document.mark
    for part in path:
        if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
            inner = node.entries[part]
            mark = node.keys[part] if isinstance(inner, Mapping) else inner.mark
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            inner = node.items[part]
            mark = inner.mark
        else:
            break
        node = inner
    return mark
