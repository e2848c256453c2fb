"""What a worker in Python has of its supervisor: its channels, signals, and what it says of itself.

    from supervisord_lite import worker

    worker.ready()
    worker.status("12 jobs waiting")
    worker.heartbeat()
    worker.extend(30)

    worker.on_signal("HUP", reread)
    stop = worker.stopping()
    while not stop:
        worker.channels["results"].put(work_on(worker.channels["jobs"].get()))

It imports nothing of the daemon, and what a worker does not use is not imported at all. What it
says is the protocol of sd_notify(3), so it serves under systemd as well. Without a NOTIFY_SOCKET,
and when nobody can be reached, those calls do nothing: a worker never fails for want of a
supervisor.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisord_lite.worker.named import channels
    from supervisord_lite.worker.signals import on_signal, stopping

__all__ = ["channels", "extend", "heartbeat", "on_signal", "ready", "status", "stopping"]


# Seconds that a message which matters is waited for while nobody takes it, a supervisor that is
# just being replaced, say. A sign of life that finds no room is not worth any: more will come.
_PATIENCE = 5.0


def ready() -> None:
    """I can do my work now (`ready: {notify: systemd}`)."""
    _tell("READY=1", _PATIENCE)


def status(text: str) -> None:
    """One line about what I am doing, shown by `slctl status`."""
    _tell(f"STATUS={' '.join(text.split())}", 0.0)


def heartbeat() -> None:
    """I live (`watchdog: 10s`): to be said at least twice in that time."""
    _tell("WATCHDOG=1", 0.0)


def extend(seconds: float) -> None:
    """Give me so many seconds from now on to become ready, or to stop, if that is more than I
    have.
    """
    _tell(f"EXTEND_TIMEOUT_USEC={max(0, round(seconds * 1e6))}", _PATIENCE)


def _tell(state: str, patience: float) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace, unix(7)
        address = f"\0{address[1:]}"
    import socket

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.settimeout(patience)
            way.sendto(state.encode(errors="replace"), address)
    except OSError:
        return


def __getattr__(name: str) -> Any:
    if name == "channels":
        from supervisord_lite.worker.named import channels

        return channels
    if name in ("on_signal", "stopping"):
        from supervisord_lite.worker import signals

        return getattr(signals, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
