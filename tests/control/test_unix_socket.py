"""The control socket's file: how it appears, who may take its place, how its loss is noticed."""

import os
import select
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from supervisord_lite.linux import lock_file, unix_socket
from supervisord_lite.linux.lock_file import AlreadyRunning
from supervisord_lite.linux.socket_guard import Guard


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 20)[0])


def test_socket_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    """The mode is exactly the one asked for."""
    path = tmp_path / "run" / "control.sock"
    before = os.umask(0o077)
    try:
        with unix_socket.bind(str(path), 0o660):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(before)


def test_nothing_but_the_socket_is_left(tmp_path: Path) -> None:
    """The directory in which the socket was made is gone."""
    with unix_socket.bind(str(tmp_path / "control.sock"), 0o600):
        assert os.listdir(tmp_path) == ["control.sock"]


def test_socket_never_shows_another_mode(tmp_path: Path) -> None:
    """Whoever watches the name sees nothing, then the socket with its final mode."""
    path = tmp_path / "control.sock"
    modes: set[int] = set()
    watcher = subprocess.Popen(
        [sys.executable, "-c", _WATCH_MODES, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert watcher.stdin and watcher.stdout
    with watcher:
        watcher.stdout.readline()
        for _ in range(50):
            unix_socket.bind(str(path), 0o640).close()
            path.unlink()
        watcher.stdin.close()
        modes = {int(word, 8) for word in watcher.stdout.read().split()}
    assert modes <= {0o640}


_WATCH_MODES = """
import os, select, stat, sys
print(flush=True)
seen = set()
while not select.select([0], [], [], 0)[0]:
    try:
        seen.add(stat.S_IMODE(os.stat(sys.argv[1]).st_mode))
    except FileNotFoundError:
        pass
print(*(oct(mode) for mode in seen))
"""


def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    """A socket that its listener left behind is no obstacle."""
    path = str(tmp_path / "control.sock")
    unix_socket.bind(path, 0o600).close()
    with unix_socket.bind(path, 0o600) as listener:
        assert unix_socket.still_there(listener, path)


def test_live_socket_is_refused(tmp_path: Path) -> None:
    """Where somebody listens nobody else may, and the message says where."""
    path = str(tmp_path / "control.sock")
    with unix_socket.bind(path, 0o600) as listener:
        with pytest.raises(AlreadyRunning, match=f"cannot listen at {path}"):
            unix_socket.bind(path, 0o600)
        assert unix_socket.still_there(listener, path)


def test_other_files_are_never_replaced(tmp_path: Path) -> None:
    """A path that holds something else than a socket is an error."""
    path = tmp_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="something else than a socket"):
        unix_socket.bind(str(path), 0o600)
    assert path.read_text() == "precious"


def test_long_paths_work(tmp_path: Path) -> None:
    """A path longer than a socket address can be listened at."""
    path = str(tmp_path / ("d" * 120) / "control.sock")
    with unix_socket.bind(path, 0o600) as listener:
        assert unix_socket.still_there(listener, path)


def test_removed_socket_is_noticed_and_made_again(tmp_path: Path) -> None:
    """A guard wakes when the socket is removed, and guards the one that replaces it."""
    path = str(tmp_path / "control.sock")
    with unix_socket.bind(path, 0o600) as first:
        guard = Guard(first, path)
        os.unlink(path)
        assert is_readable(guard.fd) and guard.is_lost()
    with unix_socket.bind(path, 0o600) as second:
        guard.replace(second)
        assert not guard.is_lost()
        os.unlink(path)
        assert is_readable(guard.fd) and guard.is_lost()
        guard.close()


def test_removed_directory_is_noticed(tmp_path: Path) -> None:
    """The socket is made again with the directory that was removed under it."""
    path = str(tmp_path / "run" / "control.sock")
    with unix_socket.bind(path, 0o600) as first:
        guard = Guard(first, path)
        shutil.rmtree(tmp_path / "run")
        assert is_readable(guard.fd) and guard.is_lost()
    with unix_socket.bind(path, 0o600) as second:
        guard.replace(second)
        assert unix_socket.still_there(second, path)
        guard.close()


def test_stolen_path_is_noticed(tmp_path: Path) -> None:
    """A socket of another process at our path is not ours."""
    path = str(tmp_path / "control.sock")
    with (
        unix_socket.bind(path, 0o600) as listener,
        subprocess.Popen(
            [sys.executable, "-c", _STEAL, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as thief,
    ):
        assert thief.stdin and thief.stdout
        thief.stdout.readline()
        assert not unix_socket.still_there(listener, path)
        thief.stdin.close()


_STEAL = """
import os, socket, sys
os.unlink(sys.argv[1])
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print(flush=True)
sys.stdin.read()
"""


def test_full_backlog_counts_as_live(tmp_path: Path) -> None:
    """A daemon that is too busy to accept is still a daemon."""
    path = str(tmp_path / "busy.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(path)
        listener.listen(0)
        waiting.connect(path)
        assert unix_socket.still_there(listener, path)
        with pytest.raises(AlreadyRunning):
            unix_socket.bind(path, 0o600)


def test_lock_excludes_and_names_its_owner(tmp_path: Path) -> None:
    """A second daemon is told which file and which pid are in its way."""
    path = str(tmp_path / "lock")
    fd = lock_file.acquire(path)
    with pytest.raises(AlreadyRunning, match=rf"cannot lock {path}: .*\(pid {os.getpid()}\)"):
        lock_file.acquire(path)
    os.close(fd)


def test_lock_ends_with_its_owner(tmp_path: Path) -> None:
    """After a SIGKILL of its owner the lock is free, whatever pid stands in the file."""
    path = str(tmp_path / "lock")
    script = (
        "import sys; from supervisord_lite.linux import lock_file;"
        "lock_file.acquire(sys.argv[1]); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        owner.stdout.readline()
        with pytest.raises(AlreadyRunning, match=f"pid {owner.pid}"):
            lock_file.acquire(path)
        owner.kill()
        owner.wait()
    os.close(lock_file.acquire(path))


def test_lock_goes_where_its_descriptor_goes(tmp_path: Path) -> None:
    """A duplicate keeps the lock when the first descriptor is closed."""
    path = str(tmp_path / "lock")
    first = lock_file.acquire(path)
    second = os.dup(first)
    os.close(first)
    with pytest.raises(AlreadyRunning):
        lock_file.acquire(path)
    os.close(second)


def test_stale_pid_is_no_lock(tmp_path: Path) -> None:
    """A file that names a living process without a lock on it is free."""
    path = tmp_path / "lock"
    path.write_text("1\n")
    os.close(lock_file.acquire(str(path)))
    assert path.read_text() == f"{os.getpid()}\n"
