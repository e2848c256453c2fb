"""`slctl` against the daemon, both as processes: what they print, change, and exit with."""

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import DEADLINE, SLEEP, Shop, command, environment, until

WEB = f"web: {{command: {SLEEP}, instances: 2}}"


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_status_shows_a_line_an_instance(shop: Shop) -> None:
    """Name, state, pid and uptime of what runs; why of what does not."""
    shop.run(f"{WEB}\nlazy: {{command: {SLEEP}, autostart: false}}\nbad: {{command: /nonexistent}}")
    until(lambda: "No such file" in shop.slctl("status", "bad").stdout)
    shown = shop.slctl("status")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["web:0", "web:1", "lazy:0", "bad:0"]
    assert f"RUNNING   pid {shop.pids('web:0')[0]}, uptime 0:00:" in lines[0]
    assert lines[2] == "lazy:0  STOPPED"


def test_names_choose_instances(shop: Shop) -> None:
    """Workers, instances, patterns and all."""
    shop.run(f"{WEB}\ndb: {{command: {SLEEP}}}")
    chosen = {
        pattern: [row["name"] for row in shop.client().workers(pattern)]
        for pattern in ("web", "web:1", "web:*", "all", "d?")
    }
    assert chosen == {
        "web": ["web:0", "web:1"],
        "web:1": ["web:1"],
        "web:*": ["web:0", "web:1"],
        "all": ["web:0", "web:1", "db:0"],
        "d?": ["db:0"],
    }


def test_json_is_the_api(shop: Shop) -> None:
    """`--json` prints what the API answers."""
    shop.run(WEB)
    rows = json.loads(shop.slctl("status", "--json").stdout)["workers"]
    assert [(row["name"], row["state"]) for row in rows] == [
        ("web:0", "RUNNING"),
        ("web:1", "RUNNING"),
    ]


def test_stop_and_start_wait_for_the_end(shop: Shop) -> None:
    """When the command returns, what it asked for is so."""
    shop.run(WEB)
    before = shop.pids("web")
    stopped = shop.slctl("stop", "web")
    assert (stopped.returncode, stopped.stdout) == (0, "web:0: STOPPED\nweb:1: STOPPED\n")
    assert not any(alive(pid) for pid in before)
    started = shop.slctl("start", "web:1")
    assert started.stdout == f"web:1: RUNNING, pid {shop.pids('web:1')[0]}\n"
    assert shop.state("web:0") == "STOPPED"


def test_restart_gives_a_new_process(shop: Shop) -> None:
    """The old process is gone and another one runs when the command returns."""
    shop.run(f"web: {{command: {SLEEP}}}")
    (before,) = shop.pids("web")
    assert shop.slctl("restart", "web").returncode == 0
    (after,) = shop.pids("web")
    assert alive(after)
    assert not alive(before)


def test_concurrent_restarts_give_one_process(shop: Shop) -> None:
    """However many ask at once, one process runs in the end, and nobody is told otherwise."""
    shop.run(f"web: {{command: sh -c 'echo $$ >> pids; exec {SLEEP}'}}")
    answers: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(shop.client().restart(["web"], timeout=DEADLINE)["ok"])
        )
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    started = [int(word) for word in (shop.directory / "pids").read_text().split()]
    assert answers == [True] * 12
    assert [pid for pid in started if alive(pid)] == shop.pids("web")


def test_last_command_wins(shop: Shop) -> None:
    """A stop that follows a restart ends in STOPPED, and the restart's client is told."""
    shop.run(f"web: {{command: sh -c \"trap '' TERM; {SLEEP}\", stop: 1s}}")
    shop.slctl("restart", "web", "--no-wait")
    assert shop.slctl("stop", "web").stdout == "web:0: STOPPED\n"
    assert shop.client().workers("web")[0]["run"] == 1


def test_signal_reaches_the_process(shop: Shop) -> None:
    """The main process gets the signal, and its state does not change by it."""
    shop.run(
        'web: {command: "sh -c \'trap \\"echo got\\" HUP; echo up; while :; do sleep 0.1; done\'"}'
    )
    log = shop.directory / "logs" / "web.0.log"
    until(lambda: "up" in log.read_text())
    assert shop.slctl("signal", "HUP", "web").returncode == 0
    until(lambda: "got" in log.read_text())
    assert shop.client().workers("web")[0]["run"] == 1


def test_plan_tells_and_reload_does(shop: Shop) -> None:
    """The plan names what would change and changes nothing; reload then does just that."""
    shop.run(f"web: {{command: {SLEEP}}}\nold: {{command: {SLEEP}}}\nkept: {{command: {SLEEP}}}")
    kept, web = shop.pids("kept", "web")[::-1]
    shop.configure(
        f"web: {{command: {SLEEP}, umask: '0027'}}\nnew: {{command: {SLEEP}}}\n"
        f"kept: {{command: {SLEEP}, restart: {{delay: 3s}}}}"
    )
    planned = shop.slctl("plan")
    assert planned.returncode == 2
    for word in ("restart  web:0", "program.umask: none -> ", "stop     old:0", "start    new:0"):
        assert word in planned.stdout
    assert "adjust   kept:0" in planned.stdout
    assert shop.pids("kept", "web")[::-1] == [kept, web]
    assert shop.slctl("reload").stdout == planned.stdout
    assert shop.pids("kept") == [kept]
    assert shop.pids("web") != [web]
    assert shop.slctl("plan").returncode == 0


def test_bad_configuration_changes_nothing(shop: Shop) -> None:
    """A reload of a broken file exits 2, says file, line and column, and touches nothing."""
    shop.run(f"web: {{command: {SLEEP}}}")
    before = shop.pids("web")
    shop.configure("web: {comand: x, umask: '9'}")
    refused = shop.slctl("reload")
    assert refused.returncode == 2
    assert f"{shop.file}:6:" in refused.stderr
    assert 'did you mean "command"?' in refused.stderr
    assert shop.pids("web") == before


def test_errors_of_a_plan_are_no_changes(shop: Shop) -> None:
    """Exit code 2 of a plan means changes, so a broken file and wrong arguments are 1."""
    shop.run(f"web: {{command: {SLEEP}}}")
    shop.configure("web: {comand: x}")
    broken = shop.slctl("plan")
    assert (broken.returncode, broken.stdout) == (1, "")
    assert f"{shop.file}:6:" in broken.stderr
    assert shop.slctl("plan", "--frobnicate").returncode == 1


def test_labels_choose_instances(shop: Shop) -> None:
    """Whatever takes names takes labels, and several selectors are one."""
    shop.run(
        f"web: {{command: {SLEEP}, instances: 2, labels: {{tier: front, team: shop}}}}\n"
        f"api: {{command: {SLEEP}, labels: {{tier: front}}}}\n"
        f"db: {{command: {SLEEP}}}"
    )
    stopped = shop.slctl("stop", "-l", "tier=front", "-l", "team")
    assert stopped.stdout == "web:0: STOPPED\nweb:1: STOPPED\n"
    listed = shop.slctl("status", "-l", "tier!=front").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["db:0"]
    assert shop.slctl("pid", "*:0", "-l", "tier").stdout == f"{shop.pids('api')[0]}\n"
    assert shop.slctl("stop", "-l", "tier=nobody").returncode == 4
    assert shop.slctl("stop", "-l", "tier==").returncode == 2


def test_logs_show_the_last_lines_with_names(shop: Shop) -> None:
    """The lines of several workers each carry who wrote them."""
    shop.run(f"a: {{command: sh -c 'seq 5; exec {SLEEP}'}}\nb: {{command: sh -c 'seq 9'}}")
    until(lambda: "9" in shop.slctl("logs", "b").stdout)
    assert shop.slctl("logs", "a", "-n", "2").stdout == "4\n5\n"
    both = shop.slctl("logs", "-n", "1").stdout
    assert both.splitlines()[0] == "a:0 | 5"


def test_followed_logs_survive_a_manager(shop: Shop) -> None:
    """`logs -f` misses and repeats nothing when the manager is killed in between."""
    shop.run("web: {command: \"sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done'\"}")
    follower = subprocess.Popen(
        command("slctl", "-s", shop.socket, "logs", "-f", "-n", "100000", "web"),
        env=environment(),
        stdout=subprocess.PIPE,
    )
    assert follower.stdout
    with follower:
        seen = [int(follower.stdout.readline()) for _ in range(20)]
        os.kill(shop.client().version()["manager"], signal.SIGKILL)
        seen += [int(follower.stdout.readline()) for _ in range(200)]
        follower.terminate()
    assert seen == list(range(1, 221))


def test_config_names_the_origin_of_each_value(shop: Shop) -> None:
    """Every value with the line it was written in, or that it is a default."""
    shop.run(f"web: {{command: {SLEEP}}}")
    lines = shop.slctl("config").stdout.splitlines()
    assert f"workers.web.command = {SLEEP}  # {shop.file}:6" in lines
    assert any(line.endswith("  # default") for line in lines)


def test_pid_and_version(shop: Shop) -> None:
    """The pids of the daemon and of instances, for scripts."""
    shop.run(f"web: {{command: {SLEEP}}}\nlazy: {{command: {SLEEP}, autostart: false}}")
    assert shop.process
    assert shop.slctl("pid").stdout == f"{shop.process.pid}\n"
    assert shop.slctl("pid", "web").stdout == f"{shop.pids('web')[0]}\n"
    assert shop.slctl("pid", "lazy").returncode == 1
    assert "version: " in shop.slctl("version").stdout


def test_shutdown_ends_workers_and_daemon(shop: Shop) -> None:
    """When the command returns nobody listens; the daemon exits with 0."""
    shop.run(WEB)
    pids = shop.pids("web")
    assert shop.slctl("shutdown").returncode == 0
    assert shop.process and shop.process.wait(DEADLINE) == 0
    assert not any(alive(pid) for pid in pids)
    assert shop.slctl("status").returncode == 3


def test_reader_that_leaves_is_no_traceback(shop: Shop) -> None:
    """`slctl config | head -1` complains about nothing."""
    shop.run(f"web: {{command: {SLEEP}}}")
    unread, written = os.pipe()
    os.close(unread)
    with open(written, "wb") as closed:
        done = subprocess.run(
            command("slctl", "-s", shop.socket, "config"),
            env=environment(),
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
        )
    assert done.stderr == b""


def test_leave_leaves_workers_to_the_next_daemon(shop: Shop) -> None:
    """After `leave` the same processes run, and the next daemon has them."""
    shop.run(WEB)
    pids = shop.pids("web")
    assert shop.slctl("leave").returncode == 0
    assert shop.process
    try:
        shop.process.wait(DEADLINE)
        assert all(alive(pid) for pid in pids)
    finally:
        shop.run(WEB)  # also when that failed: it ends what is left
    assert shop.pids("web") == pids


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["status", "nope"], 4, "cannot find an instance of nope"),
        (["stop", "web", "nope"], 4, "cannot find an instance of nope"),
        (["signal", "FOO", "web"], 2, 'cannot take signal "FOO"'),
        (["stop"], 2, "Missing argument"),
        (["frobnicate"], 2, "No such command"),
        (["stop", "web", "--timeout", "5x"], 2, 'cannot read "5x" as a duration'),
        (["signal", "HUP", "lazy"], 1, ""),
        (["restart", "stubborn", "--timeout", "50ms"], 5, ""),
        (["start", "bad", "--timeout", "30s"], 1, ""),
    ],
)
def test_exit_codes(standing: Shop, arguments: list[str], code: int, text: str) -> None:
    """Each way of failing has the code of the table, and says why on stderr."""
    done = standing.slctl(*arguments)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One daemon for tests that leave it as they found it."""
    shop = Shop(tmp_path_factory.mktemp("standing"))
    try:
        shop.run(
            f"web: {{command: {SLEEP}}}\nlazy: {{command: {SLEEP}, autostart: false}}\n"
            f"bad: {{command: /nonexistent, autostart: false}}\n"
            f"stubborn: {{command: sh -c \"trap '' TERM; echo up; {SLEEP}\", stop: 2s}}"
        )
        yield shop
    finally:
        shop.end()


def test_no_daemon_is_3(tmp_path: Path) -> None:
    """A socket that nobody made is no daemon."""
    done = Shop(tmp_path).slctl("status")
    assert done.returncode == 3
    assert "cannot reach a daemon at" in done.stderr


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_any_locale_prints_any_character(shop: Shop, locale: str) -> None:
    """Where the locale has no such character its number is printed."""
    shop.run(f"web: {{command: sh -c 'echo naïve €; exec {SLEEP}'}}")
    until(lambda: (shop.directory / "logs" / "web.0.log").stat().st_size)
    shown = shop.slctl("logs", "web", LC_ALL=locale, PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stdout) == (0, "na\\xefve \\u20ac\n")


def test_terminal_is_safe_from_workers(shop: Shop) -> None:
    """On a terminal control characters are shown, not obeyed."""
    shop.run(
        f'web: {{command: "sh -c \'printf \\"\\\\\\\\033[2Jgone\\\\\\\\n\\"; exec {SLEEP}\'"}}'
    )
    until(lambda: (shop.directory / "logs" / "web.0.log").stat().st_size)
    assert b"\x1b[2J" in (shop.directory / "logs" / "web.0.log").read_bytes()
    ours, theirs = pty.openpty()
    try:
        arguments = command("slctl", "-s", shop.socket, "logs", "web")
        subprocess.run(arguments, env=environment(), stdout=theirs, timeout=DEADLINE, check=True)
        assert os.read(ours, 1000) == b"\\x1b[2Jgone\r\n"
    finally:
        os.close(ours)
        os.close(theirs)
