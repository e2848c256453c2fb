"""What the end of a critical instance means to whoever started the daemon."""

from supervisord_lite.core import reason
from supervisord_lite.core.spec import OnExit
from supervisord_lite.core.state import Exited, Fatal, Instance

GAVE_UP = 70  # the exit code for one that never had one (sysexits.h: EX_SOFTWARE)


def ending(instance: Instance) -> str:
    state = instance.state
    return reason.exited(state.exit) if isinstance(state, Exited) else instance.problem or "FATAL"


def exit_code(instance: Instance) -> int:
    """What the daemon is to exit with: as the instance did, a signal as shells show it."""
    status = instance.last_exit
    if status is not None and status.signal is not None:
        return 128 + status.signal
    if status is not None and status.code is not None:
        given_up = isinstance(instance.state, Fatal)
        return GAVE_UP if given_up and status.code == 0 else status.code
    return GAVE_UP


def restarts_all(instance: Instance) -> bool:
    """Whether its end is to restart everything, and has not done so yet: then it would be up."""
    ended = isinstance(instance.state, Exited | Fatal)
    return ended and instance.spec.on_exit is OnExit.RESTART_ALL
