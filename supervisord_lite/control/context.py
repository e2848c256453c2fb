"""What handlers share: what they may use, and how they answer."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from supervisord_lite.control.logs import LogAccess
from supervisord_lite.manager.outcome import Outcome
from supervisord_lite.manager.service import Service
from supervisord_lite.manager.views import exit_view


@dataclass(frozen=True, slots=True)
class Context:
    """All that handlers may use."""

    service: Service
    logs: LogAccess


Handler = Callable[[Context, Request], Awaitable[Response]]


def answer(value: Any, status: int = 200) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def ok() -> Response:
    return answer({"ok": True})


def results(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One result an instance, and one `ok` for all."""
    return {
        "ok": all(outcome.ok for outcome in outcomes),
        "results": [_result(outcome) for outcome in outcomes],
    }


def _result(outcome: Outcome) -> dict[str, Any]:
    result = {
        "name": outcome.name,
        "ok": outcome.ok,
        "state": outcome.state,
        "pid": outcome.pid,
        "message": outcome.message,
        "timed_out": outcome.timed_out,
    }
    return result if outcome.exit is None else {**result, "exit": exit_view(outcome.exit)}
