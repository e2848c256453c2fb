"""Handlers of what only looks: instances, explanations, histories, roll-outs, plans, logs."""

import time
from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from supervisord_lite.control import lines as line_streams
from supervisord_lite.control import logs as log_streams
from supervisord_lite.control import requests
from supervisord_lite.control.context import Context, answer
from supervisord_lite.core.plain import to_plain
from supervisord_lite.manager.naming import Choice
from supervisord_lite.manager.output.access import DAEMON
from supervisord_lite.manager.output.wanted import Form, Reading


async def health(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer({"ok": True, "held": context.service.about()["held"]})


async def version(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer(context.service.about())


async def config(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer({"values": context.service.listing()})


async def workers(context: Context, request: Request) -> Response:
    return _rows(context, requests.read_choice(request.query_params.multi_items()))


async def worker(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return _rows(context, Choice((request.path_params["name"],)))


def _rows(context: Context, choice: Choice) -> Response:
    insight, names = context.service.insight, context.service.resolve(choice)
    rollouts = answer(insight.rollouts(names, all_of_them=False)).body
    body = b'{"workers":%b,"rollouts":%b}' % (insight.instances(names), bytes(rollouts))
    return Response(body, media_type="application/json")


async def explain(context: Context, request: Request) -> Response:
    names = _names(context, request)
    return answer({"explanations": await context.service.insight.explanations(names)})


async def history(context: Context, request: Request) -> Response:
    names = _names(context, request)
    return answer({"history": context.service.insight.history(names)})


async def rollouts(context: Context, request: Request) -> Response:
    names = _names(context, request)
    return answer({"rollouts": context.service.insight.rollouts(names, all_of_them=True)})


def _names(context: Context, request: Request) -> tuple[str, ...]:
    return context.service.resolve(requests.read_choice(request.query_params.multi_items()))


async def plan(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer(to_plain(await context.service.plan()))


async def logs(context: Context, request: Request) -> Response:
    query = requests.read_log_query(
        request.query_params.multi_items(), request.headers.get("last-event-id"), time.time()
    )
    wanted = log_streams.sources(context.logs, _logged(context, query.choice), query)
    if query.reading is not None:
        return await _lines(context, wanted, query.reading, follow=query.follow)
    if query.follow:
        pieces = log_streams.follow(context.logs, wanted, query.lines)
        return await _stream(pieces, "text/event-stream")
    if request.headers.get("accept", "").startswith("text/plain"):
        return await _stream(log_streams.raw(context.logs, wanted, query.lines), "text/plain")
    body = await log_streams.snapshot(context.logs, wanted, query.lines)
    return Response(body, media_type="application/json")


def _logged(context: Context, choice: Choice) -> tuple[str, ...]:
    """The instances that are meant; the daemon itself may be among them, if it is named."""
    if DAEMON not in choice.names:
        return context.service.resolve(choice)
    names = tuple(name for name in choice.names if name != DAEMON)
    others = context.service.resolve(Choice(names, choice.selector)) if names else ()
    return (DAEMON, *others)


async def _lines(
    context: Context, wanted: Sequence[log_streams.Source], reading: Reading, *, follow: bool
) -> Response:
    view = context.logs.lines([(one.instance, one.stream, one.position) for one in wanted], reading)
    if follow:
        pieces = line_streams.follow_lines(context.logs, wanted, view)
        return await _stream(pieces, "text/event-stream")
    kind = "application/x-ndjson" if reading.form is Form.JSON else "text/plain"
    return await _stream(line_streams.lines(view), kind)


async def _stream(pieces: AsyncIterator[bytes], media_type: str) -> Response:
    """The first piece is fetched before the answer begins, so that a failure can still be one."""
    first = await anext(pieces, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(whole(), media_type=media_type, headers={"cache-control": "no-store"})
