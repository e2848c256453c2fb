"""Pipes and fifos as workers and outsiders use them: pipelines, further descriptors, copies."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

from tests.cli.conftest import until
from tests.daemon.conftest import SLEEP, Daemon, alive

QUICK = {"delay": "0s", "limit": "none"}
COPY = 'while read -r line; do echo "$line" >> got; done; echo end >> got; exec sleep 100000'
COUNT = "n=0; while [ $n -lt {} ]; do echo $n; n=$((n+1)); done; exec sleep 100000"
FILL = """
import os, time, select
done, poll = 0, select.poll()
poll.register(3, select.POLLOUT)
while True:
    while poll.poll(0):
        done += os.write(3, b"x" * 4096)
    with open("got") if os.path.exists("got") else open(os.devnull) as lines:
        told = lines.read().split()
    if str(done) not in told:
        with open("got", "a") as lines:
            print(done, file=lines)
    time.sleep(0.02)
"""


def shell(daemon: Daemon, command: str, **more: Any) -> dict[str, Any]:
    """A worker that runs these lines in the daemon's directory."""
    place = str(daemon.directory)
    return {"command": command, "shell": True, "working_dir": place, "restart": QUICK, **more}


def got(daemon: Daemon, name: str = "got") -> list[str]:
    path = daemon.directory / name
    return path.read_text().splitlines() if path.exists() else []


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def send(path: Path, text: str) -> None:
    """As `echo text > path` does it: open, write, close."""
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)


def test_three_in_a_row(daemon: Daemon) -> None:
    """Lines pass through two pipes in order; the end of the first is the end of all in turn."""
    middle = "while read -r line; do echo $line; done; echo middle"
    daemon.run(
        {
            "last": shell(daemon, COPY, stdin={"channel": "two"}),
            "middle": shell(
                daemon, middle, type="task", stdin={"channel": "one"}, stdout={"channel": "two"}
            ),
            "first": shell(daemon, COUNT.format(50), stdout={"channel": "one"}),
        },
        channels={"one": {"type": "pipe"}, "two": {"type": "pipe"}},
    )
    until(lambda: got(daemon) == numbers(50))
    daemon.client.stop(["first"])
    until(lambda: got(daemon) == [*numbers(50), "middle", "end"])


def test_further_descriptors(daemon: Daemon) -> None:
    """A worker has as many pipes as it asks for, at the numbers that it asks for."""
    talk = "echo five >&5; echo {0} >&{0}; exec sleep 100000".format("$CHANNEL_TWO")
    daemon.run(
        {
            "talk": shell(
                daemon, talk, channels={"one": {"use": "write", "fd": 5}, "two": "write"}
            ),
            "five": shell(daemon, COPY, stdin={"channel": "one"}),
            "hear": shell(
                daemon,
                "head -n 1 <&{channel.two} > two; exec sleep 100000",
                channels={"two": "read"},
            ),
        },
        channels={"one": {"type": "pipe"}, "two": {"type": "pipe"}},
    )
    until(lambda: got(daemon) == ["five"])
    until(lambda: got(daemon, "two") == ["3"])


def test_size(daemon: Daemon) -> None:
    """A pipe holds as much as it is said to, also after a reload that only says more."""
    workers = {
        "wait": shell(daemon, SLEEP, channels={"box": "read"}),
        "fill": shell(daemon, f"python3 -c '{FILL}'", channels={"box": {"use": "write", "fd": 3}}),
    }
    daemon.run(workers, channels={"box": {"type": "pipe", "size": "16KiB"}})
    until(lambda: got(daemon) == ["16384"])
    filler = daemon.pid("fill")
    daemon.configure(workers, channels={"box": {"type": "pipe", "size": "64KiB"}})
    daemon.client.reload()
    until(lambda: got(daemon) == ["16384", "65536"])
    assert daemon.pid("fill") == filler


def test_fifo_takes_jobs_from_outside(daemon: Daemon) -> None:
    """Writers come and go, the worker sees lines and no end; it comes back to what has waited."""
    path = daemon.directory / "jobs"
    daemon.run(
        {"work": shell(daemon, COPY, stdin={"channel": "jobs"})},
        channels={"jobs": {"type": "fifo", "path": str(path), "mode": "0620"}},
    )
    daemon.pid("work")
    status = path.stat()
    assert stat.S_ISFIFO(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o620
    for text in ("one", "two"):
        send(path, text)
    until(lambda: got(daemon) == ["one", "two"])
    daemon.client.stop(["work"])
    send(path, "three")
    daemon.kill_manager()
    send(path, "four")
    daemon.client.start(["work"])
    until(lambda: got(daemon) == ["one", "two", "three", "four"])


def test_fifo_by_path(daemon: Daemon) -> None:
    """A worker that opens it itself is told where it is."""
    path = daemon.directory / "jobs"
    daemon.run(
        {"write": shell(daemon, "echo hello > {channel.jobs.path}; exec sleep 100000")},
        channels={"jobs": {"type": "fifo", "path": str(path)}},
    )
    until(path.exists)
    with path.open() as reader:
        assert reader.readline() == "hello\n"


def test_fifo_where_a_file_is(daemon: Daemon) -> None:
    """What is there is never touched; once it is gone, the fifo is made and its user starts."""
    path = daemon.directory / "jobs"
    path.write_text("precious")
    daemon.run(
        {"work": shell(daemon, COPY, stdin={"channel": "jobs"})},
        channels={"jobs": {"type": "fifo", "path": str(path)}},
    )
    until(lambda: "jobs" in daemon.output() and str(path) in daemon.output())
    assert path.read_text() == "precious"
    assert daemon.row("work")["pid"] is None
    path.unlink()
    daemon.pid("work")
    send(path, "at last")
    until(lambda: got(daemon) == ["at last"])


def test_copy_beside_the_log(daemon: Daemon) -> None:
    """What is logged goes through the pipe as well, and both have all of it, in order."""
    daemon.run(
        {
            "write": shell(
                daemon, COUNT.format(2000), stdout={"log": "copy.log", "channel": "lines"}
            ),
            "read": shell(daemon, COPY, stdin={"channel": "lines"}),
        },
        channels={"lines": {"type": "pipe"}},
    )
    until(lambda: got(daemon) == numbers(2000))
    until(lambda: got(daemon, "copy.log") == numbers(2000))


def test_copy_that_may_lose_holds_nobody(daemon: Daemon) -> None:
    """With `lossy`, a reader that is stopped costs the writer nothing, and the log has all."""
    outlet = {"log": "copy.log", "channel": "lines", "deliver": "lossy"}
    daemon.run(
        {
            "write": shell(daemon, COUNT.format(50_000), stdout=outlet),
            "read": shell(daemon, COPY, stdin={"channel": "lines"}, autostart=False),
        },
        channels={"lines": {"type": "pipe", "size": "4KiB"}},
    )
    until(lambda: len(got(daemon, "copy.log")) == 50_000)
    assert got(daemon, "copy.log") == numbers(50_000)


def test_copy_that_delivers_all_waits(daemon: Daemon) -> None:
    """Without `lossy` a full channel makes the writer wait; then it has everything once."""
    daemon.run(
        {
            "write": shell(
                daemon, COUNT.format(50_000), stdout={"log": "copy.log", "channel": "lines"}
            ),
            "read": shell(daemon, COPY, stdin={"channel": "lines"}, autostart=False),
        },
        channels={"lines": {"type": "pipe", "size": "4KiB"}},
    )
    daemon.pid("write")
    daemon.client.start(["read"])
    until(lambda: len(got(daemon)) == 50_000)
    assert got(daemon) == got(daemon, "copy.log") == numbers(50_000)


def test_unchanged_pipe_keeps_its_content_at_a_reload(daemon: Daemon) -> None:
    """What waits in it is there for a reader that the reload has added."""
    write = {"write": shell(daemon, COUNT.format(100), stdout={"channel": "lines"})}
    pipes = {"lines": {"type": "pipe"}}
    daemon.run(write, channels=pipes)
    writer = daemon.pid("write")
    read = {"read": shell(daemon, COPY, stdin={"channel": "lines"})}
    daemon.configure({**write, **read}, channels={**pipes, "other": {"type": "pipe"}})
    daemon.client.reload()
    until(lambda: got(daemon) == numbers(100))
    assert daemon.pid("write") == writer


def test_pipe_survives_everybody(daemon: Daemon) -> None:
    """Both ends' workers and the manager are killed; what was written is read once."""
    once = "test -e sent && exec sleep 100000; touch sent; " + COUNT.format(300)
    daemon.run(
        {
            "write": shell(daemon, once, stdout={"channel": "lines"}),
            "read": shell(
                daemon, "until test -e go; do sleep 0.02; done; " + COPY, stdin={"channel": "lines"}
            ),
        },
        channels={"lines": {"type": "pipe"}},
    )
    until((daemon.directory / "sent").exists)
    reader, writer = daemon.pid("read"), daemon.pid("write")
    # It sleeps after its last line: no child of the shell counts, `exec` made it `sleep`.
    until(lambda: Path(f"/proc/{writer}/comm").read_text().strip() == "sleep")
    for pid in (daemon.manager, writer, reader):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(reader) and not alive(writer))
    (daemon.directory / "go").touch()
    until(lambda: got(daemon) == numbers(300))
