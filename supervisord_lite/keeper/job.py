"""What is spawned: a job, what became of it, and what Popen cannot do for it.

Here, as in all that the keeper imports, there are no dataclasses: what they import in turn would be
an eighth of the keeper's memory, and of the time before the first worker runs.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Outfit(NamedTuple):
    """What Popen cannot do for a child; see `keeper.outfit`."""

    limits: tuple[tuple[str, int | None, int | None], ...] = ()
    nice: int | None = None
    oom_score_adj: int | None = None
    cpu_affinity: tuple[int, ...] = ()
    no_new_privileges: bool = False
    listen_pid: bool = False  # whether LISTEN_PID is to be its own pid (sd_listen_fds(3))


class Job(NamedTuple):
    """One child to be made. Its first descriptors become 0, 1 and 2, the further ones those in
    `extra`; what lies between is closed.
    """

    argv: Sequence[str]
    working_dir: str
    environment: dict[str, str]
    umask: int | None = None
    identity: tuple[int, int, tuple[int, ...]] | None = None  # uid, gid, supplementary groups
    extra: tuple[int, ...] = ()
    outfit: Outfit = Outfit()
    logs: tuple[str | None, ...] = ()  # what is opened for appending, instead of 0, 1 and 2


class Answer(NamedTuple):
    """What became of a job, by its number: a pid and its start time, or the stage and errno of the
    failure.
    """

    number: int = 0
    pid: int = 0
    started: int = 0
    stage: str = ""
    errno: int = 0
    message: str = ""
