"""FIFOs held by their write end: fifo(7).

Opening a FIFO for writing alone waits for a reader or fails with ENXIO; opening it read-write
first never does (Linux). Once the write end is held, a reader's open never blocks either.
"""

import errno
import os
import select
import stat

from supervisord_lite.linux import pipes


def make(path: str, mode: int) -> None:
    """Make a FIFO unless there is one; anything else at that path raises and is left alone."""
    try:
        os.mkfifo(path, mode)
    except FileExistsError:
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "there is something that is not a FIFO", path) from None


def open_write_end(path: str) -> int:
    """A non-blocking write end, whether or not anyone reads."""
    both = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return pipes.reopen(both, os.O_WRONLY | os.O_NONBLOCK)
    finally:
        os.close(both)


def has_reader(write_end: int) -> bool:
    """Whether anyone holds the other end (the kernel says POLLERR when nobody does)."""
    poll = select.poll()
    poll.register(write_end, 0)
    return not poll.poll(0)


def discard(write_end: int) -> None:
    """Throw away what waits in the FIFO, without ever letting go of its write end: a reader
    that comes meanwhile must not see an end of file.
    """
    read = pipes.reopen(write_end, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while os.read(read, 65536):
            pass
    except BlockingIOError:
        pass
    finally:
        os.close(read)
