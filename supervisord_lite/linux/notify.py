"""sd_notify(3): telling systemd about ourselves, and giving it descriptors to keep.

Source: sd_notify(3), sd_pid_notify_with_fds(3), sd_listen_fds(3).
"""

import array
import os
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote


class Notifier:
    """The way to the service manager, if there is one; without it every call does nothing."""

    def __init__(self, address: str | None) -> None:
        """`address` is the value of NOTIFY_SOCKET, or None."""
        self._address = address and address.replace("@", "\0", 1)

    @property
    def present(self) -> bool:
        return bool(self._address)

    def tell(self, state: str, descriptors: Iterable[int] = ()) -> bool:
        """Send one message; False if nobody takes it, which is never our failure."""
        if not self._address:
            return False
        ancillary = array.array("i", descriptors)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ancillary)] if ancillary else []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
            try:
                way.sendmsg([state.encode()], rights, 0, self._address)
            except OSError:
                return False
        return True

    def store(self, held: Mapping[str, int]) -> None:
        """Give descriptors to the service manager's store; the next start gets them by name."""
        for name, descriptor in held.items():
            self.tell(f"FDSTORE=1\nFDPOLL=0\nFDNAME={quote(name, safe='@-_.')}", (descriptor,))

    def forget(self, names: Iterable[str]) -> None:
        """Have the store drop these: they were taken over."""
        for name in names:
            self.tell(f"FDSTOREREMOVE=1\nFDNAME={quote(name, safe='@-_.')}")


def stored_descriptors(environment: Mapping[str, str]) -> dict[str, int]:
    """The descriptors that the service manager handed to this process, by name."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    count = int(environment.get("LISTEN_FDS", "0"))
    held = {}
    for descriptor, name in zip(range(3, 3 + count), names, strict=False):
        os.set_inheritable(descriptor, False)
        held[unquote(name)] = descriptor
    return held
