"""One YAML text to a tree of nodes that know where they stood. Scalars stay text.

The tree is composed from parser events, without recursion: nesting, the number of values and
aliases are bounded while they are read, so that a hostile file costs little. Duplicate keys,
merge keys (`<<`) and `${VAR}` are settled here; what the keys mean is not known here.
"""

from collections.abc import Mapping as Environment
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from supervisord_lite.config.errors import Mark, Path, Problems, quotable, quoted
from supervisord_lite.config.interpolation import substitute

MAX_DEPTH = 64
MAX_VALUES = 1_000_000  # with every alias expanded

_LOADER: Any = getattr(yaml, "CLoader", yaml.Loader)
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))


@dataclass(slots=True, eq=False)
class Scalar:
    """A text; `null` when it was written plain as nothing, `~` or `null`. `plain` is whether it was
    written without quotes, and nothing in it was substituted.
    """

    mark: Mark
    text: str
    null: bool = False
    plain: bool = False
    weight: int = 1
    height: int = 0


@dataclass(slots=True, eq=False)
class Sequence:
    mark: Mark
    items: list["Node"] = field(default_factory=list)
    weight: int = 1  # values in it, aliases expanded
    height: int = 1  # levels of nesting in it


@dataclass(slots=True, eq=False)
class Mapping:
    """`keys` holds where each key of `entries` stood."""

    mark: Mark
    entries: dict[str, "Node"] = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)
    weight: int = 1
    height: int = 1


Node = Scalar | Sequence | Mapping


class _Unusable(Exception):
    """The rest of the text cannot be taken in; the problem has been noted."""


@dataclass(slots=True, eq=False)
class _Open:
    """A list or mapping whose end has not been read; `key` is the one that waits for a value."""

    node: Sequence | Mapping
    anchor: str | None
    key: str | None = None
    key_mark: Mark | None = None
    merged: list[Mapping] = field(default_factory=list)

    @property
    def wants_key(self) -> bool:
        return isinstance(self.node, Mapping) and self.key_mark is None


def read_document(
    text: str, file: str, environment: Environment[str, str], problems: Problems
) -> Mapping | None:
    """The mapping that the text holds; an empty text is an empty mapping. None: it has none."""
    composer = _Composer(file, environment, problems)
    try:
        root = composer.compose(text)
    except _Unusable:
        return None
    except yaml.MarkedYAMLError as error:
        problems.add(composer.mark(error.problem_mark or error.context_mark), (), _syntax(error))
        return None
    except yaml.YAMLError as error:  # a character that YAML does not allow; it has no mark
        position = getattr(error, "position", 0)
        before = text.encode()[:position].decode(errors="replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        reason = getattr(error, "reason", "special characters are not allowed")
        problems.add(Mark(file, line, column), (), f"cannot read the text: {reason}")
        return None
    if root is None or (isinstance(root, Scalar) and root.null):
        return Mapping(Mark(file, 1, 1))
    if isinstance(root, Mapping):
        return root
    problems.add(root.mark, (), "cannot use this as a configuration (write keys, as in workers:)")
    return None


def _syntax(error: yaml.MarkedYAMLError) -> str:
    text = f"cannot parse this: {error.problem or error.context}"
    if error.problem and error.context and error.context_mark:
        text += f" ({error.context} from line {error.context_mark.line + 1})"
    return quotable(text) if len(text) <= 80 else text


class _Composer:
    """Builds the nodes of one text from the events of its parser."""

    def __init__(self, file: str, environment: Environment[str, str], problems: Problems) -> None:
        self._file = file
        self._environment = environment
        self._problems = problems
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._documents = 0

    def mark(self, mark: Any) -> Mark:
        return Mark(self._file, mark.line + 1, mark.column + 1)

    def compose(self, text: str) -> Node | None:
        """The root node. Raises yaml.YAMLError, or `_Unusable` when a limit is passed."""
        for event in yaml.parse(text, Loader=_LOADER):
            match event:
                case yaml.ScalarEvent():
                    self._take(self._scalar(event), event.anchor)
                case yaml.MappingStartEvent():
                    self._push(Mapping(self.mark(event.start_mark)), event)
                case yaml.SequenceStartEvent():
                    self._push(Sequence(self.mark(event.start_mark)), event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._pop()
                case yaml.AliasEvent():
                    self._take(self._alias(event), None)
                case yaml.DocumentStartEvent():
                    self._begin_document(event)
        return self._root

    def _begin_document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._abort(self.mark(event.start_mark), "cannot hold more than one document (---)")

    def _abort(self, mark: Mark, text: str) -> NoReturn:
        self._problems.add(mark, self._path(), text)
        raise _Unusable

    def _path(self) -> Path:
        path: list[str | int] = []
        for frame in self._open:
            if isinstance(frame.node, Sequence):
                path.append(len(frame.node.items))
            elif frame.key is not None:  # between two keys a mapping adds nothing to the path
                path.append(frame.key)
        return tuple(path)

    def _scalar(self, event: Any) -> Scalar:
        mark = self.mark(event.start_mark)
        self._refuse_tag(event, mark)
        plain = event.implicit[0]
        text = event.value
        if self._open and self._open[-1].wants_key:
            return Scalar(mark, text)
        if "${" in text:
            try:
                text = substitute(text, self._environment)
            except ValueError as error:
                self._problems.add(mark, self._path(), str(error))
            plain = False
        return Scalar(mark, text, null=plain and text in _NULLS, plain=plain)

    def _refuse_tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None:
            self._problems.add(mark, self._path(), f"cannot use the YAML tag {quoted(event.tag)}")

    def _alias(self, event: Any) -> Node:
        mark = self.mark(event.start_mark)
        node = self._anchors.get(event.anchor)
        if node is None:
            self._abort(mark, f"cannot find the anchor {quoted(event.anchor)}")
        if any(frame.node is node for frame in self._open):
            self._abort(mark, f"cannot use {quoted(event.anchor)} within itself")
        if len(self._open) + node.height > MAX_DEPTH:
            self._abort(mark, f"cannot nest more than {MAX_DEPTH} levels deep")
        return node

    def _push(self, node: Sequence | Mapping, event: Any) -> None:
        self._refuse_tag(event, node.mark)
        if len(self._open) >= MAX_DEPTH:
            self._abort(node.mark, f"cannot nest more than {MAX_DEPTH} levels deep")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._open.append(_Open(node, event.anchor))

    def _pop(self) -> None:
        frame = self._open.pop()
        if isinstance(frame.node, Mapping):
            for source in frame.merged:
                self._merge(frame.node, source)
        self._take(frame.node, frame.anchor)

    def _merge(self, target: Mapping, source: Mapping) -> None:
        """`<<`: what the mapping has itself goes first, then the earlier source."""
        for key, node in source.entries.items():
            if key not in target.entries:
                target.entries[key] = node
                target.keys[key] = source.keys[key]
                self._weigh(target, node)

    def _weigh(self, parent: Sequence | Mapping, child: Node) -> None:
        parent.weight += child.weight
        parent.height = max(parent.height, child.height + 1)
        if parent.weight > MAX_VALUES:
            text = f"cannot hold more than {MAX_VALUES} values, aliases expanded"
            self._abort(parent.mark, text)

    def _take(self, node: Node, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        frame = self._open[-1]
        if isinstance(frame.node, Sequence):
            self._weigh(frame.node, node)
            frame.node.items.append(node)
        elif frame.key_mark is None:
            self._take_key(frame, node)
        else:
            self._weigh(frame.node, node)
            self._take_value(frame, frame.node, node)

    def _take_key(self, frame: _Open, node: Node) -> None:
        frame.key_mark = node.mark
        if isinstance(node, Scalar):
            frame.key = node.text
        else:
            self._problems.add(node.mark, self._path(), "cannot use a list or mapping as a key")

    def _take_value(self, frame: _Open, parent: Mapping, node: Node) -> None:
        key, mark = frame.key, frame.key_mark
        assert mark is not None
        if key is None:
            pass  # its key was refused
        elif key == "<<":
            self._take_merge(frame, node)
        elif key in parent.entries:
            first = parent.keys[key]
            text = f"cannot give {quoted(key)} twice (it stands at {first} already)"
            self._problems.add(mark, self._path(), text)
        else:
            parent.entries[key] = node
            parent.keys[key] = mark
        frame.key = frame.key_mark = None

    def _take_merge(self, frame: _Open, node: Node) -> None:
        sources = node.items if isinstance(node, Sequence) else [node]
        for source in sources:
            if isinstance(source, Mapping):
                frame.merged.append(source)
            else:
                self._problems.add(
                    source.mark, self._path(), "cannot merge this (<< takes mappings)"
                )
