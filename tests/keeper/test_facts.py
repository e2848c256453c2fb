"""When things happened: facts carry times, which no gap between managers falsifies."""

import signal
import time

from tests.keeper.conftest import Manager, Stage, spawn

NAME = "web:0"
WHO = {"instance": NAME, "run": 1}


def facts(manager: Manager) -> list[dict[str, object]]:
    """What the manager was told of the run, less what numbers the packets."""
    told = [fact for fact in manager.facts if fact.get("instance") == NAME]
    return [{k: v for k, v in fact.items() if k not in ("n", "v", "min")} for fact in told]


def test_a_run_has_a_beginning_and_an_end(stage: Stage) -> None:
    """Between the order and the hearing of it, and as long as the run was."""
    manager = stage.open()
    before = time.monotonic()
    manager.order(spawn(NAME, 1, "sleep", "0.3"))
    exited = manager.fact("exited", NAME)
    since, at = manager.fact("spawned", NAME)["since"], exited["at"]
    assert before <= since <= at <= time.monotonic()
    assert at - since > 0.25
    assert at <= exited["emptied_at"] <= time.monotonic()


def test_a_failure_has_a_time(stage: Stage) -> None:
    """When it was known that nothing came of the spawn."""
    manager = stage.open()
    before = time.monotonic()
    manager.order(spawn(NAME, 1, "/nowhere/program"))
    assert before <= manager.fact("failed", NAME)["at"] <= time.monotonic()


def test_each_manager_is_told_the_same(stage: Stage) -> None:
    """However much later, the times are those of the events."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "true"))
    manager.fact("exited", NAME)
    first = facts(manager)
    for _ in range(2):
        manager.kill()
        manager = stage.next_manager()
        assert facts(manager) == first


def test_the_rest_ends_later(stage: Stage) -> None:
    """A run that leaves something behind is empty when that is gone, and says when that was."""
    manager = stage.open()
    script = "sleep 100000 & exit 4"
    manager.order(spawn(NAME, 1, "/bin/sh", "-c", script))
    exited = manager.fact("exited", NAME)
    assert (exited["emptied"], exited["emptied_at"]) == (False, None)
    manager.order({"do": "sweep", **WHO}, {"do": "signal", **WHO, "signal": 9, "to": "tree"})
    emptied = manager.fact("emptied", NAME)
    assert exited["at"] <= emptied["at"] <= time.monotonic()
    manager.kill()
    assert stage.next_manager().fact("exited", NAME)["emptied_at"] == emptied["at"]


def test_the_next_keeper_knows_the_beginning(stage: Stage) -> None:
    """An adopted run began when it began."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "sleep", "100000"))
    since = manager.fact("spawned", NAME)["since"]
    stage.crash()
    manager = stage.open()
    assert manager.fact("spawned", NAME)["since"] == since
    before = time.monotonic()
    manager.order({"do": "signal", **WHO, "signal": int(signal.SIGKILL), "to": "main"})
    assert before <= manager.fact("exited", NAME)["at"] <= time.monotonic()


def test_the_next_keeper_knows_an_end_that_was_seen(stage: Stage) -> None:
    """How and when a run ended outlives the keeper that saw it."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "/bin/sh", "-c", "exit 5"))
    exited = manager.fact("exited", NAME)
    stage.crash()
    again = stage.open().fact("exited", NAME)
    assert (again["status"], again["at"]) == (5 << 8, exited["at"])


def test_an_end_that_nobody_saw_has_no_time(stage: Stage) -> None:
    """It is not invented, no more than the status."""
    manager = stage.open()
    manager.order(spawn(NAME, 1, "sleep", "100000"))
    pid = manager.fact("spawned", NAME)["pid"]
    stage.crash()
    stage.end_left_behind(pid)
    exited = stage.open().fact("exited", NAME)
    assert (exited["status"], exited["at"]) == (None, None)
