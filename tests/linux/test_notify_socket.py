"""The receiving side of sd_notify: who says what, and that no message can hurt."""

import array
import errno
import os
import random
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisord_lite.linux.notify_socket import Message, discard, make, peek


class Place:
    """A receiver at a path, and ways to send there."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.receiver = make(self.path, 0o600, os.getuid(), os.getgid())
        self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def send(self, payload: bytes, descriptors: tuple[int, ...] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self.sender.sendmsg([payload], rights if descriptors else [], 0, self.path)

    def take(self) -> Message | None:
        message = peek(self.receiver)
        if message is not None:
            discard(self.receiver)
        return message

    def fields(self) -> dict[str, str]:
        message = self.take()
        assert message is not None
        return message.fields


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path / "notify")
    yield found
    found.receiver.close()
    found.sender.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_message_is_fields_and_a_sender(place: Place) -> None:
    """The kernel says who sent it."""
    place.send(b"READY=1\nSTATUS=a=b c\n")
    assert place.take() == Message(
        os.getpid(), os.getuid(), os.getgid(), {"READY": "1", "STATUS": "a=b c"}
    )


def test_another_process_is_told_apart(place: Place) -> None:
    """The credentials are those of the process that sent, not of the one that made the socket."""
    code = "import socket, sys; s = socket.socket(1, 2); s.sendto(b'READY=1', sys.argv[1])"
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", code, place.path])
    assert child.wait(60) == 0
    message = place.take()
    assert message is not None
    assert message.pid == child.pid


def test_what_is_looked_at_stays(place: Place) -> None:
    """A message is there until it is taken away, and then the next one is."""
    place.send(b"A=1")
    place.send(b"B=2")
    assert [peek(place.receiver), peek(place.receiver)] == [peek(place.receiver)] * 2
    assert place.fields() == {"A": "1"}
    assert place.fields() == {"B": "2"}
    assert peek(place.receiver) is None


def test_nothing_waits(place: Place) -> None:
    """Looking, and taking away, where there is nothing does not wait."""
    assert peek(place.receiver) is None
    discard(place.receiver)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0", b"\n\n", b"=", b"=1", b"READY", b"READY=1\0STATUS=x", b"X=" + b"y" * 4095],
    ids=["empty", "nul", "newlines", "equals", "no name", "no value", "nul inside", "too long"],
)
def test_what_says_nothing_has_no_fields(place: Place, payload: bytes) -> None:
    """Rubbish is a message without fields, and the next message is there behind it."""
    place.send(payload)
    place.send(b"READY=1")
    assert place.fields() == {}
    assert place.fields() == {"READY": "1"}


def test_the_longest_message(place: Place) -> None:
    """4096 bytes are read whole."""
    place.send(b"X=" + b"y" * 4094)
    assert place.fields() == {"X": "y" * 4094}


def test_one_final_nul_is_forgiven(place: Place) -> None:
    """As systemd does."""
    place.send(b"READY=1\0")
    assert place.fields() == {"READY": "1"}


def test_the_first_of_two_values_counts(place: Place) -> None:
    """As systemd has it."""
    place.send(b"READY=1\nREADY=0")
    assert place.fields() == {"READY": "1"}


def test_what_is_no_text_is_replaced(place: Place) -> None:
    """Bytes that are not UTF-8 are no error."""
    place.send(b"STATUS=\xff\xfe")
    assert place.fields() == {"STATUS": "\ufffd\ufffd"}


def test_descriptors_are_not_kept(place: Place) -> None:
    """What is sent along to be stored is closed, however often it is looked at."""
    before = open_descriptors()
    with open(os.devnull, "rb") as null:
        place.send(b"FDSTORE=1", (null.fileno(),) * 253)
    for _ in range(3):
        peek(place.receiver)
    assert place.fields() == {"FDSTORE": "1"}
    assert open_descriptors() == before


def test_more_descriptors_than_we_may_have(place: Place) -> None:
    """A message whose descriptors do not fit below our limit is one like others."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as null:
        place.send(b"FDSTORE=1", (null.fileno(),) * 100)
    before = open_descriptors()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, limits[1]))
        message = peek(place.receiver)
        discard(place.receiver)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert message is not None
    assert message.pid == os.getpid()
    assert open_descriptors() == before


def test_a_barrier_is_answered_when_it_is_taken_away(place: Place) -> None:
    """sd_notify_barrier(3) waits for its pipe to be closed: not by a look, but by the taking."""
    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(read_end, select.POLLHUP)
    try:
        place.send(b"BARRIER=1", (write_end,))
        os.close(write_end)
        assert peek(place.receiver) is not None
        assert not poll.poll(0)
        discard(place.receiver)
        assert poll.poll(0)
    finally:
        os.close(read_end)


def test_any_bytes_are_harmless(place: Place) -> None:
    """Thousands of random messages, and the next good one is understood."""
    chance = random.Random(7)
    for _ in range(5000):
        length = chance.choice((0, 1, 7, 100, 5000))
        place.send(chance.choices((b"\0", b"\n", b"=", b"READY", b"\xff"), k=1)[0] * length)
        assert place.take() is not None
    place.send(b"READY=1")
    assert place.fields() == {"READY": "1"}


def test_the_file_has_its_mode_from_the_beginning(tmp_path: Path) -> None:
    """Whatever the umask, nobody else may write to it."""
    umask = os.umask(0)
    try:
        receiver = make(str(tmp_path / "n"), 0o600, os.getuid(), os.getgid())
    finally:
        os.umask(umask)
    receiver.close()
    assert stat.S_IMODE((tmp_path / "n").lstat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give things away")
def test_the_file_is_its_owners(tmp_path: Path) -> None:
    """The worker's user may send."""
    make(str(tmp_path / "n"), 0o600, 65534, 65533).close()
    found = (tmp_path / "n").lstat()
    assert (found.st_uid, found.st_gid) == (65534, 65533)


def test_what_was_left_at_the_path_is_replaced(tmp_path: Path) -> None:
    """A socket of an earlier run, or a link, is removed and not followed."""
    (tmp_path / "n").symlink_to(tmp_path / "elsewhere")
    make(str(tmp_path / "n"), 0o600, os.getuid(), os.getgid()).close()
    make(str(tmp_path / "n"), 0o600, os.getuid(), os.getgid()).close()
    assert stat.S_ISSOCK((tmp_path / "n").lstat().st_mode)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("name", "number"), [("x" * 200, errno.ENAMETOOLONG), ("missing/n", errno.ENOENT)]
)
def test_a_place_that_cannot_be(tmp_path: Path, name: str, number: int) -> None:
    """The error names the path."""
    path = str(tmp_path / name)
    with pytest.raises(OSError) as caught:
        make(path, 0o600, os.getuid(), os.getgid())
    assert (caught.value.errno, caught.value.filename) == (number, path)


def test_it_can_be_received_from_after_its_name_is_gone(place: Place) -> None:
    """What was sent waits for whoever has the descriptor, in another process even."""
    place.send(b"READY=1")
    os.unlink(place.path)
    with socket.socket(fileno=os.dup(place.receiver.fileno())) as again:
        message = peek(again)
    assert message is not None
    assert message.fields == {"READY": "1"}
