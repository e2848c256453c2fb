"""What operators see and do of dependencies, readiness, jobs and tasks: `slctl` on a daemon."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import DEADLINE, SLEEP, Shop, until

# Ready as soon as there is a file "up" in its directory.
READY = "ready: {file: up, interval: 50ms}"
NEVER = "restart: {limit: {count: 1, within: 5m}}"
NOTIFIES = """
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
    daemon.sendto(b"READY=1\\nSTATUS=half\\x1b way", os.environ["NOTIFY_SOCKET"])
    time.sleep(100000)
"""


def rows(shop: Shop, *names: str) -> dict[str, Any]:
    return {row["name"]: row for row in shop.client().workers(*names)}


def test_explain_finds_the_root(shop: Shop) -> None:
    """What waits for what waits for something that does not come up is told all of it."""
    shop.run(
        "disk: {command: /nonexistent, restart: {delay: 100s, max_delay: 100s}}\n"
        f"db: {{command: {SLEEP}, depends_on: [disk]}}\n"
        f"web: {{command: {SLEEP}, depends_on: [db]}}"
    )
    until(lambda: shop.state("disk") == "BACKOFF")
    lines = shop.slctl("explain", "web").stdout.splitlines()
    assert lines[:3] == [
        "web:0  WAITING",
        "  waits for db to be ready",
        "    <- db:0 waits for disk to be ready",
    ]
    assert lines[3].startswith("      <- disk:0 is in BACKOFF until ")
    assert "cannot exec /nonexistent" in lines[3]
    assert "  => slctl stop web:0 ends the waiting" in lines


def test_explain_names_who_was_stopped_by_hand(shop: Shop) -> None:
    """Nobody starts that by itself, so it is the root of what waits for it."""
    shop.run(f"db: {{command: {SLEEP}}}\nweb: {{command: {SLEEP}, depends_on: [db]}}")
    assert shop.slctl("stop", "all").returncode == 0
    assert shop.slctl("start", "web").returncode == 0
    assert shop.slctl("stop", "all").returncode == 0
    assert "was stopped by hand, and stays so" in shop.slctl("explain", "db").stdout


def test_start_pulls_in_what_it_needs(shop: Shop) -> None:
    """An operator's start starts dependencies that are not up; a boot does not."""
    shop.run(
        f"db: {{command: {SLEEP}, autostart: false}}\nweb: {{command: {SLEEP}, depends_on: [db]}}"
    )
    assert (shop.state("db"), shop.state("web")) == ("STOPPED", "WAITING")
    assert shop.slctl("start", "web").returncode == 0
    assert (shop.state("db"), shop.state("web")) == ("RUNNING", "RUNNING")


def test_start_waits_for_readiness(shop: Shop) -> None:
    """It returns when the worker is ready; after a time-out it says what is missing."""
    shop.run(f"web: {{command: {SLEEP}, autostart: false, {READY}}}")
    late = shop.slctl("start", "web", "--timeout", "300ms")
    assert late.returncode == 5
    assert "still STARTING (not ready yet)" in late.stdout
    row = rows(shop)["web:0"]
    assert (row["state"], row["ready"]) == ("STARTING", False)
    (shop.directory / "up").touch()
    started = shop.slctl("start", "web")
    assert (started.returncode, shop.state("web")) == (0, "RUNNING")
    assert rows(shop)["web:0"]["ready"]


def test_a_timeout_names_the_dependency(shop: Shop) -> None:
    """Waiting for a dependency is no failure, and when the time is up it is said for whom."""
    shop.run(
        f"db: {{command: {SLEEP}, autostart: false, {READY}}}\n"
        f"web: {{command: {SLEEP}, autostart: false, depends_on: [db]}}"
    )
    late = shop.slctl("start", "web", "--timeout", "300ms")
    assert late.returncode == 5
    assert "still WAITING (waits for db to be ready)" in late.stdout


def test_start_fails_with_its_dependency(shop: Shop) -> None:
    """What cannot come true is not waited for, and the exit code says so."""
    shop.run(
        f"db: {{command: /nonexistent, autostart: false, {NEVER}}}\n"
        f"web: {{command: {SLEEP}, autostart: false, depends_on: [db]}}"
    )
    failed = shop.slctl("start", "web")
    assert failed.returncode == 1
    assert "web:0: FATAL, its dependency db has failed" in failed.stdout


def test_status_shows_what_a_worker_says_of_itself(shop: Shop) -> None:
    """Its readiness, its status text, and its labels; control characters are shown."""
    (shop.directory / "notifies.py").write_text(NOTIFIES)
    shop.run(
        f"web: {{command: {sys.executable} notifies.py, ready: {{notify: systemd}}, "
        "labels: {tier: front}}"
    )
    until(lambda: shop.state("web") == "RUNNING")
    until(lambda: "status" in rows(shop)["web:0"])
    assert '"half\\x1b way"' in shop.slctl("status").stdout
    row = rows(shop)["web:0"]
    assert (row["ready"], row["labels"]) == (True, {"tier": "front"})


def test_status_shows_health(shop: Shop) -> None:
    """What the check says, and what the probe said last."""
    shop.run(
        f"sick: {{command: {SLEEP}, healthcheck: "
        "{exec: \"sh -c 'exit 3'\", interval: 100ms, retries: 1, on_unhealthy: report}}\n"
        f"well: {{command: {SLEEP}, healthcheck: {{exec: 'true', interval: 100ms}}}}"
    )
    until(lambda: rows(shop)["sick:0"].get("health") == "unhealthy")
    until(lambda: rows(shop)["well:0"].get("health") == "healthy")
    shown = shop.slctl("status").stdout.splitlines()
    assert "unhealthy: exit code 3" in shown[0]
    assert shown[1].endswith(", healthy")
    assert "its health is unhealthy, by the success of sh" in shop.slctl("explain", "sick").stdout


def test_plain_workers_have_no_further_keys(shop: Shop) -> None:
    """What was not asked for is not in the way."""
    shop.run(f"web: {{command: {SLEEP}}}")
    assert rows(shop)["web:0"].keys() == {
        *("name", "worker", "number", "state", "wanted", "run", "pid", "since", "restarts"),
        *("last_exit", "next", "why", "logs"),
    }


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("sh -c 'exit 0'", 0, "exit code 0"),
        ("sh -c 'exit 7'", 7, "exit code 7"),
        ("sh -c 'kill -INT $$'", 130, "killed by SIGINT"),
        ("/nonexistent", 1, "cannot exec /nonexistent"),
    ],
)
@pytest.mark.parametrize("kind", ["type: task", 'type: job, schedule: "0 0 1 1 *"'])
def test_run_exits_as_the_run_did(
    shop: Shop, kind: str, command: str, code: int, text: str
) -> None:
    """A job or a task at once: the exit code is its own, and the text says how it ended."""
    shop.run(f'one: {{command: "{command}", {kind}, autostart: false, restart: never}}')
    done = shop.slctl("run", "one")
    assert done.returncode == code
    assert done.stdout.startswith(f"one:0: {text}")


def test_run_does_not_wait_if_told_so(shop: Shop) -> None:
    """The run goes on without anybody who waits for it."""
    shop.run(f'one: {{command: {SLEEP}, type: job, schedule: "0 0 1 1 *"}}')
    assert shop.slctl("run", "one", "--no-wait").returncode == 0
    until(lambda: shop.state("one") == "RUNNING")


def test_run_of_a_service_is_refused(shop: Shop) -> None:
    """A service is not a thing that one runs once."""
    shop.run(f"web: {{command: {SLEEP}}}")
    refused = shop.slctl("run", "web")
    assert (refused.returncode, "a service is to be started" in refused.stderr) == (1, True)


def test_a_run_during_a_run_is_skipped(shop: Shop) -> None:
    """By the job's rule for overlaps, and whoever asked is told."""
    shop.run(f'one: {{command: {SLEEP}, type: job, schedule: "0 0 1 1 *"}}')
    shop.slctl("run", "one", "--no-wait")
    until(lambda: shop.state("one") == "RUNNING")
    skipped = shop.slctl("run", "one")
    assert skipped.returncode == 1
    assert skipped.stdout == "one:0: skipped: its run before is still under way\n"


def test_a_run_survives_the_manager(shop: Shop) -> None:
    """The history is remembered: the next manager knows how the run ended."""
    shop.run("one: {command: sh -c 'sleep 1; exit 3', type: job, schedule: \"0 0 1 1 *\"}")
    shop.slctl("run", "one", "--no-wait")
    until(lambda: shop.state("one") == "RUNNING")
    os.kill(shop.client().version()["manager"], signal.SIGKILL)
    until(
        lambda: (
            [run["exit"] for run in shop.client().history("one")]
            == [{"code": 3, "signal": None, "core_dumped": False}]
        )
    )


def test_history_tells_the_runs_of_a_job(shop: Shop) -> None:
    """The newest first, each with what it was for."""
    shop.run("one: {command: sh -c 'exit 3', type: job, schedule: \"0 0 1 1 *\"}")
    for _ in range(2):
        shop.slctl("run", "one")
    lines = shop.slctl("history", "one").stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["run 2", "run 1"]
    assert all(line.endswith("exit code 3  run requested") for line in lines)
    runs = json.loads(shop.slctl("history", "one", "--json").stdout)["history"]
    assert [run["exit"]["code"] for run in runs] == [3, 3]


def test_a_job_shows_its_next_run(shop: Shop) -> None:
    """As a time of day; a job whose schedule is off has none."""
    shop.run(f'one: {{command: {SLEEP}, type: job, schedule: "0 0 1 1 *"}}')
    assert "next run " in shop.slctl("status").stdout
    assert shop.slctl("stop", "one").returncode == 0
    assert rows(shop)["one:0"]["next"] is None
    assert "its schedule is off" in shop.slctl("explain", "one").stdout


def test_workers_reload_themselves(shop: Shop) -> None:
    """With names, `reload` sends each its reload signal; one that has none refuses."""
    shop.run(
        'web: {reload: HUP, command: "sh -c \'trap \\"echo got\\" HUP; echo up; '
        "while :; do sleep 0.1; done'\"}\n"
        f"db: {{command: {SLEEP}}}"
    )
    log = shop.directory / "logs" / "web.0.log"
    until(lambda: "up" in log.read_text())
    assert shop.slctl("reload", "web").returncode == 0
    until(lambda: "got" in log.read_text())
    refused = shop.slctl("reload", "db")
    assert (refused.returncode, "it has no reload signal" in refused.stdout) == (1, True)
    assert rows(shop)["web:0"]["run"] == 1


def test_a_critical_worker_ends_the_daemon_with_its_code(shop: Shop) -> None:
    """The daemon exits as its critical worker did, and everything is stopped before."""
    shop.run(
        "main: {command: \"sh -c 'while ! test -e end; do sleep 0.05; done; exit 9'\", "
        f"restart: never, on_exit: shutdown}}\nweb: {{command: {SLEEP}}}"
    )
    (web,) = shop.pids("web")
    (shop.directory / "end").touch()
    assert shop.process is not None
    assert shop.process.wait(DEADLINE) == 9
    assert not Path(f"/proc/{web}").exists()
