"""Lines of logs over the API: in the order of time, chosen by time and by pattern, live."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from supervisord_lite.client import ApiError, Client
from tests.control.conftest import Daemon


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return Client(daemon.path)


def ask(daemon: Daemon, query: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=daemon.path), timeout=30) as http:
        return http.get(f"http://d/v1/logs?{query}")


def test_a_line_says_all_about_itself(daemon: Daemon) -> None:
    """Whose it is, when it came, what it says, and where the next one begins."""
    daemon.logs.grow("web:0", b"hello \xff\nyou")
    answer = ask(daemon, "name=web&format=json")
    assert answer.headers["content-type"] == "application/x-ndjson"
    first, second = map(json.loads, answer.text.splitlines())
    assert (first["worker"], first["instance"], first["stream"]) == ("web", 0, "stdout")
    assert (first["message"], first["raw"]) == ("hello �", "aGVsbG8g/w==")
    assert first["cursor"].startswith("web:0/stdout@")
    assert (second["message"], second["partial"]) == ("you", True)


def test_lines_as_text_carry_names(daemon: Daemon) -> None:
    """And command no terminal."""
    daemon.logs.grow("web:0", b"\x1b[2Jgone\n")
    daemon.logs.grow("db:0", b"here\n")
    answer = ask(daemon, "format=text")
    assert sorted(answer.text.splitlines()) == ["db:0  | here", "web:0 | \\x1b[2Jgone"]


def test_the_last_lines_are_the_default(daemon: Daemon, client: Client) -> None:
    """Ten of each log; all where a pattern or a time says which."""
    daemon.logs.grow("web:0", b"".join(b"%d\n" % number for number in range(100)))
    assert [line["message"] for line in client.lines(["web"])] == [str(n) for n in range(90, 100)]
    assert len(list(client.lines(["web"], since="1h"))) == 100
    assert len(list(client.lines(["web"], grep="0$"))) == 10


def test_lines_are_chosen_by_pattern(daemon: Daemon, client: Client) -> None:
    """With a number of lines, the last so many that match."""
    daemon.logs.grow("web:0", b"".join(b"%d\n" % number for number in range(1000)))
    found = [line["message"] for line in client.lines(["web"], grep="7$", lines=3)]
    assert found == ["977", "987", "997"]


def test_lines_are_chosen_by_time(daemon: Daemon, client: Client) -> None:
    """What came before or after is not there."""
    daemon.logs.grow("web:0", b"one\n")
    assert list(client.lines(["web"], until="1h")) == []
    assert list(client.lines(["web"], since=f"@{int(time.time()) + 3600}")) == []
    assert len(list(client.lines(["web"], since="1h", until=f"@{int(time.time()) + 3600}"))) == 1


@pytest.mark.parametrize("which", [{}, {"since": "1h"}, {"grep": "t"}, {"until": "0s"}])
def test_no_lines_are_none(daemon: Daemon, client: Client, which: dict[str, Any]) -> None:
    """Whatever else is said; the line that is being written is none of them, either."""
    daemon.logs.grow("web:0", b"one\ntwo\nthree")
    assert list(client.lines(["web"], lines=0, **which)) == []


def test_a_cursor_goes_on_behind_its_line(daemon: Daemon, client: Client) -> None:
    """With the next one, of each log that has a cursor."""
    daemon.logs.grow("web:0", b"one\ntwo\nthree\n")
    first = next(client.lines(["web"]))
    name, _, cursor = first["cursor"].rpartition("@")
    found = client.lines(["web"], cursors={name: cursor})
    assert [line["message"] for line in found] == ["two", "three"]


def test_follow_shows_what_is_there_and_what_comes(daemon: Daemon, client: Client) -> None:
    """Line by line, each once."""
    daemon.logs.grow("web:0", b"one\ntwo\n")
    lines = client.lines(["all"], follow=True, lines=1)
    assert next(lines)["message"] == "two"
    daemon.logs.grow("db:0", b"three\nfo")
    assert next(lines)["message"] == "three"
    daemon.logs.grow("db:0", b"ur\n")
    four = next(lines)
    if four.get("partial"):  # the machine was so slow that the rest took a second
        four = {"message": four["message"] + next(lines)["message"]}
    assert four["message"] == "four"


def test_follow_shows_a_question_that_has_no_end_of_line(daemon: Daemon, client: Client) -> None:
    """After a moment, since somebody may have to answer it."""
    lines = client.lines(["web"], follow=True, lines=1)
    daemon.logs.grow("web:0", b"Password: ")
    question = next(lines)
    assert (question["message"], question["partial"]) == ("Password: ", True)
    daemon.logs.grow("web:0", b"\nwelcome\n")
    rest = next(lines)
    assert (rest["message"], "partial" in rest) == ("", False)
    assert next(lines)["message"] == "welcome"


def test_follow_survives_a_new_manager(daemon: Daemon, client: Client) -> None:
    """Also in a log that had said nothing yet: no line is missing, none comes twice."""
    daemon.logs.grow("web:0", b"before\n")
    lines = client.lines(["all"], follow=True, lines=1)
    assert next(lines)["message"] == "before"
    daemon.logs.grow("web:0", b"live\n")  # comes after the positions of all logs
    assert next(lines)["message"] == "live"
    daemon.end()
    daemon.logs.grow("web:0", b"between\n")
    daemon.logs.grow("db:0", b"1\n2\n3\n")
    daemon.begin()
    found = [next(lines) for _ in range(4)]
    assert sorted(line["message"] for line in found) == ["1", "2", "3", "between"]


@pytest.mark.parametrize("more", ["", "&format=json"])
def test_an_answer_ends_when_the_log_is_another_one(daemon: Daemon, more: str) -> None:
    """With all that stood in the old one: its client comes again, and finds the new one."""
    daemon.logs.grow("web:0", b"one\n")
    with (
        httpx.Client(transport=httpx.HTTPTransport(uds=daemon.path), timeout=30) as http,
        http.stream("GET", f"http://d/v1/logs?name=web&lines=1&follow=1{more}") as answer,
    ):
        lines = answer.iter_lines()
        while "one" not in next(lines):
            pass
        daemon.logs.place = "elsewhere"
        daemon.logs.grow("web:0", b"two")
        assert any("two" in line for line in lines)
        assert all("two" not in line for line in waking(daemon, lines))


def waking(daemon: Daemon, lines: Iterator[str]) -> Iterator[str]:
    """The lines, while the log's readers are told again and again that there is something new."""
    over = threading.Event()

    def wake() -> None:
        while not over.wait(0.05):
            daemon.logs.grow("web:0", b"")

    waker = threading.Thread(target=wake)
    waker.start()
    try:
        yield from lines
    finally:
        over.set()
        waker.join()


def test_live_lines_are_chosen_by_pattern(daemon: Daemon, client: Client) -> None:
    """Others are never sent."""
    lines = client.lines(["web"], follow=True, lines=5, grep="^keep")
    daemon.logs.grow("web:0", b"drop\nkeep 1\ndrop\n")
    assert next(lines)["message"] == "keep 1"
    daemon.logs.grow("web:0", b"drop\nkeep 2\n")
    assert next(lines)["message"] == "keep 2"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", 'cannot read \\"yesterday\\" as a time'),
        ("grep=(", "cannot use grep"),
        ("format=xml", "it is json or text"),
        ("follow=1&until=1h", "cannot follow logs until a time"),
        ("format=json&lines=many", "it is a number up to 100000"),
        ("format=json&cursor=web:0/stdout@zz.0", "that is no cursor"),
    ],
)
def test_what_cannot_be_read_is_400(daemon: Daemon, query: str, said: str) -> None:
    """With what is wrong about it."""
    answer = ask(daemon, query)
    assert (answer.status_code, said in answer.text) == (400, True), answer.text


def test_who_reads_nothing_holds_up_nobody(daemon: Daemon, client: Client) -> None:
    """A client that asks for much and takes nothing of it costs others nothing."""
    daemon.logs.grow("web:0", b"".join(b"%0120d\n" % number for number in range(100_000)))
    with daemon.connect() as hostile:
        hostile.sendall(
            b"GET /v1/logs?name=web&format=json&lines=100000 HTTP/1.1\r\nHost: d\r\n\r\n"
        )
        assert hostile.recv(100)
        assert [line["message"][-2:] for line in client.lines(["web"], lines=1)] == ["99"]
        assert client.version()["name"] == "test"


def test_a_client_that_leaves_ends_its_search(daemon: Daemon, client: Client) -> None:
    """And its files are closed, also when it was followed."""
    daemon.logs.grow("web:0", b"x\n")
    lines = client.lines(["web"], follow=True, lines=1)
    assert next(lines)["message"] == "x"
    assert daemon.logs.watchers
    closing: Any = lines
    closing.close()
    daemon.until(lambda: not daemon.logs.watchers)


def test_feeds_are_shown(client: Client) -> None:
    """As the manager tells them."""
    assert client.feeds() == [{"name": "all", "kind": "tap", "lag": {"bytes": 7, "seconds": 0.5}}]


def test_a_log_that_cannot_be_read_is_500(daemon: Daemon, client: Client) -> None:
    """An unreadable log is an error that says why; one that is not there yet is empty."""
    path = daemon.logs.directory / "db:0.log"
    path.unlink()
    assert list(client.lines(["db"])) == []
    path.symlink_to(path)
    with pytest.raises(ApiError, match="cannot read the logs: Too many levels") as refused:
        list(client.lines(["db"]))
    assert refused.value.status == 500


def test_many_clients_are_served_beside_each_other(daemon: Daemon, client: Client) -> None:
    """Each has all of the lines."""
    daemon.logs.grow("web:0", b"".join(b"%d\n" % number for number in range(20_000)))
    found: list[int] = []

    def read() -> None:
        found.append(len(list(client.lines(["web"], lines=20_000))))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [20_000] * 8
