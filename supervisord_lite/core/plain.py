"""Values as JSON: how a frozen dataclass becomes plain data, and how it is read back.

Plain data is what `json` takes: dictionaries, lists, strings, numbers, booleans, null. A field
whose type is a union of dataclasses is tagged with the name of the class (`{"is": "Running", …}`),
so reading never guesses. Reading is strict: what does not fit is a `ValueError` that names the
path of the thing, never a value that fits by accident.

What a type needs is worked out once and kept: a fleet of thousands is written and read at every
boot. It never looks at a value's meaning, and it performs no I/O.
"""

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

TAG = "is"

_Turn = Callable[[Any], Any]
_UNION = (Union, type(int | None))


class _MismatchError(ValueError):
    """What was found, and the path to it, innermost part first while it travels outwards."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path: list[str] = []


def to_plain(value: Any, *, compact: bool = False) -> Any:
    """A dataclass value as plain data. `compact` leaves out every field that has its default,
    which `from_plain` supplies again.
    """
    kind: Any = type(value)
    return _writer(kind, compact)(value)


def from_plain(kind: type[T], plain: object, *, ignore_unknown: bool = False) -> T:
    """Read a value of the dataclass `kind`. Raises `ValueError` naming the path of what does not
    fit. `ignore_unknown` passes over keys that a newer version may have written.
    """
    wanted: Any = kind
    try:
        value: T = _reader(wanted, ignore_unknown)(plain)
    except _MismatchError as mismatch:
        path = "".join(reversed(mismatch.path)).lstrip(".") or kind.__name__
        raise ValueError(f"cannot read {path}: {mismatch}") from None
    return value


# --------------------------------------------------------------------------- writing


def _same(value: Any) -> Any:
    return value


@cache
def _writer(kind: Any, compact: bool) -> _Turn:
    if kind in (bool, int, float, str, type(None)):
        return _same
    if get_origin(kind) is tuple:
        return _tuple_writer(kind, compact)
    if get_origin(kind) in _UNION:
        return _union_writer(kind, compact)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return str
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_writer(kind, compact)
    raise TypeError(f"cannot write values of type {kind} as plain data")


def _tuple_writer(kind: Any, compact: bool) -> _Turn:
    items = get_args(kind)
    if items[-1:] == (...,):
        write = _writer(items[0], compact)
        return list if write is _same else lambda value: [write(item) for item in value]
    writers = [_writer(item, compact) for item in items]
    return lambda value: [write(item) for write, item in zip(writers, value, strict=True)]


def _union_writer(kind: Any, compact: bool) -> _Turn:
    members = [member for member in get_args(kind) if member is not type(None)]
    if len(members) == 1:
        only = _writer(members[0], compact)
        return only if only is _same else lambda value: None if value is None else only(value)
    writers = {member: (member.__name__, _writer(member, compact)) for member in members}

    def write(value: Any) -> Any:
        if value is None:
            return None
        name, writer = writers[type(value)]
        return {TAG: name, **writer(value)}

    return write


def _defaults(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in fields(kind):
        if item.default is not MISSING:
            found[item.name] = item.default
        elif item.default_factory is not MISSING:
            found[item.name] = item.default_factory()
    return found


def _dataclass_writer(kind: Any, compact: bool) -> _Turn:
    hints, defaults, absent = get_type_hints(kind), _defaults(kind), object()
    plan = [
        (item.name, _writer(hints[item.name], compact), defaults.get(item.name, absent))
        for item in fields(kind)
    ]

    def write_all(value: Any) -> dict[str, Any]:
        return {name: write(getattr(value, name)) for name, write, _ in plan}

    def write_changed(value: Any) -> dict[str, Any]:
        plain = {}
        for name, write, default in plan:
            item = getattr(value, name)
            if item is default or (default is not absent and item == default):
                continue
            plain[name] = item if write is _same else write(item)
        return plain

    return write_changed if compact else write_all


# --------------------------------------------------------------------------- reading


def _found(plain: object) -> str:
    names = {dict: "an object", list: "a list", type(None): "null"}
    return names.get(type(plain)) or repr(plain)


@cache
def _reader(kind: Any, ignore_unknown: bool) -> _Turn:
    if kind in _SCALARS:
        return _SCALARS[kind]
    if get_origin(kind) is tuple:
        return _tuple_reader(kind, ignore_unknown)
    if get_origin(kind) in _UNION:
        return _union_reader(kind, ignore_unknown)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _enum_reader(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass_reader(kind, ignore_unknown)
    raise TypeError(f"cannot read values of type {kind} from plain data")


def _scalar_reader(kind: type, words: str) -> _Turn:
    def read(plain: Any) -> Any:
        if type(plain) is not kind:
            raise _MismatchError(f"expected {words}, found {_found(plain)}")
        return plain

    return read


def _read_float(plain: Any) -> float:
    if type(plain) is float:
        return plain
    if type(plain) is int:
        return float(plain)
    raise _MismatchError(f"expected a number, found {_found(plain)}")


_SCALARS: dict[Any, _Turn] = {
    bool: _scalar_reader(bool, "true or false"),
    int: _scalar_reader(int, "a whole number"),
    str: _scalar_reader(str, "a text"),
    float: _read_float,
}


def _enum_reader(kind: type[StrEnum]) -> _Turn:
    members = {str(member): member for member in kind}

    def read(plain: Any) -> StrEnum:
        member = members.get(plain) if isinstance(plain, str) else None
        if member is None:
            raise _MismatchError(f"expected one of {', '.join(members)}, found {_found(plain)}")
        return member

    return read


def _tuple_reader(kind: Any, ignore_unknown: bool) -> _Turn:
    items = get_args(kind)
    endless = items[-1:] == (...,)
    readers = [_reader(item, ignore_unknown) for item in items if item is not ...]

    def read(plain: Any) -> tuple[Any, ...]:
        if type(plain) is not list:
            raise _MismatchError(f"expected a list, found {_found(plain)}")
        if not endless and len(plain) != len(readers):
            raise _MismatchError(f"expected {len(readers)} items, found {len(plain)}")
        values: list[Any] = []
        try:
            for index, item in enumerate(plain):
                values.append(readers[0 if endless else index](item))
        except _MismatchError as mismatch:
            mismatch.path.append(f"[{len(values)}]")
            raise
        return tuple(values)

    return read


def _union_reader(kind: Any, ignore_unknown: bool) -> _Turn:
    members = [member for member in get_args(kind) if member is not type(None)]
    optional = len(members) < len(get_args(kind))
    if len(members) == 1:
        only = _reader(members[0], ignore_unknown)
        return lambda plain: None if plain is None else only(plain)
    readers = {member.__name__: _reader(member, ignore_unknown) for member in members}

    def read(plain: Any) -> Any:
        if plain is None and optional:
            return None
        if type(plain) is not dict:
            raise _MismatchError(f"expected an object, found {_found(plain)}")
        tag = plain.get(TAG)
        if not isinstance(tag, str) or tag not in readers:
            raise _MismatchError(f'expected "{TAG}" to be one of {", ".join(readers)}')
        return readers[tag]({key: item for key, item in plain.items() if key != TAG})

    return read


def _refuse(_: Any) -> Any:
    raise _MismatchError("there is no such key")


def _dataclass_reader(kind: Any, ignore_unknown: bool) -> _Turn:
    hints = get_type_hints(kind)
    readers = {
        item.name: _shared(hints[item.name], _reader(hints[item.name], ignore_unknown))
        for item in fields(kind)
    }
    scalars = {name: hints[name] for name in readers if hints[name] in _SCALARS}
    required = readers.keys() - _defaults(kind).keys()

    def read(plain: Any) -> Any:
        if type(plain) is not dict:
            raise _MismatchError(f"expected an object, found {_found(plain)}")
        values = {}
        name = ""
        try:
            for name, item in plain.items():
                if type(item) is scalars.get(name):  # most are, and nothing is left to do
                    values[name] = item
                elif name in readers or not ignore_unknown:
                    values[name] = readers.get(name, _refuse)(item)
        except _MismatchError as mismatch:
            mismatch.path.append(f".{name}")
            raise
        if not values.keys() >= required:
            missing = required - values.keys()
            raise _MismatchError(f"missing {', '.join(sorted(missing))}")
        return kind(**values)

    return read


def _shared(kind: Any, read: _Turn) -> _Turn:
    """Have what is read again and again be one value: what the instances of a worker have in
    common. Only within others, so that nothing large is kept for this.
    """
    members = get_args(kind) if get_origin(kind) in _UNION else (kind,)
    if not any(isinstance(member, type) and is_dataclass(member) for member in members):
        return read
    last: Any = None

    def read_shared(plain: Any) -> Any:
        nonlocal last
        made = read(plain)
        if made != last:
            last = made
        return last

    return read_shared
