"""Signals that reach a worker as other ones, and those that the daemon hands on."""

import os
import signal
import subprocess
from typing import Any

import pytest

from supervisord_lite.linux.process_table import ProcessTable
from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import Daemon

NAMES = ("HUP", "INT", "USR1", "USR2", "WINCH", "TERM")


def teller(*, ends: str = "") -> dict[str, Any]:
    """A worker that writes down which signals it gets, and ends at one of them."""
    traps = "; ".join(
        f"trap 'echo {name}{'; exit 0' if name == ends else ''}' {name}" for name in NAMES
    )
    # `wait` is interrupted by a signal that is trapped; `sleep` in the foreground would delay it.
    loop = "echo listening; while :; do sleep 100000 & wait $!; kill $!; done"
    return {"command": f"{traps}; {loop}", "shell": True}


def heard(daemon: Daemon, name: str = "web:0") -> list[str]:
    return daemon.log(name).split()


def test_signal_of_an_operator(daemon: Daemon) -> None:
    """`slctl signal HUP` sends what the file says instead, and the others as they are."""
    daemon.run({"web": teller() | {"signals": {"HUP": "USR2"}}})
    until(lambda: heard(daemon) == ["listening"])
    daemon.client.signal(["web"], "HUP")
    until(lambda: heard(daemon)[1:] == ["USR2"])
    daemon.client.signal(["web"], "USR1")
    until(lambda: heard(daemon)[1:] == ["USR2", "USR1"])


def test_stop(daemon: Daemon) -> None:
    """The ladder's TERM is an INT for a program that ends well by that alone."""
    daemon.run({"web": teller(ends="INT") | {"signals": {"TERM": "INT"}}})
    until(lambda: heard(daemon) == ["listening"])
    daemon.client.stop(["web"])
    assert heard(daemon)[1:] == ["INT"]
    assert daemon.row("web")["last_exit"]["code"] == 0


def test_reload_of_a_worker(daemon: Daemon) -> None:
    """What it reads its own configuration by is rewritten, too."""
    daemon.run({"web": teller() | {"reload": "HUP", "signals": {"HUP": "WINCH"}}})
    until(lambda: heard(daemon) == ["listening"])
    daemon.client.reload_workers(["web"])
    until(lambda: heard(daemon)[1:] == ["WINCH"])


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGWINCH])
def test_forwarded(daemon: Daemon, number: signal.Signals) -> None:
    """What the daemon gets and hands on, all workers get; it goes on itself."""
    daemon.run({"web": teller(), "api": teller()}, supervisor={"forward": ["USR1", "WINCH"]})
    until(lambda: heard(daemon) == heard(daemon, "api:0") == ["listening"])
    daemon.signal(number)
    name = number.name.removeprefix("SIG")
    until(lambda: heard(daemon)[1:] == heard(daemon, "api:0")[1:] == [name])
    assert daemon.state("web") == "RUNNING"


def test_forwarded_and_rewritten(daemon: Daemon) -> None:
    """What is handed on reaches each worker in its own words."""
    daemon.run({"web": teller() | {"signals": {"USR1": "HUP"}}}, supervisor={"forward": ["USR1"]})
    until(lambda: heard(daemon) == ["listening"])
    daemon.signal(signal.SIGUSR1)
    until(lambda: heard(daemon)[1:] == ["HUP"])


def test_forwarded_by_the_first_process_of_a_container(daemon: Daemon) -> None:
    """As PID 1 the daemon gets what the container's runtime sends, and hands it on."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a pid namespace here")
    daemon.configure(
        {"web": teller(), "api": teller() | {"signals": {"USR1": "HUP"}}},
        supervisor={"forward": ["USR1", "WINCH"]},
    )
    process = daemon.launch(prefix=unshare)
    until(lambda: heard(daemon) == heard(daemon, "api:0") == ["listening"])
    assert daemon.about("keeper") == 1
    (first,) = ProcessTable().children(process.pid)
    os.kill(first, signal.SIGUSR1)
    until(lambda: heard(daemon)[1:] == ["USR1"] and heard(daemon, "api:0")[1:] == ["HUP"])
    os.kill(first, signal.SIGWINCH)
    until(lambda: heard(daemon)[2:] == heard(daemon, "api:0")[2:] == ["WINCH"])
    os.kill(first, signal.SIGKILL)  # and with it everything in the namespace
    process.wait(DEADLINE)
