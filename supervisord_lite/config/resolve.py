"""The typed file to a `core.spec.Configuration`, with nothing left to look up.

Here and in `fleet` is checked what one key cannot know by itself: users, paths, channels, and that
what belongs together fits together. Whatever is wrong is noted and gets a harmless value, so that
the rest is checked as well; the caller throws the result away if there was any problem.
"""

import os
import signal
from collections.abc import Mapping as Environment
from collections.abc import Sequence
from pathlib import Path as FilePath

from supervisord_lite.config.bindings import Sharing
from supervisord_lite.config.channels import Channels
from supervisord_lite.config.errors import quoted
from supervisord_lite.config.fleet import fleet_of
from supervisord_lite.config.model import File, Supervisor
from supervisord_lite.config.outlets import outlets_of
from supervisord_lite.config.paths import SOCKET_PATH_MAX, Claims, PathTemplate
from supervisord_lite.config.place import Place
from supervisord_lite.config.scalars import NAME
from supervisord_lite.config.scaling import Scaling
from supervisord_lite.core.signals import signal_name
from supervisord_lite.core.spec import Configuration, Control

_OWN = {
    signal.SIGTERM: "the daemon shuts down for it",
    signal.SIGINT: "the daemon shuts down for it",
    signal.SIGQUIT: "the daemon shuts down for it",
    signal.SIGHUP: "the daemon reloads for it",
    signal.SIGUSR2: "the daemon opens its logs again for it",
    signal.SIGRTMIN + 1: "the daemon leaves for it",
    signal.SIGCHLD: "it tells the daemon of the end of its children",
    signal.SIGKILL: "nobody can catch it",
    signal.SIGSTOP: "nobody can catch it",
} | dict.fromkeys(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    "it says that a program is broken",
)


def resolve(
    file: File, root: Place, sources: Sequence[str], around: Environment[str, str], scaling: Scaling
) -> Configuration:
    """The configuration that `file` means; `root` is the place of the whole document, `sources`
    are the files that it was read from, `around` is the environment.
    """
    section = file.supervisor or Supervisor()
    place = root.within("supervisor")
    name = section.name or _name_of_file(root)
    runtime_dir = _runtime_dir(section, place, name, around)
    claims = Claims()
    channels = Channels(file.channels or {}, root.within("channels"), claims).all()
    sharing = Sharing(channels, file.workers, root)
    fleet = fleet_of(file.workers, root.within("workers"), scaling, claims, sharing)
    sharing.warn()
    return Configuration(
        name=name,
        control=_control(section, place, runtime_dir),
        runtime_dir=runtime_dir,
        stop_deadline=section.stop_deadline,
        state_dir=_state_dir(section, place, name, around) or f"{runtime_dir}/state",
        instances=fleet.instances,
        spares=fleet.spares,
        scales=fleet.scales,
        channels=channels,
        forward=_forward(section, place),
        outlets=outlets_of(file, root, fleet, claims),
        files=tuple(sources),
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


def _state_dir(
    section: Supervisor, place: Place, name: str, environment: Environment[str, str]
) -> str:
    """Where is kept what outlives a boot; nothing for a user who has no home."""
    if section.state_dir is not None:
        return PathTemplate.at(place.within("state_dir"), section.state_dir).path(name, 0)
    if os.geteuid() == 0:
        return f"/var/lib/supervisord-lite/{name}"
    own, home = environment.get("XDG_STATE_HOME", ""), environment.get("HOME", "")
    if own.startswith("/"):
        return f"{own}/supervisord-lite/{name}"
    return f"{home}/.local/state/supervisord-lite/{name}" if home.startswith("/") else ""


def _forward(section: Supervisor, place: Place) -> tuple[int, ...]:
    """The signals that the daemon passes on: those that mean nothing to itself."""
    given = section.forward or []
    for number, one in enumerate(given):
        if one in _OWN:
            text = f"cannot forward {signal_name(one)}: {_OWN[one]}"
            place.within("forward", number).refuse(text)
    return tuple(sorted(set(given)))


def _control(section: Supervisor, place: Place, runtime_dir: str) -> Control:
    given = section.control.given() if section.control else {}
    within = place.within("control", "socket")
    path = f"{runtime_dir}/control.sock"
    if "socket" in given:
        path = PathTemplate.at(within, given["socket"]).path(section.name or "", 0)
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_MAX:
        text = f"cannot bind {quoted(path)}: it has {length} bytes"
        within.refuse(f"{text}, a socket's path at most {SOCKET_PATH_MAX}")
    return Control(**{**given, "socket": path})
