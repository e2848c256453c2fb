"""A Python function as a worker: `python -m supervisord_lite.worker.run package.module:function`.

The environment has what it is called with, as JSON: SUPERVISORD_LITE_CALL={"args": […], "kwargs":
{…}}. Its module is looked for where `python -m` looks, the working directory first. A coroutine
function is run by asyncio. What it returns becomes the exit code; an exception is a traceback on
stderr and code 1, SystemExit is what it says.
"""

import importlib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from types import TracebackType
from typing import Any

_VARIABLE = "SUPERVISORD_LITE_CALL"
_WAY = (
    __name__,
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "asyncio.runners",
    "asyncio.base_events",
)


def main() -> int:
    """Call the function that the command line names. Returns the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m supervisord_lite.worker.run MODULE:FUNCTION", file=sys.stderr)
        return 2
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # into a log, line by line
    call = json.loads(os.environ.pop(_VARIABLE, "") or "{}")
    sys.argv = sys.argv[1:]
    try:
        return exit_code(_called(sys.argv[0], call.get("args", ()), call.get("kwargs", {})))
    except Exception as error:  # noqa: BLE001 it ends here, as it would without us
        error.__traceback__ = _theirs(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1


def _called(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    function = find(name)
    if not callable(function):
        raise SystemExit(f"cannot call {name!r}: it is of type {type(function).__name__}")
    result = function(*args, **kwargs)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise SystemExit(f"cannot run {name!r}: it is a generator, of which nothing would be done")
    if not inspect.iscoroutine(result):
        return result
    import asyncio

    return asyncio.run(result)


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the function, or its module, on: without how we have come there."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _WAY:
        trace = trace.tb_next
    return trace


def find(name: str) -> Any:
    """The function by its name: "package.module:function", or "…:Class.method"."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise SystemExit(f"cannot find the function {name!r} (try package.module:function)")
    return reduce(getattr, function.split("."), importlib.import_module(module))


def exit_code(result: object) -> int:
    """None and True: 0. False: 1. A number is the code itself. Anything else is a success."""
    if isinstance(result, bool):
        return 0 if result else 1
    if not isinstance(result, int):
        return 0
    if 0 <= result <= 255:
        return result
    print(f"cannot exit with {result}: codes are 0 to 255", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
