"""The daemon's signals as bytes on a socket: handlers do nothing, so nothing can go wrong in them.

Python's C-level handler writes the signal's number to a socket (signal.set_wakeup_fd), whichever
thread it runs in; the main loop reads it. Source: the signal module's documentation, signal(7).
"""

import fcntl
import signal
import socket

from supervisord_lite.keeper.protocol import LEAVE

SIGCHLD = signal.SIGCHLD
WATCHED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR2,
    LEAVE,
)
# The number must mean this socket in the spawner's threads, too, where the low ones are a child's.
_OUT_OF_THE_WAY = 32
_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by Python, reset by it in children


def _nothing(number: int, frame: object) -> None:
    """Exists so that the signal is neither fatal nor ignored."""


class SignalSocket:
    """Readable when a watched signal or SIGCHLD has come (`fileno`, `receive`)."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self.written_to = socket.socket(
            fileno=fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
        )
        theirs.close()
        self._ours.setblocking(False)
        self.written_to.setblocking(False)
        # What was ignored when we were started (nohup) must not be so in the workers.
        for ignored in signal.valid_signals() - set(_PYTHONS_OWN):
            if signal.getsignal(ignored) is signal.SIG_IGN:
                signal.signal(ignored, signal.SIG_DFL)
        signal.set_wakeup_fd(self.written_to.fileno(), warn_on_full_buffer=False)
        for number in (*WATCHED, signal.SIGCHLD):
            signal.signal(number, _nothing)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def fileno(self) -> int:
        return self._ours.fileno()

    def receive(self) -> list[int]:
        """The signals that have come since, in order, repetitions included."""
        try:
            return list(self._ours.recv(65536))
        except BlockingIOError:
            return []
