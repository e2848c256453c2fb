"""Handlers of what changes something: instances, roll-outs, the configuration, the daemon."""

from starlette.requests import Request
from starlette.responses import Response

from supervisord_lite.control import requests
from supervisord_lite.control.context import Context, answer, ok, results
from supervisord_lite.core.plain import to_plain


async def start(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.choice)
    outcomes = await context.service.start(names, wait=order.wait, timeout=order.timeout)
    return answer(results(outcomes))


async def stop(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.choice)
    outcomes = await context.service.stop(names, wait=order.wait, timeout=order.timeout)
    return answer(results(outcomes))


async def restart(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.choice)
    outcomes = await context.service.restart(names, wait=order.wait, timeout=order.timeout)
    return answer(results(outcomes))


async def run(context: Context, request: Request) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.choice)
    outcomes = await context.service.run(names, wait=order.wait, timeout=order.timeout)
    return answer(results(outcomes))


async def signal(context: Context, request: Request) -> Response:
    order = requests.read_signal_order(await request.body())
    names = context.service.resolve(order.choice)
    return answer(results(context.service.signal(names, order.signal)))


async def reload_workers(context: Context, request: Request) -> Response:
    names = context.service.resolve(requests.read_chosen(await request.body()))
    return answer(results(context.service.reload_workers(names)))


async def roll_out(context: Context, request: Request) -> Response:
    return await _rolled(context, request, undo=False)


async def undo_rollout(context: Context, request: Request) -> Response:
    return await _rolled(context, request, undo=True)


async def _rolled(context: Context, request: Request, *, undo: bool) -> Response:
    order = requests.read_order(await request.body())
    names = context.service.resolve(order.choice)
    outcomes = await context.service.roll_out(
        names, undo=undo, wait=order.wait, timeout=order.timeout
    )
    return answer(results(outcomes))


async def scale(context: Context, request: Request) -> Response:
    order = requests.read_scale_order(await request.body())
    plan, outcomes = await context.service.scale(
        dict(order.counts), wait=order.wait, timeout=order.timeout
    )
    return answer(to_plain(plan) | results(outcomes))


async def reload(context: Context, request: Request) -> Response:
    patience = requests.read_patience(await request.body())
    plan, outcomes = await context.service.reload(wait=patience.wait, timeout=patience.timeout)
    return answer(to_plain(plan) | results(outcomes))


async def reopen_logs(context: Context, request: Request) -> Response:
    requests.read_nothing(await request.body())
    await context.service.reopen_logs()
    return ok()


async def shutdown(context: Context, request: Request) -> Response:
    requests.read_nothing(await request.body())
    context.service.shutdown()
    return ok()


async def leave(context: Context, request: Request) -> Response:
    requests.read_nothing(await request.body())
    context.service.leave()
    return ok()
