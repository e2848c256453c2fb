"""Lines of a feed as bytes, many at once: each line has one end, and none inside.

What a line looks like is `logs.line`'s business; here the same is done for many lines of one
instance and one time, which share all but their texts.
"""

import json
from collections.abc import Callable

from supervisord_lite.logs.escape import escape
from supervisord_lite.logs.feeds.mixture import Mixture, Piece
from supervisord_lite.logs.line import Line, as_json, json_head

Encode = Callable[[Piece], bytes]

_quoted = json.JSONEncoder(ensure_ascii=False).encode


def plain(piece: Piece) -> bytes:
    """Lines as they are."""
    return b"\n".join(piece.texts) + b"\n"


def prefixed(piece: Piece) -> bytes:
    """Lines after their name: see `as_prefixed`."""
    prefix = f"{piece.source.title} | "
    text = escape(plain(piece))[:-1].replace("\n", f"\n{prefix}")
    return f"{prefix}{text}\n".encode()


def as_objects(piece: Piece) -> bytes:
    """Lines as JSON: see `as_json`."""
    text = b"\n".join(piece.texts).decode("utf-8", "replace")
    if piece.partial or "\ufffd" in text:
        lines = (Line(piece.time, piece.run, one, piece.partial) for one in piece.texts)
        return b"".join(as_json(line, piece.source) for line in lines)
    head = json_head(piece.time, piece.run, piece.source)
    objects = f"}}\n{head}".join(map(_quoted, text.split("\n")))
    return f"{head}{objects}}}\n".encode()


class Blend:
    """A mixture as bytes, each line as `encode` writes it."""

    def __init__(self, mixture: Mixture, encode: Encode) -> None:
        self._mixture = mixture
        self._encode = encode
        self._piece: Piece | None = None
        self._data = b""  # what was made of the piece
        self._from = 0  # where in it the first line begins that was not accepted
        self.since: int | None = None  # when the first line came of what was read last

    @property
    def position(self) -> str:
        """Where each log is to be read on."""
        return self._mixture.position

    def read(self, count: int) -> bytes:
        """Whole lines, of `count` bytes together, or a single one that is longer."""
        found: list[bytes] = []
        room = count
        while room > 0 and (piece := self._mixture.next()) is not None:
            data = self._some_of(piece, room, alone=not found)
            if not data:
                break
            if not found:
                self.since = piece.time
            found.append(data)
            room -= len(data)
            self._mixture.accept(data.count(b"\n"))
        return b"".join(found)

    def close(self) -> None:
        """Read no more."""
        self._mixture.end()

    def _some_of(self, piece: Piece, room: int, *, alone: bool) -> bytes:
        if piece is not self._piece:
            self._piece, self._data, self._from = piece, self._encode(piece), 0
        start = self._from
        end = len(self._data)
        if end - start > room:
            end = self._data.rfind(b"\n", start, start + room) + 1
            if not end and alone:
                end = self._data.index(b"\n", start) + 1
        if end:
            self._from = end
        data = self._data[start:end]
        if end == len(self._data):
            self._piece, self._data = None, b""
        return data
