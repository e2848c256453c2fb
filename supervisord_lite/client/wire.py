"""HTTP/1.1 and server-sent events as bytes: as much of both as the control API speaks (RFC 9112;
WHATWG HTML, 9.2). It knows sockets and answers, and nothing of what is asked.
"""

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from supervisord_lite.client.errors import ApiError

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@")


def target(path: str, query: Sequence[tuple[str, str]]) -> str:
    pairs = "&".join(f"{quoted(key)}={quoted(value)}" for key, value in query)
    return f"{path}?{pairs}" if pairs else path


def quoted(text: str) -> str:
    """As it may stand in a request target."""
    return "".join(
        chr(byte) if byte in _SAFE else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def request_bytes(method: str, target: str, body: bytes) -> bytes:
    return (
        f"{method} {target} HTTP/1.1\r\nHost: supervisord-lite\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode("ascii") + body


def exchange(
    connection: socket.socket, stream: BinaryIO, request: bytes
) -> tuple[int, dict[str, str]]:
    """Send the request, read the head of the answer (RFC 9112)."""
    # A request that is refused before it was read breaks the pipe; the reason is there to read.
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(request)
    words = stream.readline(65536).split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ConnectionResetError("the connection ended before an answer came")
    headers: dict[str, str] = {}
    while (line := stream.readline(65536)) not in {b"\r\n", b"\n"}:
        if not line:
            raise ConnectionResetError("the connection ended within the head of the answer")
        key, _, value = line.decode("latin-1").partition(":")
        headers[key.strip().lower()] = value.strip()
    return int(words[1]), headers


def pieces_of(stream: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The body as it arrives. Raises ConnectionResetError when it ends too early."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := _chunk_size(stream.readline(64)):
            yield _exactly(stream, size)
            stream.readline(64)
        return
    yield _exactly(stream, int(headers.get("content-length", "0")))


def _chunk_size(line: bytes) -> int:
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the connection ended within the answer")
    return int(line.split(b";")[0], 16)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise ConnectionResetError("the connection ended within the answer")
    return content


def server_sent(pieces: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """Events that carry data (WHATWG HTML, 9.2 server-sent events; one data line each)."""
    rest = b""
    for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            pairs = (line.partition(": ") for line in block.decode().split("\n"))
            event = {key: value for key, _, value in pairs}
            if "data" in event:
                yield event


def json_lines(pieces: Iterator[bytes]) -> Iterator[Any]:
    """The values of an answer that has one on each line."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(json.loads, lines)


def value_of(status: int, content: bytes) -> Any:
    try:
        value = json.loads(content)
    except ValueError:
        raise ApiError(status, f"cannot read the answer: {content[:80]!r}") from None
    if status == 200:
        return value
    text = value.get("error", "cannot: no reason was given")
    raise ApiError(status, text, value.get("problems", ()))
