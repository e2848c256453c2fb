"""Feeds: lines of several logs for taps, for the daemon's own output, for syslog and journald."""

from __future__ import annotations

import json
import os
import queue
import re
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import (
    Destination,
    Forward,
    Outlets,
    Rotation,
    Selection,
    SharedTap,
    View,
)
from supervisord_lite.linux.descriptors import receive_with
from supervisord_lite.linux.splice import splice
from supervisord_lite.logs.event import Noticed, TapClosed, TapOpened, TroubleBegan, TroubleEnded
from supervisord_lite.logs.feeds.forwarding import longest_through
from supervisord_lite.logs.feeds.journald import Journald
from supervisord_lite.logs.feeds.mixture import Piece
from supervisord_lite.logs.feeds.relay import Relay, make_relay_parts
from supervisord_lite.logs.line import Source
from supervisord_lite.manager.output.feeds import Feeds
from tests.logs.conftest import DEADLINE
from tests.logs.test_tap import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.logs.conftest import Rig

BOTH = Selection(("web", "db"))
WEB, DB = "web:0/stdout", "db:0/stdout"


class Stage:
    """A data plane, and feeds beside it, as a manager would have them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.feeds = self.make()
        self.feeds.start()
        self.outlets = Outlets()
        self.readers: list[Reader] = []
        self.running = True
        self.run = 0

    def make(self) -> Feeds:
        def soon(call: Callable[..., None], *arguments: Any) -> None:
            self.calls.put(lambda: call(*arguments))

        return Feeds(Fleet(), self.rig.plane, self.rig.relays, soon, self.rig.events.append)

    def stream(self, name: str, **rules: object) -> str:
        """Attach a stream and show it; answers the path of its log."""
        path = str(self.rig.directory / f"{name.replace('/', '.')}.log")
        self.rig.log(name, path=path, **rules)
        self.feeds.show(name, path)
        return path

    def configure(self, **outlets: Any) -> None:
        self.outlets = Outlets(**outlets)
        self.feeds.configure(self.outlets)

    def tap(self, **rules: Any) -> str:
        """Have a tap over both workers; answers its path."""
        path = str(self.rig.directory / "run" / "all.fifo")
        values: dict[str, Any] = {"name": "all", "path": path, "of": BOTH} | rules
        self.configure(taps=(SharedTap(**values),))
        self.until(lambda: Path(path).exists())
        return path

    def forward(self, to: Destination, **rules: Any) -> None:
        values: dict[str, Any] = {"name": "out", "to": to, "of": BOTH} | rules
        self.configure(forwards=(Forward(**values),))
        self.run += 1
        for name in self.rig.logs:  # else what is written at once may be older, by its index
            self.rig.plane.began(name, self.run)

    def open(self, path: str, times: int = 1) -> Reader:
        reader = Reader(path)
        self.readers.append(reader)
        self.until(lambda: len(self.rig.told(TapOpened)) == times)
        self.settle()
        return reader

    def settle(self) -> None:
        """Until every feed has done what it was told, and was told what it asked for."""
        for _ in range(3):
            self.pump()
            self.feeds.status()

    def pump(self) -> None:
        while not self.calls.empty():
            self.calls.get()()

    def until(self, look: Callable[[], object]) -> None:
        def pumped() -> object:
            self.pump()
            return look()

        self.rig.eventually(pumped)

    def row(self) -> dict[str, Any]:
        (row,) = self.feeds.status()
        return row

    def renew(self) -> None:
        """Other feeds take over, as after an upgrade."""
        assert self.stop(0.0, unfinished=False)
        self.feeds = self.make()
        self.running = True
        self.feeds.configure(self.outlets)
        for name, log in self.rig.logs.items():
            self.feeds.show(name, log.path)
        self.feeds.start()
        self.settle()

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        assert not self.running or self.stop(0.0, unfinished=False)

    def stop(self, timeout: float, *, unfinished: bool) -> bool:
        self.running = False
        return self.feeds.stop(timeout, unfinished=unfinished)


@pytest.fixture
def stage(rig: Rig) -> Iterator[Stage]:
    made = Stage(rig)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def both(stage: Stage) -> Stage:
    """With two streams."""
    stage.stream(WEB)
    stage.stream(DB)
    stage.rig.flush()
    return stage


# ---------------------------------------------------------------- taps over several


def test_a_shared_tap_shows_the_lines_of_all_with_their_names(both: Stage) -> None:
    """Those that come from now on, each whole."""
    both.rig.write(b"before\n", WEB)
    both.rig.flush()
    reader = both.open(both.tap())
    both.rig.write(b"one\n", WEB)
    both.until(lambda: reader.read() == b"web:0 | one\n")
    both.rig.write(b"two\n", DB)
    both.until(lambda: reader.read() == b"web:0 | one\ndb:0 | two\n")


def test_a_shared_tap_has_the_mode_that_was_asked_for(both: Stage) -> None:
    """Who may read a tap is the file system's business."""
    assert stat.S_IMODE(os.stat(both.tap(mode=0o600)).st_mode) == 0o600


def test_a_reader_begins_with_a_whole_line(both: Stage) -> None:
    """The line that is being written is shown from its start, once it has its end."""
    both.rig.write(b"before\nhalf ", WEB)
    both.rig.flush()
    reader = both.open(both.tap())
    both.rig.write(b"line\n", WEB)
    both.until(lambda: reader.read() == b"web:0 | half line\n")


def test_json_says_all_about_a_line(both: Stage) -> None:
    """Worker, instance, stream, time and text."""
    reader = both.open(both.tap(view=View.JSON))
    both.rig.write(b"x\n", WEB)
    both.until(lambda: reader.read().endswith(b"\n"))
    found = json.loads(reader.found)
    assert re.fullmatch(r"....-..-..T..:..:..\....Z", found.pop("time"))
    assert found == {
        "worker": "web",
        "instance": 0,
        "run": 0,
        "stream": "stdout",
        "message": "x",
    }


def test_raw_shows_bytes_as_they_are(both: Stage) -> None:
    """What a terminal would obey included."""
    reader = both.open(both.tap(view=View.RAW))
    both.rig.write(b"\x1b[2J\xff\n", WEB)
    both.until(lambda: reader.read() == b"\x1b[2J\xff\n")


def test_prefixed_lines_command_no_terminal(both: Stage) -> None:
    """Control characters are shown."""
    reader = both.open(both.tap())
    both.rig.write(b"\x1b[2J\n", WEB)
    both.until(lambda: reader.read() == b"web:0 | \\x1b[2J\n")


def test_only_what_is_selected_is_shown(stage: Stage) -> None:
    """Other workers, and another stream of the same, are not."""
    for name in (WEB, "web:0/stderr", DB):
        stage.stream(name)
    reader = stage.open(stage.tap(of=Selection(("web",), "stderr")))
    stage.rig.write(b"no\n", WEB)
    stage.rig.write(b"no\n", DB)
    stage.rig.flush()
    stage.rig.write(b"yes\n", "web:0/stderr")
    stage.until(lambda: reader.read() == b"web:0 err | yes\n")


def test_a_log_that_comes_later_is_shown_from_its_first_line(stage: Stage) -> None:
    """A worker that is added while somebody reads."""
    stage.stream(WEB)
    reader = stage.open(stage.tap())
    stage.stream(DB)
    stage.rig.write(b"first\n", DB)
    stage.until(lambda: reader.read() == b"db:0 | first\n")


def test_a_log_that_is_taken_out_is_shown_no_more(both: Stage) -> None:
    """The reader stays, and sees the others."""
    reader = both.open(both.tap())
    both.tap(of=Selection(("db",)))
    both.settle()
    both.rig.write(b"no\n", WEB)
    both.rig.flush()
    both.rig.write(b"yes\n", DB)
    both.until(lambda: reader.read() == b"db:0 | yes\n")


def test_the_last_words_of_a_detached_stream_are_shown(both: Stage) -> None:
    """What was in its pipe when it was let go."""
    reader = both.open(both.tap())
    both.rig.write(b"bye\n" * 1000, WEB)
    both.feeds.hide(WEB)
    both.rig.plane.detach(WEB)
    del both.rig.logs[WEB]
    both.until(lambda: reader.read() == b"web:0 | bye\n" * 1000)


def test_without_a_reader_nothing_is_read(both: Stage) -> None:
    """A tap that nobody reads costs nothing: it is not even told that logs grow."""
    both.tap()
    both.settle()
    both.rig.write(both.rig.lines(1000), WEB)
    both.rig.flush()
    row = both.row()
    assert (row["read"], row["lag"]) == (False, {"bytes": 0, "seconds": 0.0})


def test_a_slow_reader_lags_and_gets_everything(both: Stage) -> None:
    """It stops neither worker nor log, and its lag can be seen."""
    reader = both.open(both.tap())
    data = both.rig.lines(20_000)
    both.rig.write(data, WEB)
    both.rig.flush()
    assert both.row()["lag"]["bytes"] > 0
    expected = data.replace(b"\n", b"\nweb:0 | ")[:-8]
    both.until(lambda: len(reader.read()) >= len(expected) + 8)
    assert reader.found == b"web:0 | " + expected
    both.until(lambda: both.row()["lag"] == {"bytes": 0, "seconds": 0.0})


def test_however_often_rotation_overtakes_a_reader_one_line_says_so(stage: Stage) -> None:
    """Of all that went while it read nothing; whole lines are around it."""
    stage.stream(WEB, rotation=Rotation(64_000, keep=2))
    reader = stage.open(stage.tap(view=View.JSON))
    data = stage.rig.lines(50_000)
    stage.rig.write(data, WEB)
    stage.rig.flush()
    stage.until(lambda: f"{49_999:063d}".encode() in reader.read())
    found = [json.loads(line)["message"] for line in reader.found.splitlines()]
    (marker,) = [line for line in found if line.startswith("[supervisord-lite: ")]
    shown = "".join(f"{line}\n" for line in found if line != marker).encode()
    missed = re.fullmatch(r"\[supervisord-lite: (\d+) bytes lost to rotation\]", marker)
    assert missed is not None
    assert len(shown) + int(missed[1]) == len(data)


def test_a_slow_reader_delays_no_other_feed(both: Stage) -> None:
    """Each has its own place in the logs."""
    paths = [str(both.rig.directory / name) for name in ("slow", "quick")]
    both.configure(taps=tuple(SharedTap(path, path, BOTH) for path in paths))
    both.until(lambda: all(Path(path).exists() for path in paths))
    both.open(paths[0])
    quick = both.open(paths[1], times=2)
    both.rig.write(both.rig.lines(20_000), WEB)
    both.until(lambda: quick.read().count(b"\n") == 20_000)


def test_what_rotation_takes_from_a_slow_reader_is_one_line(stage: Stage) -> None:
    """Whole lines come before and after it."""
    stage.stream(WEB, rotation=Rotation(64_000, keep=2))
    stage.rig.flush()
    reader = stage.open(stage.tap())
    data = stage.rig.lines(50_000)
    stage.rig.write(data, WEB)
    stage.rig.flush()
    stage.until(lambda: reader.read().endswith(data[-64:]))
    lines = [line.removeprefix(b"web:0 | ") for line in reader.found.splitlines()]
    marks = [line for line in lines if line.startswith(b"[supervisord-lite: ")]
    missed = sum(int(re.findall(rb"[0-9]+", mark)[0]) for mark in marks)
    assert marks
    assert missed + 64 * (len(lines) - len(marks)) == len(data)
    assert all(len(line) == 63 for line in lines if line not in marks)


def test_the_next_reader_gets_nothing_of_the_last_ones(both: Stage) -> None:
    """What a reader left behind is thrown away when it goes."""
    path = both.tap()
    first = both.open(path)
    both.rig.write(both.rig.lines(5000), WEB)
    both.rig.flush()
    first.close()
    both.until(lambda: both.rig.told(TapClosed))
    both.settle()
    second = both.open(path, times=2)
    both.rig.write(b"for the second\n", WEB)
    both.until(lambda: second.read() == b"web:0 | for the second\n")


def test_two_readers_share_the_lines_and_one_may_go(both: Stage) -> None:
    """As FIFOs do; the one that stays gets everything from then on."""
    path = both.tap()
    first = both.open(path)
    second = Reader(path)
    both.readers.append(second)
    both.rig.write(b"x\n", WEB)
    both.until(lambda: first.read() + second.read() == b"web:0 | x\n")
    first.close()
    second.found = b""
    both.rig.write(b"y\n", WEB)
    both.until(lambda: second.read() == b"web:0 | y\n")


def test_another_file_in_the_taps_place_is_left_alone(both: Stage) -> None:
    """It is told of and never overwritten."""
    path = both.rig.directory / "precious"
    path.write_text("data")
    both.configure(taps=(SharedTap("all", str(path), BOTH),))
    both.until(lambda: both.rig.told(Noticed))
    assert path.read_text() == "data"


def test_a_tap_that_was_replaced_is_found_at_the_next_reopen(both: Stage) -> None:
    """Whoever opens the new FIFO sees lines."""
    path = both.tap()
    Path(path).unlink()
    both.feeds.reopen()
    both.until(lambda: Path(path).exists())
    reader = both.open(path)
    both.rig.write(b"x\n", WEB)
    both.until(lambda: reader.read() == b"web:0 | x\n")


def test_a_reader_goes_on_with_the_next_feeds(both: Stage) -> None:
    """It sees no end, nothing twice and all that came in between, and is no new reader."""
    reader = both.open(both.tap())
    written: dict[str, bytes] = {WEB: b"", DB: b""}
    for turn in range(5):
        data = both.rig.lines(3_000, start=3_000 * turn)  # more than the FIFO has room for
        name = (WEB, DB)[turn % 2]
        both.rig.write(data, name)
        both.rig.flush()
        written[name] += data
        both.renew()
    both.until(lambda: reader.read().count(b"\n") >= 15_000)
    for name, data in written.items():
        prefix = f"{name.partition('/')[0]} | ".encode()
        shown = [line for line in reader.found.splitlines() if line.startswith(prefix)]
        assert shown == [prefix + line for line in data.splitlines()]
    assert len(both.rig.told(TapOpened)) == 1


def test_a_long_line_comes_in_parts(stage: Stage) -> None:
    """And each part says so."""
    stage.stream(WEB)
    reader = stage.open(stage.tap(view=View.JSON))
    text = b"x" * 150_000
    stage.rig.write(text + b"\n", WEB)
    stage.until(lambda: reader.read().count(b"\n") == 3)
    found = [json.loads(line) for line in reader.found.splitlines()]
    assert "".join(line["message"] for line in found).encode() == text
    assert [line.get("partial") for line in found] == [True, True, None]


# ---------------------------------------------------------------- forwards


class Receiver:
    """A syslog daemon or a journal: everything it was sent, at the pace of the test."""

    def __init__(self, path: Path, kind: int = socket.SOCK_DGRAM) -> None:
        self.socket = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))
        self.found: list[bytes] = []

    def read(self) -> list[bytes]:
        try:
            while data := self.receive():
                self.found.append(data)
        except BlockingIOError:
            pass
        return self.found

    def receive(self) -> bytes:
        data, descriptors = receive_with(self.socket, 1 << 20)
        for descriptor in descriptors:
            data = os.pread(descriptor, 1 << 24, 0)
            os.close(descriptor)
        return data

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path / "log")
    yield made
    made.close()


def test_syslog_is_sent_a_message_a_line(both: Stage, receiver: Receiver) -> None:
    """In the form of RFC 5424, informational what was said on stdout."""
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "log"), facility=3)
    both.settle()
    both.rig.write(b"one\ntwo\n", WEB)
    both.until(lambda: len(receiver.read()) == 2)
    form = (
        rb"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ web - stdout "
        rb'\[supervisord-lite@32473 instance="0" run="1"\] (one|two)'
    )
    assert [re.fullmatch(form, message)[1] for message in receiver.found] == [b"one", b"two"]  # type: ignore[index]


def test_errors_are_told_apart(stage: Stage, receiver: Receiver) -> None:
    """What was said on stderr has severity error."""
    stage.stream("web:0/stderr")
    stage.forward(Destination.SYSLOG, socket=str(stage.rig.directory / "log"), facility=16)
    stage.settle()
    stage.rig.write(b"x\n", "web:0/stderr")
    stage.until(receiver.read)
    assert receiver.found[0].startswith(b"<131>1 ")


def test_a_forward_says_nothing_of_what_was_before_it(both: Stage, receiver: Receiver) -> None:
    """It begins when it is declared."""
    both.rig.write(b"before\n", WEB)
    both.rig.flush()
    time.sleep(0.02)  # the index tells times 10 ms apart, and no closer
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "log"))
    both.settle()
    both.rig.write(b"after\n", WEB)
    both.until(receiver.read)
    assert [message.rpartition(b" ")[2] for message in receiver.found] == [b"after"]


def test_an_outage_loses_nothing(both: Stage) -> None:
    """Without anybody there it is told once, seen in the status, and made up for afterwards."""
    path = both.rig.directory / "log"
    both.forward(Destination.SYSLOG, socket=str(path))
    both.rig.write(b"one\n", WEB)
    both.until(lambda: both.rig.told(TroubleBegan))
    both.rig.write(b"two\n", DB)
    row = both.row()
    assert row["trouble"] == "cannot forward to " + f"{path}: No such file or directory"
    both.until(lambda: both.row()["lag"]["bytes"] == 8)
    receiver = Receiver(path)
    both.until(lambda: len(receiver.read()) == 2)
    both.until(lambda: both.rig.told(TroubleEnded))
    receiver.close()
    path.unlink()
    both.rig.write(b"three\n", WEB)
    both.until(lambda: len(both.rig.told(TroubleBegan)) == 2)
    receiver = Receiver(path)
    both.until(receiver.read)
    assert receiver.found[0].endswith(b" three")
    receiver.close()


def test_a_syslog_that_does_not_read_delays_only_its_feed(both: Stage, receiver: Receiver) -> None:
    """And is sent everything once it does."""
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "log"))
    both.rig.write(both.rig.lines(5_000), WEB)
    both.rig.flush()
    both.until(lambda: len(receiver.read()) == 5_000)
    assert b"".join(one[-63:] + b"\n" for one in receiver.found) == both.rig.lines(5_000)


def test_a_syslog_that_dies_with_a_full_queue_is_missed(both: Stage) -> None:
    """What it had not taken goes to the next one."""
    path = both.rig.directory / "log"
    receiver = Receiver(path)
    both.forward(Destination.SYSLOG, socket=str(path))
    both.rig.write(both.rig.lines(100), WEB)
    both.until(lambda: both.row()["lag"]["bytes"] > 0)
    both.settle()
    path.unlink()
    receiver.close()
    receiver = Receiver(path)
    both.until(lambda: receiver.read() and receiver.found[-1].endswith(b"%063d" % 99))
    texts = [message[-63:] for message in receiver.found]
    assert texts == [b"%063d" % number for number in range(100 - len(texts), 100)]
    receiver.close()


def test_syslog_over_a_stream_counts_octets(both: Stage) -> None:
    """RFC 6587, where the socket takes no datagrams; a connection that broke is made again."""
    path = both.rig.directory / "log"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    both.forward(Destination.SYSLOG, socket=str(path))
    for text in (b"one", b"two"):
        both.rig.write(text + b"\n", WEB)
        connection, _ = listener.accept()
        with connection.makefile("rb") as stream:
            length = b""
            while (digit := stream.read(1)) != b" ":
                length += digit
            message = stream.read(int(length))
        assert message.startswith(b"<30>1 ")
        assert message.endswith(b" " + text)
        connection.close()
    listener.close()


def fields_of(data: bytes) -> dict[str, bytes]:
    """What a journal makes of a native message."""
    found: dict[str, bytes] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + length], data[9 + length :]
        found[name.decode()] = value
    return found


def test_journald_is_sent_fields(both: Stage, receiver: Receiver) -> None:
    """Whatever bytes the line has."""
    both.forward(Destination.JOURNALD, socket=str(both.rig.directory / "log"))
    both.rig.write(b"MESSAGE=\xff\x00 x\n", DB)
    both.until(receiver.read)
    found = fields_of(receiver.found[0])
    assert found.pop("SUPERVISORD_LITE_TIME").endswith(b"Z")
    assert found == {
        "PRIORITY": b"6",
        "SYSLOG_IDENTIFIER": b"db",
        "SUPERVISORD_LITE_WORKER": b"db",
        "SUPERVISORD_LITE_INSTANCE": b"0",
        "SUPERVISORD_LITE_RUN": b"1",
        "SUPERVISORD_LITE_STREAM": b"stdout",
        "MESSAGE": b"MESSAGE=\xff\x00 x",
    }


def test_journald_is_passed_large_messages_as_files(receiver: Receiver, tmp_path: Path) -> None:
    """What no datagram holds comes as a sealed file."""
    text = b"x" * 900_000
    journal = Journald(str(tmp_path / "log"))
    journal.send(Piece(Source("web", 0, "stdout"), 0, 1, [text]))
    journal.close()
    assert fields_of(receiver.read()[0])["MESSAGE"] == text


def test_a_forward_that_is_changed_keeps_its_place(both: Stage) -> None:
    """What could not be sent is sent to where it goes now."""
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "nowhere"))
    both.rig.write(b"x\n", WEB)
    both.until(lambda: both.rig.told(TroubleBegan))
    receiver = Receiver(both.rig.directory / "log")
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "log"))
    both.until(receiver.read)
    assert receiver.found[0].endswith(b" x")
    receiver.close()


def test_stopping_sends_what_is_left(both: Stage, receiver: Receiver) -> None:
    """A line without an end too, when it will get none any more."""
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "log"))
    both.settle()
    both.rig.write(b"one\nprompt> ", WEB)
    both.rig.flush()
    assert both.stop(DEADLINE, unfinished=True)
    assert [message.partition(b"] ")[2] for message in receiver.read()] == [b"one", b"prompt> "]


def test_what_a_pipe_as_stdout_takes_at_once_ends_with_a_line(tmp_path: Path) -> None:
    """So nobody else's words come between, if they are written to the same pipe."""
    pipe, page = make_relay_parts()
    relay = Relay(pipe, page, None, lambda _: None)
    longest_through(relay)
    lines = [b"%d" % number * (number % 900) + b"\n" for number in range(10_000)]
    filled, taken = b"", b""
    read, write = os.pipe2(os.O_NONBLOCK)
    while lines:
        data = b""
        while lines and len(data) + len(lines[0]) <= relay.pages:
            data += lines.pop(0)
        relay.fill(data, "x", paged=True)
        filled += data
        while not relay.is_empty():
            with suppress(BlockingIOError):
                splice(pipe, write, 1 << 30)
            some = os.read(read, 1 << 20)
            assert some.endswith(b"\n")
            taken += some
    assert taken == filled
    relay.close()
    os.close(read)
    os.close(write)


def test_stopping_gives_up_in_time(both: Stage) -> None:
    """Nobody waits for ever for a syslog that is not there."""
    both.forward(Destination.SYSLOG, socket=str(both.rig.directory / "log"))
    both.rig.write(b"one\n", WEB)
    both.until(lambda: both.rig.told(TroubleBegan))
    assert both.stop(0.1, unfinished=True)
