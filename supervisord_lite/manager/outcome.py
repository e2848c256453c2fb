"""How requests end: what became of each instance or worker, or why a request is not taken."""

from dataclasses import dataclass

from supervisord_lite.core.state import Exit


class Refused(Exception):
    """The request cannot be taken now (a shutdown is under way, say); the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one instance answered a request: `ok`, its state then, and why not if not. `timed_out`
    says that waiting ended before there was an answer. `exit` is how the run ended that was asked
    for, where one was. For a roll-out it is about a worker, and `state` is its progress.
    """

    name: str
    ok: bool
    state: str
    pid: int | None
    message: str
    timed_out: bool = False
    exit: Exit | None = None
