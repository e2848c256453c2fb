"""Zstandard by whatever this Python has: its own `compression.zstd` from 3.14 on, else the package
`zstandard`, which the extra `zstd` installs. Imported only where a file asks for it.
"""

import errno
from importlib import import_module
from typing import Any

_LEVEL = 3


def compress(data: bytes) -> bytes:
    """One frame that says how long its content is, and carries a checksum of it."""
    library, own = _library()
    if own:
        checked = {library.CompressionParameter.checksum_flag: True}
        levelled = {library.CompressionParameter.compression_level: _LEVEL, **checked}
        return bytes(library.compress(data, options=levelled))
    return bytes(library.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data))


def decompress(frame: bytes) -> bytes:
    """The content of one frame. OSError if it is damaged, or if there is nothing to read it by."""
    library, own = _library()
    error = library.ZstdError
    try:
        if own:
            return bytes(library.decompress(frame))
        return bytes(library.ZstdDecompressor().decompress(frame))
    except error as problem:
        raise OSError(errno.EBADMSG, str(problem)) from problem


def _library() -> tuple[Any, bool]:
    """The module, and whether it is Python's own."""
    try:
        return import_module("compression.zstd"), True
    except ImportError:
        pass
    try:
        return import_module("zstandard"), False
    except ImportError:
        text = "zstd is not there: install supervisord-lite[zstd]"
        raise OSError(errno.EOPNOTSUPP, text) from None
