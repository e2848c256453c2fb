"""What a worker is given of its channels, and what a reload does to them."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

from tests.cli.conftest import until
from tests.daemon.conftest import Daemon, alive

# Writes down what it has, then lives on.
TELL = "env > environment.$$ && ls -l /proc/self/fd > descriptors.$$; mv environment.$$ told; exec "
SLEEP = "sleep 100000"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def told(daemon: Daemon) -> dict[str, str]:
    """The environment that the worker has written down, as soon as it has."""
    path = daemon.directory / "told"
    until(path.exists)
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def worker(daemon: Daemon, command: str, **more: Any) -> dict[str, Any]:
    return {"command": command, "shell": True, "working_dir": str(daemon.directory), **more}


def link_of(pid: int, descriptor: int) -> str:
    return os.readlink(f"/proc/{pid}/fd/{descriptor}")


def reload(daemon: Daemon, workers: dict[str, Any], **sections: Any) -> dict[str, str]:
    """Apply another file; the actions of the plan by instance."""
    daemon.configure(workers, **sections)
    plan = daemon.client.reload()
    return {entry["instance"]: entry["action"] for entry in plan["entries"]}


def test_descriptors_and_variables(daemon: Daemon) -> None:
    """Sockets come first, asked numbers are kept, and every channel is described."""
    channels = {
        "work": {"type": "queue"},
        "web": {"type": "socket", "listen": f"tcp://127.0.0.1:{free_port()}"},
        "guard": {"type": "lock"},
    }
    use = {"work": {"use": "put", "fd": 20}, "web": {}, "guard": {}}
    daemon.run({"w": worker(daemon, TELL + SLEEP, channels=use)}, channels=channels)
    found, pid = told(daemon), daemon.pid("w")
    described = json.loads(found["SUPERVISORD_LITE_CHANNELS"])
    assert {name: one["type"] for name, one in described.items()} == {
        "work": "queue",
        "web": "socket",
        "guard": "lock",
    }
    assert (found["CHANNEL_WEB"], found["CHANNEL_GUARD"]) == ("3", "4")
    assert found["CHANNEL_WORK"] == "20 21 22 23"
    assert (found["LISTEN_FDS"], found["LISTEN_FDNAMES"]) == ("1", "web")
    assert found["LISTEN_PID"] == str(pid)
    assert link_of(pid, 3).startswith("socket:")
    assert sorted(os.listdir(f"/proc/{pid}/fd"), key=int) == [
        *("0", "1", "2", "3", "4"),
        *("20", "21", "22", "23"),
    ]


def test_descriptors_of_another_run(daemon: Daemon) -> None:
    """The next run has the same objects at the same numbers, also from another manager."""
    channels = {"work": {"type": "queue"}, "lines": {"type": "pipe"}}
    use = {"work": "both", "lines": "read"}
    daemon.run(
        {"w": {"command": SLEEP, "channels": use, "restart": {"delay": "0s", "limit": "none"}}},
        channels=channels,
    )
    first = daemon.pid("w")
    before = [link_of(first, number) for number in range(3, 8)]
    daemon.kill_manager()
    os.kill(first, signal.SIGKILL)
    daemon.until(lambda: daemon.pid("w") != first)
    second = daemon.pid("w")
    links = [link_of(second, number) for number in range(3, 8)]
    assert links[:2] + links[4:] == before[:2] + before[4:]


def test_channel_beside_readiness(daemon: Daemon) -> None:
    """A number that readiness needs is left to it."""
    command = f"echo >&3; {TELL}{SLEEP}"
    worker_ = worker(daemon, command, ready={"fd": 3}, channels=["guard"])
    daemon.run({"w": worker_}, channels={"guard": {"type": "lock"}})
    daemon.await_state("w", "RUNNING")
    assert told(daemon)["CHANNEL_GUARD"] == "4"


def test_end_of_file_after_the_last_descriptor(daemon: Daemon) -> None:
    """Who writes by a number counts as a writer: its stop is the end of the stream."""
    read = "while read line; do echo $line >> lines; done; echo end >> lines; exec " + SLEEP
    write = "echo hello >&{channel.lines}; exec " + SLEEP
    daemon.run(
        {
            "read": worker(daemon, read, stdin={"channel": "lines"}),
            "write": worker(daemon, write, channels={"lines": "write"}),
        },
        channels={"lines": {"type": "pipe"}},
    )
    lines = daemon.directory / "lines"
    until(lambda: lines.exists() and lines.read_text() == "hello\n")
    daemon.client.stop(["write"])
    until(lambda: lines.read_text() == "hello\nend\n")


def test_end_of_file_after_the_last_copy(daemon: Daemon) -> None:
    """Output that is logged as well has an end, too, once all of it was copied."""
    read = "while read line; do echo $line >> lines; done; echo end >> lines; exec " + SLEEP
    stdout = {"log": "w.log", "channel": "lines"}
    daemon.run(
        {
            "read": worker(daemon, read, stdin={"channel": "lines"}),
            "write": worker(daemon, f"seq 1000; echo oops >&2; exec {SLEEP}", stdout=stdout),
        },
        channels={"lines": {"type": "pipe"}},
    )
    expected = "".join(f"{number}\n" for number in range(1, 1001))
    lines = daemon.directory / "lines"
    until(lambda: lines.exists() and lines.read_text() == expected)
    daemon.client.stop(["write"])
    until(lambda: lines.read_text() == expected + "end\n")
    assert (daemon.directory / "w.log").read_text() == expected
    assert (daemon.directory / "logs/write.0.stderr.log").read_text() == "oops\n"


def test_reload_keeps_what_is_unchanged(daemon: Daemon) -> None:
    """A channel and its workers stay what they are when another one changes in place."""
    workers = {"w": {"command": SLEEP, "channels": ["work", "guard"]}}
    channels: dict[str, dict[str, Any]] = {
        "work": {"type": "queue", "capacity": 5},
        "guard": {"type": "lock"},
    }
    daemon.run(workers, channels=channels)
    pid = daemon.pid("w")
    channels["work"]["capacity"] = 10
    assert reload(daemon, workers, channels=channels) == {"w:0": "keep"}
    assert daemon.pid("w") == pid


def test_reload_replaces_what_is_changed(daemon: Daemon) -> None:
    """Who has the old one is restarted with the new one, nobody else; and once only."""
    workers = {
        "w": {"command": SLEEP, "channels": ["work"]},
        "other": {"command": SLEEP, "channels": ["guard"]},
    }
    channels: dict[str, dict[str, Any]] = {
        "work": {"type": "queue", "capacity": 5},
        "guard": {"type": "lock"},
    }
    daemon.run(workers, channels=channels)
    pid, other = daemon.pid("w"), daemon.pid("other")
    before = link_of(pid, 3)
    channels["work"]["capacity"] = 4
    assert reload(daemon, workers, channels=channels) == {"w:0": "restart", "other:0": "keep"}
    daemon.until(lambda: daemon.pid("w") != pid)
    assert link_of(daemon.pid("w"), 3) != before
    assert daemon.pid("other") == other
    assert reload(daemon, workers, channels=channels) == {"w:0": "keep", "other:0": "keep"}


def test_trouble_holds_its_workers_back(daemon: Daemon) -> None:
    """What is in a fifo's place is not touched; once it is gone, the worker starts."""
    path: Path = daemon.directory / "jobs.fifo"
    path.write_text("precious")
    read = worker(daemon, f"cat > read; exec {SLEEP}", stdin={"channel": "jobs"})
    read["restart"] = {"delay": "200ms", "factor": 1, "limit": "none"}
    daemon.run(
        {"read": read, "other": {"command": SLEEP}},
        channels={"jobs": {"type": "fifo", "path": str(path)}},
    )
    daemon.pid("other")
    until(lambda: str(path) in daemon.output())
    assert path.read_text() == "precious"
    path.unlink()
    assert alive(daemon.pid("read"))
    with path.open("w") as fifo:
        fifo.write("job\n")
    until(lambda: (daemon.directory / "read").read_text() == "job\n")


def test_hooks_do_not_speak_into_a_channel(daemon: Daemon) -> None:
    """What a hook says is in the log of stderr where stdout is copied."""
    write = worker(daemon, f"echo data; exec {SLEEP}")
    write |= {"stdout": {"log": "w.log", "channel": "lines"}, "hooks": {"pre_start": "echo hook"}}
    read = worker(daemon, f"cat >> lines; exec {SLEEP}", stdin={"channel": "lines"})
    daemon.run({"read": read, "write": write}, channels={"lines": {"type": "pipe"}})
    lines = daemon.directory / "lines"
    until(lambda: lines.exists() and lines.read_text() == "data\n")
    errors = daemon.directory / "logs/write.0.stderr.log"
    until(lambda: errors.read_text() == "hook\n")
    assert (daemon.directory / "w.log").read_text() == "data\n"


def test_scaling_a_function(daemon: Daemon) -> None:
    """A Python function can have more instances, as any command."""
    (daemon.directory / "waits.py").write_text("import time\ndef on(): time.sleep(100000)\n")
    place = str(daemon.directory)
    daemon.run({"f": {"python": "waits:on", "working_dir": place}})
    daemon.client.scale({"f": 2})
    daemon.await_state("f:1", "RUNNING")
