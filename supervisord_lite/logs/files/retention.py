"""How long older files of a log are kept, and when a log is rotated by the clock.

The time of a file is when its last byte came: its mtime, which a packed one has from the plain
one. What goes first is always the oldest file, so a crash in between leaves no gap.
"""

import os
import time

from supervisord_lite.core.log import Rotation
from supervisord_lite.logs.files import rotation
from supervisord_lite.logs.files.rotation import Older


def boundary(rules: Rotation, began: float) -> float | None:
    """When a file is to be rotated whose first byte came at `began`, whatever its size; both in
    seconds since the epoch.
    """
    times = []
    if rules.every is not None:
        times.append(began + rules.every)
    if rules.daily is not None:
        times.append(_next_daily(rules.daily, began))
    return min(times, default=None)


def trim(path: str, rules: Rotation, now: float) -> float | None:
    """Remove the older files that the rules keep no longer; when the next one has had its time."""
    rotation.prune(path, rules.keep)
    if rules.max_total is None and rules.max_age is None:
        return None
    standing = [(one, os.stat(one.path)) for one in rotation.older(path)]
    total = sum(status.st_size for _, status in standing)
    while standing:
        one, status = standing[-1]
        too_much = rules.max_total is not None and total > rules.max_total
        expires = None if rules.max_age is None else status.st_mtime + rules.max_age
        if not too_much and (expires is None or expires > now):
            return expires
        rotation.remove(one.path)
        total -= status.st_size
        standing.pop()
    return None


def unpacked(path: str) -> list[tuple[Older, int]]:
    """The older files of a log that can be packed, oldest first, with their inodes."""
    found = []
    for one in reversed(rotation.older(path)):
        try:
            status = os.stat(one.path)
        except FileNotFoundError:
            continue
        if not one.packed and status.st_size:
            found.append((one, status.st_ino))
    return found


def _next_daily(at: str, after: float) -> float:
    """The next time that local clocks show `at`. Where they never do so on that day, as in spring,
    it is what mktime(3) takes it for.
    """
    hour, _, minute = at.partition(":")
    today = time.localtime(after)
    for day in (0, 1):
        date = (today.tm_year, today.tm_mon, today.tm_mday + day)
        found = time.mktime((*date, int(hour), int(minute), 0, 0, 0, -1))
        if found > after:
            return found
    raise AssertionError("tomorrow's is later")
