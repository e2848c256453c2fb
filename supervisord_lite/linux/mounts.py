"""Which mounted file system a path lies on, told without touching it: proc_pid_mountinfo(5).

stat(2) would ask the file system itself, and one that hangs never answers.
"""

import os
import re
from collections.abc import Sequence


def points() -> list[str]:
    """All mount points of this process's namespace, longest first."""
    with open("/proc/self/mountinfo", "rb") as table:
        found = {_unescaped(line.split(b" ", 5)[4]) for line in table}
    return sorted(found, key=len, reverse=True)


def point_of(path: str, points: Sequence[str]) -> str:
    """The mount point that an absolute path lies below; symbolic links are taken literally."""
    for point in points:
        if path == point or path.startswith(point.rstrip("/") + "/"):
            return point
    return "/"


def _unescaped(point: bytes) -> str:
    plain = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), point)
    return os.fsdecode(plain)
