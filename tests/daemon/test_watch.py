"""Workers that are restarted, or told to reload, when files change."""

import os
from pathlib import Path

from tests.cli.conftest import until
from tests.daemon.conftest import SLEEP, Daemon

HUPPED = ["sh", "-c", "trap 'echo again' HUP; echo up; while :; do sleep 0.1; done"]


def watching(daemon: Daemon, *directories: Path) -> None:
    """Wait until the manager has an inotify watch on each of these directories."""

    def numbers() -> set[int]:
        place = Path(f"/proc/{daemon.manager}/fdinfo")
        lines = "".join(file.read_text() for file in place.iterdir()).splitlines()
        return {
            int(line.split()[2].partition(":")[2], 16)
            for line in lines
            if line.startswith("inotify ")
        }

    def holds() -> bool:
        try:
            return {directory.stat().st_ino for directory in directories} <= numbers()
        except OSError:  # a descriptor was closed meanwhile
            return False

    until(holds)


def sources(daemon: Daemon) -> Path:
    directory = daemon.directory / "src"
    directory.mkdir()
    (directory / "app.py").write_text("first")
    return directory


def test_a_change_restarts_the_worker(daemon: Daemon) -> None:
    """And the daemon says which file it was."""
    source = sources(daemon)
    daemon.run({"web": {"command": SLEEP, "watch": "src"}, "other": {"command": SLEEP}})
    pid, other = daemon.pid("web"), daemon.pid("other")
    watching(daemon, source)
    (source / "app.py").write_text("second")
    daemon.until(lambda: daemon.pid("web") != pid)
    assert "changed: src/app.py" in daemon.output()
    assert daemon.pid("other") == other


def test_a_change_tells_a_worker_that_can_reload(daemon: Daemon) -> None:
    """By its reload signal, and its process stays."""
    source = sources(daemon)
    daemon.run({"web": {"command": HUPPED, "watch": "src", "reload": "HUP"}})
    pid = daemon.pid("web")
    daemon.until(lambda: "up" in daemon.log("web:0"))
    watching(daemon, source)
    (source / "app.py").write_text("second")
    daemon.until(lambda: "again" in daemon.log("web:0"))
    assert daemon.pid("web") == pid


def test_a_change_rolls_out_a_worker_that_is_updated_one_by_one(daemon: Daemon) -> None:
    """Each of its instances is another process then."""
    source = sources(daemon)
    web = {"command": SLEEP, "instances": 3, "watch": "src", "update": "rolling"}
    daemon.run({"web": web})
    names = [f"web:{number}" for number in range(3)]
    before = {daemon.pid(name) for name in names}
    watching(daemon, source)
    (source / "app.py").write_text("second")
    daemon.until(lambda: not before & {daemon.pid(name) for name in names})
    assert [daemon.row(name)["run"] for name in names] == [2, 2, 2]


def test_a_change_during_a_start_restarts_once_that_is_over(daemon: Daemon) -> None:
    """The process may have read the file before."""
    source = sources(daemon)
    ready = daemon.directory / "ready"
    web = {"command": SLEEP, "watch": "src", "ready": {"file": str(ready)}}
    daemon.run({"web": web, "other": {"command": SLEEP, "watch": "src"}})
    other = daemon.pid("other")
    daemon.await_state("web", "STARTING")
    watching(daemon, source)
    (source / "app.py").write_text("second")
    daemon.until(lambda: daemon.pid("other") != other)  # so the change has been dealt with
    assert (daemon.state("web"), daemon.row("web")["run"]) == ("STARTING", 1)
    ready.touch()
    daemon.until(lambda: daemon.row("web")["run"] == 2)


def test_the_next_manager_watches_on(daemon: Daemon) -> None:
    """The worker stays through the death of a manager, and its files are watched by the next."""
    source = sources(daemon)
    daemon.run({"web": {"command": SLEEP, "watch": "src/**/*.py"}})
    pid = daemon.pid("web")
    watching(daemon, source)
    daemon.kill_manager()
    watching(daemon, source)
    assert daemon.pid("web") == pid
    (source / "app.py").write_text("second")
    daemon.until(lambda: daemon.pid("web") != pid)


def test_a_reload_changes_what_is_watched(daemon: Daemon) -> None:
    """In place: the worker is not restarted for it."""
    source = sources(daemon)
    other = daemon.directory / "other"
    other.mkdir()
    daemon.run({"web": {"command": SLEEP, "watch": "src"}})
    pid = daemon.pid("web")
    watching(daemon, source)
    daemon.configure({"web": {"command": SLEEP, "watch": "other"}})
    daemon.client.reload()
    watching(daemon, other)
    assert daemon.pid("web") == pid
    (other / "file").touch()
    daemon.until(lambda: daemon.pid("web") != pid)
    assert "changed: other/file" in daemon.output()


def test_without_watch_nothing_is_observed(daemon: Daemon) -> None:
    """The observation ends with the last worker that asks for it."""
    sources(daemon)

    def observers() -> int:
        links = Path(f"/proc/{daemon.manager}/fd").iterdir()
        return sum(_target(link) == "anon_inode:inotify" for link in links)

    daemon.run({"web": {"command": SLEEP}})
    daemon.pid("web")
    none = observers()
    daemon.configure({"web": {"command": SLEEP, "watch": "src"}})
    daemon.client.reload()
    daemon.until(lambda: observers() == none + 1)
    daemon.configure({"web": {"command": SLEEP}})
    daemon.client.reload()
    daemon.until(lambda: observers() == none)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
