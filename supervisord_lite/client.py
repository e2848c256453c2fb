"""The control API from Python: blocking, standard library only, quick to import.

    from supervisord_lite.client import Client

    client = Client()                     # the only daemon that runs here, or say which socket
    client.restart(["web"], timeout=30)
    for row in client.workers("web:*"):
        print(row["name"], row["state"])

Every call is one connection. What a call returns is the API's JSON (docs/api.md). Errors are
`ClientError`s. A manager that dies or is replaced is survived where that cannot do a thing twice:
queries are asked again, and followed logs go on at the byte where they were.
"""

import contextlib
import json
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

ENVIRONMENT_VARIABLE = "SUPERVISORD_LITE_SOCKET"

_ANSWER_WITHIN = 30.0  # seconds for an answer that waits for nothing
_WAIT = 60.0
_LONGEST_PATH = 107  # sun_path holds 108 bytes with the final NUL, unix(7)
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@")


class ClientError(Exception):
    """Anything that kept a call from being answered."""


class NoDaemon(ClientError):
    """Nobody listens."""


class SeveralDaemons(ClientError):
    """More than one daemon runs here; `sockets` are theirs."""

    def __init__(self, sockets: Sequence[str]) -> None:
        super().__init__(f"cannot choose between several daemons: {', '.join(sockets)}")
        self.sockets = tuple(sockets)


class Denied(ClientError):
    """The user has no right to the socket."""


class Broken(ClientError):
    """The connection ended before the answer did: whether the call was obeyed is not known."""


class TimedOut(ClientError):
    """No answer in time; the daemon may still do what it was asked."""


class ApiError(ClientError):
    """The daemon said no: the HTTP `status`, and the `problems` of a bad configuration."""

    def __init__(self, status: int, text: str, problems: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.problems = tuple(problems)


class Client:
    """One daemon, at `path` (found by `find_socket` if None)."""

    def __init__(self, path: str | None = None) -> None:
        self.path = find_socket(path)

    def workers(self, *names: str) -> list[dict[str, Any]]:
        """One row an instance; all of them without names."""
        rows: list[dict[str, Any]] = self._get("/v1/workers", [("name", name) for name in names])[
            "workers"
        ]
        return rows

    def start(self, names: Sequence[str], *, wait: bool = True, timeout: float = _WAIT) -> Any:
        return self._order("start", names, wait=wait, timeout=timeout)

    def stop(self, names: Sequence[str], *, wait: bool = True, timeout: float = _WAIT) -> Any:
        return self._order("stop", names, wait=wait, timeout=timeout)

    def restart(self, names: Sequence[str], *, wait: bool = True, timeout: float = _WAIT) -> Any:
        return self._order("restart", names, wait=wait, timeout=timeout)

    def signal(self, names: Sequence[str], signal: str | int) -> Any:
        """Send a signal, by name or number, to the main processes."""
        return self._post("/v1/workers/signal", {"names": list(names), "signal": signal})

    def plan(self) -> Any:
        """What `reload` would do."""
        return self._get("/v1/plan")

    def reload(self, *, wait: bool = True, timeout: float = _WAIT) -> Any:
        """Read the configuration again and apply what differs; returns the plan."""
        body = {"wait": wait, "timeout": timeout}
        return self._post("/v1/reload", body, timeout + _ANSWER_WITHIN)

    def logs(
        self,
        names: Sequence[str],
        *,
        lines: int = 10,
        stream: str | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """What is in the logs now: the last lines, or what comes after `cursors`."""
        found: list[dict[str, Any]] = self._get(
            "/v1/logs", _log_query(names, lines, stream, cursors or {})
        )["logs"]
        return found

    def follow(
        self, names: Sequence[str], *, lines: int = 10, stream: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Output as it comes, until the daemon is gone: `{"name", "stream", "text"}`."""
        cursors: dict[str, str] = {}
        while True:
            query = [("follow", "1"), *_log_query(names, lines, stream, cursors)]
            try:
                for event in self._events("/v1/logs", query):
                    source, _, cursor = event["id"].partition("@")
                    cursors[source] = cursor
                    if event["event"] == "output":
                        yield json.loads(event["data"])
            except Broken:
                pass  # the manager died; the next one takes the connection that comes now
            except NoDaemon:
                return
            time.sleep(0.1)  # a manager that cannot stay up is not worth a busy loop

    def reopen_logs(self) -> None:
        """Open every log again by its name."""
        self._post("/v1/logs/reopen", {})

    def shutdown(self, *, wait: float | None = None) -> None:
        """Stop everything, then the daemon; if `wait`, return when it has ended. TimedOut after."""
        self._end("/v1/shutdown", wait)

    def leave(self, *, wait: float | None = None) -> None:
        """End the daemon and leave the workers alive, for the next one to adopt; wait as above."""
        self._end("/v1/leave", wait)

    def _end(self, path: str, wait: float | None) -> None:
        if wait is None:
            self._post(path, {})
            return
        daemon = f"/proc/{self.version()['keeper']}"
        seen = os.path.exists(daemon)  # not if it is in another pid namespace
        self._post(path, {})
        deadline = time.monotonic() + wait
        # That nobody listens tells the end, too, but another daemon may have come at once.
        while _is_live(self.path) and (not seen or os.path.exists(daemon)):
            if time.monotonic() > deadline:
                raise TimedOut(f"cannot wait any longer: the daemon at {self.path} still runs")
            time.sleep(0.05)

    def version(self) -> Any:
        """Name, version, pids and files of the daemon."""
        return self._get("/v1/version")

    def config(self) -> list[dict[str, Any]]:
        """The applied configuration, one row a value, with its origin."""
        values: list[dict[str, Any]] = self._get("/v1/config")["values"]
        return values

    def _order(self, verb: str, names: Sequence[str], *, wait: bool, timeout: float) -> Any:
        body = {"names": list(names), "wait": wait, "timeout": timeout}
        patience = timeout + _ANSWER_WITHIN if wait else _ANSWER_WITHIN
        return self._post(f"/v1/workers/{verb}", body, patience)

    def _get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        try:
            return self._call("GET", _target(path, query), b"", _ANSWER_WITHIN)
        except Broken:
            # The manager died while it had our question; the next one answers it.
            return self._call("GET", _target(path, query), b"", _ANSWER_WITHIN)

    def _post(self, path: str, body: Mapping[str, Any], timeout: float = _ANSWER_WITHIN) -> Any:
        return self._call("POST", path, json.dumps(body).encode(), timeout)

    def _call(self, method: str, target: str, body: bytes, timeout: float) -> Any:
        with _connect(self.path, timeout) as connection, connection.makefile("rb") as stream:
            try:
                status, headers = _exchange(connection, stream, _request(method, target, body))
                content = b"".join(_pieces(stream, headers))
            except TimeoutError:
                raise TimedOut(f"cannot wait any longer for an answer from {self.path}") from None
            except OSError as error:
                raise Broken(f"cannot read the answer from {self.path}: {error}") from None
        return _value(status, content)

    def _events(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[dict[str, str]]:
        with _connect(self.path, None) as connection, connection.makefile("rb") as stream:
            request = _request("GET", _target(path, query), b"")
            try:
                status, headers = _exchange(connection, stream, request)
                pieces = _pieces(stream, headers)
                if status != 200:
                    _value(status, b"".join(pieces))
                yield from _server_sent(pieces)
            except OSError as error:
                raise Broken(f"cannot read on from {self.path}: {error}") from None


def find_socket(explicit: str | None = None) -> str:
    """The socket to use: `explicit`, or SUPERVISORD_LITE_SOCKET, or that of the only live daemon.

    Raises `NoDaemon` or `SeveralDaemons`.
    """
    named = explicit or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return named
    live = [path for path in _known_sockets() if _is_live(path)]
    if len(live) > 1:
        raise SeveralDaemons(live)
    if not live:
        raise NoDaemon(
            f"cannot find a running daemon below {' or '.join(_runtime_directories())}"
            f" (say which socket by -s or {ENVIRONMENT_VARIABLE})"
        )
    return live[0]


def _runtime_directories() -> list[str]:
    uid = os.geteuid()
    if uid == 0:
        return ["/run/supervisord-lite"]
    places = [f"/tmp/supervisord-lite-{uid}"]  # noqa: S108 - its owner is checked before use
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        places.insert(0, f"{session}/supervisord-lite")
    return places


def _known_sockets() -> list[str]:
    """One path for each daemon's runtime directory; `control.path` names a socket elsewhere."""
    found: list[str] = []
    for place in _runtime_directories():
        if not _is_ours(place):
            continue
        for name in sorted(os.listdir(place)):
            try:
                with open(f"{place}/{name}/control.path", encoding="utf-8") as pointer:
                    found.append(pointer.read().strip())
            except OSError:
                found.append(f"{place}/{name}/control.sock")
    return found


def _is_ours(place: str) -> bool:
    """Whether it is a directory that only we or root can have made: /tmp is everybody's."""
    try:
        found = os.lstat(place)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in {0, os.geteuid()}


def _is_live(path: str) -> bool:
    try:
        _connect(path, 0.2).close()
    except NoDaemon:
        return False
    except ClientError:
        return True  # somebody is there
    return True


def _connect(path: str, timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if timeout is not None:
            # A non-blocking connect(2) would fail at once while the backlog is full.
            limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        _connect_to(connection, path)
        connection.settimeout(timeout)
    except BlockingIOError:
        connection.close()
        raise TimedOut(f"cannot connect to {path} in time: too many wait there") from None
    except PermissionError:
        connection.close()
        raise Denied(f"cannot connect to {path}: permission denied") from None
    except OSError as error:
        connection.close()
        raise NoDaemon(f"cannot reach a daemon at {path}: {error.strerror or error}") from None
    return connection


def _connect_to(connection: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        connection.connect(path)
        return
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def _target(path: str, query: Sequence[tuple[str, str]]) -> str:
    pairs = "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in query)
    return f"{path}?{pairs}" if pairs else path


def _quoted(text: str) -> str:
    return "".join(
        chr(byte) if byte in _SAFE else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def _log_query(
    names: Sequence[str], lines: int, stream: str | None, cursors: Mapping[str, str]
) -> list[tuple[str, str]]:
    query = [("name", name) for name in names]
    query.append(("lines", str(lines)))
    if stream:
        query.append(("stream", stream))
    return query + [("cursor", f"{source}@{cursor}") for source, cursor in cursors.items()]


def _request(method: str, target: str, body: bytes) -> bytes:
    return (
        f"{method} {target} HTTP/1.1\r\nHost: supervisord-lite\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode("ascii") + body


def _exchange(
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


def _pieces(stream: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
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


def _server_sent(pieces: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """Events that carry data (WHATWG HTML, 9.2 server-sent events; one data line each)."""
    rest = b""
    for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            pairs = (line.partition(": ") for line in block.decode().split("\n"))
            event = {key: value for key, _, value in pairs}
            if "data" in event:
                yield event


def _value(status: int, content: bytes) -> Any:
    try:
        value = json.loads(content)
    except ValueError:
        raise ApiError(status, f"cannot read the answer: {content[:80]!r}") from None
    if status == 200:
        return value
    text = value.get("error", "cannot: no reason was given")
    raise ApiError(status, text, value.get("problems", ()))
