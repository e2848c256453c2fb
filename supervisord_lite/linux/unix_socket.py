"""A Unix socket that appears at its path whole: with its mode and owner, and taking connections.

It is bound inside a fresh directory that only its owner may enter, gets its mode, begins to
listen, and is then renamed over its name (unix(7): access is decided by the mode of the file).
So nobody ever sees it with another mode, and a stale socket is replaced in one step. A socket on
which somebody still listens is refused. Nothing here accepts or reads.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from supervisord_lite.linux.lock_file import AlreadyRunning

# Clients that come while no manager is there wait here (the kernel caps it at net.core.somaxconn).
_BACKLOG = 1024
# sun_path holds 108 bytes with the final NUL, unix(7).
_LONGEST_PATH = 107


def bind(path: str, mode: int) -> socket.socket:
    """Listen at `path`, with exactly `mode`, and return the non-blocking socket; see `bind_as`."""

    def prepare(listener: socket.socket, newborn: str) -> None:
        os.chmod(newborn, mode)
        listener.listen(_BACKLOG)
        listener.setblocking(False)

    return bind_as(path, socket.SOCK_STREAM, prepare)


def bind_as(
    path: str, kind: socket.SocketKind, prepare: Callable[[socket.socket, str], None]
) -> socket.socket:
    """A socket of this kind at `path`, which leads there once `prepare` is done with it; to that
    the name is told by which it can be reached until then.

    Directories on the way are made. Raises `AlreadyRunning` if somebody listens there, OSError
    if the path holds something else than a socket or cannot be made.
    """
    place = Path(path).absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    _refuse_occupied(place)
    nursery = place.parent / f".{place.name}.{os.urandom(4).hex()}"
    nursery.mkdir(mode=0o700)
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        newborn = nursery / place.name
        with _short(newborn) as address:
            listener.bind(address)
        prepare(listener, str(newborn))
        newborn.rename(place)
    except BaseException:
        listener.close()
        (nursery / place.name).unlink(missing_ok=True)
        raise
    finally:
        nursery.rmdir()
    return listener


def still_there(listener: socket.socket, path: str) -> bool:
    """Whether `path` still leads to `listener`: asked when something happened in its directory.

    Connecting tells who listens there: the kernel notes a process's credentials at listen(2) and
    shows them to both sides. Our own connection is left behind in the backlog, closed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            _connect(probe, Path(path))
        except BlockingIOError:
            return True  # the backlog is full, so somebody listens, and the lock file says who
        except OSError:
            return False
        return _credentials(probe) == _credentials(listener)


def _refuse_occupied(place: Path) -> None:
    try:
        found = place.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "there is something else than a socket", str(place))
    if _is_live(place):
        raise AlreadyRunning(f"cannot listen at {place}: another process listens there")


def _is_live(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            _connect(probe, place)
        except BlockingIOError:
            return True  # its backlog is full
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # somebody is there, with another kind of socket
                raise
    return True


def _connect(probe: socket.socket, place: Path) -> None:
    probe.setblocking(False)
    with _short(place) as address:
        probe.connect(address)


def _credentials(connection: socket.socket) -> bytes:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)


@contextlib.contextmanager
def _short(place: Path) -> Iterator[str]:
    """A name of `place` that fits into a socket address, whatever its length."""
    if len(os.fsencode(place)) <= _LONGEST_PATH:
        yield str(place)
        return
    fd = os.open(place.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{place.name}"
    finally:
        os.close(fd)
