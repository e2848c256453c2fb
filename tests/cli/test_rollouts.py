"""Scaling and roll-outs by `slctl`, on a daemon."""

import json
import os
import signal
from typing import Any

import pytest

from supervisord_lite.client import ApiError
from tests.cli.conftest import SLEEP, Shop, until

ROLLING = "update: {strategy: rolling}, restart: {stable_after: 10ms}"


def web(instances: int, command: str = SLEEP, more: str = ROLLING) -> str:
    return f"web: {{command: {command}, instances: {instances}, {more}}}\ndb: {{command: {SLEEP}}}"


def runs(shop: Shop, name: str) -> list[int]:
    return [row["run"] for row in shop.client().workers(name)]


def entries(answer: Any) -> dict[str, str]:
    return {entry["instance"]: entry["action"] for entry in answer["entries"]}


def test_scaling_touches_no_sibling(shop: Shop) -> None:
    """More instances are started, fewer are stopped, and nobody else notices."""
    shop.run(web(2))
    before = shop.pids("web:0", "web:1", "db")
    grown = shop.slctl("scale", "web=4")
    assert (grown.returncode, len(shop.pids("web"))) == (0, 4)
    assert "start    web:2  added to the configuration" in grown.stdout
    assert shop.slctl("scale", "web=2").returncode == 0
    until(lambda: len(shop.pids("web")) == 2)
    assert shop.pids("web:0", "web:1", "db") == before


def test_a_scale_survives_a_reload_until_the_file_says_another_number(shop: Shop) -> None:
    """Editing something else keeps it; editing the number overrides it."""
    shop.run(web(2))
    shop.slctl("scale", "web=3")
    assert shop.slctl("plan").returncode == 0
    shop.configure(web(2) + f"\nnew: {{command: {SLEEP}}}")
    assert shop.slctl("reload").returncode == 0
    assert len(shop.pids("web")) == 3
    shop.configure(web(1))
    assert shop.slctl("reload").returncode == 0
    until(lambda: len(shop.pids("web")) == 1)


def test_a_scale_survives_the_manager(shop: Shop) -> None:
    """What was scaled is what is applied."""
    shop.run(web(1))
    shop.slctl("scale", "web=3")
    before, manager = shop.pids("web"), shop.client().version()["manager"]
    os.kill(manager, signal.SIGKILL)
    until(lambda: shop.client().version()["manager"] != manager)
    assert shop.pids("web") == before
    assert shop.slctl("plan").returncode == 0


def test_scaling_applies_no_edit_by_the_way(shop: Shop) -> None:
    """A worker whose file has changed since it was applied is refused, and nothing happens."""
    shop.run(web(2))
    shop.configure(web(2, command="sleep 200000"))
    refused = shop.slctl("scale", "web=3")
    assert refused.returncode == 1
    assert "cannot scale web: its file has changed since it was applied" in refused.stderr
    assert len(shop.pids("web")) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nope=2"], 2, 'cannot scale "nope": there is no such worker'),
        (["web=-1"], 2, 'cannot read "web=-1": write WORKER=COUNT'),
        (["web"], 2, 'cannot read "web": write WORKER=COUNT'),
        ([], 2, "Missing argument"),
        (["web=9999999"], 2, "cannot"),
    ],
)
def test_what_cannot_be_scaled_is_said(
    shop: Shop, arguments: list[str], code: int, text: str
) -> None:
    """Wrong arguments scale nothing."""
    shop.run(web(1))
    done = shop.slctl("scale", *arguments)
    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert len(shop.pids("web")) == 1


def test_a_worker_without_instances_is_scaled_up(shop: Shop) -> None:
    """Whether the file says so or an operator did."""
    shop.run(web(0))
    for count in (2, 0, 1):
        done = shop.slctl("scale", f"web={count}")
        assert done.returncode == 0, done.stderr
        found = [row for row in shop.client().workers() if row["worker"] == "web"]
        assert [row["state"] for row in found] == ["RUNNING"] * count


def test_several_workers_scale_at_once(shop: Shop) -> None:
    """Each has its number."""
    shop.run(web(1))
    answer = shop.client().scale({"web": 2, "db": 2})
    assert entries(answer) == {
        "web:0": "keep",
        "web:1": "start",
        "db:0": "keep",
        "db:1": "start",
    }


def test_a_rollout_replaces_one_after_the_other(shop: Shop) -> None:
    """Progress is shown until all are new, and the exit code says that it is done."""
    shop.run(web(3))
    done = shop.slctl("rollout", "restart", "web")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "web: done, 3 of 3 replaced"
    assert runs(shop, "web") == [2, 2, 2]
    assert runs(shop, "db") == [1]
    shown = shop.slctl("rollout", "status")
    assert (shown.returncode, shown.stdout.startswith("web: done, 3 of 3")) == (0, True)


def test_restart_of_a_whole_worker_goes_by_its_policy(shop: Shop) -> None:
    """All of its instances are a roll-out; one of them is a restart like any other."""
    shop.run(web(2))
    assert shop.slctl("restart", "web:1").returncode == 0
    assert shop.client().rollouts("web") == []
    assert shop.slctl("restart", "web").returncode == 0
    until(lambda: shop.client().rollouts("web")[0]["progress"] == "done")
    assert runs(shop, "web") == [2, 3]


def test_restart_of_a_rolling_worker_starts_what_is_down(shop: Shop) -> None:
    """What does not run needs no turn: it is started as by any restart."""
    shop.run(web(2))
    shop.slctl("stop", "web:0")
    assert shop.slctl("restart", "web").returncode == 0
    assert [row["state"] for row in shop.client().workers("web")] == ["RUNNING"] * 2
    until(lambda: runs(shop, "web") == [2, 2])
    shop.slctl("stop", "web")
    assert shop.slctl("restart", "web").returncode == 0
    assert len(shop.pids("web")) == 2


def test_the_plan_says_how_a_reload_replaces(shop: Shop) -> None:
    """The strategy stands beside each instance that is restarted."""
    shop.run(web(2))
    shop.configure(web(2, command="sleep 200000"))
    shown = shop.slctl("plan").stdout
    assert "restart  web:0  program.argv changed (rolling, 1 at a time)" in shown
    assert "program.argv: sleep, 100000 -> sleep, 200000" in shown


def test_a_reload_that_fails_goes_back(shop: Shop) -> None:
    """The first instance of a bad program ends the roll-out, and everything is as before."""
    shop.run(web(2))
    shop.configure(web(2, command="/nonexistent"))
    failed = shop.slctl("reload")
    assert failed.returncode == 1
    assert "cannot exec /nonexistent" in failed.stderr
    until(lambda: shop.client().rollouts("web")[0]["progress"] == "went back")
    until(lambda: [row["state"] for row in shop.client().workers("web")] == ["RUNNING"] * 2)
    status = shop.slctl("rollout", "status", "web")
    assert (status.returncode, "went back" in status.stdout) == (1, True)
    assert "the last roll-out of web went back" in shop.slctl("explain", "web:1").stdout


def test_a_restart_that_fails_stops(shop: Shop) -> None:
    """Where there is nothing to go back to, the roll-out ends, and its exit code is 1."""
    serve = shop.directory / "serve"
    serve.write_text(f"#!/bin/sh\nexec {SLEEP}\n")
    serve.chmod(0o700)
    shop.run(web(2, command=str(serve)))
    until(lambda: shop.state("web:1") == "RUNNING")
    serve.unlink()
    failed = shop.slctl("rollout", "restart", "web")
    assert failed.returncode == 1
    assert "web: stopped, 0 of 2 replaced: web:0: cannot exec" in failed.stdout
    assert runs(shop, "web:1") == [1]


def test_a_run_has_to_be_stable_before_the_next_is_replaced(shop: Shop) -> None:
    """A program that ends soon after its start never gets to the second instance."""
    command = "sh -c 'test ! -e bad || exit 1; exec sleep 100000'"
    shop.run(web(2, command, "update: {strategy: rolling}"))
    until(lambda: shop.state("web:1") == "RUNNING")
    (shop.directory / "bad").touch()
    assert shop.slctl("restart", "web").returncode == 1
    assert runs(shop, "web:1") == [1]


def test_undo_brings_back_what_was_before(shop: Shop) -> None:
    """The specs before the last roll-out, by another one."""
    shop.run(web(2))
    shop.configure(web(2, command="sleep 200000"))
    assert shop.slctl("reload").returncode == 0
    until(lambda: shop.client().rollouts("web")[0]["progress"] == "done")
    undone = shop.slctl("rollout", "undo", "web")
    assert (undone.returncode, undone.stdout.splitlines()[-1]) == (0, "web: done, 2 of 2 replaced")
    shop.configure(web(2))
    assert shop.slctl("plan").returncode == 0


def test_undo_needs_a_rollout(shop: Shop) -> None:
    """There is nothing to take back where nothing was rolled out."""
    shop.run(web(1))
    with pytest.raises(ApiError, match="cannot undo a roll-out of db: there was none"):
        shop.client().rollout_undo(["db"])


def test_a_rollout_that_takes_long_is_left_to_itself(shop: Shop) -> None:
    """A time-out ends the watching and not the roll-out, which status shows."""
    slow = "update: {strategy: rolling, pause: 1h}, restart: {stable_after: 10ms}"
    shop.run(web(2, more=slow))
    late = shop.slctl("rollout", "restart", "web", "--timeout", "1s")
    assert late.returncode == 5
    assert "not over after 1s, and goes on" in late.stderr
    assert "roll-out of web: under way, 1 of 2 replaced" in shop.slctl("status").stdout
    assert "it pauses until " in shop.slctl("explain", "web:1").stdout
    answer = json.loads(shop.slctl("status", "--json").stdout)
    assert [one["worker"] for one in answer["rollouts"]] == ["web"]


def test_rollouts_in_json(shop: Shop) -> None:
    """`--json` waits as well, and prints one result a worker."""
    shop.run(web(2))
    done = shop.slctl("rollout", "restart", "web", "--json")
    (result,) = json.loads(done.stdout)["results"]
    assert (done.returncode, result["name"], result["state"]) == (0, "web", "done")
