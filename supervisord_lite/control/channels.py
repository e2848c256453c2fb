"""Handlers of channels: what there is, putting in and taking out, and handing over descriptors.

The last is an upgrade of the connection (RFC 9110, section 7.8) to a protocol that has one message
and ends: a JSON object, with the descriptors beside it (SCM_RIGHTS, unix(7)).
"""

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from supervisord_lite.control import requests
from supervisord_lite.control.context import Context, answer
from supervisord_lite.control.exchange import HAND_OVER, UPGRADE

if TYPE_CHECKING:
    from supervisord_lite.manager.channel_access import Opened
    from supervisord_lite.manager.channel_doors import Message


async def channels(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer({"channels": await context.service.channels.rows()})


async def channel(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer({"channels": await context.service.channels.rows(_name(request))})


async def put(context: Context, request: Request) -> Response:
    wait = requests.read_channel_wait(request.query_params.multi_items())
    data = await request.body()
    sent = await context.service.channels.put(_name(request), data, wait)
    return answer({"ok": sent == len(data), "bytes": sent})


async def get(context: Context, request: Request) -> Response:
    wait = requests.read_channel_wait(request.query_params.multi_items())
    message = await context.service.channels.get(_name(request), wait)
    return answer({"message": None if message is None else _shown(message)})


async def peek(context: Context, request: Request) -> Response:
    most = requests.read_channel_count(request.query_params.multi_items())
    values = context.service.channels.values(_name(request))
    if values is not None:
        return answer({"values": values})
    messages = await context.service.channels.peek(_name(request), most)
    return answer({"messages": [_shown(message) for message in messages]})


async def descriptors(context: Context, request: Request) -> Response:
    use = requests.read_channel_use(request.query_params.multi_items())
    if request.headers.get("upgrade", "").lower() != UPGRADE:
        raise requests.BadRequest(f"cannot hand over descriptors without `Upgrade: {UPGRADE}`")
    try:
        return _Descriptors(context.service.channels.open(_name(request), use))
    except ValueError as error:
        raise requests.BadRequest(f"{error}: say what for, by `use`") from None


class _Descriptors(Response):
    """An answer that only this server knows; see `exchange`. The descriptors are closed with it."""

    def __init__(self, opened: "Opened") -> None:
        super().__init__()
        self._opened = opened

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        opened = self._opened
        told = {"channels": opened.told, "numbers": list(opened.numbers)}
        payload = json.dumps(told, separators=(",", ":")).encode() + b"\n"
        try:
            message = {"payload": payload, "descriptors": opened.descriptors}
            await send({"type": HAND_OVER, **message})
        finally:
            for descriptor in opened.descriptors:
                os.close(descriptor)


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _shown(message: "Message") -> dict[str, Any]:
    """`text` where it is UTF-8, else `base64`; neither for what was only looked at from afar."""
    shown: dict[str, Any] = {
        "format": "pickle" if message.pickled else "bytes",
        "size": message.size,
    }
    if message.data is None:
        return shown
    try:
        return shown | {"text": message.data.decode()}
    except UnicodeDecodeError:
        return shown | {"base64": base64.b64encode(message.data).decode()}
