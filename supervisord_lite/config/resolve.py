"""The typed file to `core.spec`: one value an instance, with nothing left to look up.

Here is checked what one key cannot know by itself: users, paths, channels, and that what belongs
together fits together. Whatever is wrong is noted and gets a harmless value, so that the rest is
checked as well; the caller throws the result away if there was any problem.
"""

import os
from collections.abc import Iterator
from collections.abc import Mapping as Environment
from pathlib import Path as FilePath

from supervisord_lite.config.errors import quoted
from supervisord_lite.config.identity import Identities
from supervisord_lite.config.model import MAX_INSTANCES, NAME, File, Supervisor, Worker
from supervisord_lite.config.place import Place
from supervisord_lite.config.policies import restart_of, stop_of
from supervisord_lite.config.program import ProgramTemplate, Streams, Surroundings
from supervisord_lite.config.streams import (
    DEFAULT_LOG,
    Claims,
    Outlet,
    PathTemplate,
    input_of,
    log_of,
    output_of,
)
from supervisord_lite.core.spec import (
    ChannelSpec,
    Configuration,
    Control,
    InstanceSpec,
    Kind,
    Route,
    Stream,
)

_SOCKET_PATH_MAX = 107  # unix(7): sun_path has 108 bytes, the last is NUL


def resolve(
    file: File, root: Place, files: tuple[str, ...], environment: Environment[str, str]
) -> Configuration:
    """The configuration that `file` means; `root` is the place of the whole document."""
    section = file.supervisor or Supervisor()
    place = root.within("supervisor")
    name = section.name or _name_of_file(root)
    runtime_dir = _runtime_dir(section, place, name, environment)
    unsaid = Configuration(name, Control(""), runtime_dir)
    deadline = section.stop_deadline
    return Configuration(
        name=name,
        control=_control(section, place, runtime_dir),
        runtime_dir=runtime_dir,
        stop_deadline=unsaid.stop_deadline if deadline is None else deadline,
        instances=_instances(file, root.within("workers")),
        channels=tuple(
            ChannelSpec(channel, value.type, value.size)
            for channel, value in (file.channels or {}).items()
        ),
        files=files,
    )


def _name_of_file(root: Place) -> str:
    name = FilePath(root.mark.file).stem
    if not NAME.fullmatch(name):
        text = f"cannot make a name of {quoted(name)} (give supervisor.name)"
        root.within("supervisor", "name").refuse(text)
    return name


def _runtime_dir(
    section: Supervisor, place: Place, name: str, environment: Environment[str, str]
) -> str:
    if section.runtime_dir is not None:
        return PathTemplate.at(place.within("runtime_dir"), section.runtime_dir).path(name, 0)
    private = environment.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0:
        base = "/run/supervisord-lite"
    elif private.startswith("/"):
        base = f"{private}/supervisord-lite"
    else:
        base = f"/tmp/supervisord-lite-{os.geteuid()}"  # noqa: S108 -- made 0700 by the daemon
    return f"{base}/{name}"


def _control(section: Supervisor, place: Place, runtime_dir: str) -> Control:
    given = section.control.given() if section.control else {}
    within = place.within("control", "socket")
    path = f"{runtime_dir}/control.sock"
    if "socket" in given:
        path = PathTemplate.at(within, given["socket"]).path(section.name or "", 0)
    length = len(os.fsencode(path))
    if length > _SOCKET_PATH_MAX:
        text = f"cannot bind {quoted(path)}: it has {length} bytes, a socket's path at most 107"
        within.refuse(text)
    return Control(**{**given, "socket": path})


def _instances(file: File, place: Place) -> tuple[InstanceSpec, ...]:
    counts = [_count(worker) for worker in file.workers.values()]
    if sum(counts) > MAX_INSTANCES:
        text = f"cannot run more than {MAX_INSTANCES} instances (these are {sum(counts)})"
        place.refuse(text)
        return ()
    around = Surroundings(Identities(os.geteuid(), os.getegid()))
    claims = Claims()
    return tuple(
        instance
        for name, worker in file.workers.items()
        for instance in _of_worker(worker, place.within(name), around, claims)
    )


def _count(worker: Worker) -> int:
    return 1 if worker.instances is None else worker.instances


def _streams(worker: Worker, place: Place) -> Streams:
    stdin = input_of(worker.stdin.channel if worker.stdin else None, place.within("stdin"))
    logged = Outlet(Stream(Route.LOG), PathTemplate.at(place, DEFAULT_LOG))
    stdout = output_of(worker.stdout, place.within("stdout"), logged)
    # What a pipeline carries is data; error messages among it would break the reader.
    piped = stdout.stream.route is Route.CHANNEL
    unsaid = logged if piped else Outlet(Stream(Route.JOINED))
    return Streams(stdin, stdout, output_of(worker.stderr, place.within("stderr"), unsaid))


def _of_worker(
    worker: Worker, place: Place, around: Surroundings, claims: Claims
) -> Iterator[InstanceSpec]:
    name = str(place.path[-1])
    kind = worker.type or Kind.SERVICE
    streams = _streams(worker, place)
    template = ProgramTemplate(worker, place, streams, around)
    restart = restart_of(worker.restart, kind, place.within("restart"))
    stop = stop_of(worker.stop)
    for number in range(_count(worker)):
        yield InstanceSpec(
            name=f"{name}:{number}",
            worker=name,
            number=number,
            program=template.program(number),
            kind=kind,
            autostart=worker.autostart is not False,
            restart=restart,
            stop=stop,
            stdout_log=log_of(streams.stdout, name, number, claims),
            stderr_log=log_of(streams.stderr, name, number, claims),
        )
