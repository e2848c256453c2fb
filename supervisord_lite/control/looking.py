"""Handlers of what only looks: instances, explanations, histories, roll-outs, plans, logs."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from supervisord_lite.control import logs as log_streams
from supervisord_lite.control import requests
from supervisord_lite.control.context import Context, answer
from supervisord_lite.core.plain import to_plain
from supervisord_lite.manager.naming import Choice


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
        request.query_params.multi_items(), request.headers.get("last-event-id")
    )
    wanted = log_streams.sources(context.logs, context.service.resolve(query.choice), query)
    if query.follow:
        pieces = log_streams.follow(context.logs, wanted, query.lines)
        return await _stream(pieces, "text/event-stream")
    if request.headers.get("accept", "").startswith("text/plain"):
        return await _stream(log_streams.raw(context.logs, wanted, query.lines), "text/plain")
    body = await log_streams.snapshot(context.logs, wanted, query.lines)
    return Response(body, media_type="application/json")


async def _stream(pieces: AsyncIterator[bytes], media_type: str) -> Response:
    """The first piece is fetched before the answer begins, so that a failure can still be one."""
    first = await anext(pieces, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(whole(), media_type=media_type, headers={"cache-control": "no-store"})
