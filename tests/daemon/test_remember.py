"""`remember: true`: what an operator wanted, from one boot to the next."""

import signal
from typing import Any

from tests.daemon.conftest import SLEEP, Daemon

WORKERS = {
    "kept": {"command": SLEEP, "remember": True},
    "manual": {"command": SLEEP, "remember": True, "autostart": False},
    "plain": {"command": SLEEP},
}


def run(daemon: Daemon, workers: Any = WORKERS) -> None:
    daemon.run(workers, supervisor={"state_dir": str(daemon.directory / "state")})


def boot_again(daemon: Daemon, workers: Any = WORKERS) -> None:
    """A shutdown, and a daemon that knows nothing but its files."""
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    run(daemon, workers)


def test_what_was_stopped_stays_stopped_and_what_was_started_comes_back(daemon: Daemon) -> None:
    """Those that are remembered; another one starts as its file says."""
    run(daemon)
    for name in ("kept", "plain"):
        daemon.pid(name)
    daemon.client.stop(["kept", "plain"])
    daemon.client.start(["manual"])
    boot_again(daemon)
    assert daemon.pid("manual")
    assert daemon.pid("plain")
    assert daemon.state("kept") == "STOPPED"


def test_a_wish_may_change_again(daemon: Daemon) -> None:
    """Started again by hand, it starts by itself at the next boot."""
    run(daemon)
    daemon.client.stop(["kept"])
    boot_again(daemon)
    assert daemon.state("kept") == "STOPPED"
    daemon.client.start(["kept"])
    boot_again(daemon)
    assert daemon.pid("kept")


def test_a_shutdown_stops_nothing_for_good(daemon: Daemon) -> None:
    """What it stopped comes back."""
    run(daemon)
    daemon.pid("kept")
    boot_again(daemon)
    assert daemon.pid("kept")
    assert not (daemon.directory / "state").exists()


def test_the_next_manager_keeps_what_the_last_one_knew(daemon: Daemon) -> None:
    """Killed in between, it is as if nothing had happened."""
    run(daemon)
    daemon.client.stop(["kept"])
    daemon.kill_manager()
    daemon.client.start(["manual"])
    boot_again(daemon)
    assert daemon.pid("manual")
    assert daemon.state("kept") == "STOPPED"


def test_a_broken_file_costs_the_wishes_and_not_the_boot(daemon: Daemon) -> None:
    """It is kept aside, and the daemon says so."""
    state = daemon.directory / "state"
    state.mkdir()
    (state / "wishes.json").write_text('{"version": 1, "wanted')
    run(daemon)
    assert daemon.pid("kept")
    assert (state / "wishes.json.corrupt").exists()
    assert "wishes.json" in daemon.output()
