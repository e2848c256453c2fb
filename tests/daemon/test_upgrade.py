"""An upgrade in place: other files where those of a running manager were."""

import json
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

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


def run(daemon: Daemon, package: Path, **sections: Any) -> None:
    workers: dict[str, Worker] = {"count": {"command": LINE}, "still": {"command": SLEEP}}
    daemon.run(workers, variables={"PYTHONPATH": str(package.parent)}, **sections)
    daemon.until(lambda: daemon.log("count:0").count("\n") > 2)


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
    """The reload goes on in it, whether or not the client that asked for it hears of that, and
    makes anew what is lost.
    """
    fifo = daemon.directory / "jobs.fifo"
    channels: dict[str, Any] = {"more": {"type": "fifo", "path": str(fifo)}}
    run(daemon, package, channels=channels)
    before, manager = pids(daemon), daemon.manager
    document = json.loads(daemon.file.read_text())
    document["channels"]["jobs"] = {"type": "queue"}
    document["workers"]["new"] = {"command": SLEEP}
    daemon.file.write_text(json.dumps(document))
    fifo.unlink()
    upgrade(package)
    with pytest.raises(ClientError):
        daemon.client.reload()
    assert daemon.pid("new")
    assert [row["name"] for row in daemon.client.channels()] == ["more", "jobs"]
    assert fifo.is_fifo()
    assert daemon.manager != manager
    assert pids(daemon) == before


WAITS = """
import os
import time
while os.path.exists(os.path.join({place!r}, "closed")):
    open(os.path.join({place!r}, "reached"), "w").close()
    time.sleep(0.01)
"""


def test_a_manager_that_is_replaced_while_it_comes_to_be_ends_too(
    daemon: Daemon, package: Path
) -> None:
    """It has most of its modules of the old version when the files of the new one come."""
    closed, reached = package.with_name("closed"), package.with_name("reached")
    last = package / "control" / "server.py"  # that a manager needs before it serves
    last.write_text(last.read_text() + WAITS.format(place=str(package.parent)))
    run(daemon, package)
    before, manager = pids(daemon), daemon.manager
    closed.touch()
    os.kill(manager, signal.SIGKILL)
    daemon.until(reached.exists)
    upgrade(package)
    closed.unlink()
    daemon.until(lambda: list(daemon.client.lines(["count"], lines=2)))
    assert "its program was replaced by another version" in daemon.output()
    assert pids(daemon) == before


def test_a_manager_lets_an_upgrade_come_to_its_end(daemon: Daemon, package: Path) -> None:
    """Of half a program there would be no manager, but one death after the other."""
    run(daemon, package)
    before, manager = pids(daemon), daemon.manager
    upgrade(package)
    parts = [part for part in sorted(package.iterdir()) if part.is_dir()]
    for part in parts:
        part.rename(package.with_name(f"late-{part.name}"))

    def go_on() -> None:
        for part in parts:
            time.sleep(0.05)
            package.with_name(f"late-{part.name}").rename(part)

    installing = threading.Thread(target=go_on)
    installing.start()
    assert list(daemon.client.lines(["count"], lines=2))
    installing.join()
    assert daemon.manager != manager
    assert daemon.about("manager_deaths") == 1
    assert pids(daemon) == before


def test_a_manager_that_is_to_take_the_keepers_place_takes_it(
    daemon: Daemon, package: Path
) -> None:
    """Nobody would come after it; and what takes that place is new."""
    run(daemon, package)
    before, manager = pids(daemon), daemon.manager
    upgrade(package)
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(daemon.socket)
        daemon.answers()  # by then it has been received
        os.kill(manager, signal.SIGSTOP)
        os.kill(daemon.process.pid, signal.SIGKILL)
        asking.sendall(b"GET /v1/channels HTTP/1.1\r\nHost: d\r\n\r\n")
        os.kill(manager, signal.SIGCONT)
        daemon.until(lambda: daemon.keeper == manager)
    assert pids(daemon)[1:] == before[1:]


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
