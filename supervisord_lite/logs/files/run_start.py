"""Where a run's output begins in its log, by the indexes alone: also after rotations and deaths.

All of this touches the disk: not for an event loop's thread.
"""

from collections.abc import Iterator
from itertools import count

from supervisord_lite.logs.files.index import ENTRY, HEADER
from supervisord_lite.logs.files.rotation import candidates, index_path


def run_start(log: str, run: int, since: float) -> str | None:
    """The position (see `reader`) of the first byte of `run`; None if no index tells.

    Numbers of runs begin anew with a daemon that knows nothing of an earlier one. So the run is
    looked for from the end back, and not beyond `since`, in seconds since the epoch, where there is
    something of it later than that.
    """
    entries = _last_of(log, run)
    if not entries:
        return None
    late = [place for when, place in entries if when >= since * 1e9]
    chain, offset = (late or [place for _, place in entries])[0]
    return f"{chain.hex()}:{offset}"


def _last_of(log: str, run: int) -> list[tuple[int, tuple[bytes, int]]]:
    """The times and places of the run's entries, oldest first, as far back as they are unbroken.

    Entries at the end that speak of no run, or of later ones, are passed over.
    """
    found: list[tuple[int, tuple[bytes, int]]] = []
    for when, number, place in _backwards(log):
        if number == run:
            found.append((when, place))
        elif found:
            break
    return found[::-1]


def _backwards(log: str) -> Iterator[tuple[int, int, tuple[bytes, int]]]:
    """All entries of the log's present chain from the last one back: time, run, place."""
    newest: bytes | None = None
    last: int | None = None
    missing = 0
    for number in count():
        content = _read_first(candidates(log, number))
        if len(content) < HEADER.size:
            missing += 1
            if missing > 1:  # a rotation leaves one gap while it is under way
                return
            continue
        _, chain, _, base = HEADER.unpack_from(content)
        newest = newest or chain
        if chain != newest:
            return
        if base == last:  # it moved on while we looked
            continue
        last = base
        end = len(content) - (len(content) - HEADER.size) % ENTRY.size
        for start in range(end - ENTRY.size, HEADER.size - 1, -ENTRY.size):
            offset, when, run = ENTRY.unpack_from(content, start)
            yield when, run, (chain, base + offset)


def _read_first(names: list[str]) -> bytes:
    """The index of the first of these files that has one."""
    return next((content for name in names if (content := _read(index_path(name)))), b"")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
