"""The kinds of value that a file has, for pydantic: each reads the text that was typed.

A scalar arrives as text and has a parser of its own, so every message is ours; pydantic only walks
the tree, finds unknown keys and collects all that is wrong. Which keys there are is said in
`model` and `lifecycle`.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator

from supervisord_lite.config import values
from supervisord_lite.config.errors import quoted, suggestion

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OURS = re.compile(r"SUPERVISORD_LITE_.*|(NOTIFY|WATCHDOG|LISTEN)_.*")  # set by the daemon


class Section(BaseModel):
    """A mapping whose keys are all known."""

    # Only the whole file is ever validated, so only its validator is built.
    model_config = ConfigDict(extra="forbid", defer_build=True)

    def given(self) -> dict[str, Any]:
        """The keys that the file has, with their values; a null is as good as nothing."""
        return {key: value for key, value in self if value is not None}


def shape(value: object) -> str:
    """What a value of the document is, for messages."""
    names = {dict: "a mapping", list: "a list", type(None): "empty"}
    return names.get(type(value), "a single value")


def form(value: object) -> str:
    """Which one of two forms it is: a word, or a mapping with keys."""
    return "#word" if isinstance(value, str) else "#keys"


def scalar(parse: Callable[[str], T]) -> PlainValidator:
    """A validator that hands the text to `parse`, and refuses lists and mappings."""

    def validate(value: object) -> T:
        if isinstance(value, str):
            return parse(value)
        raise ValueError(f"cannot be {shape(value)} (write a value)")

    return PlainValidator(validate)


def whole(low: int, high: int) -> PlainValidator:
    return scalar(partial(values.integer, low=low, high=high))


def decimal(low: float, high: float) -> PlainValidator:
    return scalar(partial(values.number, low=low, high=high))


def choice(choices: type[StrEnum]) -> PlainValidator:
    return scalar(partial(_one_of, choices))


def _one_of(choices: type[StrEnum], value: str) -> StrEnum:
    known = [str(member) for member in choices]
    if value in known:
        return choices(value)
    hint = suggestion(value, known) or f" (try {', '.join(known)})"
    raise ValueError(f"cannot read {quoted(value)} here{hint}")


def text(value: str) -> str:
    """Any text that can be handed to the kernel."""
    if "\0" in value:
        raise ValueError(f"cannot use {quoted(value)}: it contains a NUL byte")
    return value


def _path(value: str) -> str:
    if not value:
        raise ValueError("cannot be empty (write a path)")
    return text(value)


def _name(value: str) -> str:
    if NAME.fullmatch(value):
        return value
    raise ValueError(
        f"cannot use {quoted(value)} as a name (up to 64 letters, digits, _ . -,"
        " a letter or digit first)"
    )


def _worker_name(value: str) -> str:
    if value == "all":
        raise ValueError('cannot use "all" as a name: it means every worker')
    return _name(value)


def variable_name(value: str) -> str:
    """The name of an environment variable that a file may set."""
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"cannot use {quoted(value)} as the name of a variable")
    if _OURS.fullmatch(value):
        raise ValueError(f"cannot set {value}: the daemon sets it")
    return value


def _span(value: str) -> float:
    """Seconds that pass between two things that are done: at least some."""
    seconds = values.duration(value)
    if seconds < 0.01:
        raise ValueError(f"cannot use {quoted(value)}: it is too short (try 10ms or more)")
    return seconds


def _command(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(text(word) for word in value)
    raise ValueError(f"cannot be {shape(value)} (write a command line, or a list of its words)")


Text = Annotated[str, scalar(text)]
PathText = Annotated[str, scalar(_path)]
Name = Annotated[str, scalar(_name)]
WorkerName = Annotated[str, scalar(_worker_name)]
VariableName = Annotated[str, scalar(variable_name)]
Boolean = Annotated[bool, scalar(values.boolean)]
Duration = Annotated[float, scalar(values.duration)]
Span = Annotated[float, scalar(_span)]
Size = Annotated[int, scalar(values.size)]
Mode = Annotated[int, scalar(values.mode)]
Signal = Annotated[int, scalar(values.signal_number)]
Command = Annotated[str | tuple[str, ...], PlainValidator(_command)]
