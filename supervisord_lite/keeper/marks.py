"""The mark that every process of a run carries in its environment: of which daemon and run it is.

    SUPERVISORD_LITE_RUN=DAEMON/INSTANCE/RUN

It finds those that left their session and lost their parents. It is a claim, not a proof: whoever
acts on it alone looks at something else, too. Names of instances may have slashes in them, since
those of helpers do ("@probe/web:0").
"""

from supervisord_lite.keeper.protocol import MARK
from supervisord_lite.linux.process_table import environment_value


def mark(daemon: str, instance: str, run: int) -> dict[str, str]:
    """The mark as an environment of one variable."""
    return {MARK: f"{daemon}/{instance}/{run}"}


def mark_prefix(daemon: str) -> str:
    """What all marks of a daemon begin with; INSTANCE/RUN follows."""
    return f"{MARK}={daemon}/"


def read_mark(pid: int, daemon: str) -> tuple[str, int] | None:
    """The instance and run that a process is marked with, if it is with one of this daemon's."""
    owner, _, rest = (environment_value(pid, MARK) or "").partition("/")
    instance, _, run = rest.rpartition("/")
    if owner != daemon or not instance or not run.isdecimal():
        return None
    return instance, int(run)
