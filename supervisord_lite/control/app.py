"""The control API: one table of routes, each with the right it needs, and the handlers.

A handler reads its request strictly, calls one method of `Service`, and writes JSON. It decides
nothing about workers. Which method a client reaches is this table and nothing else: no name that
a client sends is ever looked up on an object.
"""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from supervisord_lite.control import logs as log_streams
from supervisord_lite.control import requests
from supervisord_lite.control.access import Peer, Right, rights_of
from supervisord_lite.control.logs import LogAccess, Unreadable
from supervisord_lite.control.requests import BadRequest
from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.plan import Plan
from supervisord_lite.manager.service import (
    BadConfiguration,
    Outcome,
    Refused,
    Service,
    UnknownNames,
)


class Forbidden(Exception):
    """The peer lacks a right."""


@dataclass(frozen=True, slots=True)
class Context:
    """All that handlers may use."""

    service: Service
    logs: LogAccess


Handler = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route: what it answers to, what it takes to be let in, and who answers."""

    method: str
    path: str
    right: Right
    handler: Handler


def application(service: Service, logs: LogAccess) -> Starlette:
    """The ASGI application. Requests carry their `Peer` in the scope, under "peer"."""
    context = Context(service, logs)
    return Starlette(
        routes=[
            Route(endpoint.path, _guarded(endpoint, context), methods=[endpoint.method])
            for endpoint in ENDPOINTS
        ],
        exception_handlers=_EXCEPTION_HANDLERS,
    )


def _guarded(endpoint: Endpoint, context: Context) -> Callable[[Request], Awaitable[Response]]:
    owner = os.geteuid()

    async def answer(request: Request) -> Response:
        peer: Peer = request.scope["peer"]
        if endpoint.right not in rights_of(peer, owner):
            raise Forbidden(
                f"cannot let user {peer.uid} {endpoint.right.value}: "
                f"only root and user {owner}, who runs this daemon, may"
            )
        return await endpoint.handler(context, request)

    return answer


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def _ok() -> Response:
    return _json({"ok": True})


async def _health(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return _json({"ok": True, "held": context.service.about()["held"]})


async def _version(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return _json(context.service.about())


async def _workers(context: Context, request: Request) -> Response:
    patterns = requests.read_names(request.query_params.multi_items())
    return _rows(context, patterns or ("all",))


async def _worker(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return _rows(context, (request.path_params["name"],))


def _rows(context: Context, patterns: Sequence[str]) -> Response:
    names = context.service.resolve(patterns)
    body = b'{"workers":' + context.service.views(names) + b"}"
    return Response(body, media_type="application/json")


async def _start(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.names)
    return _results(await context.service.start(names, wait=order.wait, timeout=order.timeout))


async def _stop(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.names)
    return _results(await context.service.stop(names, wait=order.wait, timeout=order.timeout))


async def _restart(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.names)
    return _results(await context.service.restart(names, wait=order.wait, timeout=order.timeout))


async def _signal(context: Context, request: Request) -> Response:
    order = requests.read_signal_order(await request.body())
    names = context.service.resolve(order.names)
    return _results(context.service.signal(names, order.signal))


def _results(outcomes: Sequence[Outcome]) -> Response:
    return _json(_outcomes(outcomes))


def _outcomes(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "ok": all(outcome.ok for outcome in outcomes),
        "results": [
            {
                "name": outcome.name,
                "ok": outcome.ok,
                "state": outcome.state,
                "pid": outcome.pid,
                "message": outcome.message,
                "timed_out": outcome.timed_out,
            }
            for outcome in outcomes
        ],
    }


async def _plan(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return _planned(await context.service.plan())


async def _reload(context: Context, request: Request) -> Response:
    patience = requests.read_patience(await request.body())
    plan, outcomes = await context.service.reload(wait=patience.wait, timeout=patience.timeout)
    return _json(to_plain(plan) | _outcomes(outcomes))


def _planned(plan: Plan) -> Response:
    return _json(to_plain(plan))


async def _logs(context: Context, request: Request) -> Response:
    query = requests.read_log_query(
        request.query_params.multi_items(), request.headers.get("last-event-id")
    )
    names = context.service.resolve(query.names or ("all",))
    wanted = log_streams.sources(context.logs, names, query)
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


async def _reopen(context: Context, request: Request) -> Response:
    requests.read_nothing(await request.body())
    context.service.reopen_logs()
    return _ok()


async def _shutdown(context: Context, request: Request) -> Response:
    requests.read_nothing(await request.body())
    context.service.shutdown()
    return _ok()


async def _leave(context: Context, request: Request) -> Response:
    requests.read_nothing(await request.body())
    context.service.leave()
    return _ok()


async def _config(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return _json({"values": context.service.listing()})


ENDPOINTS = (
    Endpoint("GET", "/v1/health", Right.OBSERVE, _health),
    Endpoint("GET", "/v1/version", Right.OBSERVE, _version),
    Endpoint("GET", "/v1/workers", Right.OBSERVE, _workers),
    Endpoint("GET", "/v1/workers/{name}", Right.OBSERVE, _worker),
    Endpoint("POST", "/v1/workers/start", Right.OPERATE, _start),
    Endpoint("POST", "/v1/workers/stop", Right.OPERATE, _stop),
    Endpoint("POST", "/v1/workers/restart", Right.OPERATE, _restart),
    Endpoint("POST", "/v1/workers/signal", Right.OPERATE, _signal),
    Endpoint("GET", "/v1/plan", Right.ADMINISTER, _plan),
    Endpoint("POST", "/v1/reload", Right.ADMINISTER, _reload),
    Endpoint("GET", "/v1/logs", Right.READ_LOGS, _logs),
    Endpoint("POST", "/v1/logs/reopen", Right.OPERATE, _reopen),
    Endpoint("POST", "/v1/shutdown", Right.ADMINISTER, _shutdown),
    Endpoint("POST", "/v1/leave", Right.ADMINISTER, _leave),
    Endpoint("GET", "/v1/config", Right.ADMINISTER, _config),
)


async def _refused(_request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, _STATUS[type(error)])


async def _unknown(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownNames)
    return _json({"error": f"cannot find a worker named {', '.join(error.names)}"}, 404)


async def _bad_configuration(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BadConfiguration)
    return _json({"error": "cannot use the configuration", "problems": list(error.problems)}, 422)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"cannot {request.method} {request.url.path}: {error.detail.lower()}"
    answer = _json({"error": text}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    text = f"cannot answer {request.method} {request.url.path}: {type(error).__name__}: {error}"
    return _json({"error": text}, 500)


_STATUS = {BadRequest: 400, Forbidden: 403, Refused: 409, Unreadable: 500}
_EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    BadRequest: _refused,
    Forbidden: _refused,
    Refused: _refused,
    UnknownNames: _unknown,
    BadConfiguration: _bad_configuration,
    HTTPException: _http,
    Unreadable: _refused,
    Exception: _broken,
}
