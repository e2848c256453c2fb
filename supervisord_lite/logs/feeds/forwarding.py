"""Feeds: lines on their way out of the daemon, each kind driven by the feeder.

    FifoFeed        a FIFO whose readers come and go
    OutputFeed      the daemon's own stdout or stderr
    MessageFeed     a service that takes messages: syslog, journald

All begin where they stopped, also after a SIGKILL: the first two have a relay between logs and
reader, so nothing is repeated; the third notes its position after each message, so at most the one
that was on its way is. What cannot be sent waits in its log, for as long as the log is kept. The
relay is a feed's to use, and not to close.
"""

import json
import time
from collections.abc import Callable
from typing import Protocol

from supervisord_lite.linux import pipes
from supervisord_lite.logs import poller
from supervisord_lite.logs.event import LogEvent, TroubleBegan, TroubleEnded
from supervisord_lite.logs.feeds.encoding import Blend, Encode
from supervisord_lite.logs.feeds.feeder import Feeder, Progress
from supervisord_lite.logs.feeds.mixture import Mixture, Piece
from supervisord_lite.logs.feeds.output import Output
from supervisord_lite.logs.feeds.relay import PAGE, Relay
from supervisord_lite.logs.feeds.tap import Faucet, Place, Reading
from supervisord_lite.logs.files.index import Identity
from supervisord_lite.logs.reading.reader import written

_RELAY = 1024 * 1024  # bytes that a relay of whole lines should have room for
_GROWTH = 8  # times as many bytes a line may have when it is written down
_HEADING = 2048  # and what is written before it
_TURN = 64  # portions or messages that a feed sends before the others have their turn
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0  # seconds
_NOTES = 256 * 1024  # bytes that a page of additions may have before it is written anew

Report = Callable[[LogEvent], None]


def longest_through(relay: Relay) -> int:
    """How long a line may be that fits the relay, whatever becomes of it; enlarges the relay."""
    pipes.resize(relay.pipe, _RELAY)
    return (relay.capacity - _HEADING) // _GROWTH


class Backoff:
    """When to try again what has failed; tells once that it has, and once that it is over."""

    def __init__(self, name: str, report: Report) -> None:
        self.trouble: str | None = None
        self.at: float | None = None
        self._name = name
        self._report = report
        self._pause = _FIRST_RETRY

    def failed(self, what: str, error: OSError) -> None:
        text = f"cannot forward to {what}: {error.strerror or error}"
        if self.trouble is None:
            self._report(TroubleBegan(self._name, text))
        self.trouble = text
        self.at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LAST_RETRY)

    def worked(self) -> None:
        self.at = None
        if self.trouble is not None:
            text, self.trouble, self._pause = self.trouble, None, _FIRST_RETRY
            self._report(TroubleEnded(self._name, text, 0, 0))


class FifoFeed:
    """Lines for whoever opens a FIFO. `listen` is told whether there is anybody."""

    retry_at: float | None = None

    def __init__(
        self,
        name: str,
        place: Place,
        relay: Relay,
        lines: tuple[Mixture, Encode],
        feeder: Feeder,
        report: Report,
        listen: Callable[[bool], None],
    ) -> None:
        self._relay = relay
        self._mixture, self._encode = lines
        self._blend: Blend | None = None
        self._listen = listen
        wait, openings = feeder.poller, feeder.openings
        self._faucet = Faucet(name, place, relay, wait, openings, report, self._begin)

    @property
    def behind(self) -> bool:
        """Whether a reader has not been given everything yet."""
        return self._faucet.is_read and not self._is_idle()

    def turn(self) -> bool:
        """Feed the reader; for what it does not take now the poller wakes us."""
        self._faucet.feed()
        return False

    def finish(self, *, unfinished: bool) -> None:
        """Look into every log once more; lines without an end will get none, or wait for it."""
        self._mixture.finish(unfinished=unfinished)

    def check(self) -> None:
        """Look whether the FIFO is still the one at its path."""
        self._faucet.check()

    def progress(self) -> Progress:
        """How far the reader has come."""
        blend = self._blend
        since = self._mixture.oldest()
        if blend is not None and not self._relay.is_empty():
            since = blend.since
        return Progress(self._faucet.is_read, None, since, self._mixture.places())

    def close(self) -> None:
        """Let go of the FIFO."""
        self._faucet.close()

    def _is_idle(self) -> bool:
        return self._relay.is_empty() and self._mixture.oldest() is None

    def _begin(self, position: str | None) -> Reading:
        self._mixture.begin(position, self._relay.begin)
        self._listen(True)
        self._blend = _Heard(self._mixture, self._encode, self._listen)
        return self._blend


class _Heard(Blend):
    """A blend that says when nobody reads it any more."""

    def __init__(self, mixture: Mixture, encode: Encode, listen: Callable[[bool], None]) -> None:
        super().__init__(mixture, encode)
        self._listen = listen

    def close(self) -> None:
        super().close()
        self._listen(False)


class OutputFeed:
    """Lines for the daemon's own stdout or stderr."""

    def __init__(
        self,
        name: str,
        number: int,
        relay: Relay,
        lines: tuple[Mixture, Encode],
        feeder: Feeder,
        report: Report,
    ) -> None:
        self._name = name
        self._relay = relay
        self._mixture, encode = lines
        self._blend = Blend(self._mixture, encode)
        self._feeder = feeder
        self._backoff = Backoff(name, report)
        self._output = Output(number)
        self._awaits = False
        self._room = relay.pages if self._output.takes_pages else PAGE
        self._mixture.begin(relay.left_at(), relay.begin)

    @property
    def retry_at(self) -> float | None:
        """When to try again."""
        return self._backoff.at

    @property
    def behind(self) -> bool:
        """Whether there is anything left to send."""
        return not self._relay.is_empty() or self._mixture.oldest() is not None

    def turn(self) -> bool:
        """Write some; whether there may be more that can be written."""
        if self._awaits:
            return False
        try:
            for _ in range(_TURN):
                if not self._write():
                    return False
        except BlockingIOError:
            self._await_reader()
            return False
        except OSError as error:
            self._backoff.failed(self._output.name, error)
            return False
        return True

    def finish(self, *, unfinished: bool) -> None:
        """Look into every log once more; lines without an end will get none, or wait for it."""
        self._mixture.finish(unfinished=unfinished)

    def check(self) -> None:
        """There is nothing that could have been replaced."""

    def progress(self) -> Progress:
        """How far it has come."""
        since = self._mixture.oldest() if self._relay.is_empty() else self._blend.since
        return Progress(True, self._backoff.trouble, since, self._mixture.places())

    def close(self) -> None:
        """Let go of everything."""
        if self._awaits:
            self._feeder.poller.remove(self._output.fd)
        self._output.close()
        self._mixture.end()

    def _write(self) -> bool:
        if self._relay.is_empty():
            data = self._blend.read(self._room)
            if not data:
                self._backoff.at = None
                return False
            self._relay.fill(data, self._blend.position, paged=True)
        self._output.take(self._relay.pipe)
        self._backoff.worked()
        return True

    def _await_reader(self) -> None:
        self._feeder.poller.add(self._output.fd, poller.OUT, self._writable)
        self._awaits = True

    def _writable(self, _events: int) -> None:
        self._feeder.poller.remove(self._output.fd)
        self._awaits = False
        self._feeder.stir(self._name)


class Service(Protocol):
    """Somebody who takes messages. `send` sends the first line of the piece that was not accepted;
    it raises BlockingIOError while nobody takes it (`fd` tells when somebody does again), OSError
    if it cannot; the same line is sent again then.
    """

    @property
    def path(self) -> str: ...

    @property
    def fd(self) -> int: ...

    def send(self, piece: Piece) -> None: ...

    def close(self) -> None: ...


class MessageFeed:
    """Lines for a service, one message each."""

    def __init__(
        self,
        name: str,
        service: Service,
        relay: Relay,
        mixture: Mixture,
        feeder: Feeder,
        report: Report,
    ) -> None:
        self._name = name
        self._service = service
        self._relay = relay
        self._mixture = mixture
        self._feeder = feeder
        self._backoff = Backoff(name, report)
        self._awaited: int | None = None
        self._named: tuple[str, Identity] | None = None  # the last place that the page names
        self._reached: dict[str, Identity] = {}  # and where that log is by what the page counts
        mixture.begin(relay.left_at(), self._note)

    @property
    def retry_at(self) -> float | None:
        """When to try again."""
        return self._backoff.at

    @property
    def behind(self) -> bool:
        """Whether there is anything left to send."""
        return self._mixture.oldest() is not None

    def turn(self) -> bool:
        """Send some messages; whether there may be more that can be sent."""
        if self._awaited is not None:
            return False
        for _ in range(_TURN):
            piece = self._mixture.next()
            if piece is None:
                self._backoff.at = None
                return False
            try:
                self._service.send(piece)
            except BlockingIOError:
                self._await_service()
                return False
            except OSError as error:
                self._service.close()
                self._backoff.failed(self._service.path, error)
                return False
            self._sent()
        return True

    def finish(self, *, unfinished: bool) -> None:
        """Look into every log once more; lines without an end will get none, or wait for it."""
        self._mixture.finish(unfinished=unfinished)

    def check(self) -> None:
        """The socket is found by its name whenever it is connected to."""

    def progress(self) -> Progress:
        """How far it has come."""
        trouble, since = self._backoff.trouble, self._mixture.oldest()
        return Progress(True, trouble, since, self._mixture.places())

    def close(self) -> None:
        """Let go of everything."""
        self._await_no_more()
        self._service.close()
        self._mixture.end()

    def _sent(self) -> None:
        """Note it: by a count, as long as the messages are of one log."""
        self._backoff.worked()
        key, place = self._mixture.accept(1)
        if place is None:
            return
        page, named = self._relay.page, self._named
        if page.length > _NOTES:
            self._note(self._mixture.position)
        elif named and (named[0], named[1].chain) == (key, place.chain):
            page.count(place.base - named[1].base)
            self._reached = {key: place}
        else:
            self._reached.pop(key, None)  # it goes last
            reached = {**self._reached, key: place}
            page.add("\n" + json.dumps({one: written(at) for one, at in reached.items()}))
            self._named, self._reached = (key, place), {key: place}

    def _note(self, position: str) -> None:
        self._named = None
        self._reached = {}
        self._relay.begin(position)

    def _await_service(self) -> None:
        self._awaited = self._service.fd
        self._feeder.poller.add(self._awaited, poller.OUT, self._writable)

    def _await_no_more(self) -> None:
        if self._awaited is not None:
            self._feeder.poller.remove(self._awaited)
            self._awaited = None

    def _writable(self, _events: int) -> None:
        self._await_no_more()
        self._feeder.stir(self._name)
