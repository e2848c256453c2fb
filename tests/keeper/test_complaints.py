"""What the keeper has to complain about reaches a manager, who has a log for it."""

import subprocess
import sys
from pathlib import Path

from tests.keeper.conftest import Manager, Stage

NONSENSE = {"do": "hold", "name": "nothing comes with it"}


def complaint(manager: Manager) -> str:
    """The first complaint that the manager is told."""
    return str(manager.fact("complained")["text"])


def test_a_complaint_is_told(stage: Stage) -> None:
    """An order that makes no sense is no secret between the keeper and its stderr."""
    manager = stage.open()
    manager.order(NONSENSE)
    assert complaint(manager).startswith("cannot obey an order of the manager: ")


def test_a_complaint_is_told_once(stage: Stage) -> None:
    """Who comes later is not told again what somebody knows already."""
    first = stage.open()
    first.order(NONSENSE)
    complaint(first)
    first.acknowledge()
    first.kill()
    second = stage.next_manager()
    assert [fact for fact in second.facts if fact["tell"] == "complained"] == []


def test_last_orders_are_complained_of_to_the_next(stage: Stage) -> None:
    """What a manager does not live to hear is told to the one after it."""
    first = stage.open()
    first.order(NONSENSE)
    first.kill()
    second = stage.next_manager()
    assert complaint(second).startswith("cannot obey an order of the manager: ")


def test_a_long_complaint_is_still_a_line(tmp_path: Path) -> None:
    """What follows it on stderr begins on a line of its own, whatever bytes a path has."""
    script = "from supervisord_lite.keeper.complaint import complain\n"
    script += "complain('\\udcff' * 9000); complain('next')"
    path = tmp_path / "stderr"
    with path.open("wb") as stderr:
        subprocess.run([sys.executable, "-c", script], stderr=stderr, check=True)
    first, second = path.read_text().splitlines()
    assert first.startswith(r"supervisord-lite keeper: \udcff")
    assert len(first) < 4096
    assert second == "supervisord-lite keeper: next"
