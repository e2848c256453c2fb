"""One GET of an HTTP probe, over a connection of its own. Source: RFC 9110, RFC 9112.

A redirect is an answer and is not followed. Of a body only the beginning is read, and only where
something is looked for in it.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

import h11

from supervisord_lite.core.probe import HttpProbe
from supervisord_lite.manager.probes.bystander import Bystander
from supervisord_lite.manager.probes.tcp_connection import connected

_PORT = 80
_SHOWN = 200  # characters of what is wrong with an answer
_MOST = 64 * 1024  # bytes of a head, and of a body


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: tuple[tuple[bytes, bytes], ...]


async def get(probe: HttpProbe, bystander: Bystander) -> str | None:
    """What is wrong with the answer, if anything is. OSError where there is none."""
    url = urlsplit(probe.url)
    connection = await connected(url.hostname or "", url.port or _PORT, bystander)
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        exchange = _Exchange(reader)
        writer.write(exchange.request(url))
        return await _judge(probe, exchange)
    except h11.RemoteProtocolError as error:
        return f"cannot understand the answer: {error}"[:_SHOWN]
    finally:
        writer.transport.abort()


class _Exchange:
    """The events of one answer as they come."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST)

    def request(self, url: SplitResult) -> bytes:
        target = quote(url.path or "/", safe="/%:@!$&'()*+,;=~")
        if url.query:
            target = f"{target}?{quote(url.query, safe='/?%:@!$&()*+,;=~')}"
        headers = [
            ("Host", url.netloc.rpartition("@")[2]),
            ("User-Agent", "supervisord-lite"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        head = self._http.send(h11.Request(method="GET", target=target, headers=headers))
        return (head or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    async def reply(self) -> _Reply:
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return _Reply(event.status_code, tuple(event.headers))

    async def contains(self, text: bytes) -> bool:
        """Whether the body has this text in its beginning."""
        body = b""
        while text not in body:
            event = await self._next() if len(body) < _MOST else None
            if not isinstance(event, h11.Data):
                return False
            body += event.data
        return True

    async def _next(self) -> h11.Event:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_MOST))
        if isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection was closed")
        assert isinstance(event, h11.Event), "nothing else is left"
        return event


async def _judge(probe: HttpProbe, exchange: _Exchange) -> str | None:
    reply = await exchange.reply()
    if not (reply.status in probe.status if probe.status else 200 <= reply.status < 400):
        return f"status {reply.status}"
    for name, value in probe.headers:
        found = [had.strip() for key, had in reply.headers if key == name.encode()]
        if value.encode() not in found:
            return f"no header {name}: {value}"
    if probe.body is not None and not await exchange.contains(probe.body.encode()):
        return f'no "{probe.body}" in the body'
    return None
