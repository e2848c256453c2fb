"""Rotation: where to cut, and how files move from `web.log` to `web.log.1` and on.

Files move up to the first gap only. A crash between two renames leaves a gap, and the next
rotation fills it, so nothing is thrown away for having crashed. The index of a file (a hidden
file beside it) moves just before the file, and a move that is repeated completes the pair.

An older file may be packed: `web.log.2.gz` (see `packed`). A packed file gets its name only when
it is whole, its index first, and then the plain one goes; where both are there, that is what a
crash has kept from being done. All of this is for the thread that writes the log, but `older`.
"""

import os
from contextlib import suppress
from typing import NamedTuple

from supervisord_lite.core.log import Compression
from supervisord_lite.logs.files.packed import Packed

SLACK = 64 * 1024  # a line may carry a file so far beyond its limit before it is cut
SUFFIXES = {Compression.GZIP: ".gz", Compression.ZSTD: ".zst"}
_KINDS = ("", *SUFFIXES.values())


class Older(NamedTuple):
    """An older file of a log; `number` 1 is the youngest."""

    path: str
    number: int
    packed: bool


def numbered(path: str, number: int) -> str:
    """The name of the log's `number`-th older file; 0 is the log itself."""
    return f"{path}.{number}" if number else path


def candidates(path: str, number: int) -> list[str]:
    """The names that the log's `number`-th older file may have, the plain one first."""
    plain = numbered(path, number)
    return [plain + kind for kind in _KINDS] if number else [plain]


def index_path(path: str) -> str:
    """The index of the file at `path`: hidden, in the same directory."""
    return hidden_path(path, "idx")


def hidden_path(path: str, what: str) -> str:
    """A hidden file that belongs to the one at `path`."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.{what}")


def packing_paths(path: str) -> tuple[str, str]:
    """Where an older file of the log is being packed, and the index of that."""
    return hidden_path(path, "packing"), hidden_path(path, "packing.idx")


def older(path: str) -> list[Older]:
    """The older files of a log, youngest first; one missing number at a time is passed over. In
    any thread: a rotation that is under way may show a file twice, and hides none.
    """
    found: list[Older] = []
    number = missing = 0
    while missing < 2:
        number += 1
        names = _present(path, number)
        missing = 0 if names else missing + 1
        if names:
            found.append(Older(names[0], number, names[0] != numbered(path, number)))
    return found


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
    standing: list[list[str]] = []
    while len(standing) <= keep and (names := _present(path, len(standing))):
        standing.append(_without_twin(names))
    if len(standing) > keep:  # not renamed over: ext4 would write out at once what is moved
        for name in standing.pop():
            remove(name)
    for number, names in reversed([*enumerate(standing)]):
        source, target = numbered(path, number), numbered(path, number + 1)
        for name in names:
            _move(name, target + name.removeprefix(source))
    prune(path, keep)


def prune(path: str, keep: int) -> None:
    """Remove the files that a lowered `keep` leaves over."""
    number = keep + 1
    while names := _present(path, number):
        for name in names:
            remove(name)
        number += 1


def remove(path: str) -> None:
    """Remove a file and its index, whichever of them is there."""
    _unlink(index_path(path))
    _unlink(path)


def remove_older(path: str, inode: int) -> None:
    """Remove the older file with this inode, whatever its number is now."""
    for one in older(path):
        if _inode(one.path) == inode:
            remove(one.path)
            return


def settle(path: str, inode: int, kind: str) -> bool:
    """Give what was packed of the older file with this inode its name, and remove the plain file;
    False if that is not among the older ones any more.
    """
    hidden, hidden_index = packing_paths(path)
    plain = next(
        (one.path for one in older(path) if not one.packed and _inode(one.path) == inode), None
    )
    if plain is None or not os.path.lexists(hidden):
        _unlink(hidden_index)
        _unlink(hidden)
        return False
    with suppress(FileNotFoundError):
        os.replace(hidden_index, index_path(plain + kind))
    os.replace(hidden, plain + kind)
    remove(plain)
    return True


def tidy(path: str) -> None:
    """Complete or undo what a crash has left of packing."""
    hidden, hidden_index = packing_paths(path)
    _unlink(hidden_index)
    _unlink(hidden)
    for one in older(path):
        plain = numbered(path, one.number)
        if _without_twin(_present(path, one.number)) == [plain]:
            for kind in SUFFIXES.values():  # an index that went ahead of a file that never came
                _unlink(index_path(plain + kind))


def _present(path: str, number: int) -> list[str]:
    return [name for name in candidates(path, number) if os.path.exists(name)]


def _without_twin(names: list[str]) -> list[str]:
    """Of one file's names those that stay: where it is there both plain and packed, that one."""
    if len(names) < 2 or not _is_whole(names[1], os.path.getsize(names[0])):
        return names
    remove(names[0])
    return names[1:]


def _is_whole(packed: str, size: int) -> bool:
    try:
        opened = Packed(packed)
    except OSError:
        return False
    with opened:
        return opened.size == size


def _move(source: str, target: str) -> None:
    with suppress(FileNotFoundError):
        os.replace(index_path(source), index_path(target))
    try:
        os.replace(source, target)
    except OSError:
        with suppress(OSError):
            os.replace(index_path(target), index_path(source))
        raise


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
