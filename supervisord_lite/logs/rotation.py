"""Rotation: where to cut, and how files move from `web.log` to `web.log.1` and on.

Files move up to the first gap only. A crash between two renames leaves a gap, and the next
rotation fills it, so nothing is thrown away for having crashed. The index of a file (a hidden
file beside it) moves just before the file, and a move that is repeated completes the pair.
"""

import os
from contextlib import suppress

SLACK = 64 * 1024  # a line may carry a file so far beyond its limit before it is cut


def numbered(path: str, number: int) -> str:
    """The name of the log's `number`-th older file; 0 is the log itself."""
    return f"{path}.{number}" if number else path


def index_path(path: str) -> str:
    """The index of the file at `path`: hidden, in the same directory."""
    return hidden_path(path, "idx")


def hidden_path(path: str, what: str) -> str:
    """A hidden file that belongs to the one at `path`."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.{what}")


def cut(size: int, limit: int, data: bytes, *, at_line_start: bool) -> int | None:
    """How many bytes of `data` still belong into a file of `size` bytes before it is rotated;
    None: all of them, and no rotation yet.

    The cut is after the last line end that fits the limit, else where the file's last line
    ends, else `SLACK` beyond the limit in the middle of a line.
    """
    if size + len(data) <= limit:
        return None
    fitting = data.rfind(b"\n", 0, max(0, limit - size)) + 1
    if fitting or (at_line_start and size):
        return fitting
    hard = max(0, limit + SLACK - size)
    end = data.find(b"\n", 0, hard) + 1
    if end:
        return end
    return hard if len(data) >= hard else None


def rotate(path: str, keep: int) -> None:
    """Move every file one number up, as far as the first gap, and drop what is beyond `keep`."""
    gap = next((n for n in range(keep + 1) if not os.path.exists(numbered(path, n))), None)
    if gap is None:  # the oldest is not renamed over: ext4 would write out at once what is moved
        gap = keep
        _remove(numbered(path, keep))
    for number in range(gap, 0, -1):
        source, target = numbered(path, number - 1), numbered(path, number)
        with suppress(FileNotFoundError):
            os.replace(index_path(source), index_path(target))
        os.replace(source, target)
    prune(path, keep)


def prune(path: str, keep: int) -> None:
    """Remove the files that a lowered `keep` leaves over."""
    number = keep + 1
    while os.path.exists(numbered(path, number)):
        _remove(numbered(path, number))
        number += 1


def _remove(path: str) -> None:
    """Remove a file and its index, whichever of them is there."""
    for name in (index_path(path), path):
        with suppress(FileNotFoundError):
            os.unlink(name)
