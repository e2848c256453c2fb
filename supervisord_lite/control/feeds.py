"""The handler that tells who is fed output, and how far behind each of them is."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from supervisord_lite.control import requests
from supervisord_lite.control.context import Context, answer


async def feeds(context: Context, request: Request) -> Response:
    requests.read_no_query(request.query_params.multi_items())
    return answer({"feeds": await asyncio.to_thread(context.logs.feeds)})
