"""sd_notify: what a service manager receives, and what it hands back at the next start."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_lite.linux.descriptors import receive_with
from supervisord_lite.linux.notify import Notifier, stored_descriptors

AWKWARD = "stück:0/a b%\udcff"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of a service manager, bound to a path with an @ in it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify@here"))
        end.settimeout(10)
        yield end


@pytest.fixture
def notifier(manager: socket.socket) -> Notifier:
    return Notifier(manager.getsockname())


def received(manager: socket.socket) -> tuple[str, list[int]]:
    payload, descriptors = receive_with(manager, 4096)
    return payload.decode(), descriptors


def test_a_state_arrives_as_it_is(notifier: Notifier, manager: socket.socket) -> None:
    """What is told is one datagram, several assignments being lines of it."""
    assert notifier.tell("READY=1\nSTATUS=3 running")
    assert received(manager) == ("READY=1\nSTATUS=3 running", [])


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    """`@name` is the socket of that name in the abstract namespace."""
    name = f"supervisord-lite-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}")
        assert Notifier(f"@{name}").tell("READY=1")
        assert end.recv(64) == b"READY=1"


def test_without_a_service_manager_nothing_is_told() -> None:
    """Where NOTIFY_SOCKET is not set, telling does nothing and says so."""
    notifier = Notifier(None)
    notifier.store({"x": 0})
    assert not notifier.present
    assert not notifier.tell("READY=1")


def test_a_service_manager_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    """An address at which nobody listens is the same as none."""
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.forget(["x"])
    assert not notifier.tell("READY=1")


def test_a_stored_descriptor_goes_with_its_name(
    notifier: Notifier, manager: socket.socket, tmp_path: Path
) -> None:
    """The store is given the same open file, and asked to keep it whatever its state."""
    with (tmp_path / "kept").open("w") as kept:
        notifier.store({"web:0/stdout": kept.fileno()})
        state, descriptors = received(manager)
        assert state == "FDSTORE=1\nFDPOLL=0\nFDNAME=web%3A0%2Fstdout"
        assert [os.path.sameopenfile(kept.fileno(), one) for one in descriptors] == [True]
        os.close(descriptors[0])


def test_a_name_too_long_for_the_store_is_passed_over(
    notifier: Notifier, manager: socket.socket
) -> None:
    """Stored without its name, as systemd does it, it would be nobody's."""
    notifier.store({"x" * 256: 0, "fits": 0})
    state, descriptors = received(manager)
    assert state.endswith("FDNAME=fits")
    os.close(descriptors[0])


def test_forgetting_names_the_same_as_storing(notifier: Notifier, manager: socket.socket) -> None:
    """What was stored under a name is removed by that name."""
    notifier.store({AWKWARD: 0})
    stored, descriptors = received(manager)
    os.close(descriptors[0])
    notifier.forget([AWKWARD])
    removed, _ = received(manager)
    assert removed == f"FDSTOREREMOVE=1\n{stored.splitlines()[-1]}"


def test_stored_names_are_what_systemd_takes(notifier: Notifier, manager: socket.socket) -> None:
    """Printable ASCII without a colon, whatever the name: sd_pid_notify_with_fds(3)."""
    notifier.store({AWKWARD: 0})
    state, descriptors = received(manager)
    os.close(descriptors[0])
    name = state.partition("FDNAME=")[2]
    assert name.isascii()
    assert name.isprintable()
    assert ":" not in name


_RESTARTED = """
import os
from supervisord_lite.linux.notify import stored_descriptors
environment = os.environ | {"LISTEN_PID": str(os.getpid())}
for name, number in stored_descriptors(environment).items():
    print(ascii(name), number, os.get_inheritable(number))
for number in (3, 4, 5):
    print(number, os.path.exists(f"/proc/self/fd/{number}"))
"""


def handed_over(names: str) -> list[str]:
    """What a process finds that was started with descriptors 3, 4 and 5, called `names`."""
    opened = 'exec 3</dev/null 4</dev/null 5</dev/null; exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", opened, "sh", sys.executable, "-c", _RESTARTED],
        env=os.environ | {"LISTEN_FDS": "3", "LISTEN_FDNAMES": names},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_store_comes_back_by_name() -> None:
    """The names are as they were before storing, and no child inherits the descriptors."""
    lines = handed_over("web%3A0%2Fstdout:st%C3%BCck%3A0%2Fa%20b%25%FF:plain")
    assert lines[:3] == [
        "'web:0/stdout' 3 False",
        f"{AWKWARD!a} 4 False",
        "'plain' 5 False",
    ]


def test_of_one_name_the_youngest_is_kept() -> None:
    """The youngest is handed over first; older ones of its name are closed."""
    lines = handed_over("same:other:same")
    assert lines == ["'same' 3 False", "'other' 4 False", "3 True", "4 True", "5 False"]


def test_what_was_meant_for_another_process_is_not_taken() -> None:
    """LISTEN_PID says whose the descriptors are: sd_listen_fds(3)."""
    assert stored_descriptors({"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}) == {}
