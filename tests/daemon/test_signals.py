"""The daemon's own signals, and how it ends."""

import os
import signal
import subprocess
import time

import pytest

from tests.cli.conftest import DEADLINE, until
from tests.daemon.conftest import DEAF, SLEEP, Daemon, alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_end_in_order(daemon: Daemon, number: int) -> None:
    """Each of these stops every worker and then the daemon, which was asked to: exit code 0."""
    daemon.run({"web": {"command": SLEEP, "instances": 3}})
    pids = [daemon.pid(f"web:{n}") for n in range(3)]
    daemon.signal(number)
    assert daemon.exit_code() == 0
    assert not any(map(alive, pids))
    assert not os.path.exists(daemon.socket)
    until(lambda: not daemon.ours())


def test_second_signal_hastens(daemon: Daemon) -> None:
    """A second SIGTERM leaves each rung one second."""
    rungs = [{"signal": "TERM", "wait": "50s"}, {"signal": "KILL", "to": "tree", "wait": "5s"}]
    daemon.run({"deaf": {"command": DEAF, "stop": rungs}})
    daemon.pid("deaf")
    daemon.signal(signal.SIGTERM)
    daemon.await_state("deaf", "STOPPING")
    begun = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert 0.9 < time.monotonic() - begun < 15.0


def test_third_signal_kills(daemon: Daemon) -> None:
    """A third SIGTERM waits for nobody."""
    rungs = [{"signal": "TERM", "wait": "50s"}, {"signal": "INT", "wait": "50s"}]
    daemon.run({"deaf": {"command": DEAF, "stop": rungs}})
    pid = daemon.pid("deaf")
    begun = time.monotonic()
    while daemon.process.poll() is None:
        # Until three have come: a signal that is pending already is not sent again (signal(7)).
        daemon.process.send_signal(signal.SIGTERM)
        assert time.monotonic() - begun < 15.0
        time.sleep(0.1)
    assert daemon.exit_code() == 0
    assert not alive(pid)


def test_shutdown_has_a_deadline(daemon: Daemon) -> None:
    """What is left at the deadline of the whole shutdown is killed."""
    rungs = [{"signal": "TERM", "wait": "50s"}]
    deaf = {"command": DEAF, "stop": rungs}
    daemon.run({"deaf": deaf}, supervisor={"stop_deadline": "1s"})
    pid = daemon.pid("deaf")
    begun = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert time.monotonic() - begun < 15.0
    assert not alive(pid)


def test_shutdown_goes_on_under_the_next_manager(daemon: Daemon) -> None:
    """A manager that dies in a shutdown is replaced by one that finishes it."""
    daemon.run({"deaf": {"command": DEAF, "stop": "2s"}, "web": {"command": SLEEP}})
    daemon.pid("deaf")
    manager = daemon.manager
    daemon.signal(signal.SIGTERM)
    daemon.await_state("deaf", "STOPPING")
    os.kill(manager, signal.SIGKILL)
    assert daemon.exit_code() == 0
    until(lambda: not daemon.ours())


def test_hup_reloads(daemon: Daemon) -> None:
    """SIGHUP applies what the file says by now, and touches nothing else."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    daemon.configure({"web": {"command": SLEEP}, "more": {"command": SLEEP}})
    daemon.signal(signal.SIGHUP)
    daemon.until(lambda: len(daemon.client.workers()) == 2)
    daemon.await_state("more", "RUNNING")
    assert daemon.pid("web") == pid


def test_hup_with_a_bad_file_changes_nothing(daemon: Daemon) -> None:
    """A file that cannot be used is refused with its reason, and the daemon goes on as it was."""
    daemon.run({"web": {"command": SLEEP}})
    pid = daemon.pid("web")
    daemon.file.write_text("workers: {web: {comand: x}}")
    daemon.signal(signal.SIGHUP)
    until(lambda: f"{daemon.file}:1:" in daemon.output())
    assert daemon.pid("web") == pid


def test_hup_during_a_shutdown_is_ignored(daemon: Daemon) -> None:
    """Nothing is started any more once the shutdown has begun."""
    daemon.run({"deaf": {"command": DEAF, "stop": "1s"}})
    daemon.pid("deaf")
    daemon.signal(signal.SIGTERM)
    daemon.await_state("deaf", "STOPPING")
    witness = daemon.directory / "witness"
    daemon.configure({"more": {"command": f"touch {witness}"}})
    daemon.signal(signal.SIGHUP)
    assert daemon.exit_code() == 0
    assert "reload ignored" in daemon.output()
    assert not witness.exists()


def test_term_during_a_reload_wins(daemon: Daemon) -> None:
    """A shutdown that comes while the file is being compiled starts nothing of it."""
    daemon.run({"web": {"command": SLEEP}})
    witness = daemon.directory / "witness"
    daemon.configure({"more": {"command": f"touch {witness}"}})
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert not witness.exists()
    until(lambda: not daemon.ours())


def test_usr2_opens_the_logs_again(daemon: Daemon) -> None:
    """A log that was moved away gets a successor; each byte is in one of the two."""
    script = "while read line; do echo $line; done < gate"
    os.mkfifo(daemon.directory / "gate")
    where = str(daemon.directory)
    daemon.run({"web": {"command": script, "shell": True, "working_dir": where}})
    log = daemon.directory / "logs" / "web.0.log"
    with (daemon.directory / "gate").open("w") as gate:
        print("before", file=gate, flush=True)
        daemon.until(lambda: daemon.log("web:0") == "before\n")
        moved = log.rename(log.with_suffix(".old"))
        daemon.signal(signal.SIGUSR2)
        until(log.exists)
        print("after", file=gate, flush=True)
        daemon.until(lambda: daemon.log("web:0") == "after\n")
    assert moved.read_text() == "before\n"


def test_leave_says_nothing_to_the_workers(daemon: Daemon) -> None:
    """SIGRTMIN+1 ends the daemon and nothing else."""
    daemon.run({"web": {"command": SLEEP, "instances": 2}})
    pids = [daemon.pid(f"web:{n}") for n in range(2)]
    daemon.signal(signal.SIGRTMIN + 1)
    assert daemon.exit_code() == 0
    until(lambda: sorted(daemon.ours()) == sorted(pids))


def test_interrupt_from_the_terminal_reaches_no_worker(daemon: Daemon) -> None:
    """Workers have sessions of their own: what is sent to the daemon's group is the daemon's."""
    script = "trap 'echo int' INT; echo up; while :; do sleep 0.05; done"
    daemon.configure({"web": {"command": script, "shell": True}})
    daemon.launch(prefix=["setsid"])
    daemon.until(lambda: "up" in daemon.log("web:0"))
    os.killpg(daemon.process.pid, signal.SIGINT)
    assert daemon.exit_code() == 0
    assert daemon.log("web:0") == "up\n"


def test_storm_of_signals(daemon: Daemon) -> None:
    """A thousand signals of all kinds while workers die all the time: the daemon is still there."""
    restart = {"delay": "0s", "limit": "none"}
    daemon.run({"brief": {"command": "true", "restart": restart}, "web": {"command": SLEEP}})
    pid, keeper = daemon.pid("web"), daemon.keeper
    for _ in range(300):
        for number in (signal.SIGCHLD, signal.SIGUSR2, signal.SIGWINCH):
            os.kill(keeper, number)
    daemon.client.stop(["brief"])
    assert daemon.state("brief") == "STOPPED"
    assert daemon.pid("web") == pid


def test_bad_file_at_boot(daemon: Daemon) -> None:
    """A daemon that cannot read its file ends with code 2, says why, and leaves no process."""
    daemon.file.write_text("workers: {web: {comand: x}}")
    process = daemon.launch()
    assert process.wait(DEADLINE) == 2
    assert "comand" in daemon.output()
    until(lambda: not daemon.ours())


def test_place_that_cannot_be_made(daemon: Daemon) -> None:
    """Where there is no place for the daemon it says so and ends; it does not hang."""
    daemon.configure({"web": {"command": SLEEP}})
    daemon.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    daemon.place.touch()
    try:
        process = daemon.launch()
        assert process.wait(DEADLINE) == 1
    finally:
        daemon.place.unlink()
    assert f"cannot use {daemon.place}" in daemon.output()


def test_console_of_nobody(daemon: Daemon) -> None:
    """A daemon whose terminal is gone goes on: output that cannot be written ends nothing."""
    daemon.configure({"web": {"command": SLEEP}})
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as gone:
        gone.wait()
        assert gone.stdin is not None
        process = daemon.launch_into(gone.stdin.fileno())
    daemon.until(daemon.answers)
    daemon.note_mark()
    pid = daemon.pid("web")
    daemon.configure({"web": {"command": SLEEP}, "more": {"command": SLEEP}})
    daemon.client.reload()
    assert (daemon.pid("web"), process.poll()) == (pid, None)
