"""The daemon's signals: a pipe that wakes the main loop, and handlers that only take notes.

Python's C-level handler writes to the pipe (signal.set_wakeup_fd), whichever thread it runs in; the
handlers proper run in the main thread, between two bytecodes. Source: the signal module's
documentation, signal(7).
"""

import contextlib
import fcntl
import os
import resource
import signal
from collections.abc import Iterable

from supervisord_lite.keeper.protocol import LEAVE

WATCHED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR2,
    LEAVE,
)
# Ctrl-Z in a terminal would take away half of the daemon.
_NOT_STOPPED_BY = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_ABOVE_CHILDRENS = 899  # a number that no child's descriptor has, if the limit allows
_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)  # ignored by Python, reset by it in children


class SignalPipe:
    """Readable when a watched signal or SIGCHLD has come (`fileno`, `receive`).

    The pipe only wakes: that it is full means that it is readable. Which signals came is noted by
    the handlers, so none is lost among however many dying children.
    """

    def __init__(self) -> None:
        self._noted: list[int] = []
        self._watched = set(WATCHED)
        self._ours, written_to = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Spawner threads have it under the same number, and there the low ones are a child's.
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = min(_ABOVE_CHILDRENS, soft - 3)
        self.written_to = fcntl.fcntl(written_to, fcntl.F_DUPFD_CLOEXEC, lowest)
        os.close(written_to)
        # What was ignored when we were started (nohup) must not be so in the workers.
        for ignored in signal.valid_signals() - set(_PYTHONS_OWN):
            if signal.getsignal(ignored) is signal.SIG_IGN:
                signal.signal(ignored, signal.SIG_DFL)
        signal.set_wakeup_fd(self.written_to, warn_on_full_buffer=False)
        # The last ones are handled, and not ignored, as workers start with the default.
        for number in (*WATCHED, signal.SIGCHLD, *_NOT_STOPPED_BY):
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _note(self, number: int, _frame: object) -> None:
        if number in self._watched:  # of dead children, one is as good as a thousand
            self._noted.append(number)

    def watch(self, numbers: Iterable[int]) -> None:
        """Note these as well from now on. What nobody wants to hear of any more is harmless."""
        for number in numbers:
            signal.signal(number, self._note)
        self._watched.update(numbers)

    def fileno(self) -> int:
        return self._ours

    def receive(self) -> list[int]:
        """The watched signals that have come since, in order, repetitions included. Children may
        have died, too.
        """
        with contextlib.suppress(BlockingIOError):
            os.read(self._ours, 65536)
        noted, self._noted = self._noted, []
        return noted
