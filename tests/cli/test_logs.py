"""`slctl logs`: chosen, in order, with names, times and colours where they are wanted."""

import json
import os
import pty
import re
import subprocess

import pytest

from supervisord_lite.cli.logs import title
from tests.cli.conftest import DEADLINE, SLEEP, Shop, command, environment, until

TWO = f"""
web: {{command: "sh -c 'echo one; echo two; exec {SLEEP}'"}}
db:
  command: "sh -c 'echo out; echo oops >&2; exec {SLEEP}'"
  stderr: logs/db.err.log
""".strip()


def ready(shop: Shop) -> None:
    shop.run(TWO)
    logs = shop.directory / "logs"
    until(lambda: "two" in (logs / "web.0.log").read_text())
    until(lambda: "oops" in (logs / "db.err.log").read_text())


def test_lines_of_several_logs_carry_names_of_one_width(shop: Shop) -> None:
    """And say which of them are from stderr."""
    ready(shop)
    lines = shop.slctl("logs").stdout.splitlines()
    assert sorted(lines) == [
        "db:0     | out",
        "db:0 err | oops",
        "web:0    | one",
        "web:0    | two",
    ]
    assert lines.index("web:0    | one") < lines.index("web:0    | two")


def test_lines_are_chosen(shop: Shop) -> None:
    """By stream, pattern, number and time."""
    ready(shop)
    assert shop.slctl("logs", "db", "--stream", "stderr").stdout == "oops\n"
    assert shop.slctl("logs", "web", "--grep", "^t").stdout == "two\n"
    assert shop.slctl("logs", "web", "-n", "1").stdout == "two\n"
    assert shop.slctl("logs", "web", "--since", "1h").stdout == "one\ntwo\n"
    assert shop.slctl("logs", "web", "--until", "1h").stdout == ""
    assert shop.slctl("logs", "web", "--since", "soon").returncode == 2


def test_times_are_shown_on_demand(shop: Shop) -> None:
    """Before each line, in UTC."""
    ready(shop)
    shown = shop.slctl("logs", "web", "--timestamps").stdout
    stamp = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z"
    assert re.fullmatch(rf"{stamp} one\n{stamp} two\n", shown)


def test_json_has_the_cursor_to_go_on_after(shop: Shop) -> None:
    """Of each line."""
    ready(shop)
    first, _ = map(json.loads, shop.slctl("logs", "web", "--json").stdout.splitlines())
    assert first["message"] == "one"
    assert shop.slctl("logs", "web", "--after", first["cursor"]).stdout == "two\n"
    assert shop.slctl("logs", "web", "--after", "nonsense").returncode == 2


def test_bytes_that_are_no_characters_are_passed_on(shop: Shop) -> None:
    """To a file or a pipe, as the worker wrote them."""
    shop.run(f'web: {{command: "sh -c \'printf \\"a\\\\\\\\377b\\\\\\\\n\\"; exec {SLEEP}\'"}}')
    until(lambda: (shop.directory / "logs" / "web.0.log").read_bytes() == b"a\xffb\n")
    arguments = command("slctl", "-s", shop.socket, "logs", "web")
    shown = subprocess.run(
        arguments, env=environment(), capture_output=True, timeout=DEADLINE, check=True
    )
    assert shown.stdout == b"a\xffb\n"


@pytest.mark.parametrize(("more", "coloured"), [((), True), (("--no-color",), False)])
def test_names_are_coloured_on_a_terminal(
    shop: Shop, more: tuple[str, ...], coloured: bool
) -> None:
    """Unless somebody does not want that."""
    ready(shop)
    ours, theirs = pty.openpty()
    try:
        arguments = command("slctl", "-s", shop.socket, "logs", *more)
        subprocess.run(arguments, env=environment(), stdout=theirs, timeout=DEADLINE, check=True)
        shown = os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"one" in shown
    assert (b"\x1b[" in shown) is coloured


@pytest.mark.parametrize("form", ["raw", "timestamped", "json"])
def test_what_comes_looks_as_what_was_there(shop: Shop, form: str) -> None:
    """Whatever the format of the file: the line as it was said."""
    said = f"sh -c 'echo one; echo two; exec {SLEEP}'"
    shop.run(f'web: {{command: "{said}", stdout: {{log: logs/web.log, format: {form}}}}}')
    until(lambda: shop.slctl("logs", "web").stdout == "one\ntwo\n")
    arguments = command("slctl", "-s", shop.socket, "logs", "-f", "web")
    with subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE) as following:
        assert following.stdout
        assert [following.stdout.readline() for _ in "12"] == [b"one\n", b"two\n"]
        following.kill()


def test_the_daemon_s_name_has_no_number() -> None:
    """It is the one that was asked for, and as long as the names of others are taken to be."""
    line = {"worker": "@daemon", "instance": 0, "stream": "stdout"}
    assert title(line) == "@daemon"
    assert title({**line, "worker": "web", "stream": "stderr"}) == "web:0 err"


def test_who_has_no_log_is_told_so(shop: Shop) -> None:
    """And waits for nothing."""
    ready(shop)
    for more in ([], ["-f"]):
        refused = shop.slctl("logs", "web", "--stream", "stderr", *more)
        assert refused.stderr == "cannot show a log: none of these has one\n"
        assert refused.returncode == 1


def test_reopen_opens_the_logs_again(shop: Shop) -> None:
    """After something else has renamed them."""
    ready(shop)
    log = shop.directory / "logs" / "web.0.log"
    log.rename(log.with_suffix(".moved"))
    assert shop.slctl("logs", "--reopen").returncode == 0
    until(log.exists)
