"""One request and its answer: the ASGI side of a connection.

Speaks ASGI (asgi.readthedocs.io, HTTP 2.4) to the application. The body is whole before the
application is asked. It knows no sockets: `Wire` takes what is to be sent.

Beyond ASGI, an application may send one message of type HAND_OVER instead of an answer to a request
that asked for it by `Upgrade: descriptors`: `payload`, with `descriptors` that stay its own.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Protocol

import h11

_log = logging.getLogger(__name__)

HAND_OVER = "supervisord_lite.hand_over"
UPGRADE = "descriptors"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class Wire(Protocol):
    """The connection, as an exchange sees it."""

    async def transmit(self, *events: h11.Event) -> None:
        """Send, and wait until the peer has room. Raises OSError when the connection is gone."""

    async def hand_over(self, payload: bytes, descriptors: Sequence[int]) -> None:
        """Switch protocols, send this, and nothing more. Raises OSError."""

    def finished(self) -> None:
        """The exchange is over; what was not sent of its answer will not be."""


def refusal(status: int, text: str, *headers: tuple[str, str]) -> tuple[h11.Event, ...]:
    """A whole error answer that the server gives by itself, and the end of the connection."""
    body = json.dumps({"error": text}).encode()
    return (
        h11.Response(
            status_code=status,
            headers=[
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
                *headers,
            ],
        ),
        h11.Data(data=body),
        h11.EndOfMessage(),
    )


class Exchange:
    """Runs the application for one request."""

    def __init__(self, wire: Wire, scope: Scope, body: bytes) -> None:
        self._wire = wire
        self._scope = scope
        self._body: bytes | None = body
        self._head: h11.Response | None = None
        self._begun = False
        self._complete = False
        self._lost = False

    async def run(self, application: Application) -> None:
        try:
            await application(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            await self._cut_short()
        except Exception:  # noqa: BLE001 - whatever it is, it ends this exchange and no other
            # The application has sent its error answer where that was still possible. What it
            # raises because the client left is no error of ours.
            if not self._lost:
                _log.exception("cannot answer %s %s", self._scope["method"], self._scope["path"])
        finally:
            self._wire.finished()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # A client that leaves cancels its exchange: nobody waits here for longer than that.
        await asyncio.get_running_loop().create_future()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == HAND_OVER:
            self._begun = self._complete = True
            await self._transmit(self._wire.hand_over(message["payload"], message["descriptors"]))
            return
        if message["type"] == "http.response.start":
            self._head = h11.Response(
                status_code=message["status"], headers=list(message.get("headers", []))
            )
            return
        assert self._head is not None
        events: list[h11.Event] = [] if self._begun else [self._head]
        self._begun = True
        data = message.get("body", b"")
        if data and self._scope["method"] != "HEAD":
            events.append(h11.Data(data=data))
        if not message.get("more_body", False):
            events.append(h11.EndOfMessage())
            self._complete = True
        await self._transmit(self._wire.transmit(*events))

    async def _transmit(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except OSError:
            self._lost = True
            raise

    async def _cut_short(self) -> None:
        """The server goes away: say so, or end a stream where it is."""
        if self._complete:
            return
        self._complete = True
        farewell: tuple[h11.Event, ...] = (h11.EndOfMessage(),)
        if not self._begun:
            farewell = refusal(503, "cannot wait any longer: the daemon goes away or is replaced")
        with contextlib.suppress(OSError, h11.LocalProtocolError):
            await self._wire.transmit(*farewell)
