"""What a manager may order, and how the keeper obeys: one function an order, in one table.

An order names runs, never pids. One about a run that is over is obeyed by doing nothing.
"""

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from supervisord_lite.keeper import trail
from supervisord_lite.keeper.complaint import complain
from supervisord_lite.keeper.job import Job, Outfit
from supervisord_lite.keeper.marks import mark
from supervisord_lite.keeper.runs import Phase, Run
from supervisord_lite.linux.descriptors import clear_nonblocking

if TYPE_CHECKING:
    from supervisord_lite.keeper.keeper import Keeper

Order = dict[str, Any]
Handler = Callable[["Keeper", Order, list[int]], None]

# What the service manager told the daemon is not meant for its workers (systemd.exec(5)).
_NOT_PASSED_ON = (
    "NOTIFY_",
    "WATCHDOG_",
    "LISTEN_",
    "MEMORY_PRESSURE_",
    "FDSTORE",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "SUPERVISORD_LITE_",  # the mark of a run of another daemon, the socket of one
)


def inherited_environment() -> dict[str, str]:
    """What workers get of the daemon's environment: the same at every run."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)
    }


def _remember(keeper: "Keeper", order: Order, _: list[int]) -> None:
    name, value = order["name"], order["value"]
    keeper.journal.append({"remember": name, "value": value})


def _hold(keeper: "Keeper", order: Order, descriptors: list[int]) -> None:
    keeper.held.hold(order["name"], descriptors.pop(0))


def _drop(keeper: "Keeper", order: Order, _: list[int]) -> None:
    for name in order["names"]:
        keeper.held.drop(name)


def _spawn(keeper: "Keeper", order: Order, _: list[int]) -> None:
    """Have a run made, and tell of it.

    `streams` says what 0, 1 and 2 are (`_stream`), `extra`, if it is there, what descriptors of
    other numbers are, which are its keys (`_further`). The descriptors must be held until the
    answer is told.
    """
    run = Run(order["instance"], order["run"])
    if keeper.runs.refusal(run.instance, run.number):
        return  # a resend; what is true of the run has been told, or will be
    program = order["program"]
    keeper.journal.append({"intent": [run.instance, run.number]})
    keeper.runs.add(run)

    def prepare() -> tuple[Job, list[int]]:
        streams = [_stream(keeper, name, program) for name in order["streams"]]
        extra = {int(number): name for number, name in order.get("extra", {}).items()}
        further = [_further(keeper, name, program) for name in extra.values()]
        logs = tuple(map(_log, order["streams"]))
        return _job(keeper, program, run, tuple(extra), logs), [*streams, *further]

    keeper.spawner.submit(prepare, partial(keeper.spawn_answered, run))


def _job(
    keeper: "Keeper",
    program: Order,
    run: Run,
    extra: tuple[int, ...],
    logs: tuple[str | None, ...],
) -> Job:
    return Job(
        argv=program["argv"],
        working_dir=program["working_dir"],
        environment=_environment(keeper, program, run),
        umask=program.get("umask"),
        identity=_ids(program),
        extra=extra,
        outfit=_outfit(program),
        logs=logs,
    )


def _log(name: str) -> str | None:
    """The path of `append:PATH`: the spawner opens it, since that may take as long as it likes."""
    kind, _, path = name.partition(":")
    return path if kind == "append" else None


def _stream(keeper: "Keeper", name: str, program: Order) -> int:
    """The descriptor that a stream's name means: `null`, `daemon:N`, `held:NAME`; or that there is
    none, by an errno: `refused:N`. For `append:PATH` see `_log`.
    """
    kind, _, which = name.partition(":")
    if kind in ("null", "append"):
        return keeper.null
    if kind == "daemon":
        return int(which)
    if kind == "refused":
        raise OSError(int(which), os.strerror(int(which)))
    descriptor = _held(keeper, which)
    clear_nonblocking(descriptor)
    _give(descriptor, program)
    return descriptor


def _further(keeper: "Keeper", name: str, program: Order) -> int:
    """The descriptor that a name beside the streams means: `held:NAME`. Its flags are shared with
    whoever else has it, so they stay; a pipe can be opened again by the worker's user.
    """
    descriptor = _held(keeper, name.removeprefix("held:"))
    _give(descriptor, program)
    return descriptor


def _give(descriptor: int, program: Order) -> None:
    """Let the worker's user open a pipe again, as /dev/stdout, say. One that has a name has an
    owner, who was chosen.
    """
    if program.get("identity") and trail.at(os.getpid(), descriptor)[0] == "pipe":
        os.fchown(descriptor, program["identity"]["uid"], program["identity"]["gid"])


def _held(keeper: "Keeper", name: str) -> int:
    if name not in keeper.held:
        raise OSError(errno.EBADF, f"{name} is not held")
    return keeper.held[name]


def _environment(keeper: "Keeper", program: Order, run: Run) -> dict[str, str]:
    environment = {} if program.get("clear_environment") else dict(keeper.environment)
    if who := program.get("identity"):
        environment |= {
            "HOME": who["home"],
            "USER": who["name"],
            "LOGNAME": who["name"],
            "SHELL": who["shell"],
        }
    environment.update(program.get("environment", ()))
    return environment | mark(keeper.journal.contents.daemon, run.instance, run.number)


def _ids(program: Order) -> tuple[int, int, tuple[int, ...]] | None:
    who = program.get("identity")
    return (who["uid"], who["gid"], tuple(who["groups"])) if who else None


def _outfit(program: Order) -> Outfit:
    return Outfit(
        limits=tuple((x["name"], x["soft"], x["hard"]) for x in program.get("limits", ())),
        nice=program.get("nice"),
        oom_score_adj=program.get("oom_score_adj"),
        cpu_affinity=tuple(program.get("cpu_affinity", ())),
        no_new_privileges=program.get("no_new_privileges", False),
        # Whatever stands there: the right value is known after the fork only.
        listen_pid="LISTEN_PID" in dict(program.get("environment", ())),
    )


def _signal(keeper: "Keeper", order: Order, _: list[int]) -> None:
    run = keeper.runs.find(order["instance"], order["run"])
    if run is None or run.phase not in (Phase.ALIVE, Phase.ENDED):
        return
    send = {
        "main": keeper.trees.signal_main,
        "group": keeper.trees.signal_group,
        "tree": keeper.trees.signal_tree,
    }[order["to"]]
    send(run, order["signal"])


def _sweep(keeper: "Keeper", order: Order, _: list[int]) -> None:
    run = keeper.runs.find(order["instance"], order["run"])
    if run is not None and not run.emptied:
        keeper.sweeper.begin(run, time.monotonic())


def _bury(keeper: "Keeper", order: Order, _: list[int]) -> None:
    run = keeper.runs.find(order["instance"], order["run"])
    if run is not None and run.phase in (Phase.ENDED, Phase.FAILED):
        keeper.runs.bury(run)
        keeper.journal.append({"over": [run.instance, run.number]})


def _main(keeper: "Keeper", order: Order, _: list[int]) -> None:
    """Make another process the main one of a run, or say why it cannot be: an answer there must
    be, whatever goes wrong.
    """
    run, pid = keeper.runs.find(order["instance"], order["run"]), order["pid"]
    who = {"instance": order["instance"], "run": order["run"], "pid": pid}
    try:
        why = "the run is over" if run is None else keeper.mains.replace(run, pid)
    except OSError as error:
        complain(f"cannot make {pid} the main process of {order['instance']}: {error.strerror}")
        why = str(error.strerror)
    if run is None or why:
        keeper.tell({"tell": "refused_main", **who, "why": why})
        return
    keeper.journal.append({"main": [run.instance, run.number, run.pid, run.started]})
    keeper.tell({"tell": "main", **who})


def _watch(keeper: "Keeper", order: Order, _: list[int]) -> None:
    keeper.signals.watch(order["signals"])


def _notify(keeper: "Keeper", order: Order, _: list[int]) -> None:
    keeper.notifier.tell(order["state"])


def _despair(keeper: "Keeper", order: Order, _: list[int]) -> None:
    keeper.seat.last_words = order["traceback"]


def _leave(keeper: "Keeper", _order: Order, _: list[int]) -> None:
    keeper.leave()


def _exit(keeper: "Keeper", order: Order, _: list[int]) -> None:
    keeper.exit(order["code"])


HANDLERS: dict[str, Handler] = {
    "remember": _remember,
    "hold": _hold,
    "drop": _drop,
    "spawn": _spawn,
    "signal": _signal,
    "sweep": _sweep,
    "bury": _bury,
    "main": _main,
    "watch": _watch,
    "notify": _notify,
    "despair": _despair,
    "leave": _leave,
    "exit": _exit,
}
