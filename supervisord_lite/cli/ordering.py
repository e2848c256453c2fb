"""The commands of `slctl` that change something."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from supervisord_lite.cli import exits, render
from supervisord_lite.cli.options import AS_JSON, choosing, client, dump, waiting


@click.command()
@choosing(needed=True)
@waiting("60s")
@AS_JSON
def start(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Start what is not up, and what that depends on."""
    answer = client().start(names, selector=selector, wait=wait, timeout=timeout)
    _report(answer, as_json=as_json)


@click.command()
@choosing(needed=True)
@waiting("60s")
@AS_JSON
def stop(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Stop, with everything that was started below."""
    answer = client().stop(names, selector=selector, wait=wait, timeout=timeout)
    _report(answer, as_json=as_json)


@click.command()
@choosing(needed=True)
@waiting("60s")
@AS_JSON
def restart(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Start a new run of each, after the present one has ended; whole workers by their update
    policy.
    """
    answer = client().restart(names, selector=selector, wait=wait, timeout=timeout)
    _report(answer, as_json=as_json)


@click.command()
@choosing(needed=True)
@waiting("1h")
@AS_JSON
def run(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Run jobs or tasks once, now.

    For one instance the exit code is that of its run, or 128 + signal.
    """
    answer = client().run(names, selector=selector, wait=wait, timeout=timeout)
    if as_json:
        dump(answer)
    else:
        for result in answer["results"]:
            name, message = render.escape(result["name"]), render.escape(result["message"])
            sys.stdout.write(f"{name}: {message}\n")
    if len(answer["results"]) == 1 and "exit" in answer["results"][0]:
        exits.as_the_run(answer["results"][0]["exit"])
    exits.finish([result["timed_out"] for result in answer["results"] if not result["ok"]])


@click.command()
@click.argument("signal")
@choosing(needed=True)
@AS_JSON
def signal(names: Sequence[str], *, selector: str | None, signal: str, as_json: bool) -> None:
    """Send SIGNAL (HUP, SIGHUP or 1) to the main process of each."""
    number_or_name = int(signal) if signal.isdecimal() else signal
    _report(client().signal(names, number_or_name, selector=selector), as_json=as_json)


@click.command()
@click.argument("counts", nargs=-1, required=True, metavar="WORKER=COUNT...")
@waiting("60s")
@AS_JSON
def scale(counts: Sequence[str], *, wait: bool, timeout: float, as_json: bool) -> None:
    """Have so many instances of a worker, until its file says another number."""
    numbers = dict(_count(text) for text in counts)
    _report_plan(client().scale(numbers, wait=wait, timeout=timeout), as_json=as_json)


def _count(text: str) -> tuple[str, int]:
    worker, _, count = text.partition("=")
    if not worker or not count.isascii() or not count.isdecimal():
        raise click.BadParameter(f'cannot read "{text}": write WORKER=COUNT, such as web=8')
    return worker, int(count)


@click.command()
@choosing(needed=False)
@waiting("60s")
@AS_JSON
def reload(
    names: Sequence[str], *, selector: str | None, wait: bool, timeout: float, as_json: bool
) -> None:
    """Read the configuration again and apply what differs; with NAMES, have these workers read
    theirs again, by the signal that they have for it.
    """
    if names or selector is not None:
        _report(client().reload_workers(names, selector=selector), as_json=as_json)
    else:
        _report_plan(client().reload(wait=wait, timeout=timeout), as_json=as_json)


@click.command()
def reopen() -> None:
    """Open the logs again by their names, after something else has renamed them."""
    client().reopen_logs()


@click.command()
@waiting("90s")
def shutdown(*, wait: bool, timeout: float) -> None:
    """Stop everything in order, then the daemon."""
    client().shutdown(wait=timeout if wait else None)


@click.command()
@waiting("30s")
def leave(*, wait: bool, timeout: float) -> None:
    """End the daemon, but leave every worker running for the next one to adopt."""
    client().leave(wait=timeout if wait else None)


COMMANDS = (start, stop, restart, run, signal, scale, reload, reopen, shutdown, leave)


def _report(answer: Any, *, as_json: bool) -> None:
    """One line an instance."""
    if as_json:
        dump(answer)
    else:
        for result in answer["results"]:
            sys.stdout.write(_result(result) + "\n")
    exits.finish([result["timed_out"] for result in answer["results"] if not result["ok"]])


def _result(result: Any) -> str:
    parts = [result["state"]]
    if result["pid"] is not None:
        parts.append(f"pid {result['pid']}")
    if not result["ok"]:
        parts.append(render.escape(result["message"]))
    return f"{render.escape(result['name'])}: {', '.join(parts)}"


def _report_plan(answer: Any, *, as_json: bool) -> None:
    """The plan that was applied, and what of it did not come true."""
    from supervisord_lite.cli import plans

    plans.show(answer, as_json=as_json)
    failed = [result for result in answer["results"] if not result["ok"]]
    for result in failed:
        render.complain(f"{result['name']}: {result['message']}")
    exits.finish([result["timed_out"] for result in failed])
