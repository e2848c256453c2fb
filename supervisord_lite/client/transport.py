"""Calls to one daemon, each a connection of its own.

A query that a dying manager had is asked again, since the next manager answers it; what could
happen twice is not.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supervisord_lite.client.connecting import connect
from supervisord_lite.client.descriptors import receive_channel
from supervisord_lite.client.errors import Broken, TimedOut
from supervisord_lite.client.wire import (
    exchange,
    json_lines,
    pieces_of,
    request_bytes,
    server_sent,
    target,
    value_of,
)

ANSWER_WITHIN = 30.0  # seconds for an answer that waits for nothing

Query = Sequence[tuple[str, str]]


class Transport:
    """The daemon that listens at `path`. All methods raise `ClientError`s."""

    def __init__(self, path: str) -> None:
        self.path = path

    def get(self, path: str, query: Query = ()) -> Any:
        try:
            return self._call("GET", target(path, query), b"", ANSWER_WITHIN)
        except Broken:
            # The manager died while it had our question; the next one answers it.
            return self._call("GET", target(path, query), b"", ANSWER_WITHIN)

    def post(self, path: str, body: Mapping[str, Any], patience: float = 0.0) -> Any:
        """`patience` is how long, in seconds, the daemon itself may wait before it answers."""
        return self._call("POST", path, json.dumps(body).encode(), patience + ANSWER_WITHIN)

    def send(self, path: str, body: bytes, query: Query = (), patience: float = 0.0) -> Any:
        """POST these bytes as they are; `patience` as in `post`."""
        return self._call("POST", target(path, query), body, patience + ANSWER_WITHIN)

    def channel(self, path: str, query: Query) -> dict[str, Any]:
        """What is handed over there, with its descriptors."""
        return receive_channel(self.path, target(path, query), ANSWER_WITHIN)

    def events(self, path: str, query: Query) -> Iterator[dict[str, str]]:
        """Server-sent events, until the daemon ends the stream. Raises `Broken` if it is cut."""
        return server_sent(self._pieces(path, query))

    def values(self, path: str, query: Query) -> Iterator[Any]:
        """An answer of one JSON value a line, as they come, however long each takes. Raises
        `Broken` if it is cut.
        """
        return json_lines(self._pieces(path, query))

    def _pieces(self, path: str, query: Query) -> Iterator[bytes]:
        with connect(self.path, None) as connection, connection.makefile("rb") as stream:
            request = request_bytes("GET", target(path, query), b"")
            try:
                status, headers = exchange(connection, stream, request)
                pieces = pieces_of(stream, headers)
                if status != 200:
                    value_of(status, b"".join(pieces))
                yield from pieces
            except OSError as error:
                raise Broken(f"cannot read on from {self.path}: {error}") from None

    def _call(self, method: str, where: str, body: bytes, timeout: float) -> Any:
        with connect(self.path, timeout) as connection, connection.makefile("rb") as stream:
            try:
                request = request_bytes(method, where, body)
                status, headers = exchange(connection, stream, request)
                content = b"".join(pieces_of(stream, headers))
            except TimeoutError:
                raise TimedOut(f"cannot wait any longer for an answer from {self.path}") from None
            except OSError as error:
                raise Broken(f"cannot read the answer from {self.path}: {error}") from None
        return value_of(status, content)
