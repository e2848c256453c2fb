"""What the keeper is told of a process that it is to start: in the words of the protocol.

A hook is started as its worker is: as the same user, in the same directory and environment, under
the same limits, and what it says goes into the worker's log. It is told what it runs for:

    SUPERVISORD_LITE_HOOK        its point, such as pre_start
    SUPERVISORD_LITE_INSTANCE    web:0
    SUPERVISORD_LITE_WORKER      web
    SUPERVISORD_LITE_WHY         in words, such as "exit code 1"
    SUPERVISORD_LITE_PID         of the worker's main process, while that lives
    SUPERVISORD_LITE_EXIT_CODE   how the run ended, by one of the two,
    SUPERVISORD_LITE_EXIT_SIGNAL   where it has ended
"""

from collections.abc import Iterable, Mapping

from supervisord_lite.core.command import RunHook, hook_name
from supervisord_lite.core.log import Log
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import InstanceSpec, Route, Stream
from supervisord_lite.core.state import Exit, Instance, Parting, Readying, Running
from supervisord_lite.keeper.protocol import Packet

_OURS = "SUPERVISORD_LITE_"


def spawn_order(
    spec: InstanceSpec,
    run: int,
    environment: Iterable[tuple[str, str]] = (),
    extra: Mapping[str, str] | None = None,
) -> Packet:
    """Start a run of the instance; `extra` are descriptors beyond the three, by number."""
    program = to_plain(spec.program, compact=True)
    if more := [list(pair) for pair in environment]:
        program["environment"] = [*program.get("environment", ()), *more]
    order = {
        "do": "spawn",
        "instance": spec.name,
        "run": run,
        "program": program,
        "streams": stream_sources(spec),
    }
    return order | {"extra": dict(extra)} if extra else order


def hook_order(instance: Instance, command: RunHook) -> Packet:
    """Start one of its hooks. Its stdin is empty."""
    spec = instance.spec
    argv = next((hook.argv for hook in spec.hooks if hook.point is command.point), ())
    program = to_plain(spec.program, compact=True) | {"argv": list(argv)}
    told = [[f"{_OURS}{name}", value] for name, value in _circumstances(instance, command)]
    program["environment"] = [*program.get("environment", ()), *told]
    return {
        "do": "spawn",
        "instance": hook_name(command.point, command.instance),
        "run": command.run,
        "program": program,
        "streams": ["null", *_hook_outputs(spec)],
    }


def _circumstances(instance: Instance, command: RunHook) -> Iterable[tuple[str, str]]:
    yield "HOOK", command.point
    yield "INSTANCE", instance.spec.name
    yield "WORKER", instance.spec.worker
    yield "WHY", command.why
    if isinstance(instance.state, Readying | Running | Parting):
        yield "PID", str(instance.state.pid)
    yield from _ending(command.exit)


def _ending(status: Exit | None) -> Iterable[tuple[str, str]]:
    if status is not None and status.code is not None:
        yield "EXIT_CODE", str(status.code)
    if status is not None and status.signal is not None:
        yield "EXIT_SIGNAL", str(status.signal)


def _hook_outputs(spec: InstanceSpec) -> tuple[str, str]:
    """The worker's logs; data that goes through a channel is none of a hook's business."""
    out, err = _log_of(spec, "stdout"), _log_of(spec, "stderr")
    return out or err or "null", err or out or "null"


def _log_of(spec: InstanceSpec, which: str) -> str | None:
    stream: Stream = getattr(spec.program, which)
    log: Log | None = getattr(spec, f"{which}_log")
    if log is not None and log.channel is not None:
        return None  # what is said there is copied into a channel
    if stream.route in (Route.LOG, Route.INHERIT) and stream.channel is None:
        return _source(spec, which, stream, 1 if which == "stdout" else 2)
    return None


def stream_sources(spec: InstanceSpec) -> list[str]:
    """Where the keeper finds the run's stdin, stdout and stderr."""
    program = spec.program
    out = _source(spec, "stdout", program.stdout, 1)
    joined = program.stderr.route is Route.JOINED
    err = out if joined else _source(spec, "stderr", program.stderr, 2)
    return [_source(spec, "stdin", program.stdin, 0), out, err]


def _source(spec: InstanceSpec, which: str, stream: Stream, number: int) -> str:
    match stream.route:
        case Route.LOG:
            log: Log | None = getattr(spec, f"{which}_log")
            if log is not None and log.direct:
                return f"append:{log.path}"
            return f"held:{spec.name}/{which}"
        case Route.INHERIT:
            return f"daemon:{number}"
        case Route.CHANNEL:
            end = "read" if number == 0 else "write"
            return f"held:channel/{stream.channel}/{end}"
        case _:
            return "null"
