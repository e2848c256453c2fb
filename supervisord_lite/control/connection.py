"""One client's connection: HTTP/1.1 by h11, with limits on everything a client can take.

A connection reads a request whole (deadlines for its head and its body), lets an `Exchange`
answer it, and goes on to the next one. What a client does wrong, or too slowly, ends that client's
connection and is noticed by nobody else.
"""

import asyncio
import os
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

import h11

from supervisord_lite.control.access import Peer
from supervisord_lite.control.exchange import UPGRADE, Application, Exchange, Scope, refusal


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take: counts, bytes and seconds."""

    connections: int = 128
    per_user: int = 112  # some are left for root
    per_stranger: int = 4  # a user who has no right at all
    head: int = 16 * 1024
    body: int = 1024 * 1024
    ahead: int = 64 * 1024  # of requests sent before the answer to an earlier one
    head_deadline: float = 5.0
    body_deadline: float = 20.0
    idle: float = 60.0
    write_deadline: float = 20.0
    linger: float = 1.0  # for a client to read why it was refused


class Phase(Enum):
    """What a connection is doing; each but ANSWERING has a deadline."""

    IDLE = "idle"
    HEAD = "reading a head"
    BODY = "reading a body"
    ANSWERING = "answering"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Host:
    """What a server gives all its connections."""

    application: Application
    limits: Limits
    admits: Callable[[Peer], bool]
    closed: Callable[["Connection"], None]


class Connection(asyncio.Protocol):
    """The asyncio protocol of one client; `Wire` of its exchange."""

    def __init__(self, host: Host, peer: Peer) -> None:
        self.peer = peer
        self.phase = Phase.HEAD
        self._host = host
        self._limits = host.limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=host.limits.head)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._ahead = 0
        self._leaving = False
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=64 * 1024)
        self._enter(Phase.HEAD)

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            return
        self._http.receive_data(data)
        if self.phase is Phase.ANSWERING:
            self._ahead += len(data)
            if self._ahead > self._limits.ahead:
                self._transport.pause_reading()
            return
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        self._advance()

    def eof_received(self) -> bool:
        """Stay if the client has only ended its sending and an answer is still to come."""
        if self.phase is not Phase.ANSWERING or self._is_gone():
            return False
        self._http.receive_data(b"")
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._disarm()
        self.phase = Phase.CLOSING
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._host.closed(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What an exchange asks.

    async def transmit(self, *events: h11.Event) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError
        self._write(*events)
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(self._limits.write_deadline):
                await self._writable.wait()
        except TimeoutError:
            self._transport.abort()
            raise

    async def hand_over(self, payload: bytes, descriptors: Sequence[int]) -> None:
        headers = [("connection", "upgrade"), ("upgrade", UPGRADE)]
        await self.transmit(h11.InformationalResponse(status_code=101, headers=headers))
        if self._transport.get_write_buffer_size():  # it does not read: nothing can be in order
            self._transport.abort()
            raise ConnectionResetError
        own = os.dup(self._transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=own) as connection:
            socket.send_fds(connection, [payload], list(descriptors), socket.MSG_DONTWAIT)

    def finished(self) -> None:
        self._task = None
        if self._transport.is_closing():
            return
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._hang_up()
            return
        self._http.start_next_cycle()
        self._ahead = 0
        self._transport.resume_reading()
        self._enter(Phase.IDLE)
        self._advance()

    # What the server asks.

    def close(self) -> None:
        """End it: an answer that is under way is cut short, nothing new is read."""
        self._leaving = True
        if self._task is not None:
            self._task.cancel()
        elif not self._transport.is_closing():
            self._hang_up()

    def abort(self) -> None:
        self._transport.abort()

    # Reading a request.

    def _advance(self) -> None:
        while self.phase in {Phase.IDLE, Phase.HEAD, Phase.BODY}:
            unread = 0 if self.phase is Phase.BODY else self._unread()
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, f"cannot read the request: {error}")
                return
            match event:
                case h11.Request():
                    self._take_head(event, unread - self._unread())
                case h11.Data():
                    self._take_body(event)
                case h11.EndOfMessage():
                    self._answer()
                case h11.ConnectionClosed():
                    self._hang_up()
                case _:  # NEED_DATA
                    if self.phase is Phase.IDLE and self._unread():
                        self._enter(Phase.HEAD)
                    return

    def _unread(self) -> int:
        """Bytes that have come and belong to no event yet. (h11 copies them to show them.)"""
        return len(self._http.trailing_data[0])

    def _take_head(self, request: h11.Request, size: int) -> None:
        announced = next((int(v) for k, v in request.headers if k == b"content-length"), 0)
        if not self._host.admits(self.peer):
            self._refuse(403, f"cannot let user {self.peer.uid} in")
        elif size > self._limits.head:  # h11 measures only a head that comes in pieces
            self._refuse(431, f"cannot take a head of more than {self._limits.head} bytes")
        elif request.http_version not in {b"1.0", b"1.1"}:
            self._refuse(505, "cannot speak this version of HTTP: it is 1.1")
        elif not request.target.startswith(b"/"):
            self._refuse(400, "cannot use the request target: it is a path such as /v1/workers")
        elif announced > self._limits.body:
            self._refuse_body()
        else:
            self._request = request
            self._body.clear()
            self._enter(Phase.BODY)
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))

    def _take_body(self, data: h11.Data) -> None:
        self._body += data.data
        if len(self._body) > self._limits.body:
            self._refuse_body()

    def _refuse_body(self) -> None:
        self._refuse(413, f"cannot take a body of more than {self._limits.body} bytes")

    def _answer(self) -> None:
        assert self._request is not None
        exchange = Exchange(self, _scope(self._request, self.peer), bytes(self._body))
        self._enter(Phase.ANSWERING)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(exchange.run(self._host.application))

    # Deadlines and ends.

    def _enter(self, phase: Phase) -> None:
        self._disarm()
        self.phase = phase
        seconds = self._patience(phase)
        if seconds is not None:
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _patience(self, phase: Phase) -> float | None:
        match phase:
            case Phase.IDLE:
                return self._limits.idle
            case Phase.HEAD:
                return self._limits.head_deadline
            case Phase.BODY:
                return self._limits.body_deadline
            case Phase.CLOSING if self._transport.get_write_buffer_size():
                return self._limits.write_deadline
            case Phase.CLOSING:
                return self._limits.linger
            case Phase.ANSWERING:
                return None

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _expire(self) -> None:
        match self.phase:
            case Phase.HEAD | Phase.BODY:
                self._refuse(408, f"cannot wait any longer: {self.phase.value} took too long")
            case Phase.IDLE if not self._transport.get_write_buffer_size():
                self._hang_up()
            case _:
                self._transport.abort()

    def _refuse(self, status: int, text: str) -> None:
        """Answer with an error that ends the connection; what still comes is thrown away."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self._write(*refusal(status, text))
        self._hang_up()

    def _hang_up(self) -> None:
        """Say that nothing more comes, and leave when the client has read it and left.

        Closing at once would take the last answer away from a client that is still sending; only
        a server that goes away cannot wait for that.
        """
        if self._leaving:
            self._transport.close()
            return
        self._enter(Phase.CLOSING)
        self._transport.resume_reading()
        self._transport.write_eof()

    def _is_gone(self) -> bool:
        """Whether the peer has closed its end, and not just ended its sending (unix(7), poll(2)):
        the one hangs up, the other does not.
        """
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    def _write(self, *events: h11.Event) -> None:
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))


def _scope(request: h11.Request, peer: Peer) -> Scope:
    raw_path, _, query = request.target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": None,
        "server": None,
        "peer": peer,
    }
    return scope
