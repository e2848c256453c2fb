"""An upgrade in place: other files where those of a running manager were."""

import json
import os
import shutil
from pathlib import Path

import pytest

import supervisord_lite
from supervisord_lite.client import ApiError, ClientError
from tests.daemon.conftest import LINES, SLEEP, Daemon, Worker

LINE = ["python3", "-S", "-c", LINES, "0.002", "100000"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to run and to replace."""
    copied = tmp_path / "site" / "supervisord_lite"
    whence = Path(str(supervisord_lite.__file__)).parent
    shutil.copytree(whence, copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def run(daemon: Daemon, package: Path) -> None:
    workers: dict[str, Worker] = {"count": {"command": LINE}, "still": {"command": SLEEP}}
    daemon.run(workers, variables={"PYTHONPATH": str(package.parent)})


def upgrade(package: Path) -> None:
    """Put a version there of which no module can be imported beside those of the old one."""
    newer = package.with_name("newer")
    shutil.copytree(package, newer)
    for path in newer.rglob("*.py"):
        text = path.read_text()
        asking = "\nfrom supervisord_lite import NEWER as _\nfrom supervisord_lite."
        path.write_text(text.replace("\nfrom supervisord_lite.", asking, 1))
    with (newer / "__init__.py").open("a") as stream:
        stream.write("\nNEWER = True\n")
    package.rename(package.with_name("older"))
    newer.rename(package)


def pids(daemon: Daemon) -> tuple[int, int, int]:
    return daemon.keeper, daemon.pid("count"), daemon.pid("still")


def test_the_next_manager_does_what_this_one_has_no_modules_for(
    daemon: Daemon, package: Path
) -> None:
    """Whoever looks at lines for the first time sees nothing but an answer."""
    run(daemon, package)
    before, manager = pids(daemon), daemon.manager
    upgrade(package)
    assert list(daemon.client.lines(["count"], lines=2))
    assert daemon.manager != manager
    assert pids(daemon) == before
    assert "its program was replaced by another version" in daemon.output()
    said = len(daemon.log("count:0").splitlines())
    daemon.until(lambda: len(daemon.log("count:0").splitlines()) > said + 100)
    numbers = daemon.log("count:0").splitlines()[:-1]
    assert numbers == [str(number) for number in range(len(numbers))]


def test_the_next_manager_reads_what_its_compiler_wrote(daemon: Daemon, package: Path) -> None:
    """The reload goes on in it, whether or not the client that asked for it hears of that."""
    run(daemon, package)
    before, manager = pids(daemon), daemon.manager
    document = json.loads(daemon.file.read_text())
    document["channels"] = {"jobs": {"type": "queue"}}
    document["workers"]["new"] = {"command": SLEEP}
    daemon.file.write_text(json.dumps(document))
    upgrade(package)
    with pytest.raises(ClientError):
        daemon.client.reload()
    assert daemon.pid("new")
    assert [row["name"] for row in daemon.client.channels()] == ["jobs"]
    assert daemon.manager != manager
    assert pids(daemon) == before


def test_a_manager_whose_program_is_away_stays(daemon: Daemon, package: Path) -> None:
    """In the midst of an upgrade there is no program that another manager could run."""
    run(daemon, package)
    manager = daemon.manager
    away = package.with_name("away")
    package.rename(away)
    with pytest.raises(ApiError, match="No module named"):
        list(daemon.client.lines(["count"], lines=2))
    os.rename(away, package)
    assert list(daemon.client.lines(["count"], lines=2))
    assert daemon.manager == manager
