"""What may happen to a daemon that nobody planned for: half of it suspended, its directory gone, a
spawn that hangs, a hold from the first moment.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from supervisord_lite.linux.process_table import read_entry
from tests.conftest import Leased
from tests.daemon.conftest import SLEEP, Daemon


def test_a_hung_spawn_keeps_nobody_from_asking(daemon: Daemon, leased: Leased) -> None:
    """The control API opens and other workers run although some never get through exec."""
    daemon.run({"hung": {"command": str(leased.path), "instances": 2}, "web": {"command": SLEEP}})
    daemon.await_state("web:0", "RUNNING")
    assert daemon.state("hung:0") == "STARTING"


def test_hold_starts_nothing_at_a_first_boot(daemon: Daemon) -> None:
    """With --hold a daemon starts what it is told to and nothing else; a reload lifts it."""
    daemon.run({"web": {"command": SLEEP, "instances": 2}}, arguments=["--hold"])
    assert [row["state"] for row in daemon.client.workers()] == ["WAITING", "WAITING"]
    assert daemon.about("held")
    daemon.client.start(["web:1"])
    assert [row["state"] for row in daemon.client.workers()] == ["WAITING", "RUNNING"]
    daemon.client.reload()
    daemon.await_state("web:0", "RUNNING")
    assert not daemon.about("held")


def test_control_z_does_not_suspend_half_of_it(daemon: Daemon) -> None:
    """SIGTSTP, as a terminal sends it, stops nobody."""
    daemon.run({"web": {"command": SLEEP}})
    first = daemon.pid("web:0")
    os.kill(daemon.keeper, signal.SIGTSTP)
    os.kill(first, signal.SIGKILL)
    daemon.until(lambda: daemon.row("web:0")["pid"] not in (None, first))
    entry = read_entry(daemon.keeper)
    assert entry is not None
    assert entry.state != "T"


def test_the_working_directory_may_go(daemon: Daemon, tmp_path: Path) -> None:
    """A deploy that removes the directory in which the daemon was started hurts neither part."""
    gone = tmp_path / "gone"
    gone.mkdir()
    daemon.run({"web": {"command": SLEEP}}, prefix=["sh", "-c", f'cd {gone}; exec "$0" "$@"'])
    first = daemon.pid("web:0")
    gone.rmdir()
    daemon.kill_manager()
    daemon.kill_keeper()
    daemon.kill_manager()
    assert daemon.pid("web:0") == first


@pytest.mark.soak
def test_a_pause_is_nobodys_fault(daemon: Daemon) -> None:
    """A daemon that was stopped for longer than the watchdog waits goes on with all its parts."""
    daemon.run({"busy": {"command": "sleep 0.05", "restart": {"limit": "none", "delay": "0s"}}})
    keeper, manager = daemon.keeper, daemon.manager
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in (keeper, manager):
            os.kill(pid, number)
        time.sleep(11 if number == signal.SIGSTOP else 0)  # the pause is what this is about
    runs = daemon.row("busy:0")["run"]
    daemon.until(lambda: daemon.row("busy:0")["run"] > runs + 5)
    assert daemon.manager == manager
