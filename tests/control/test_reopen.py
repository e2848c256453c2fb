"""`slctl reopen`, as a process, reaches the manager by the API."""

import subprocess
import sys

from tests.control.conftest import Daemon

SLCTL = "from supervisord_lite.cli.slctl import main; main()"


def test_slctl_reopen_opens_the_logs_again(daemon: Daemon) -> None:
    """The manager is asked once, and the command says nothing more than that it worked."""
    done = subprocess.run(
        [sys.executable, "-c", SLCTL, "-s", daemon.path, "reopen"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert daemon.fleet.reopened == 1
