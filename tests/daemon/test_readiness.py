"""When a worker counts as RUNNING: whole daemons, real workers, murders in between."""

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.linux.process_table import read_entry
from tests.cli.conftest import until
from tests.daemon.conftest import SLEEP, Daemon, alive
from tests.manager.servers import free_port

TALKER = Path(__file__).parent.parent / "manager" / "talker.py"
NOTIFY = {"ready": {"notify": "systemd"}}


def talker(daemon: Daemon, **more: Any) -> dict[str, Any]:
    """A worker that says on its NOTIFY_SOCKET what it is told to by `say`."""
    return {"command": [sys.executable, str(TALKER), str(_orders(daemon))], **NOTIFY, **more}


def _orders(daemon: Daemon) -> Path:
    return daemon.directory / "orders"


def say(daemon: Daemon, message: str, how: str = "self") -> None:
    until(_orders(daemon).exists)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.sendto(f"{how} {message}".encode(), str(_orders(daemon)))


def started(daemon: Daemon, name: str) -> int:
    """The pid of a worker that is up but not ready."""
    daemon.until(lambda: daemon.state(name) == "STARTING" and daemon.row(name)["pid"])
    return int(daemon.row(name)["pid"])


# ---------------------------------------------------------------- the kinds


def test_a_worker_is_running_once_it_says_so(daemon: Daemon) -> None:
    """STARTING until READY=1, with the text that it gives meanwhile."""
    daemon.run({"web": talker(daemon)})
    pid = started(daemon, "web")
    say(daemon, "STATUS=warming up")
    daemon.until(lambda: daemon.row("web").get("status") == "warming up")
    assert daemon.state("web") == "STARTING"
    say(daemon, "READY=1")
    assert daemon.pid("web") == pid


def test_a_python_worker_says_it_by_the_library(daemon: Daemon) -> None:
    """`supervisord_lite.worker` is all that it needs."""
    code = "import time; from supervisord_lite import worker; worker.ready(); time.sleep(100000)"
    daemon.run({"web": {"command": [sys.executable, "-c", code], **NOTIFY}})
    daemon.await_state("web", "RUNNING")


def test_a_worker_of_another_user_says_it(daemon: Daemon) -> None:
    """Its socket is its own, wherever the directory of the daemon lets it pass."""
    if os.geteuid() != 0:
        pytest.skip("takes another user")
    for place in (daemon.directory, *daemon.directory.parents[:3]):
        place.chmod(place.stat().st_mode | 0o011)
    code = (
        "import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); time.sleep(100000)"
    )
    command = ["/usr/bin/env", "python3", "-c", code]
    daemon.run({"web": {"command": command, "user": "nobody", "working_dir": "/", **NOTIFY}})
    daemon.await_state("web", "RUNNING")


@pytest.mark.parametrize("number", [3, 42])
def test_a_newline_on_a_descriptor(daemon: Daemon, number: int) -> None:
    """As s6 has it, on the descriptor that is named."""
    code = f"import os, time; os.write({number}, b'\\n'); time.sleep(100000)"
    daemon.run({"web": {"command": [sys.executable, "-c", code], "ready": {"fd": number}}})
    daemon.await_state("web", "RUNNING")


def test_a_descriptor_that_is_closed_says_nothing(daemon: Daemon) -> None:
    """The worker is left its time, and then has failed to start."""
    command = ["sh", "-c", "exec 3>&-; exec sleep 100000"]
    restart = {"limit": {"count": 1, "within": "1h"}}
    ready = {"fd": 3, "timeout": "500ms"}
    daemon.run({"web": {"command": command, "ready": ready, "restart": restart}})
    daemon.await_state("web", "FATAL")


@pytest.mark.parametrize("attempt", range(5))
def test_a_line_of_output_said_at_once(daemon: Daemon, attempt: int) -> None:
    """The very first thing that a worker does is not too early."""
    command = ["sh", "-c", "echo listening on 80; exec sleep 100000"]
    daemon.run({"web": {"command": command, "ready": {"log": "^listening on [0-9]+$"}}})
    daemon.await_state("web", "RUNNING")
    assert daemon.row("web")["run"] == 1


def test_a_line_of_an_earlier_run_does_not_count(daemon: Daemon) -> None:
    """The log has the line of the run before; each run says it for itself."""
    go = daemon.directory / "go"
    os.mkfifo(go)
    command = ["sh", "-c", f"read x < {go}; echo ready; exec sleep 100000"]
    daemon.run({"web": {"command": command, "ready": {"log": "^ready$"}}})
    go.write_text("\n")
    before = daemon.pid("web")
    os.kill(before, signal.SIGKILL)
    daemon.until(lambda: daemon.row("web")["run"] == 2 and daemon.state("web") == "STARTING")
    time.sleep(0.5)
    assert daemon.state("web") == "STARTING"
    go.write_text("\n")
    assert daemon.pid("web") != before


def test_a_port_that_accepts(daemon: Daemon) -> None:
    """Tried until it does; what the last try said is shown."""
    port, go = free_port(), daemon.directory / "go"
    os.mkfifo(go)
    code = (
        f"import socket, time; open({str(go)!r}).read();"
        f"s = socket.create_server(('127.0.0.1', {port})); time.sleep(100000)"
    )
    command = [sys.executable, "-c", code]
    daemon.run({"web": {"command": command, "ready": {"tcp": f"127.0.0.1:{port}"}}})
    daemon.until(lambda: "refused" in daemon.row("web").get("probe", ""))
    assert daemon.state("web") == "STARTING"
    go.write_text("")
    daemon.await_state("web", "RUNNING")


def test_a_page_that_is_good(daemon: Daemon) -> None:
    """A server that serves is ready once the page is what was asked for."""
    port, page = free_port(), daemon.directory / "page"
    page.write_text("loading")
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    url = f"http://127.0.0.1:{port}/page"
    ready = {"http": {"url": url, "status": [200], "body": "all good"}}
    where = str(daemon.directory)
    daemon.run({"web": {"command": command, "working_dir": where, "ready": ready}})
    daemon.until(lambda: "all good" in daemon.row("web").get("probe", ""))
    assert daemon.state("web") == "STARTING"
    page.write_text("all good now")
    daemon.await_state("web", "RUNNING")


def test_a_unix_socket_that_accepts(daemon: Daemon) -> None:
    """At its path."""
    path = daemon.directory / "sock"
    code = (
        "import socket, time; s = socket.socket(socket.AF_UNIX);"
        f"s.bind({str(path)!r}); s.listen(); time.sleep(100000)"
    )
    daemon.run({"web": {"command": [sys.executable, "-c", code], "ready": {"unix": str(path)}}})
    daemon.await_state("web", "RUNNING")


def test_a_file_of_this_run(daemon: Daemon) -> None:
    """One that was left by an earlier run is none."""
    path, go = daemon.directory / "pid", daemon.directory / "go"
    os.mkfifo(go)
    path.touch()
    os.utime(path, (time.time() - 5, time.time() - 5))
    command = ["sh", "-c", f"read x < {go}; echo > {path}; exec sleep 100000"]
    daemon.run({"web": {"command": command, "ready": {"file": str(path)}}})
    daemon.until(lambda: "older" in daemon.row("web").get("probe", ""))
    assert daemon.state("web") == "STARTING"
    go.write_text("\n")
    daemon.await_state("web", "RUNNING")


def test_a_command_that_succeeds(daemon: Daemon) -> None:
    """It has the worker's environment and directory."""
    place = daemon.directory / "place"
    place.mkdir()
    ready = {"exec": ["sh", "-c", 'test "$COLOUR" = red && test -e here']}
    worker = {"command": SLEEP, "working_dir": str(place), "environment": {"COLOUR": "red"}}
    daemon.run({"web": {**worker, "ready": ready}})
    daemon.until(lambda: "exit code 1" in daemon.row("web").get("probe", ""))
    assert daemon.state("web") == "STARTING"
    (place / "here").touch()
    daemon.await_state("web", "RUNNING")


# ---------------------------------------------------------------- failing to become ready


def test_not_ready_in_time_is_a_failed_start(daemon: Daemon) -> None:
    """The run is ended, and the next one has its turn, until the limit is reached."""
    restart = {"delay": "10ms", "limit": {"count": 2, "within": "1h"}}
    ready = {"notify": "systemd", "timeout": "500ms"}
    daemon.run({"web": {"command": SLEEP, "ready": ready, "restart": restart}})
    first = started(daemon, "web")
    daemon.await_state("web", "FATAL")
    assert daemon.row("web")["run"] == 2
    assert not alive(first)


def test_dying_before_it_is_ready_is_a_failed_start(daemon: Daemon) -> None:
    """However long it has lived."""
    restart = {"delay": "10ms", "stable_after": "10ms", "limit": {"count": 2, "within": "1h"}}
    daemon.run({"web": {"command": "sleep 0.3", **NOTIFY, "restart": restart}})
    daemon.await_state("web", "FATAL")
    assert daemon.row("web")["run"] == 2


def test_more_time_is_given_where_it_is_asked_for(daemon: Daemon) -> None:
    """EXTEND_TIMEOUT_USEC moves the deadline."""
    daemon.run({"web": talker(daemon, ready={"notify": "systemd", "timeout": "20s"})})
    started(daemon, "web")
    before = daemon.row("web")["deadline"]
    say(daemon, "EXTEND_TIMEOUT_USEC=100000000")
    daemon.until(lambda: daemon.row("web")["deadline"] > before + 30)


def test_a_worker_stopped_on_purpose_does_not_fail_to_start(daemon: Daemon) -> None:
    """While SIGSTOP holds it, its time does not run out."""
    daemon.run({"web": talker(daemon, ready={"notify": "systemd", "timeout": "5s"})})
    pid = started(daemon, "web")
    until(_orders(daemon).exists)
    os.kill(pid, signal.SIGSTOP)
    deadline = daemon.row("web")["deadline"]
    daemon.until(lambda: daemon.row("web")["deadline"] > deadline)
    os.kill(pid, signal.SIGCONT)
    say(daemon, "READY=1")
    assert daemon.pid("web") == pid


# ---------------------------------------------------------------- who may speak


def test_a_stranger_cannot_speak_for_a_worker(daemon: Daemon) -> None:
    """The sender's credentials decide; the daemon says once whom it did not listen to."""
    daemon.run({"web": talker(daemon)})
    started(daemon, "web")
    path = next((daemon.directory / "run" / "notify").iterdir())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        for message in (b"READY=1", b"STATUS=spoofed", f"MAINPID={os.getpid()}".encode()):
            way.sendto(message, str(path))
    say(daemon, "STATUS=mine")
    daemon.until(lambda: daemon.row("web").get("status") == "mine")
    assert daemon.state("web") == "STARTING"
    daemon.until(lambda: daemon.output().count("is not of its run") == 1)


def test_a_child_that_is_gone_has_spoken(daemon: Daemon) -> None:
    """As `systemd-notify` does it: what it sent is read when it is dead already."""
    daemon.run({"web": talker(daemon)})
    started(daemon, "web")
    say(daemon, "READY=1", "gone")
    daemon.await_state("web", "RUNNING")


def test_a_child_becomes_the_main_process(daemon: Daemon) -> None:
    """MAINPID= of a daemonizing worker: its parent's end is no end of the run."""
    daemon.run({"web": talker(daemon)})
    parent = started(daemon, "web")
    say(daemon, "MAINPID=CHILD\nREADY=1", "handover")
    daemon.until(lambda: daemon.state("web") == "RUNNING" and daemon.row("web")["pid"] != parent)
    assert daemon.row("web")["run"] == 1
    child = daemon.row("web")["pid"]
    assert alive(child)
    daemon.client.stop(["web"], timeout=20)
    until(lambda: not alive(child))


def test_a_foreign_process_does_not_become_the_main_process(daemon: Daemon) -> None:
    """A worker cannot have somebody else's process stopped in its place."""
    daemon.run({"web": talker(daemon)})
    pid = started(daemon, "web")
    say(daemon, f"MAINPID={os.getpid()}\nREADY=1")
    assert daemon.pid("web") == pid


# ---------------------------------------------------------------- deaths


def test_the_manager_dies_while_a_worker_starts(daemon: Daemon) -> None:
    """The run goes on, and its word is heard by the next manager."""
    daemon.run({"web": talker(daemon)})
    pid = started(daemon, "web")
    daemon.kill_manager()
    assert daemon.state("web") == "STARTING"
    say(daemon, "READY=1")
    assert daemon.pid("web") == pid
    assert daemon.row("web")["run"] == 1


def test_ready_is_heard_that_was_told_while_no_manager_lived(daemon: Daemon) -> None:
    """The keeper has kept the socket."""
    daemon.run({"web": talker(daemon)})
    pid = started(daemon, "web")
    until(_orders(daemon).exists)
    keeper, manager = daemon.keeper, daemon.manager
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(manager, signal.SIGKILL)
        until(lambda: not alive(manager))
        say(daemon, "READY=1")
        _wait_until_obeyed(pid)
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert daemon.pid("web") == pid
    assert daemon.row("web")["run"] == 1


def _wait_until_obeyed(pid: int) -> None:
    """The worker sleeps in its next receive."""

    def sleeps() -> bool:
        entry = read_entry(pid)
        return entry is not None and entry.state == "S"

    time.sleep(0.2)
    until(sleeps)


def test_a_line_is_found_that_was_written_while_no_manager_lived(daemon: Daemon) -> None:
    """The next one reads from the beginning of the run."""
    go = daemon.directory / "go"
    os.mkfifo(go)
    command = ["sh", "-c", f"read x < {go}; echo ready; exec sleep 100000"]
    daemon.run({"web": {"command": command, "ready": {"log": "^ready$"}}})
    pid = started(daemon, "web")
    keeper, manager = daemon.keeper, daemon.manager
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(manager, signal.SIGKILL)
        until(lambda: not alive(manager))
        go.write_text("\n")
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert daemon.pid("web") == pid


def test_the_keeper_dies_while_a_worker_starts(daemon: Daemon) -> None:
    """The socket is made again at its place, so the worker is still heard."""
    daemon.run({"web": talker(daemon)})
    pid = started(daemon, "web")
    until(_orders(daemon).exists)
    daemon.kill_keeper()
    say(daemon, "READY=1")
    assert daemon.pid("web") == pid


def test_the_keeper_dies_while_a_worker_has_not_written_its_newline(daemon: Daemon) -> None:
    """Its pipe is found again through the worker."""
    go = daemon.directory / "go"
    os.mkfifo(go)
    command = ["sh", "-c", f"read x < {go}; echo >&3; exec sleep 100000"]
    daemon.run({"web": {"command": command, "ready": {"fd": 3}}})
    pid = started(daemon, "web")
    daemon.kill_keeper()
    assert daemon.state("web") == "STARTING"
    go.write_text("\n")
    assert daemon.pid("web") == pid


def test_nothing_is_left_after_the_end(daemon: Daemon) -> None:
    """No socket and no directory of the daemon's."""
    daemon.run({"web": talker(daemon)})
    started(daemon, "web")
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert not (daemon.directory / "run").exists()
