"""A log that a test writes by hand, at times of its own choice."""

import os
from pathlib import Path

from supervisord_lite.logs.files.index import ENTRY, HEADER
from supervisord_lite.logs.files.packed import gzip_member
from supervisord_lite.logs.files.rotation import index_path, rotate

CHAIN = bytes(range(16))
SECOND = 1_000_000_000


class Log:
    """A log that is written here by hand, with the index that a data plane would have written."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "web.log")
        self.base = 0
        self.chain = CHAIN
        self.begin()

    def begin(self) -> None:
        Path(self.path).write_bytes(b"")
        self._begin_index()

    def _begin_index(self) -> None:
        inode = os.stat(self.path).st_ino
        header = HEADER.pack(b"sl-idx1\n", self.chain, inode, self.base)
        Path(index_path(self.path)).write_bytes(header)

    def forget(self) -> None:
        """Lose the index, and begin another one over what is there."""
        os.unlink(index_path(self.path))
        self.chain = CHAIN[::-1]
        self._begin_index()

    def write(self, text: bytes, at: int, run: int = 1) -> None:
        """Output of `run` that comes `at` this second."""
        with Path(index_path(self.path)).open("ab") as index, Path(self.path).open("ab") as log:
            index.write(ENTRY.pack(os.path.getsize(self.path), at * SECOND, run))
            log.write(text)

    def rotate(self, *, packed: bool = False) -> None:
        self.base += os.path.getsize(self.path)
        rotate(self.path, 100)
        self.begin()
        if packed:
            self._pack(f"{self.path}.1")

    def _pack(self, path: str) -> None:
        data = Path(path).read_bytes()
        halves = data[: len(data) // 2], data[len(data) // 2 :]
        Path(f"{path}.gz").write_bytes(b"".join(gzip_member(half) for half in halves))
        index = Path(index_path(path)).read_bytes()
        magic, chain, _, base = HEADER.unpack_from(index)
        header = HEADER.pack(magic, chain, os.stat(f"{path}.gz").st_ino, base)
        Path(index_path(f"{path}.gz")).write_bytes(header + index[HEADER.size :])
        os.unlink(path)
        os.unlink(index_path(path))
