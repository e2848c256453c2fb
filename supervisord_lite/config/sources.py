"""From file names to one document: reading, `include`, and laying files over each other.

Files named later lie over those named earlier; what a file includes lies below it. Included files
are equals among themselves and may not both declare one thing.
"""

import glob
import os
from collections.abc import Mapping as Environment
from pathlib import Path as FilePath

from supervisord_lite.config.document import (
    MAX_VALUES,
    Mapping,
    Node,
    Scalar,
    Sequence,
    read_document,
)
from supervisord_lite.config.errors import Mark, Path, Problems, quoted
from supervisord_lite.config.overlay import overlay, refuse_twins
from supervisord_lite.config.shorthand import lengthen

MAX_FILE_SIZE = 8 * 1024 * 1024
MAX_FILES = 1000


class Sources:
    """Reads files, each with what it includes. `files` are the absolute paths, in the order in
    which they were read; `complete` is false once one of them could not be taken in.
    """

    def __init__(self, environment: Environment[str, str], problems: Problems) -> None:
        self.files: list[str] = []
        self.complete = True
        self._environment = environment
        self._problems = problems
        self._values = 0
        self._stack: list[str] = []

    def read(self, paths: list[str]) -> Mapping:
        """The document that these files are, the later ones laid over the earlier ones."""
        document: Mapping | None = None
        for path in paths:
            read = self._file(path, Mark(path, 1, 1), ())
            document = read if document is None else _laid(document, read)
        assert document is not None
        return document

    def _file(self, path: str, mark: Mark, key: Path) -> Mapping:
        """One file and its includes; `mark` and `key` say who asks for it."""
        absolute = str(FilePath(path).absolute())
        empty = Mapping(Mark(path, 1, 1))
        if os.path.realpath(path) in self._stack:
            self._refuse(mark, key, f"cannot include {quoted(path)} within itself")
            return empty
        if len(self.files) == MAX_FILES:
            self._refuse(mark, key, f"cannot read more than {MAX_FILES} files")
            return empty
        self.files.append(absolute)
        text = self._text(path, mark, key)
        document = (
            None if text is None else read_document(text, path, self._environment, self._problems)
        )
        if document is None:
            self.complete = False
            return empty
        self._count(document)
        self._stack.append(os.path.realpath(path))
        below = self._includes(document, path)
        self._stack.pop()
        document = lengthen(document, self._problems)
        return document if below is None else _laid(below, document)

    def _refuse(self, mark: Mark, key: Path, text: str) -> None:
        self._problems.add(mark, key, text)
        self.complete = False

    def _count(self, document: Mapping) -> None:
        self._values += document.weight
        if self._values > MAX_VALUES:
            text = f"cannot hold more than {MAX_VALUES} values in all files together"
            self._refuse(document.mark, (), text)

    def _text(self, path: str, mark: Mark, key: Path) -> str | None:
        named = f" {quoted(path)}" if key else " the file"
        try:
            with FilePath(path).open("rb") as file:
                content = file.read(MAX_FILE_SIZE + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._problems.add(mark, key, f"cannot read{named}: {reason}")
            return None
        if len(content) > MAX_FILE_SIZE:
            self._problems.add(mark, key, f"cannot read{named}: it is larger than 8 MiB")
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode(errors="replace")
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            self._problems.add(Mark(path, line, column), (), "cannot read the text: it is no UTF-8")
            return None

    def _includes(self, document: Mapping, path: str) -> Mapping | None:
        """All that the file includes, as one document; the key itself is taken out."""
        node = document.entries.pop("include", None)
        included: Mapping | None = None
        for pattern, key in self._patterns(node):
            for found in _matches(path, pattern.text):
                other = self._file(found, pattern.mark, key)
                if included is None:
                    included = other
                else:
                    refuse_twins(included, other, self._problems)
                    included = _laid(included, other)
        return included

    def _patterns(self, node: Node | None) -> list[tuple[Scalar, Path]]:
        if node is None or (isinstance(node, Scalar) and node.null):
            return []
        if isinstance(node, Scalar):
            return [(node, ("include",))]
        patterns: list[tuple[Scalar, Path]] = []
        for number, item in enumerate(node.items if isinstance(node, Sequence) else [node]):
            if isinstance(item, Scalar):
                patterns.append((item, ("include", number)))
            else:
                text = "cannot include this (write the path of a file, or a glob)"
                self._problems.add(item.mark, ("include",), text)
        return patterns


def _laid(below: Mapping, above: Mapping) -> Mapping:
    document = overlay(below, above)
    assert isinstance(document, Mapping)
    return document


def _matches(path: str, pattern: str) -> list[str]:
    """The files that an `include` of the file at `path` means. A glob may mean none."""
    directory = FilePath(path).parent
    if not glob.has_magic(pattern):
        return [str(directory / pattern)]
    whole = str(FilePath(glob.escape(str(directory))) / pattern)
    return sorted(glob.glob(whole, recursive=True))
