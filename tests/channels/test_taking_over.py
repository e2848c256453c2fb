"""The keeper is killed and the manager takes its place: what nobody has open is still there."""

import os
import socket

from tests.cli.conftest import until
from tests.daemon.conftest import Daemon, daemon

__all__ = ["daemon"]  # a fixture

FEED = "echo waits >&3; exec sleep 100000"
TAKE = "read line; echo $line > got; exec sleep 100000"


def test_what_is_in_a_channel_outlives_the_keeper(daemon: Daemon) -> None:
    """A pipe that no worker has open when its keeper dies gives its line to the next reader."""
    common = {"shell": True, "working_dir": str(daemon.directory)}
    workers = {
        "feed": {"command": FEED, "channels": {"lines": "write"}, **common},
        "take": {"command": TAKE, "stdin": {"channel": "lines"}, "autostart": False, **common},
    }
    daemon.run(workers, channels={"lines": {"type": "fifo", "path": str(daemon.directory / "f")}})
    until(lambda: daemon.row("feed")["state"] == "RUNNING")
    daemon.client.stop(["feed"])
    daemon.kill_keeper()
    daemon.client.start(["take"])
    until((daemon.directory / "got").exists)
    until(lambda: (daemon.directory / "got").read_text() == "waits\n")


def test_a_listening_socket_outlives_the_keeper(daemon: Daemon) -> None:
    """A client that came before finds its connection accepted after."""
    path = str(daemon.directory / "web.sock")
    daemon.run({}, channels={"web": {"type": "socket", "listen": f"unix:{path}"}})
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        inode = os.stat(path).st_ino
        daemon.kill_keeper()
        assert os.stat(path).st_ino == inode
        client.sendall(b"still there")
