"""What a Python worker says by `supervisord_lite.worker`: a real socket listens."""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_lite import worker


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_ready(supervisor: socket.socket) -> None:
    """READY=1."""
    worker.ready()
    assert supervisor.recv(4096) == b"READY=1"


def test_status(supervisor: socket.socket) -> None:
    """STATUS= and the text."""
    worker.status("12 jöbs waiting")
    assert supervisor.recv(4096).decode() == "STATUS=12 jöbs waiting"


def test_a_status_is_one_line(supervisor: socket.socket) -> None:
    """No text can say anything else than a status."""
    worker.status("fine\nMAINPID=1\n")
    assert supervisor.recv(4096) == b"STATUS=fine MAINPID=1"


def test_heartbeat(supervisor: socket.socket) -> None:
    """WATCHDOG=1."""
    worker.heartbeat()
    assert supervisor.recv(4096) == b"WATCHDOG=1"


def test_extend(supervisor: socket.socket) -> None:
    """Seconds become microseconds."""
    worker.extend(1.5)
    assert supervisor.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000"


def test_an_abstract_address_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that begins with @ is in the abstract namespace."""
    name = f"sl-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        worker.ready()
        assert listener.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "/nowhere/to/be/found", "x" * 500, "@nobody-there"])
def test_without_a_supervisor_nothing_happens(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error, whatever is in the environment."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    worker.ready()
    worker.status("fine")
    worker.heartbeat()
    worker.extend(5)


def test_a_supervisor_that_does_not_read_is_not_waited_for(supervisor: socket.socket) -> None:
    """A sign of life that finds no room is dropped at once."""
    began = time.monotonic()
    for _ in range(5000):
        worker.heartbeat()
    assert time.monotonic() - began < 30.0
    assert supervisor.recv(4096) == b"WATCHDOG=1"


def test_it_imports_nothing_of_the_daemon() -> None:
    """And nothing beyond the standard library: a worker may have an environment of its own."""
    code = (
        "import sys; before = set(sys.modules); import supervisord_lite.worker;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}"
        " - sys.stdlib_module_names), sep=',');"
        "print(*sorted(name for name in sys.modules if name.startswith('supervisord_lite')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    roots, ours = said.stdout.splitlines()
    assert roots == "supervisord_lite"
    assert ours == "supervisord_lite supervisord_lite.worker"


def test_it_is_imported_in_no_time() -> None:
    """At most 30 ms over a Python that imports nothing."""
    code = (
        "import time; t = time.process_time(); import supervisord_lite.worker;"
        "print(time.process_time() - t)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    assert statistics.median(runs) < 0.03
