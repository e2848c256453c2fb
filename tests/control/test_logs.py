"""Logs over the API: what is there, what comes, and where a client that lost it goes on."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from supervisord_lite.client import ApiError, Client
from supervisord_lite.control.logs import Source, follow
from tests.control.conftest import Daemon, FileLogs, FileTail


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return Client(daemon.path)


def test_last_lines_are_shown(daemon: Daemon, client: Client) -> None:
    """As many lines as asked for, and a cursor behind them."""
    daemon.logs.grow("web:0", b"one\ntwo\nthree\n")
    (log,) = client.logs(["web"], lines=2)
    assert (log["name"], log["stream"], log["text"]) == ("web:0", "stdout", "two\nthree\n")
    assert not log["more"]


def test_cursor_goes_on_where_the_answer_ended(daemon: Daemon, client: Client) -> None:
    """With a cursor nothing is shown twice and nothing is left out."""
    daemon.logs.grow("web:0", b"one\n")
    (log,) = client.logs(["web"])
    daemon.logs.grow("web:0", b"two\n")
    (log,) = client.logs(["web"], cursors={"web:0/stdout": log["cursor"]})
    assert log["text"] == "two\n"


def test_long_logs_come_in_parts(daemon: Daemon, client: Client) -> None:
    """One answer is bounded; its cursor fetches the rest."""
    content = b"".join(b"%031d\n" % number for number in range(60_000))
    daemon.logs.grow("web:0", content)
    (log,) = client.logs(["web"], lines=100_000)
    parts = [log]
    while parts[-1]["more"]:
        parts += client.logs(["web"], cursors={"web:0/stdout": parts[-1]["cursor"]})
    same = "".join(part["text"] for part in parts).encode() == content
    assert (len(parts), same) == (2, True)


def test_plain_text_is_the_bytes_of_the_log(daemon: Daemon) -> None:
    """Who asks for text gets what the worker wrote, valid UTF-8 or not."""
    written = b"\xff\xfe\x00caf\xc3\xa9\n"
    daemon.logs.grow("web:0", written)
    with httpx.Client(transport=httpx.HTTPTransport(uds=daemon.path)) as http:
        answer = http.get("http://d/v1/logs?name=web", headers={"accept": "text/plain"})
    assert answer.content == written


def test_follow_begins_with_the_last_lines_and_goes_on(daemon: Daemon, client: Client) -> None:
    """What was there comes first, then what is written, as it is written."""
    daemon.logs.grow("web:0", b"one\ntwo\n")
    pieces = client.follow(["all"], lines=1)
    assert next(pieces) == {"name": "web:0", "stream": "stdout", "text": "two\n"}
    daemon.logs.grow("db:0", b"three\n")
    assert next(pieces) == {"name": "db:0", "stream": "stdout", "text": "three\n"}


def test_split_characters_stay_whole(daemon: Daemon, client: Client) -> None:
    """A character whose bytes come one by one is shown once, when it is complete."""
    pieces = client.follow(["web"], lines=1)
    daemon.logs.grow("web:0", b"a")
    assert next(pieces)["text"] == "a"
    daemon.logs.grow("web:0", b"\xe2\x82")
    daemon.logs.grow("web:0", b"\xac")
    assert next(pieces)["text"] == "€"


def test_broken_characters_are_replaced(daemon: Daemon, client: Client) -> None:
    """Bytes that are no UTF-8 do not spoil those around them."""
    daemon.logs.grow("web:0", b"a\xffb\n")
    (log,) = client.logs(["web"])
    assert log["text"] == "a�b\n"


def test_follow_survives_a_new_manager(daemon: Daemon, client: Client) -> None:
    """The client goes on at the byte where the old manager left it, in the middle of a character
    or not.
    """
    pieces = client.follow(["all"], lines=1)
    received = _collect(daemon, pieces, "begin\xe2".encode("latin-1"), "begin")
    daemon.end()
    daemon.logs.grow("web:0", b"\x82\xac between ")
    daemon.logs.grow("db:0", b"1\n2\n3\n")
    daemon.begin()
    assert next(pieces)["text"] == "€ between "
    assert next(pieces) == {"name": "db:0", "stream": "stdout", "text": "1\n2\n3\n"}
    received += _collect(daemon, pieces, b"end", "end")
    assert received == "beginend"


def _collect(daemon: Daemon, pieces: Iterator[dict[str, Any]], written: bytes, last: str) -> str:
    """Write, and read until `last` has come."""
    daemon.logs.grow("web:0", written)
    text = ""
    while not text.endswith(last):
        text += next(pieces)["text"]
    return text


def test_last_event_id_resumes(daemon: Daemon) -> None:
    """What browsers and curl send when they come back is understood."""
    daemon.logs.grow("web:0", b"one\n")
    first = _first_event(daemon, {})
    daemon.logs.grow("web:0", b"two\n")
    second = _first_event(daemon, {"last-event-id": first["id"]})
    assert [json.loads(event["data"])["text"] for event in (first, second)] == ["one\n", "two\n"]


def _first_event(daemon: Daemon, headers: dict[str, str]) -> dict[str, str]:
    transport = httpx.HTTPTransport(uds=daemon.path)
    url = "http://d/v1/logs?name=web&follow=1"
    with (
        httpx.Client(transport=transport, timeout=20) as http,
        http.stream("GET", url, headers=headers) as answer,
    ):
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            key, _, value = line.partition(": ")
            fields[key] = value
            if key == "data" and fields["event"] == "output":
                break
        return fields


@pytest.mark.parametrize("cursor", ["web:0/stdout@zz.0", "web:0/stdout@.x", "nonsense"])
def test_false_cursors_are_400(client: Client, cursor: str) -> None:
    """A cursor that never was one is an error, followed or not."""
    source, _, value = cursor.partition("@")
    with pytest.raises(ApiError, match="cannot") as refused:
        client.logs(["web"], cursors={source: value})
    assert refused.value.status == 400


def test_unreadable_log_is_said(daemon: Daemon, client: Client) -> None:
    """A log that cannot be opened is an error that says whose."""
    (daemon.logs.directory / "db:0.log").unlink()
    with pytest.raises(ApiError, match="cannot read stdout of db:0: No such file") as refused:
        client.logs(["db"])
    assert refused.value.status == 500


def test_too_many_logs_are_refused(tmp_path: Path, daemon: Daemon, client: Client) -> None:
    """One request shows a bounded number of logs."""
    daemon.fleet.up.update({f"web:{number}": True for number in range(1, 200)})
    with pytest.raises(ApiError, match="cannot show 201 logs at once: name at most 128"):
        client.logs(["all"])


def test_client_that_leaves_ends_its_watch(daemon: Daemon) -> None:
    """After the last follower has gone nothing is watched any more."""
    with daemon.connect() as connection:
        connection.sendall(b"GET /v1/logs?name=web&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        assert connection.recv(100)
        assert daemon.logs.watchers
        connection.shutdown(socket.SHUT_RDWR)
    daemon.until(lambda: not daemon.logs.watchers)


class SlowLogs(FileLogs):
    """A disk that answers when it is told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.asked, self.may = threading.Event(), threading.Event()
        self.opened: list[FileTail] = []

    def open(self, instance: str, stream: str, *, lines: int, position: str | None) -> FileTail:
        self.asked.set()
        assert self.may.wait(30)
        self.opened.append(super().open(instance, stream, lines=lines, position=position))
        return self.opened[-1]


def test_a_follower_that_gives_up_early_leaves_nothing_open(tmp_path: Path) -> None:
    """A client that goes while its logs are being opened costs no descriptor."""
    logs = SlowLogs(tmp_path)

    async def give_up() -> None:
        stream = follow(logs, [Source("web:0", "stdout", None)], 10)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(logs.asked.wait, 30)
        first.cancel()
        await asyncio.wait((first,))
        logs.may.set()

    asyncio.run(give_up())
    assert [tail._file.closed for tail in logs.opened] == [True]
