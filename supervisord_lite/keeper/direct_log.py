"""The logs that a worker writes itself: opened for appending when it is started, and never kept.

In a spawner thread, since a file system may let whoever opens a file wait for ever.
"""

import errno
import fcntl
import os
import stat

from supervisord_lite.keeper.job import Job

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW | os.O_NONBLOCK
_DIRECTORY_MODE, _MODE = 0o750, 0o640


class LogFailed(Exception):
    """A log cannot be opened; `text` says which and why."""

    def __init__(self, path: str, number: int, why: str) -> None:
        self.number = number
        self.text = f"cannot open {path}: {why}"
        super().__init__(self.text)


def open_logs(job: Job, received: list[int]) -> None:
    """Put the job's logs in the place of its first descriptors. Two of one name share a file."""
    opened: dict[str, int] = {}
    for number, path in enumerate(job.logs):
        if path is None:
            continue
        if path in opened:
            os.dup2(opened[path], received[number], inheritable=False)
            continue
        try:
            descriptor = _open(path, job)
        except OSError as error:
            text = "it is no regular file" if error.errno == errno.ENXIO else error.strerror
            raise LogFailed(path, error.errno or 0, text or str(error)) from error
        os.dup2(descriptor, received[number], inheritable=False)
        os.close(descriptor)
        opened[path] = received[number]


def _make_directory(path: str) -> None:
    """With what is missing above it; makedirs gives the mode to the last one only."""
    if not os.path.isdir(path):
        _make_directory(os.path.dirname(path))
        os.makedirs(path, _DIRECTORY_MODE, exist_ok=True)


def _open(path: str, job: Job) -> int:
    """A log that is made here belongs to the worker, which may want to open it by another name."""
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        _make_directory(os.path.dirname(path))
        descriptor = os.open(path, _FLAGS | os.O_CREAT, _MODE)
        if job.identity:
            os.fchown(descriptor, *job.identity[:2])
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor
