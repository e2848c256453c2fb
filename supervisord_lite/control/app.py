"""The control API: one table of routes, each with the right it needs, and what errors become.

A handler reads its request strictly, calls one method of `Service`, and writes JSON. It decides
nothing about workers. Which method a client reaches is this table and nothing else: no name that
a client sends is ever looked up on an object.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from supervisord_lite.control import channels, feeds, looking, ordering
from supervisord_lite.control.access import Peer, Right, rights_of
from supervisord_lite.control.context import Context, Handler, answer
from supervisord_lite.control.logs import LogAccess, Unreadable
from supervisord_lite.control.requests import BadRequest
from supervisord_lite.manager.service import (
    BadConfiguration,
    BadSelector,
    Refused,
    Service,
    UnknownNames,
)

_log = logging.getLogger(__name__)


class Forbidden(Exception):
    """The peer lacks a right."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route: what it answers to, what it takes to be let in, and who answers."""

    method: str
    path: str
    right: Right
    handler: Handler


ENDPOINTS = (
    Endpoint("GET", "/v1/health", Right.OBSERVE, looking.health),
    Endpoint("GET", "/v1/version", Right.OBSERVE, looking.version),
    Endpoint("GET", "/v1/workers", Right.OBSERVE, looking.workers),
    Endpoint("GET", "/v1/workers/{name}", Right.OBSERVE, looking.worker),
    Endpoint("GET", "/v1/explain", Right.OBSERVE, looking.explain),
    Endpoint("GET", "/v1/history", Right.OBSERVE, looking.history),
    Endpoint("GET", "/v1/rollouts", Right.OBSERVE, looking.rollouts),
    Endpoint("POST", "/v1/workers/start", Right.OPERATE, ordering.start),
    Endpoint("POST", "/v1/workers/stop", Right.OPERATE, ordering.stop),
    Endpoint("POST", "/v1/workers/restart", Right.OPERATE, ordering.restart),
    Endpoint("POST", "/v1/workers/run", Right.OPERATE, ordering.run),
    Endpoint("POST", "/v1/workers/signal", Right.OPERATE, ordering.signal),
    Endpoint("POST", "/v1/workers/reload", Right.OPERATE, ordering.reload_workers),
    Endpoint("POST", "/v1/rollouts/restart", Right.OPERATE, ordering.roll_out),
    Endpoint("POST", "/v1/rollouts/undo", Right.OPERATE, ordering.undo_rollout),
    Endpoint("POST", "/v1/scale", Right.OPERATE, ordering.scale),
    Endpoint("GET", "/v1/plan", Right.ADMINISTER, looking.plan),
    Endpoint("POST", "/v1/reload", Right.ADMINISTER, ordering.reload),
    Endpoint("GET", "/v1/logs", Right.READ_LOGS, looking.logs),
    Endpoint("GET", "/v1/feeds", Right.OBSERVE, feeds.feeds),
    Endpoint("GET", "/v1/channels", Right.OBSERVE, channels.channels),
    Endpoint("GET", "/v1/channels/{name}", Right.OBSERVE, channels.channel),
    Endpoint("POST", "/v1/channels/{name}/put", Right.OPERATE, channels.put),
    Endpoint("POST", "/v1/channels/{name}/get", Right.OPERATE, channels.get),
    Endpoint("GET", "/v1/channels/{name}/peek", Right.READ_LOGS, channels.peek),
    Endpoint("GET", "/v1/channels/{name}/open", Right.OPERATE, channels.descriptors),
    Endpoint("POST", "/v1/logs/reopen", Right.OPERATE, ordering.reopen_logs),
    Endpoint("POST", "/v1/shutdown", Right.ADMINISTER, ordering.shutdown),
    Endpoint("POST", "/v1/leave", Right.ADMINISTER, ordering.leave),
    Endpoint("GET", "/v1/config", Right.ADMINISTER, looking.config),
)


def application(service: Service, logs: LogAccess) -> ASGIApp:
    """The ASGI application. Requests carry their `Peer` in the scope, under "peer"."""
    # Not `Starlette`, which would bring pages of HTML for errors, and half a megabyte for them.
    router = Router(routes(Context(service, logs)))
    answering = ExceptionMiddleware(router, handlers=_EXCEPTION_HANDLERS)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = answering  # has the router raise what it does not find
        await answering(scope, receive, send)

    return application


def routes(context: Context) -> list[Route]:
    """The table, with each request let in by its right alone."""
    return [
        Route(endpoint.path, _guarded(endpoint, context), methods=[endpoint.method])
        for endpoint in ENDPOINTS
    ]


def _guarded(endpoint: Endpoint, context: Context) -> Callable[[Request], Awaitable[Response]]:
    owner = os.geteuid()

    async def guarded(request: Request) -> Response:
        peer: Peer = request.scope["peer"]
        if endpoint.right not in rights_of(peer, owner):
            raise Forbidden(
                f"cannot let user {peer.uid} {endpoint.right.value}: "
                f"only root and user {owner}, who runs this daemon, may"
            )
        return await endpoint.handler(context, request)

    return guarded


async def _refused(_request: Request, error: Exception) -> Response:
    return answer({"error": str(error)}, _STATUS[type(error)])


async def _bad_configuration(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BadConfiguration)
    return answer({"error": "cannot use the configuration", "problems": list(error.problems)}, 422)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"cannot {request.method} {request.url.path}: {error.detail.lower()}"
    refusal = answer({"error": text}, error.status_code)
    refusal.headers.update(error.headers or {})
    return refusal


async def _broken(request: Request, error: Exception) -> Response:
    _log.error("cannot answer %s %s", request.method, request.url.path, exc_info=error)
    text = f"cannot answer {request.method} {request.url.path}: {type(error).__name__}: {error}"
    return answer({"error": text}, 500)


_STATUS: dict[type[Exception], int] = {
    BadRequest: 400,
    BadSelector: 400,
    Forbidden: 403,
    UnknownNames: 404,
    Refused: 409,
    Unreadable: 500,
}
_EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    **dict.fromkeys(_STATUS, _refused),
    BadConfiguration: _bad_configuration,
    HTTPException: _http,
    Exception: _broken,
}
