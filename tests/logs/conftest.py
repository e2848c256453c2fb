"""Real pipes, files and threads; what a test starts ends with it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from supervisord_lite.core.log import Log
from supervisord_lite.logs.capture.buffer import make_buffer
from supervisord_lite.logs.capture.hop import Hop, make_hop
from supervisord_lite.logs.event import LogEvent
from supervisord_lite.logs.feeds.relay import Relay, make_relay_parts
from supervisord_lite.logs.plane import DataPlane, make_stream_pipe

DEADLINE = 20.0


class Hops:
    """Hops that live as long as the test."""

    def __init__(self) -> None:
        self.made: dict[str, Hop] = {}
        self.buffers: dict[str, int] = {}

    def get(self, key: str) -> Hop:
        if key not in self.made:
            self.made[key] = make_hop()
        return self.made[key]

    def held(self) -> dict[str, Hop]:
        return dict(self.made)

    def buffer(self, stream: str) -> int:
        if stream not in self.buffers:
            self.buffers[stream] = make_buffer()
        return self.buffers[stream]

    def has_buffer(self, stream: str) -> bool:
        return stream in self.buffers

    def drop_buffer(self, stream: str) -> None:
        if stream in self.buffers:
            os.close(self.buffers.pop(stream))

    def drop(self, key: str) -> None:
        hop = self.made.pop(key)
        for fd in (hop.read, hop.write, hop.owner):
            os.close(fd)

    def close(self) -> None:
        for fd in self.buffers.values():
            os.close(fd)
        for hop in self.made.values():
            for fd in (hop.read, hop.write, hop.owner):
                os.close(fd)


class Relays:
    """Relays whose other holder lives as long as the test."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, int]] = {}

    def get(self, stream: str) -> Relay:
        if stream not in self.made:
            self.made[stream] = dict(zip(("pipe", "page"), make_relay_parts(), strict=True))
        parts = {part: os.dup(fd) for part, fd in self.made[stream].items()}
        keep = partial(self._keep, self.made[stream])
        return Relay(parts["pipe"], parts["page"], parts.get("fifo"), keep)

    def drop(self, stream: str) -> None:
        held = self.made.pop(stream)
        for fd in held.values():
            os.close(fd)
        held.clear()

    def drop_others(self) -> None: ...

    def close(self) -> None:
        for stream in list(self.made):
            self.drop(stream)

    def _keep(self, held: dict[str, int], fifo: int | None) -> None:
        if "fifo" in held:
            os.close(held.pop("fifo"))
        if fifo is not None and held:
            held["fifo"] = os.dup(fifo)


class Rig:
    """One data plane at a time with its streams, as a manager would hold them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hops = Hops()
        self.relays = Relays()
        self.events: list[LogEvent] = []
        self.pipes: dict[str, int] = {}
        self.logs: dict[str, Log] = {}
        self.plane = DataPlane(self.hops, self.relays, self.events.append)
        self.running = False

    def log(self, name: str = "web", **rules: object) -> Log:
        """Attach a stream of this name to NAME.log; starts the data plane."""
        values: dict[str, object] = {"path": str(self.directory / f"{name}.log")} | rules
        self.logs[name] = Log(**values)  # type: ignore[arg-type]
        self.pipes[name] = make_stream_pipe()
        self.plane.attach(name, self.pipes[name], self.logs[name])
        self.start()
        return self.logs[name]

    def start(self) -> None:
        if not self.running:
            self.plane.start()
            self.running = True

    def write(self, data: bytes, name: str = "web") -> None:
        """Write as a worker does: all of it, waiting if need be."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.pipes[name], view) :]

    def flush(self) -> None:
        assert self.plane.flush(DEADLINE), "the data plane does not come to an end"

    def reopen(self) -> None:
        assert self.plane.reopen().wait(DEADLINE), "the logs are not open again"

    def renew(self) -> None:
        """Another data plane takes over, as after an upgrade."""
        assert self.plane.stop(DEADLINE)
        self.plane = DataPlane(self.hops, self.relays, self.events.append)
        for name, log in self.logs.items():
            self.plane.attach(name, self.pipes[name], log)
        self.plane.start()

    def told(self, kind: type[LogEvent]) -> list[LogEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def eventually(self, look: Callable[[], object], what: str = "it happens") -> None:
        """Wait until `look` answers something true; fail the test after the deadline."""
        deadline = time.monotonic() + DEADLINE
        while not look():
            assert time.monotonic() < deadline, f"waited {DEADLINE} s until {what}"
            time.sleep(0.005)

    def contents(self, log: Log) -> bytes:
        """All files of a log, oldest first."""
        path = Path(log.path)
        older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
        return b"".join(file.read_bytes() for file in (*older, path))

    @staticmethod
    def lines(count: int, start: int = 0) -> bytes:
        """Numbered lines of 64 bytes each."""
        return b"".join(b"%063d\n" % number for number in range(start, start + count))

    def close(self) -> None:
        stopped = self.plane.stop(DEADLINE)
        for pipe in self.pipes.values():
            os.close(pipe)
        self.hops.close()
        self.relays.close()
        assert stopped, "a lane did not end"


def run_blind(what: str, directory: Path) -> None:
    """Do what `blind_process` says of this, in a user namespace that has no inotify instance."""
    script = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    namespace = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces with limits of their own")
    argv = [sys.executable, "-m", "tests.logs.blind_process", what, str(directory)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*namespace, *argv], cwd=root, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        yield made
    finally:
        made.close()
