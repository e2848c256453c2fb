"""`python: "package.module:function"`: a Python function as a worker's program.

It is run by an interpreter of its own, the daemon's, which finds the function by its name; what it
is called with goes by the environment, as JSON. What is written plain in the file and reads as a
number, `true`, `false` or `null` in JSON is that; everything else is text.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

from supervisord_lite.config.document import Mapping, Node, Scalar
from supervisord_lite.config.model import Worker
from supervisord_lite.config.place import Place, node_at

CALL = "SUPERVISORD_LITE_CALL"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,300})(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_WORDS = ("true", "false", "null")

Fill = Callable[[str], str]


def words_of_function(worker: Worker) -> tuple[str, ...]:
    """The command that runs the worker's function, before anything in it is replaced."""
    assert worker.python is not None
    return (sys.executable, "-m", "supervisord_lite.worker.run", worker.python)


def refuse_other_commands(worker: Worker, place: Place) -> None:
    """Refuse what does not go together at the worker at `place`."""
    if worker.python is None:
        for key in ("args", "kwargs"):
            if place.is_given(key):
                place.within(key).refuse(f"cannot use {key} without python")
        return
    for key in ("command", "shell"):
        if place.is_given(key):
            place.within(key).refuse(f"cannot use {key} beside python: that is what is run")


class Call:
    """What a function is called with."""

    def __init__(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        self._args, self._kwargs = args, kwargs

    def __bool__(self) -> bool:
        return bool(self._args or self._kwargs)

    def texts(self) -> tuple[str, ...]:
        """All that is text in it, before anything in it is replaced."""
        return tuple(_texts([self._args, self._kwargs]))

    def filled(self, fill: Fill) -> str:
        """As the environment has it."""
        whole = {"args": _each(self._args, fill), "kwargs": _each(self._kwargs, fill)}
        return json.dumps(whole, separators=(",", ":"), sort_keys=True)


def call_of(worker: Worker, place: Place) -> Call:
    """The call of the worker at `place`; one without anything where there is none."""
    if worker.python is None:
        return Call([], {})
    args, kwargs = _value_at(place.within("args")), _value_at(place.within("kwargs"))
    return Call(args or [], kwargs or {})


def _value_at(place: Place) -> Any:
    node = node_at(place.document, place.path)
    return None if node is None else _value(node)


def _value(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {key: _value(inner) for key, inner in node.entries.items()}
    if not isinstance(node, Scalar):
        return [_value(inner) for inner in node.items]
    if node.null:
        return None
    if node.plain and (node.text in _WORDS or _NUMBER.fullmatch(node.text)):
        value = json.loads(node.text)
        return node.text if value in (inf, -inf) else value  # JSON has no word for those
    return node.text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _each(value: Any, fill: Fill) -> Any:
    """The value with all its texts filled in."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {key: _each(inner, fill) for key, inner in value.items()}
    return [_each(inner, fill) for inner in value] if isinstance(value, list) else value
