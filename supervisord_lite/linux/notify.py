"""sd_notify(3): telling systemd about ourselves, and giving it descriptors to keep.

Source: sd_notify(3), sd_pid_notify_with_fds(3), sd_listen_fds(3).
"""

import array
import fcntl
import os
import socket
import time
from collections.abc import Iterable, Mapping

_DEAF = 60.0  # seconds in which somebody who did not read is not waited for
_PATIENCE = 5.0  # seconds that a busy service manager is waited for
_LONGEST_NAME = 255  # of a stored descriptor's name; a longer one is not taken
_FIRST = 3  # SD_LISTEN_FDS_START


class Notifier:
    """The way to the service manager, if there is one; without it every call does nothing."""

    def __init__(self, address: str | None) -> None:
        """`address` is the value of NOTIFY_SOCKET, or None."""
        if address and address.startswith("@"):
            address = f"\0{address[1:]}"
        self._deaf_until = 0.0
        self._address = address

    @property
    def present(self) -> bool:
        return bool(self._address)

    def tell(self, state: str, descriptors: Iterable[int] = ()) -> bool:
        """Send one message; False if nobody takes it, which is never our failure."""
        if not self._address:
            return False
        ancillary = array.array("i", descriptors)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ancillary)] if ancillary else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.settimeout(_PATIENCE if time.monotonic() >= self._deaf_until else 0.0)
                way.sendmsg([state.encode()], rights, 0, self._address)
        except (TimeoutError, BlockingIOError):
            # Whoever does not read is not waited for again and again.
            self._deaf_until = time.monotonic() + _DEAF
            return False
        except OSError:
            return False
        return True

    def store(self, held: Mapping[str, int]) -> None:
        """Give descriptors to the service manager's store; the next start gets them by name.

        One that is stored already is not stored twice; one whose name is too long is passed over.
        """
        for name, descriptor in held.items():
            stored = _stored_name(name)
            # FDPOLL=0: a pipe without a writer stays in the store too.
            state = f"FDSTORE=1\nFDPOLL=0\nFDNAME={stored}"
            if len(stored) <= _LONGEST_NAME and not self.tell(state, (descriptor,)):
                return  # nobody listens: not worth the patience for each of them

    def forget(self, names: Iterable[str]) -> None:
        """Have the store drop these: they were taken over."""
        for name in names:
            if not self.tell(f"FDSTOREREMOVE=1\nFDNAME={_stored_name(name)}"):
                return


def stored_descriptors(environment: Mapping[str, str]) -> dict[str, int]:
    """The descriptors that the service manager handed to this process, by name.

    Of several with one name only the youngest, which comes first, is kept open.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    from urllib.parse import unquote  # here: most have no service manager

    names = environment.get("LISTEN_FDNAMES", "").split(":")
    count = int(environment.get("LISTEN_FDS", "0"))
    held: dict[str, int] = {}
    for descriptor, name in zip(range(_FIRST, _FIRST + count), names, strict=False):
        os.set_inheritable(descriptor, False)
        if held.setdefault(unquote(name, errors="surrogateescape"), descriptor) != descriptor:
            os.close(descriptor)
    return held


def pass_on(held: Mapping[str, int]) -> dict[str, str]:
    """Put descriptors where the program that this process is about to exec finds them by name, as
    if the service manager had stored them; the variables that it needs for that. What is at their
    numbers, from 3 on, is closed.
    """
    above = [
        fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST + len(held)) for number in held.values()
    ]
    for place, number in enumerate(above, _FIRST):
        os.dup2(number, place)
    names = ":".join(map(_stored_name, held))
    return {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(held)),
        "LISTEN_FDNAMES": names,
    }


def _stored_name(name: str) -> str:
    """A name as the store takes it: printable ASCII without a colon."""
    from urllib.parse import quote

    return quote(name, safe="@-_.", errors="surrogateescape")
