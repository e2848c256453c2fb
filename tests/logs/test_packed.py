"""Packed logs: any place is one frame away, and others' tools read them too."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisord_lite.core.log import Compression
from supervisord_lite.logs.files import compress
from supervisord_lite.logs.files.packed import FRAME, Packed, gzip_member
from supervisord_lite.logs.files.rotation import packing_paths

METHODS = [Compression.GZIP, Compression.ZSTD]


def text(size: int) -> bytes:
    return b"".join(b"%d a line\n" % number for number in range(size // 8 + 1))[:size]


def packed(directory: Path, data: bytes, method: Compression) -> str:
    """A packed file of these bytes, as the compressor leaves it."""
    if method is Compression.ZSTD:
        pytest.importorskip("zstandard")
    log = directory / "web.log"
    older = Path(f"{log}.1")
    older.write_bytes(data)
    assert compress.compress(str(log), older.stat().st_ino, method)
    return packing_paths(str(log))[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 17])
def test_all_is_read_again(tmp_path: Path, size: int, method: Compression) -> None:
    """Whatever the size, by reads that never cross a frame's end."""
    data = text(size)
    with Packed(packed(tmp_path, data, method)) as file:
        assert file.size == size
        found = b""
        while piece := file.pread(400_000, len(found)):
            found += piece
    assert found == data


@pytest.mark.parametrize("method", METHODS)
def test_any_place_can_be_read(tmp_path: Path, method: Compression) -> None:
    """At random offsets, forwards and backwards."""
    data = text(5 * FRAME)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Packed(packed(tmp_path, data, method)) as file:
        for _ in range(100):
            offset = chance.randrange(len(data))
            found = file.pread(1000, offset)
            assert found
            assert found == data[offset : offset + len(found)]
        assert file.pread(10, len(data)) == b""


@pytest.mark.parametrize(
    ("method", "tool"), [(Compression.GZIP, "gzip"), (Compression.ZSTD, "zstd")]
)
def test_the_tools_of_the_format_read_it(tmp_path: Path, method: Compression, tool: str) -> None:
    """What the daemon packs can be read without it."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    data = text(2 * FRAME + 5)
    path = packed(tmp_path, data, method)
    with open(path, "rb") as stream:
        read = subprocess.run([tool, "-dc"], stdin=stream, stdout=subprocess.PIPE, check=True)
    assert read.stdout == data


@pytest.mark.parametrize("method", METHODS)
def test_it_is_smaller(tmp_path: Path, method: Compression) -> None:
    """Text takes a fraction of its room."""
    assert os.path.getsize(packed(tmp_path, text(2 * FRAME), method)) < FRAME


@pytest.mark.parametrize("method", METHODS)
def test_a_damaged_frame_is_an_error(tmp_path: Path, method: Compression) -> None:
    """Bytes that are not those that were packed are never shown."""
    path = packed(tmp_path, text(2 * FRAME), method)
    with open(path, "r+b") as stream:
        stream.seek(5000)
        stream.write(bytes(64))
    with Packed(path) as file, pytest.raises(OSError) as raised:
        file.pread(10, 0)
    assert raised.value.errno == errno.EBADMSG


@pytest.mark.parametrize("method", METHODS)
def test_a_cut_file_is_an_error(tmp_path: Path, method: Compression) -> None:
    """Half a packed file is none."""
    path = packed(tmp_path, text(2 * FRAME), method)
    os.truncate(path, os.path.getsize(path) - 10)
    with pytest.raises(OSError, match="damaged"):
        Packed(path)


def test_what_somebody_else_has_compressed_is_an_error(tmp_path: Path) -> None:
    """A gzip file without our field cannot be read at a place."""
    path = tmp_path / "web.log.1.gz"
    with path.open("wb") as stream:
        subprocess.run(["gzip", "-c"], input=b"theirs\n", stdout=stream, check=True)
    with pytest.raises(OSError, match="damaged"):
        Packed(str(path))


@given(pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=8), start=st.integers(0, 2500))
def test_members_of_any_content_and_size(pieces: list[bytes], start: int) -> None:
    """Members are found by their headers alone, whatever is in them."""
    fd = os.memfd_create("packed")
    os.write(fd, b"".join(map(gzip_member, pieces)) or gzip_member(b""))
    with Packed(fd) as file:
        data = b"".join(pieces)
        assert file.size == len(data)
        found = file.pread(10_000, start)
        assert data[start:].startswith(found)
        assert bool(found) == (start < len(data))
