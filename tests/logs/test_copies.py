"""Output that goes into a channel as well as into its log."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from supervisord_lite.core.log import Deliver, Format, Log, OnFull
from supervisord_lite.linux import pipes
from supervisord_lite.logs.capture.copied import write_end
from supervisord_lite.logs.event import TroubleBegan, TroubleEnded
from supervisord_lite.logs.files.index import ENTRY, HEADER
from supervisord_lite.logs.files.rotation import index_path
from supervisord_lite.logs.plane import DataPlane
from tests.logs.conftest import Rig

FULL = 64 * 1024


class Channel:
    """A pipe; `open` is whether it has writers."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.open = True

    def end(self, _name: str) -> int | None:
        return write_end(self.write) if self.open else None

    def waiting(self) -> int:
        return pipes.waiting(self.read)

    def take(self, count: int) -> bytes:
        """So many bytes, however long they take to come."""
        data = b""
        while len(data) < count:
            data += os.read(self.read, count - len(data))
        return data

    def let_go(self) -> None:
        """The writers are gone: the only end left is that of the copy."""
        os.close(self.write)
        self.open = False

    def close(self) -> None:
        os.close(self.read)
        if self.open:
            os.close(self.write)


@pytest.fixture
def channel() -> Iterator[Channel]:
    made = Channel()
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path, channel: Channel) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.plane = DataPlane(made.hops, made.relays, made.events.append, channel.end)
    try:
        yield made
    finally:
        made.close()


def logged(log: Log) -> bytes:
    path = Path(log.path)
    return path.read_bytes() if path.exists() else b""


def runs(log: Log) -> dict[int, int]:
    """By run, where its bytes begin."""
    entries = Path(index_path(log.path)).read_bytes()[HEADER.size :]
    return {run: offset for offset, _, run in reversed(list(ENTRY.iter_unpack(entries)))}


def settle(rig: Rig) -> None:
    """Return when everything has been carried out that was ordered until now."""
    done = threading.Event()
    rig.plane.between_steps("web", done.set)
    assert done.wait(20)


def writing(rig: Rig, data: bytes) -> threading.Thread:
    """A worker that may have to wait."""
    worker = threading.Thread(target=rig.write, args=(data,))
    worker.start()
    return worker


def test_both_get_everything(rig: Rig, channel: Channel) -> None:
    """What a worker writes is in the log and comes out of the channel, byte for byte."""
    log = rig.log(channel="lines")
    data = rig.lines(50_000)
    worker = writing(rig, data)
    assert channel.take(len(data)) == data
    worker.join()
    rig.eventually(lambda: logged(log) == data)


@pytest.mark.parametrize("format_", [Format.TIMESTAMPED, Format.JSON])
def test_the_channel_has_the_bytes_themselves(rig: Rig, channel: Channel, format_: Format) -> None:
    """A log with a format of its own does not change what the channel is given."""
    log = rig.log(channel="lines", format=format_)
    data = rig.lines(5_000)
    worker = writing(rig, data)
    assert channel.take(len(data)) == data
    worker.join()
    rig.eventually(lambda: logged(log).count(b"\n") == 5_000)


def test_a_full_channel_holds_up_the_worker(rig: Rig, channel: Channel) -> None:
    """With `deliver: all` the log has what the channel has, and the rest waits."""
    log = rig.log(channel="lines")
    data = rig.lines(10_000)
    worker = writing(rig, data)
    rig.eventually(lambda: channel.waiting() == FULL == len(logged(log)))
    assert worker.is_alive()
    assert channel.take(len(data)) == data
    worker.join()
    rig.eventually(lambda: logged(log) == data)


def test_a_lossy_copy_holds_up_nobody(rig: Rig, channel: Channel) -> None:
    """With `deliver: lossy` the log has all, and what the channel missed is counted."""
    log = rig.log(channel="lines", deliver=Deliver.LOSSY)
    data = rig.lines(10_000)
    rig.write(data)
    rig.eventually(lambda: logged(log) == data)
    left = channel.waiting()
    assert channel.take(left) == data[:left]
    assert rig.plane.status("web").channel_lost_bytes == len(data) - left > 0


def test_short_lines_fill_a_channel_by_their_bytes(rig: Rig, channel: Channel) -> None:
    """A hundred lines that came one by one do not need a slot of the pipe each."""
    log = rig.log(channel="lines")
    for number in range(100):
        rig.write(b"%d\n" % number)
        rig.eventually(lambda count=number + 1: logged(log).count(b"\n") == count)  # type: ignore[misc]
    assert channel.take(channel.waiting()) == logged(log)


def test_the_end_comes_after_the_last_byte(rig: Rig, channel: Channel) -> None:
    """A copy that is ended waits until the channel has taken what was written before."""
    rig.log(channel="lines")
    data = rig.lines(2 * FULL // 64)
    rig.write(data)  # half of it waits in the worker's pipe
    rig.eventually(lambda: channel.waiting() == FULL)
    done = threading.Event()
    rig.plane.end_copy("web", done.set)
    channel.let_go()
    settle(rig)
    assert not done.is_set()
    assert channel.take(len(data)) == data
    assert done.wait(20)
    assert os.read(channel.read, 1) == b""


def test_an_end_that_was_not_reached_is_taken_back(rig: Rig, channel: Channel) -> None:
    """A channel that has a writer again before the copy has ended goes on."""
    log = rig.log(channel="lines")
    data = rig.lines(2 * FULL // 64)
    rig.write(data)
    rig.eventually(lambda: channel.waiting() == FULL)
    ended: list[int] = []
    rig.plane.end_copy("web", partial(ended.append, 1))
    rig.plane.open_copy("web")
    settle(rig)
    assert channel.take(len(data)) == data
    rig.write(b"more\n")
    assert channel.take(5) == b"more\n"
    rig.eventually(lambda: logged(log) == data + b"more\n")
    assert not ended


def test_without_writers_the_log_goes_on(rig: Rig, channel: Channel) -> None:
    """What comes when the channel has no writers is logged and counted, and does not open it."""
    channel.let_go()
    log = rig.log(channel="lines")
    rig.write(b"a grandchild\n")
    rig.eventually(lambda: logged(log) == b"a grandchild\n")
    assert os.read(channel.read, 1) == b""
    assert rig.plane.status("web").channel_lost_bytes == 13


def test_the_end_of_the_daemon_waits_for_no_channel(rig: Rig, channel: Channel) -> None:
    """A flush brings everything into the log, also what the channel has no room for."""
    log = rig.log(channel="lines")
    data = rig.lines(2 * FULL // 64)
    rig.write(data)
    rig.eventually(lambda: channel.waiting() == FULL)
    rig.flush()
    assert logged(log) == data


def test_a_stream_that_goes_takes_nothing_along(rig: Rig, channel: Channel) -> None:
    """Detaching a stream whose channel is full logs all that it has said."""
    log = rig.log(channel="lines")
    data = rig.lines(2 * FULL // 64)
    rig.write(data)
    rig.eventually(lambda: channel.waiting() == FULL)
    rig.plane.detach("web")
    del rig.logs["web"]
    rig.eventually(lambda: logged(log) == data)


def test_another_data_plane_goes_on(rig: Rig, channel: Channel) -> None:
    """What a full channel held back is neither lost nor doubled by a change of data planes."""
    log = rig.log(channel="lines")
    data = rig.lines(3 * FULL // 64)
    worker = writing(rig, data)
    rig.eventually(lambda: channel.waiting() == FULL == len(logged(log)))
    assert rig.plane.stop(20)
    rig.plane = DataPlane(rig.hops, rig.relays, rig.events.append, channel.end)
    rig.plane.attach("web", rig.pipes["web"], log)
    rig.plane.start()
    assert channel.take(len(data)) == data
    worker.join()
    rig.eventually(lambda: logged(log) == data)
    assert channel.waiting() == 0


@pytest.mark.parametrize("format_", [Format.RAW, Format.JSON])
@pytest.mark.parametrize("on_full", OnFull)
def test_a_log_in_trouble(
    rig: Rig, channel: Channel, on_full: OnFull, format_: Format, tmp_path: Path
) -> None:
    """The channel is given what is dropped, and waits for what is not; it has each byte once."""
    directory = tmp_path / "later"
    directory.write_text("a file where a directory is to be")
    path = str(directory / "web.log")
    log = rig.log(channel="lines", path=path, on_full=on_full, format=format_)
    rig.eventually(lambda: rig.told(TroubleBegan))
    rig.write(b"in trouble\n")
    if on_full is OnFull.DROP:
        assert channel.take(11) == b"in trouble\n"
    directory.unlink()
    rig.eventually(lambda: rig.told(TroubleEnded))
    rig.write(b"well again\n")
    rest = b"in trouble\nwell again\n" if on_full is OnFull.BLOCK else b"well again\n"
    assert channel.take(len(rest)) == rest
    rig.eventually(lambda: b"well again" in logged(log))
    assert channel.waiting() == 0
    assert (b"in trouble" in logged(log)) == (on_full is OnFull.BLOCK)


def test_runs_are_told_apart_behind_a_full_channel(rig: Rig, channel: Channel) -> None:
    """The index says of every byte which run wrote it, however long it had to wait."""
    log = rig.log(channel="lines")
    first, second = rig.lines(2 * FULL // 64), rig.lines(100)
    rig.plane.began("web", 1)
    settle(rig)
    rig.write(first)
    rig.eventually(lambda: channel.waiting() == FULL)
    rig.plane.ended("web", 1)
    rig.plane.began("web", 2)
    settle(rig)
    worker = writing(rig, second)
    assert channel.take(len(first) + len(second)) == first + second
    worker.join()
    rig.eventually(lambda: logged(log) == first + second)
    assert (runs(log)[1], runs(log)[2]) == (0, len(first))


def test_a_log_that_is_a_pipe(rig: Rig, channel: Channel, tmp_path: Path) -> None:
    """A log that cannot take everything at once waits with the copy, and both get everything."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR)
    try:
        rig.log(channel="lines", path=str(fifo))
        data = rig.lines(5 * FULL // 64)
        worker = writing(rig, data)
        assert channel.take(FULL) == data[:FULL]
        seen = b""
        copied = data[:FULL]
        while len(seen) < len(data):
            seen += os.read(reader, FULL)
            copied += os.read(channel.read, channel.waiting()) if channel.waiting() else b""
        worker.join()
        copied += channel.take(len(data) - len(copied))
        assert seen == copied == data
    finally:
        os.close(reader)
