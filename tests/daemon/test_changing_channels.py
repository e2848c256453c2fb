"""Channels that are in trouble, changed or lost while their workers run."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import supervisord_lite
from supervisord_lite.core.plan import Action
from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import SLEEP, Daemon
from tests.daemon.test_socket_activation import SERVER, free_port, python

STRICT = {"delay": "0s", "limit": {"count": 2, "within": "1h"}}
READER = "while read -r line; do echo got $line; done; echo end; exec sleep 100000"


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"command": command, "shell": True, **more}


def change(daemon: Daemon, workers: dict[str, Any], **sections: Any) -> dict[str, str]:
    """Reload with another file; what that does to each instance."""
    daemon.configure(workers, **sections)
    plan = daemon.client.reload()
    return {one["instance"]: one["action"] for one in plan["entries"]}


def trouble(daemon: Daemon, channel: str) -> str:
    return str(daemon.client.channels(channel)[0]["trouble"])


def test_a_channel_in_trouble_costs_no_start(daemon: Daemon) -> None:
    """However long it takes, and whoever of the daemon dies: its worker waits and says for what."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        web = python(SERVER, channels={"http": "listen"}) | {"restart": STRICT}
        channels = {"http": {"type": "socket", "listen": f"tcp://127.0.0.1:{port}"}}
        daemon.run({"web": web, "other": {"command": SLEEP}}, channels=channels)
        daemon.await_state("web", "WAITING")
        said = daemon.output().count("waits for channel http")
        daemon.kill_manager()
        daemon.await_state("web", "WAITING")
        assert "in use" in daemon.row("web")["why"]
        assert daemon.row("web")["run"] <= 1
        daemon.client.start(["web"], wait=False)
        assert daemon.state("web") == "WAITING"
        assert daemon.output().count("waits for channel http") == said
    daemon.pid("web")
    assert daemon.client.channels("http")[0]["trouble"] is None


def test_a_stopped_writer_that_is_bound_elsewhere_has_not_ended_it(daemon: Daemon) -> None:
    """It has never written there: the reader waits for its first writer, also of the manager that
    comes next.
    """
    channels = {"lines": {"type": "pipe"}, "other": {"type": "pipe"}}
    write = shell("echo hello; exec sleep 100000", stdout={"channel": "lines"})
    workers = {
        "read": shell(READER, stdin={"channel": "other"}),
        "drain": shell(READER, stdin={"channel": "lines"}),
        "write": write,
    }
    daemon.run(workers, channels=channels)
    until(lambda: "got hello" in daemon.log("drain:0"))
    daemon.client.stop(["write"])
    until(lambda: "end" in daemon.log("drain:0"))
    change(daemon, workers | {"write": write | {"stdout": {"channel": "other"}}}, channels=channels)
    daemon.kill_manager()
    daemon.client.start(["write"])
    until(lambda: daemon.log("read:0") == "got hello\n")
    daemon.client.stop(["write"])
    until(lambda: daemon.log("read:0") == "got hello\nend\n")


def test_an_end_that_was_due_when_the_manager_died_comes(daemon: Daemon) -> None:
    """Its writer is gone for good, with its log's copy still waiting for room in the pipe."""
    channels = {"lines": {"type": "pipe"}}
    logged = {"log": str(daemon.directory / "write.log"), "channel": "lines"}
    text = "head -c 300000 /dev/zero | tr '\\0' x; echo; exec sleep 100000"
    until_told = "until test -e go; do sleep 0.05; done; wc -c; echo end; exec sleep 100000"
    read = shell(until_told, stdin={"channel": "lines"}, working_dir=str(daemon.directory))
    daemon.run({"read": read, "write": shell(text, stdout=logged)}, channels=channels)
    until(lambda: daemon.client.channels("lines")[0]["depth"] == 65536)
    change(daemon, {"read": read}, channels=channels)
    daemon.kill_manager()
    (daemon.directory / "go").touch()
    until(lambda: daemon.log("read:0").endswith("end\n"))


@contextlib.contextmanager
def knocking(port: int) -> Iterator[list[OSError]]:
    """Connections one after the other, and those that were refused."""
    refused: list[OSError] = []
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
            except ConnectionResetError:
                continue  # it was taken, by one that went
            except OSError as error:
                refused.append(error)

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield refused
    finally:
        over.set()
        thread.join()


def _is_another(daemon: Daemon, before: tuple[int, int]) -> bool:
    return daemon.pid("web:1") not in before


@pytest.mark.parametrize("strategy", ["recreate", "rolling"])
def test_a_socket_is_changed_at_its_port_and_nobody_is_refused(
    daemon: Daemon, strategy: str
) -> None:
    """Another address, another name, others beside it; and in the middle the manager dies."""
    with free_port() as port:
        update = {"strategy": strategy}

        def declared(name: str, host: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            web = python(SERVER, channels={name: "listen"}, instances=2, update=update)
            listen = {"type": "socket", "listen": f"tcp://{host}:{port}", **more}
            return {"web": web}, {name: listen}

        workers, channels = declared("http", "127.0.0.1")
        daemon.run(workers, channels=channels)
        with knocking(port) as refused:
            for name, host, more in (
                ("http", "", {}),
                ("www", "", {}),
                ("www", "", {"reuse_port": True}),
                ("www", "127.0.0.1", {"backlog": 20}),
            ):
                workers, channels = declared(name, host, **more)
                before = daemon.row("web:0")["pid"], daemon.row("web:1")["pid"]
                done = change(daemon, workers, channels=channels)
                if "keep" not in done.values():
                    daemon.until(partial(_is_another, daemon, before))
                assert daemon.pid("web:0")
                assert trouble(daemon, name) == "None"
                daemon.kill_manager()
        assert not refused


def test_a_fifo_that_was_removed_is_made_anew_by_a_reload(daemon: Daemon) -> None:
    """The plan says so; until then those who have it go on with it."""
    path = daemon.directory / "jobs.fifo"
    read = shell(READER, stdin={"channel": "jobs"})
    workers = {"read": read, "other": {"command": SLEEP}}
    channels = {"jobs": {"type": "fifo", "path": str(path)}}
    daemon.run(workers, channels=channels)
    pid = daemon.pid("read")
    path.unlink()
    assert "a reload makes it anew" in trouble(daemon, "jobs")
    daemon.kill_manager()
    assert "a reload makes it anew" in trouble(daemon, "jobs")
    daemon.client.put("jobs", b"inside\n")
    until(lambda: daemon.log("read:0") == "got inside\n")
    assert daemon.pid("read") == pid
    planned = {one["instance"]: one["action"] for one in daemon.client.plan()["entries"]}
    assert planned == {"read:0": Action.RESTART, "other:0": Action.KEEP}
    assert change(daemon, workers, channels=channels) == planned
    assert trouble(daemon, "jobs") == "None"
    path.write_text("outside\n")
    until(lambda: daemon.log("read:0").endswith("got outside\n"))  # the old run may see an end
    assert set(change(daemon, workers, channels=channels).values()) == {Action.KEEP}


# Kills the manager right after it has had another channel held.
KILLER = """
import os, sys
if sys.orig_argv[-1:] == ["manager"]:
    from supervisord_lite.manager.keeper_link import KeeperLink
    send = KeeperLink.order
    def order(self, orders, descriptors=()):
        send(self, orders, descriptors)
        if orders[0].get("name") == "channel/work/definition" and os.path.exists("armed"):
            os.unlink("armed")
            os.kill(os.getpid(), 9)
    KeeperLink.order = order
"""


def test_a_reload_that_was_cut_short_is_gone_on_with(daemon: Daemon) -> None:
    """Whoever is bound to a channel has the one that the keeper holds, not the one before."""
    (daemon.directory / "sitecustomize.py").write_text(KILLER)
    workers = {"use": {"command": SLEEP, "channels": {"work": "get"}}}
    work = {"type": "queue", "capacity": 20}
    path = f"{daemon.directory}:{Path(supervisord_lite.__file__).parents[1]}"
    daemon.run(workers, channels={"work": work}, variables={"PYTHONPATH": path})
    daemon.pid("use")
    daemon.configure(workers, channels={"work": work | {"capacity": 10}})
    (daemon.directory / "armed").touch()
    manager = daemon.manager
    daemon.signal(signal.SIGHUP)
    daemon.until(lambda: daemon.manager != manager)

    def has_it() -> bool:
        row = daemon.client.channels("work")[0]
        return bool(row["capacity"] == 10 and [one["name"] for one in row["holders"]] == ["use:0"])

    daemon.until(has_it)
