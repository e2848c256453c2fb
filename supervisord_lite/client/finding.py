"""Which daemon is meant: the socket that was named, or that of the only one that lives."""

import os
import stat

from supervisord_lite.client.connecting import connect
from supervisord_lite.client.errors import ClientError, NoDaemon, SeveralDaemons

ENVIRONMENT_VARIABLE = "SUPERVISORD_LITE_SOCKET"


def find_socket(explicit: str | None = None) -> str:
    """The socket to use: `explicit`, or SUPERVISORD_LITE_SOCKET, or that of the only live daemon.

    Raises `NoDaemon` or `SeveralDaemons`.
    """
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return named
    live = [path for path in _known_sockets() if is_live(path)]
    if len(live) > 1:
        raise SeveralDaemons(live)
    if not live:
        raise NoDaemon(
            f"cannot find a running daemon below {' or '.join(runtime_directories())}"
            f" (say which socket by -s or {ENVIRONMENT_VARIABLE})"
        )
    return live[0]


def runtime_directories() -> list[str]:
    uid = os.geteuid()
    if uid == 0:
        return ["/run/supervisord-lite"]
    places = [f"/tmp/supervisord-lite-{uid}"]  # noqa: S108 - its owner is checked before use
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        places.insert(0, f"{session}/supervisord-lite")
    return places


def _known_sockets() -> list[str]:
    """One path for each daemon's runtime directory; `control.path` names a socket elsewhere."""
    found: list[str] = []
    for place in runtime_directories():
        if not _is_ours(place):
            continue
        for name in sorted(os.listdir(place)):
            try:
                with open(f"{place}/{name}/control.path", encoding="utf-8") as pointer:
                    found.append(pointer.read().strip())
            except OSError:
                found.append(f"{place}/{name}/control.sock")
    return found


def _is_ours(place: str) -> bool:
    """Whether it is a directory that only we or root can have made: /tmp is everybody's."""
    try:
        found = os.lstat(place)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in {0, os.geteuid()}


def is_live(path: str) -> bool:
    try:
        connect(path, 0.2).close()
    except NoDaemon:
        return False
    except ClientError:
        return True  # somebody is there
    return True
